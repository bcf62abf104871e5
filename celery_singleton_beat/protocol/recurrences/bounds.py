"""Recurrences that begin or end: once at an instant, and any rule between two instants."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.recurrence import (
    KnownByRule,
    Recurrence,
    is_due_at,
    latest_until,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


class Once(KnownByRule):
    """One occurrence, at an instant."""

    __slots__ = ("at_ms",)

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms
        self.rule = f"once {at_ms}ms"

    def next_after(self, after_ms: int) -> int | None:
        """The instant, if it is still to come."""
        return self.at_ms if self.at_ms > after_ms else None

    def latest_until(self, until_ms: int, not_before_ms: int) -> int | None:
        """The instant, if it lies in ``[not_before_ms, until_ms]``."""
        return self.at_ms if not_before_ms <= self.at_ms <= until_ms else None


class Bounded(KnownByRule):
    """A rule whose occurrences outside ``[start_ms, end_ms]`` do not count (None: no bound)."""

    __slots__ = ("_end_ms", "_start_ms", "inner")

    def __init__(self, inner: Recurrence, start_ms: int | None, end_ms: int | None) -> None:
        self.inner = inner
        self._start_ms = start_ms
        self._end_ms = end_ms
        start = "" if start_ms is None else f" from {start_ms}ms"
        end = "" if end_ms is None else f" until {end_ms}ms"
        self.rule = f"{inner.rule}{start}{end}"

    def next_after(self, after_ms: int) -> int | None:
        """The first occurrence within the bounds and strictly after an instant."""
        if self._start_ms is not None and after_ms < self._start_ms:
            after_ms = self._start_ms - 1
            if self._within(self._start_ms) and is_due_at(self.inner, self._start_ms):
                return self._start_ms
        next_ms = self.inner.next_after(after_ms)
        return next_ms if next_ms is not None and self._within(next_ms) else None

    def is_due_at(self, at_ms: int) -> bool:
        """Whether an instant is an occurrence within the bounds."""
        return self._within(at_ms) and is_due_at(self.inner, at_ms)

    def latest_until(self, until_ms: int, not_before_ms: int) -> int | None:
        """The last occurrence in ``[not_before_ms, until_ms]`` and within the bounds."""
        if self._end_ms is not None:
            until_ms = min(until_ms, self._end_ms)
        if self._start_ms is not None:
            not_before_ms = max(not_before_ms, self._start_ms)
        return latest_until(self.inner, until_ms, not_before_ms)

    def _within(self, at_ms: int) -> bool:
        return (self._start_ms is None or at_ms >= self._start_ms) and (
            self._end_ms is None or at_ms <= self._end_ms
        )


def instant_of(at: object, what: str) -> int:
    """The instant of an aware datetime, in milliseconds, parts of one cut off.

    Raises:
        RecurrenceError: it is no datetime, does not say in which zone it is, or is in UTC
            of no year that a datetime has.
    """
    if not isinstance(at, datetime):
        raise RecurrenceError(f"{what} must be a datetime with a time zone, not {at!r}")
    if at.utcoffset() is None:
        raise RecurrenceError(
            f"{what} {at.isoformat()} has no time zone: "
            "give it one, as in datetime(2026, 1, 31, 9, tzinfo=ZoneInfo('Europe/Rome'))"
        )
    instant_ms = (at - _EPOCH) // _MILLISECOND
    try:
        datetime_of(instant_ms)
    except OverflowError:
        raise RecurrenceError(
            f"{what} {at.isoformat()} is in UTC before the year 1 or after the year 9999"
        ) from None
    return instant_ms


def datetime_of(at_ms: int) -> datetime:
    """The datetime, in UTC, of an instant."""
    return _EPOCH + at_ms * _MILLISECOND
