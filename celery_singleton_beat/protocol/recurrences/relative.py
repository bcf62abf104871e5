"""Relative intervals: Celery's ``schedule(…, relative=True)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.recurrence import KnownByRule
from celery_singleton_beat.protocol.recurrences.wallclock import (
    DAY_MS,
    EARLIEST_MS,
    HOUR_MS,
    LATEST_MS,
    MINUTE_MS,
    SECOND_MS,
    Stretch,
    WallClock,
    wall_clock,
)

if TYPE_CHECKING:
    from datetime import tzinfo

_LOOK_AHEAD_MS = 40 * DAY_MS


class RelativeInterval(KnownByRule):
    """An interval that ends on a boundary of its own unit on the zone's wall clock.

    The unit is the largest of day, hour, minute and second that fits in the
    interval. Below a day, the next occurrence is the last boundary that comes
    after the given instant and at most one interval later (or, where changing
    clocks leave none, the first one after it). From a day on it is the first
    midnight, after the instant, of the local date on which calendar arithmetic
    ends. A boundary that the clocks leap over is at the end of the gap; one
    that comes twice counts twice.

    Occurrences follow from the one before: ``relative 2 h`` after 13:00 is
    15:00, after 14:00 it is 16:00. Where no occurrence came before, every
    boundary may be one. Source: the rounding that Celery documents for
    ``relative``, in the form it has since Celery 5.7.
    """

    __slots__ = ("clock", "every_ms", "unit_ms")

    def __init__(self, every_ms: int, zone: tzinfo | WallClock) -> None:
        if every_ms < 1:
            raise RecurrenceError(
                f"an interval of {every_ms} ms is never over; give one of at least 0.001 seconds"
            )
        self.every_ms = every_ms
        self.clock = wall_clock(zone)
        self.unit_ms = next(
            (unit for unit in (DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS) if every_ms >= unit), 1
        )
        self.rule = f"relative every {every_ms}ms {self.clock.name}"

    def next_after(self, after_ms: int) -> int | None:
        """The occurrence that follows an instant."""
        if after_ms + self.every_ms >= LATEST_MS:
            return None
        after_ms = max(after_ms, EARLIEST_MS)
        if self.unit_ms <= SECOND_MS:
            return self._floor(after_ms + self.every_ms)
        if self.unit_ms == DAY_MS:
            return self._midnight_after(after_ms)
        return self._boundary_after(after_ms)

    def is_due_at(self, at_ms: int) -> bool:
        """Whether an instant is a boundary of the unit."""
        if self.unit_ms <= SECOND_MS:
            return at_ms % self.unit_ms == 0
        around = self.clock.stretches(at_ms - DAY_MS, at_ms + DAY_MS)
        return at_ms in self._boundaries(around, at_ms - 1, at_ms)

    def latest_until(self, until_ms: int, not_before_ms: int) -> int | None:
        """The last occurrence in ``[not_before_ms, until_ms]``.

        `not_before_ms` begins the chain if it is a boundary; else the
        occurrence that follows it does.
        """
        at_ms = not_before_ms if self.is_due_at(not_before_ms) else self.next_after(not_before_ms)
        if at_ms is None or at_ms > until_ms:
            return None
        while True:
            at_ms = self._steps_ahead(at_ms, until_ms)
            following_ms = self.next_after(at_ms)
            if following_ms is None or following_ms > until_ms:
                return at_ms
            at_ms = following_ms

    def _floor(self, reading_ms: int) -> int:
        return reading_ms // self.unit_ms * self.unit_ms

    def _steps_ahead(self, at_ms: int, until_ms: int) -> int:
        """The furthest occurrence reached from one by equal steps, without asking for each."""
        if self.unit_ms == DAY_MS:
            return at_ms
        last_start_ms = until_ms
        if self.unit_ms > SECOND_MS:
            stretch = self.clock.stretches(at_ms, at_ms + _LOOK_AHEAD_MS)[0]
            if (at_ms + stretch.offset_ms) % self.unit_ms:
                return at_ms
            last_start_ms = min(until_ms, stretch.end_ms - 1 - self.every_ms)
        step_ms = self._floor(self.every_ms)
        return at_ms + max((last_start_ms - at_ms) // step_ms, 0) * step_ms

    def _midnight_after(self, after_ms: int) -> int:
        """The first midnight, after an instant, of the date that the interval leads to."""
        reading_ms = after_ms + self.clock.offset_at(after_ms) + self.every_ms
        midnight_ms = self._floor(reading_ms)
        shown = self.clock.shown_at(midnight_ms, self.clock.around_day(midnight_ms // DAY_MS))
        later = [at_ms for at_ms in shown if at_ms > after_ms]
        return later[0] if later else self.clock.first_reach(midnight_ms)

    def _boundary_after(self, after_ms: int) -> int:
        """The last boundary within one interval of an instant, or the first later one."""
        end_ms = after_ms + self.every_ms
        around = self.clock.stretches(after_ms - DAY_MS, end_ms + 2 * DAY_MS)
        found = self._boundaries(around, after_ms, end_ms)
        while not found:
            end_ms += MINUTE_MS
            found = self._boundaries(around, after_ms, end_ms)
        return max(found)

    def _boundaries(self, around: tuple[Stretch, ...], after_ms: int, until_ms: int) -> list[int]:
        """Boundaries in ``(after_ms, until_ms]``: the last of a stretch, the ends of gaps."""
        found: list[int] = []
        offset_before_ms = around[0].offset_ms
        for stretch in around:
            opening_ms = stretch.start_ms + stretch.offset_ms
            if self._floor(opening_ms - 1) >= stretch.start_ms + offset_before_ms:
                found.append(stretch.start_ms)
            last_reading_ms = min(until_ms, stretch.end_ms - 1) + stretch.offset_ms
            if self._floor(last_reading_ms) >= opening_ms:
                found.append(self._floor(last_reading_ms) - stretch.offset_ms)
            offset_before_ms = stretch.offset_ms
        return [at_ms for at_ms in found if after_ms < at_ms <= until_ms]
