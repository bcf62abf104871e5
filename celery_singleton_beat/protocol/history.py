"""The history: what happened to occurrences and runs, as short facts in their order.

Facts are for people and their tools; no promise rests on them. Each is noted by
the very step that makes it true, in the same script, so that none is missing
because somebody died in between. Only the last ones are kept.

=====================  ==========================================================
kind                   happened
=====================  ==========================================================
``published``          the broker has the message
``superseded``         occurrences were left out; the note says up to which one, which
                       later one stands for them (or nothing: too late; or the reason),
                       and how many they are
``dispatch_failed``    the entry could not be sent; the note says why
``published_again``    nobody had begun it by its start deadline
``asked``              somebody asked for a run or a backfill; the note is its id
``called_off``         somebody cancelled that
``dropped``            it cannot be: its entry was removed, or no replica knows it; with a
                       run: it is delivered at most once, and the note says why it is not
``started``            a body began; the note is its lock key
``succeeded``          a body ended well; the note says how many milliseconds after it
                       got its lock key, if that is known
``failed``             a body ended with an error; the note as above
``retrying``           a body asked for another attempt; the note as above
``interrupted``        a body ended before its time; the note as above
``skipped``            its key was held
``spent``              its key had had its run of the interval
``cancelled``          its entry was changed, and what was queued before was cancelled
``refused``            its window was over
``given up``           its workers died too often
``discarded``          its message was expired, revoked or of no known task
``lost``               its lease was over and may be another run's
``rerun``              its worker died; its message was published again
``unlocked``           somebody freed the key by hand; the note is the key
=====================  ==========================================================
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from celery_singleton_beat.protocol.run import (
    Attempt,
    Begun,
    Finished,
    Outcome,
    Renewed,
    Run,
    State,
)
from celery_singleton_beat.protocol.statistics import BUSY, DUPLICATE

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.lease import Held

_NUMBER = re.compile(r"[0-9]{1,16}")
_CLOSES = (
    Outcome.SKIPPED.value,
    Outcome.SPENT.value,
    Outcome.GIVEN_UP.value,
    Outcome.CANCELLED.value,
)


class Fact(NamedTuple):
    """One thing that happened. ``by`` is the replica or the worker; ``run`` the task id."""

    at_ms: int
    kind: str
    entry: str = ""
    scheduled_ms: int = 0
    run: str = ""
    attempt: int = 0
    by: str = ""
    note: str = ""

    def to_text(self) -> str:
        return json.dumps(self)

    @classmethod
    def from_text(cls, text: str) -> Fact:
        at_ms, kind, entry, scheduled_ms, run, attempt, by, note = json.loads(text)
        kind, entry, run, by, note = map(str, (kind, entry, run, by, note))
        return cls(int(at_ms), kind, entry, int(scheduled_ms), run, int(attempt), by, note)


class Told(NamedTuple):
    """A fact as a replica tells it of an entry, before the store says when."""

    kind: str
    scheduled_ms: int
    run: str = ""
    by: str = ""
    note: str = ""


class LeftOut(NamedTuple):
    """What the note of ``superseded`` says; None is what a note does not say.

    ``last_ms`` is the last that was left out. ``by`` is the time of the later one that
    stands for them, or the reason, or nothing: they were too late.
    """

    last_ms: int | None
    by: str = ""
    many: int | None = None

    def to_note(self) -> str:
        return f"{self.last_ms}|{self.by}|{self.many}"

    @classmethod
    def from_note(cls, note: str) -> LeftOut:
        last, by, many = (*note.split("|"), "", "")[:3]
        return cls(_number(last), by, _number(many))


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def of(attempt: Attempt, kind: str, now_ms: int, note: str = "") -> Fact:
    """Write a fact about an attempt."""
    return Fact(
        now_ms,
        kind,
        attempt.entry,
        attempt.scheduled_ms,
        attempt.run,
        attempt.attempt,
        attempt.owner,
        note,
    )


def of_begin(
    before: Held, after: Held, attempt: Attempt, verdict: Begun, now_ms: int
) -> Fact | None:
    """Tell what a ``begin`` made true; None if it was a repeat, or changed nothing."""
    if verdict is Begun.REFUSED:
        return of(attempt, "refused", now_ms)
    run = after.run
    if run is None or _is_same(before.run, run, now_ms):
        return None
    if verdict is Begun.RUN:
        return of(attempt, "started", now_ms, attempt.key)
    if run.state is State.DONE and run.outcome in _CLOSES:
        return of(attempt, run.outcome, now_ms)
    return None


def figure_of_begin(before: Held, attempt: Attempt, verdict: Begun) -> str | None:
    """Name what is counted of a ``begin`` besides its fact; None if nothing, or a repeat."""
    if verdict in (Begun.DONE, Begun.STALE):
        return DUPLICATE
    run = before.run
    is_repeat = run is not None and run.state is State.DONE and run.holder == attempt.holder
    return BUSY if verdict is Begun.BUSY and not is_repeat else None


def of_renew(attempt: Attempt, verdict: Renewed, now_ms: int) -> Fact | None:
    """Tell what a ``renew`` made true."""
    return of(attempt, "lost", now_ms) if verdict is Renewed.LOST else None


def of_finish(
    before: Held, after: Held, attempt: Attempt, verdict: Finished, now_ms: int
) -> Fact | None:
    """Tell what a ``finish`` made true; None if it was a repeat."""
    if verdict is Finished.LOST or after.run is None or after.run.outcome == _outcome(before.run):
        return None
    lock = before.lock
    is_known = lock is not None and lock.holder == attempt.holder
    ran = str(max(now_ms - lock.acquired_ms, 0)) if lock and is_known else ""
    return of(attempt, after.run.outcome, now_ms, ran)


def _outcome(run: Run | None) -> str:
    return run.outcome if run else ""


def _is_same(before: Run | None, after: Run, now_ms: int) -> bool:
    return (
        before is not None
        and (before is after or before.keep_until_ms > now_ms)
        and before.holder == after.holder
        and before.state is after.state
        and before.starts == after.starts
    )
