"""Rules of iCalendar on a zone's wall clock, with days on which clocks change."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.calendar_days import CalendarDays
from celery_singleton_beat.protocol.recurrences.recurrence import KnownByRule
from celery_singleton_beat.protocol.recurrences.rrule_text import Frequency, RRuleParts
from celery_singleton_beat.protocol.recurrences.wallclock import (
    DAY_MS,
    EARLIEST_MS,
    HOUR_MS,
    LATEST_MS,
    MINUTE_MS,
    SECOND_MS,
    Stretch,
    WallClock,
)

_UNITS: Final = {
    Frequency.HOURLY: HOUR_MS,
    Frequency.MINUTELY: MINUTE_MS,
    Frequency.SECONDLY: SECOND_MS,
}
_AROUND_MS: Final = 26 * HOUR_MS
_TIMES_AT_MOST: Final = 1440
# An INTERVAL may never meet what BY… parts ask for.
_STEPS_AT_MOST: Final = 100_000


class CalendarRule(KnownByRule):
    """A rule of RFC 5545 on the wall clock of a zone.

    Without a ``DTSTART`` it is counted from 1970-01-01 00:00 of the zone, a
    Thursday, so that it does not depend on when it was written.

    On days on which the clocks change it is as with `Crontab`: a rule that
    names hours (or takes them from its start) runs once for each local time,
    at the end of the gap if the clocks leap over it; one of ``FREQ=HOURLY`` or
    shorter without ``BYHOUR`` runs in both passes of a repeated hour, and a
    time in a gap counts as done if the clocks show one of its times instead.

    Raises:
        RecurrenceError: the rule has no date at all, or its start is of
            another zone's clock.
    """

    __slots__ = (
        "_days",
        "_is_wild",
        "_last_ms",
        "_parts",
        "_start_ms",
        "_times",
        "clock",
    )

    def __init__(self, parts: RRuleParts, clock: WallClock) -> None:
        if parts.start_zone is not None and parts.start_zone != clock.name:
            raise RecurrenceError(
                f"rrule {parts.text!r}: its DTSTART is of time zone {parts.start_zone}, and the "
                f"entry's is {clock.name}: give the entry timezone={parts.start_zone!r}, or "
                "write DTSTART without a zone"
            )
        self._parts = parts
        self.clock = clock
        self._start_ms = parts.start_ms or 0
        self._days = CalendarDays(parts, self._start_ms // DAY_MS)
        self._is_wild = parts.frequency >= Frequency.HOURLY and not parts.hours
        self._times = _times_of_day(parts, self._start_ms % DAY_MS)
        self._last_ms: int | None = None if parts.until_is_utc else parts.until_ms
        self.rule = f"rrule {parts.text.replace(chr(10), ' ')} {clock.name}"
        first = next(self._all_from(self._start_ms), None)
        if first is None:
            raise RecurrenceError(f"rrule {parts.text!r} names a date or time that never comes")
        if parts.counted is not None:
            *_, self._last_ms = islice(self._all_from(self._start_ms), parts.counted)

    def next_after(self, after_ms: int) -> int | None:
        """The first occurrence strictly after an instant; None if there is none within 50 years."""
        return _remembered_next(self, after_ms)

    def find_next(self, after_ms: int) -> int | None:
        """`next_after` without its memory."""
        if after_ms >= LATEST_MS:
            return None
        after_ms = max(after_ms, EARLIEST_MS)
        best_ms: int | None = None
        end_ms: int | None = None
        for reading_ms in self._readings_from(self._first_reading_after(after_ms)):
            # Where clocks are set back, a later reading can come before an earlier one.
            if end_ms is not None and reading_ms > end_ms:
                break
            for at_ms in self._instants_of(reading_ms):
                if at_ms > after_ms and (best_ms is None or at_ms < best_ms):
                    best_ms, end_ms = at_ms, self._last_reading_before(at_ms)
        until_ms = self._parts.until_ms if self._parts.until_is_utc else None
        return None if until_ms is not None and (best_ms or 0) > until_ms else best_ms

    def _first_reading_after(self, at_ms: int) -> int:
        """The least reading that the clock shows after an instant."""
        return min(
            max(at_ms, stretch.start_ms) + stretch.offset_ms
            for stretch in self.clock.stretches(at_ms, at_ms + _AROUND_MS)
        )

    def _last_reading_before(self, at_ms: int) -> int:
        """The greatest reading that the clock shows before an instant."""
        return max(
            min(at_ms, stretch.end_ms) + stretch.offset_ms
            for stretch in self.clock.stretches(at_ms - _AROUND_MS, at_ms)
        )

    def _instants_of(self, reading_ms: int) -> list[int]:
        """When a reading of the rule runs: once, in both passes, at a gap's end, or not."""
        day = reading_ms // DAY_MS
        offset_ms = self.clock.steady_offset(day)
        if offset_ms is not None:
            return [reading_ms - offset_ms]
        around: tuple[Stretch, ...] = self.clock.around_day(day)
        shown = self.clock.shown_at(reading_ms, around)
        if shown:
            return shown if self._is_wild else shown[:1]
        gap_end_ms, gap_ms = self.clock.gap_over(reading_ms, around)
        if (
            self._is_wild
            and next(self._readings_from(reading_ms + gap_ms), 0) == reading_ms + gap_ms
        ):
            return []
        return [gap_end_ms] if self.clock.has_day(day, around) else []

    def _readings_from(self, reading_ms: int) -> Iterator[int]:
        """The local readings of the rule, in order, from one on, within its start and end."""
        for found_ms in self._all_from(max(reading_ms, self._start_ms)):
            if self._last_ms is not None and found_ms > self._last_ms:
                return
            yield found_ms

    def _all_from(self, reading_ms: int) -> Iterator[int]:
        if self._parts.set_positions:
            yield from self._chosen_from(reading_ms)
            return
        first_day, in_day_ms = divmod(reading_ms, DAY_MS)
        budget = _STEPS_AT_MOST
        for day in self._days.from_day(first_day):
            from_ms = in_day_ms if day == first_day else 0
            if self._parts.frequency > Frequency.DAILY:
                for found_ms in self._steps_of(day, from_ms):
                    if found_ms is not None:
                        budget = _STEPS_AT_MOST
                        yield found_ms
                    elif (budget := budget - 1) == 0:
                        return
                continue
            for time_ms in self._times[bisect_left(self._times, from_ms) :]:
                yield day * DAY_MS + time_ms

    def _chosen_from(self, reading_ms: int) -> Iterator[int]:
        """The readings that BYSETPOS chooses among those of each period."""
        period = None
        of_period: list[int] = []
        # From the first day of the period, which may lie before the reading.
        first = self._days.first_of(self._days.period(reading_ms // DAY_MS))
        for day in self._days.from_day(first):
            if self._days.period(day) != period:
                yield from self._chosen(of_period, reading_ms)
                period, of_period = self._days.period(day), []
            of_period.extend(day * DAY_MS + time_ms for time_ms in self._times)
        yield from self._chosen(of_period, reading_ms)

    def _chosen(self, of_period: list[int], reading_ms: int) -> list[int]:
        count = len(of_period)
        indexes = {
            position - 1 if position > 0 else count + position
            for position in self._parts.set_positions
        }
        chosen = (of_period[index] for index in sorted(indexes) if 0 <= index < count)
        return [found_ms for found_ms in chosen if found_ms >= reading_ms]

    def _steps_of(self, day: int, from_ms: int) -> Iterator[int | None]:
        """The readings of a day, for periods shorter than one; None for each that is no reading."""
        parts = self._parts
        unit_ms = _UNITS[parts.frequency]
        step_ms = parts.interval * unit_ms
        anchor_ms = self._start_ms // unit_ms * unit_ms
        midnight_ms = day * DAY_MS
        at_ms = midnight_ms + from_ms // unit_ms * unit_ms
        at_ms += (anchor_ms - at_ms) % step_ms
        while at_ms < midnight_ms + DAY_MS:
            hour, in_hour_ms = divmod(at_ms - midnight_ms, HOUR_MS)
            if parts.hours and hour not in parts.hours:
                at_ms += -(-(HOUR_MS - in_hour_ms) // step_ms) * step_ms
                yield None
                continue
            for time_ms in self._times:
                found_ms = at_ms + time_ms
                is_one = found_ms >= midnight_ms + from_ms and self._names_minute(found_ms)
                yield found_ms if is_one else None
            at_ms += step_ms

    def _names_minute(self, reading_ms: int) -> bool:
        parts = self._parts
        return (not parts.minutes or reading_ms // MINUTE_MS % 60 in parts.minutes) and (
            not parts.seconds or reading_ms // SECOND_MS % 60 in parts.seconds
        )


def _times_of_day(parts: RRuleParts, start_ms: int) -> tuple[int, ...]:
    """The times within a day; for periods shorter than a day, those within a period."""
    hour, minute, second = start_ms // HOUR_MS, start_ms // MINUTE_MS % 60, start_ms // 1000 % 60
    hours = sorted(parts.hours or {hour}) if parts.frequency < Frequency.HOURLY else [0]
    minutes = sorted(parts.minutes or {minute}) if parts.frequency < Frequency.MINUTELY else [0]
    seconds = sorted(parts.seconds or {second}) if parts.frequency < Frequency.SECONDLY else [0]
    if len(hours) * len(minutes) * len(seconds) > _TIMES_AT_MOST:
        raise RecurrenceError(
            f"rrule {parts.text!r} names more than {_TIMES_AT_MOST} times a day: "
            "use FREQ=MINUTELY or SECONDLY"
        )
    return tuple(
        of_hour * HOUR_MS + of_minute * MINUTE_MS + of_second * SECOND_MS
        for of_hour in hours
        for of_minute in minutes
        for of_second in seconds
    )


_remembered_next = lru_cache(maxsize=16384)(CalendarRule.find_next)
