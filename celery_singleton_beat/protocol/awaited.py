"""Awaited occurrences: published, and not yet seen to begin.

A broker may lose a message without a word: Redis does, if a worker is killed
between taking one from the queue and noting that it has it. Where an entry has
a *start deadline*, the store keeps its published occurrences until their runs
begin; one that is overdue is published again with the same task id, and awaited
for twice as long. What is put off (its key is held, the run before it may be
alive) is awaited from when its message is to come again: the broker may lose it
then as well. What cannot be published again is given up after a few attempts, as
at first. A ``SingletonTask`` recognises the second message if the first turns
up after all.

                publish              begin (put off: awaited on)
    (claimed) ----------> awaited -------------> (its run record says the rest)
                          |    ^
        deadline is over  |    |  a later one of its entry waits too:
                          v    |  that is a queue, not a loss
                         overdue
                          |
                          +--> published again, and awaited for twice as long
                               (forgotten, if that is more than a day)
"""

from __future__ import annotations

from typing import NamedTuple

from celery_singleton_beat.protocol.codec import ABSENT, join, split
from celery_singleton_beat.protocol.entry import DAY_MS
from celery_singleton_beat.protocol.occurrence import Occurrence


class Awaited(NamedTuple):
    """A published occurrence whose run is to begin within ``deadline_ms`` of its publish.

    ``failures`` counts how often it could not be published again, for a reason of its own;
    ``revision`` is that of the stored entry by which it was published: a message that is
    published again bears it, too, or what was called back in between would begin.
    """

    run: str
    entry: str
    scheduled_ms: int
    deadline_ms: int
    window_ms: int
    previous_ms: int | None = None
    failures: int = 0
    revision: int = 0

    def to_text(self) -> str:
        previous_ms = ABSENT if self.previous_ms is None else self.previous_ms
        return join(
            self.scheduled_ms,
            self.deadline_ms,
            self.window_ms,
            previous_ms,
            self.failures,
            self.revision,
            self.entry,
        )

    @classmethod
    def from_text(cls, run: str, text: str) -> Awaited:
        *numbers, entry = split(text, 7)
        scheduled_ms, deadline_ms, window_ms, previous_ms, *counted = map(int, numbers)
        previous = None if previous_ms == ABSENT else previous_ms
        return cls(run, entry, scheduled_ms, deadline_ms, window_ms, previous, *counted)

    def again(self) -> Awaited | None:
        """Wait anew once it was published again, for twice as long; not longer than a day."""
        deadline_ms = 2 * self.deadline_ms
        if deadline_ms > DAY_MS:
            return None
        return self._replace(deadline_ms=deadline_ms, failures=0)

    def occurrence(self, now_ms: int) -> Occurrence:
        """The occurrence, to be published again now."""
        return Occurrence(
            self.entry,
            self.scheduled_ms,
            previous_ms=self.previous_ms,
            not_after_ms=now_ms + self.window_ms,
            window_ms=self.window_ms,
            is_awaited=self.again() is not None,
            revision=self.revision,
        )


class Postponed(NamedTuple):
    """An awaited occurrence that was not published again, to be looked at in ``for_ms``.

    ``attempt`` says how often it has failed by now, for a reason of its own, and
    ``error`` why (0 and "": it was not tried, or it is not known whether it was sent).
    With ABSENT for ``for_ms`` it is given up.
    """

    run: str
    for_ms: int
    attempt: int = 0
    error: str = ""


def is_lost(scheduled_ms: int, *, begun_ms: int, latest_ms: int) -> bool:
    """Tell whether an overdue occurrence is to be published again.

    ``begun_ms`` is the latest of its entry's occurrences that began, and
    ``latest_ms`` the latest that was published. Either it was overtaken, or it
    is the last: if a later one waits too, the workers are only behind.
    """
    return begun_ms > scheduled_ms or latest_ms <= scheduled_ms
