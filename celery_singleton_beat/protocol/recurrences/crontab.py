"""Crontab rules, with seconds, and with days on which clocks change."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.cron_text import CronFields
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
    from collections.abc import Collection, Iterator
    from datetime import tzinfo

_FIELDS = (
    ("minutes", 0, 59),
    ("hours", 0, 23),
    ("days of week", 0, 6),
    ("days of month", 1, 31),
    ("months", 1, 12),
    ("seconds", 0, 59),
)
_SIZES = tuple(highest - lowest + 1 for _, lowest, highest in _FIELDS)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_SEARCH_DAYS = 50 * 366
_HOURS_A_DAY = 24


class DayInstants(NamedTuple):
    """The occurrences of a local day: minutes that have all the rule's seconds, and single ones."""

    minutes: tuple[int, ...]
    single: tuple[int, ...]


class Crontab(KnownByRule):
    """Seconds, minutes, hours, days and months of a zone's wall clock.

    The fields are sets of numbers, Sunday is 0. As in Celery, and unlike in
    cron, a day must be in *all* of days of week, days of month and months;
    with ``either_day``, as in cron, in one of the two fields of days.

    On days on which the clocks change:

    * *Fixed hours* (such as ``2`` or ``1-5``) run at the first instant at
      which the wall clock has reached their time. So each local time runs
      once per local day: in a repeated hour in its first pass, and a time
      that the clocks leap over runs at the end of the gap, once however many
      times of the rule fell in the gap.
    * *Wild hours* (``*``, ``*/n``, or a list of all 24) run in elapsed time:
      in a repeated hour in both passes. A time that the clocks leap over
      counts as done if the rule also has the time which the clocks show
      instead at that instant (02:30 for 03:30 where they leap an hour, so an
      hourly rule goes on every 60 minutes); else it runs at the end of the gap.
    * A local day that has no instant at all (Samoa, 30 December 2011) has no
      occurrences: nothing runs at the end of such a gap on its behalf.
    * What falls on one instant is one occurrence.
    """

    __slots__ = (
        "_days_of_month",
        "_days_of_week",
        "_either_day",
        "_hours",
        "_minutes",
        "_months",
        "_seconds",
        "_seconds_ms",
        "_wild",
        "clock",
    )

    def __init__(
        self,
        minutes: Collection[int],
        hours: Collection[int],
        days_of_week: Collection[int],
        days_of_month: Collection[int],
        months: Collection[int],
        *,
        zone: tzinfo | WallClock,
        hours_are_wild: bool,
        seconds: Collection[int] = (0,),
        either_day: bool = False,
    ) -> None:
        fields = (minutes, hours, days_of_week, days_of_month, months, seconds)
        for (label, lowest, highest), numbers in zip(_FIELDS, fields, strict=True):
            if not numbers or min(numbers) < lowest or max(numbers) > highest:
                raise RecurrenceError(
                    f"a crontab's {label} must be some of {lowest} to {highest}, "
                    f"not {sorted(numbers)}"
                )
        self._minutes = tuple(sorted(set(minutes)))
        self._hours = tuple(sorted(set(hours)))
        self._days_of_week = frozenset(days_of_week)
        self._days_of_month = frozenset(days_of_month)
        if either_day and (self._every_weekday() or self._every_day_of_month()):
            # In one of two, one of which has them all.
            self._days_of_week, self._days_of_month = frozenset(range(7)), frozenset(range(1, 32))
        self._either_day = (
            either_day and not self._every_weekday() and not self._every_day_of_month()
        )
        self._months = frozenset(months)
        self._seconds = tuple(sorted(set(seconds)))
        self._seconds_ms = tuple(second * SECOND_MS for second in self._seconds)
        self._wild = hours_are_wild or len(self._hours) == _HOURS_A_DAY
        self.clock = wall_clock(zone)
        self.rule = self._text()

    @property
    def fields(self) -> CronFields:
        """The numbers that the rule is made of."""
        return CronFields(
            frozenset(self._seconds),
            frozenset(self._minutes),
            frozenset(self._hours),
            self._days_of_month,
            self._months,
            self._days_of_week,
            self._wild,
            self._either_day,
        )

    def next_after(self, after_ms: int) -> int | None:
        """The first occurrence strictly after an instant; None if there is none within 50 years."""
        return _remembered_next(self, after_ms)

    def _every_weekday(self) -> bool:
        return len(self._days_of_week) == _SIZES[2]

    def _every_day_of_month(self) -> bool:
        return len(self._days_of_month) == _SIZES[3]

    def _text(self) -> str:
        """The five fields in cron's order, then the zone, then what the fields do not tell."""
        sets = (self._minutes, self._hours, self._days_of_month, self._months, self._days_of_week)
        sizes = (60, 24, 31, 12, 7)
        fields = " ".join(
            "*" if len(field) == size else ",".join(map(str, sorted(field)))
            for field, size in zip(sets, sizes, strict=True)
        )
        text = f"crontab {fields} {self.clock.name}"
        if self._wild and len(self._hours) < _HOURS_A_DAY:
            text += " wild-hours"
        if self._seconds != (0,):
            text += f" seconds {','.join(map(str, self._seconds))}"
        return f"{text} either-day" if self._either_day else text

    def find_next(self, after_ms: int) -> int | None:
        """`next_after` without its memory."""
        if after_ms >= LATEST_MS:
            return None
        after_ms = max(after_ms, EARLIEST_MS)
        today = (after_ms + self.clock.offset_at(after_ms)) // DAY_MS
        steady = self.clock.steady_offset(today) is not None
        # Around a change of the clocks, times of the local day before may still come.
        for day in self._days_from(today if steady else today - 1):
            found_ms = self._first_on(day, after_ms)
            if found_ms is None:
                continue
            if self.clock.steady_offset(day) is not None:
                return found_ms
            # Where clocks are set back over midnight, tomorrow's first time can come
            # before today's last.
            nearby = (
                self._first_on(near, after_ms) for near in (day + 1, day + 2) if self._runs_on(near)
            )
            return min([found_ms, *(near_ms for near_ms in nearby if near_ms is not None)])
        return None

    def _days_from(self, day: int) -> Iterator[int]:
        """The local days (since 1970) that the rule names, from one on, for some 50 years."""
        end = day + _SEARCH_DAYS
        while day < end:
            current = date.fromordinal(_EPOCH_ORDINAL + day)
            if current.month not in self._months:
                following = date(current.year + current.month // 12, current.month % 12 + 1, 1)
                day = following.toordinal() - _EPOCH_ORDINAL
                continue
            in_month = current.day in self._days_of_month
            in_week = current.isoweekday() % 7 in self._days_of_week
            if (in_month or in_week) if self._either_day else (in_month and in_week):
                yield day
            day += 1

    def _runs_on(self, day: int) -> bool:
        return next(self._days_from(day), None) == day

    def _first_on(self, day: int, after_ms: int) -> int | None:
        """The first occurrence that belongs to a local day and comes after an instant."""
        offset_ms = self.clock.steady_offset(day)
        if offset_ms is None:
            return self._first_of(_instants_on(self, day), after_ms)
        midnight_ms = day * DAY_MS - offset_ms
        in_day_ms = self._time_after(after_ms - midnight_ms)
        return None if in_day_ms is None else midnight_ms + in_day_ms

    def _first_of(self, instants: DayInstants, after_ms: int) -> int | None:
        index = bisect_right(instants.single, after_ms)
        found = list(instants.single[index : index + 1])
        index = bisect_right(instants.minutes, after_ms - self._seconds_ms[-1])
        for minute_ms in instants.minutes[index : index + 1]:
            second = bisect_right(self._seconds_ms, after_ms - minute_ms)
            found.append(minute_ms + self._seconds_ms[second])
        return min(found, default=None)

    def _time_after(self, in_day_ms: int) -> int | None:
        """The rule's first time of day after another, both since midnight."""
        minute_of_day, second = divmod(max(in_day_ms // SECOND_MS, -1) + 1, 60)
        hour, minute = divmod(minute_of_day, 60)
        index = bisect_left(self._hours, hour)
        if index == len(self._hours):
            return None
        if self._hours[index] == hour:
            minute_index = bisect_left(self._minutes, minute)
            if minute_index < len(self._minutes) and self._minutes[minute_index] == minute:
                second_index = bisect_left(self._seconds, second)
                if second_index < len(self._seconds):
                    return minute_of_day * MINUTE_MS + self._seconds_ms[second_index]
                minute_index += 1
            if minute_index < len(self._minutes):
                return self._time(hour, self._minutes[minute_index])
            index += 1
            if index == len(self._hours):
                return None
        return self._time(self._hours[index], self._minutes[0])

    def _time(self, hour: int, minute: int) -> int:
        return hour * HOUR_MS + minute * MINUTE_MS + self._seconds_ms[0]

    def instants_on(self, day: int) -> DayInstants:
        """The occurrences that belong to a local day, found one local time after the other."""
        around = self.clock.around_day(day)
        if not self.clock.has_day(day, around):
            return DayInstants((), ())
        # Clocks once changed within a minute; where they do not, its seconds share its fate.
        within_minutes = any(
            stretch.start_ms % MINUTE_MS or stretch.offset_ms % MINUTE_MS for stretch in around
        )
        minutes: set[int] = set()
        single: set[int] = set()
        for hour in self._hours:
            for minute in self._minutes:
                reading_ms = day * DAY_MS + hour * HOUR_MS + minute * MINUTE_MS
                shown = [] if within_minutes else self.clock.shown_at(reading_ms, around)
                if shown:
                    minutes.update(shown if self._wild else shown[:1])
                    continue
                for second_ms in self._seconds_ms:
                    single.update(self._instants_of(reading_ms + second_ms, around))
        return DayInstants(tuple(sorted(minutes)), tuple(sorted(single)))

    def _instants_of(self, reading_ms: int, around: tuple[Stretch, ...]) -> list[int]:
        """When a local time of the rule runs: once, in both passes, at a gap's end, or not."""
        shown = self.clock.shown_at(reading_ms, around)
        if shown:
            return shown if self._wild else shown[:1]
        gap_end_ms, gap_ms = self.clock.gap_over(reading_ms, around)
        if self._wild and self._names(reading_ms + gap_ms):
            return []
        return [gap_end_ms]

    def _names(self, reading_ms: int) -> bool:
        """Whether a local reading is one of the rule's."""
        day, in_day_ms = divmod(reading_ms, DAY_MS)
        return self._time_after(in_day_ms - 1) == in_day_ms and self._runs_on(day)


# Ten thousand entries share a few hundred rules, and ask for the same moments.
_remembered_next = lru_cache(maxsize=16384)(Crontab.find_next)
_instants_on = lru_cache(maxsize=2048)(Crontab.instants_on)
