"""Recurrences: the rules that say when an entry is due.

A recurrence is pure arithmetic on instants (integer milliseconds since the
Unix epoch, UTC). It holds no state and asks no clock, so that every replica
computes the same occurrences. The rules are `Interval` here,
`relative.RelativeInterval`, `crontab.Crontab`, `calendar_rule.CalendarRule`,
`solar.Solar` and `bounds.Once`; `bounds.Bounded` cuts any of them off. How they
are written is in `spec`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.wallclock import SECOND_MS

if TYPE_CHECKING:
    from collections.abc import Iterator


class Recurrence(Protocol):
    """A rule that says when.

    A rule that can answer better than by asking `next_after` again and again
    also has methods ``is_due_at(at_ms)`` and ``latest_until(until_ms,
    not_before_ms)``; the functions of those names below prefer them. A rule
    whose occurrences follow from the one before, not from the calendar alone
    (a relative interval of more than one unit), needs them.
    """

    def __hash__(self) -> int: ...

    @property
    def rule(self) -> str:
        """Canonical text of the rule and its zone.

        Equal text means equal rule. It is the same on every host, with every
        hash seed and Python version.
        """

    def next_after(self, after_ms: int) -> int | None:
        """The first occurrence strictly after an instant; None if there is none within 50 years."""


class KnownByRule:
    """What is equal if the texts of its rules are, and can be a key by that."""

    __slots__ = ("rule",)

    rule: str

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.rule == other.rule

    def __hash__(self) -> int:
        return hash(self.rule)

    def __repr__(self) -> str:
        return f"<{self.rule}>"


class Interval(KnownByRule):
    """Every so many milliseconds, counted from the Unix epoch.

    The due times do not depend on when anything was started: an interval of
    30 s is due at every :00 and :30, on every replica and after every restart.
    """

    __slots__ = ("every_ms",)

    def __init__(self, every_ms: int) -> None:
        if every_ms < 1:
            raise RecurrenceError(
                f"an interval of {every_ms} ms is never over; give one of at least 0.001 seconds"
            )
        self.every_ms = every_ms
        self.rule = f"every {every_ms}ms"

    def next_after(self, after_ms: int) -> int:
        """The next multiple of the interval."""
        return (after_ms // self.every_ms + 1) * self.every_ms

    def is_due_at(self, at_ms: int) -> bool:
        """Whether an instant is a multiple of the interval."""
        return at_ms % self.every_ms == 0

    def latest_until(self, until_ms: int, not_before_ms: int) -> int | None:
        """The last multiple of the interval in ``[not_before_ms, until_ms]``."""
        latest_ms = until_ms // self.every_ms * self.every_ms
        return latest_ms if latest_ms >= not_before_ms else None


def is_due_at(recurrence: Recurrence, at_ms: int) -> bool:
    """Whether an instant is an occurrence."""
    own = getattr(recurrence, "is_due_at", None)
    if own is not None:
        return bool(own(at_ms))
    return recurrence.next_after(at_ms - 1) == at_ms


def latest_until(recurrence: Recurrence, until_ms: int, not_before_ms: int) -> int | None:
    """The last occurrence in ``[not_before_ms, until_ms]``; None if there is none.

    The cost grows with the logarithm of the time since `not_before_ms`, not
    with the number of occurrences in it.
    """
    own = getattr(recurrence, "latest_until", None)
    if own is not None:
        latest_ms: int | None = own(until_ms, not_before_ms)
        return latest_ms
    return search_latest(recurrence, until_ms, not_before_ms)


def search_latest(recurrence: Recurrence, until_ms: int, not_before_ms: int) -> int | None:
    """`latest_until` by asking `next_after` only."""
    found_ms = _one_of_the_last(recurrence, until_ms, not_before_ms)
    if found_ms is None:
        return None
    # Nothing occurs in (high_ms, until_ms]; found_ms is an occurrence.
    high_ms = until_ms
    while found_ms < high_ms:
        following_ms = recurrence.next_after(found_ms)
        if following_ms is None or following_ms > until_ms:
            break
        middle_ms = (following_ms + high_ms) // 2
        later_ms = recurrence.next_after(middle_ms)
        if later_ms is None or later_ms > until_ms:
            found_ms, high_ms = following_ms, middle_ms
        else:
            found_ms = later_ms
    return found_ms


def occurrences(recurrence: Recurrence, after_ms: int, until_ms: int) -> Iterator[int]:
    """All occurrences in ``(after_ms, until_ms]``, in order."""
    at_ms = recurrence.next_after(after_ms)
    while at_ms is not None and at_ms <= until_ms:
        yield at_ms
        at_ms = recurrence.next_after(at_ms)


def _one_of_the_last(recurrence: Recurrence, until_ms: int, not_before_ms: int) -> int | None:
    """An occurrence found in the shortest of ever longer looks back."""
    if until_ms < not_before_ms:
        return None
    look_back_ms = SECOND_MS
    while True:
        start_ms = max(until_ms - look_back_ms, not_before_ms - 1)
        found_ms = recurrence.next_after(start_ms)
        if found_ms is not None and found_ms <= until_ms:
            return found_ms
        if start_ms < not_before_ms:
            return None
        look_back_ms *= 8
