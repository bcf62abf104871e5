"""The days of an rrule: which dates its parts name, period by period.

Days are counted from 1970-01-01. Source: RFC 5545, section 3.3.10; every part
is read as a filter on the dates of a period, which is what the table there
comes to.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Iterator
from datetime import date
from typing import Final

from celery_singleton_beat.protocol.recurrences.rrule_text import Frequency, RRuleParts

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_LAST_DAY: Final = date(9999, 12, 31).toordinal() - _EPOCH_ORDINAL
SEARCH_DAYS: Final = 50 * 366


class CalendarDays:
    """The days that a rule names, of the periods that its interval names."""

    def __init__(self, parts: RRuleParts, start_day: int) -> None:
        start = _date(start_day)
        self._parts = parts
        self._months = parts.months
        self._month_days = parts.month_days
        self._weekdays = parts.weekdays
        names_days = parts.week_numbers or parts.year_days or parts.month_days or parts.weekdays
        if not names_days and parts.frequency is Frequency.YEARLY:
            self._months = parts.months or frozenset({start.month})
        if not names_days and parts.frequency in {Frequency.YEARLY, Frequency.MONTHLY}:
            self._month_days = frozenset({start.day})
        if not names_days and parts.frequency is Frequency.WEEKLY:
            self._weekdays = frozenset({(start.weekday(), 0)})
        self._plain_weekdays = {day for day, which in self._weekdays if not which}
        self._counted_weekdays = {pair for pair in self._weekdays if pair[1]}
        self._first_period = self.period(start_day)

    def from_day(self, day: int) -> Iterator[int]:
        """The rule's days from one on, for some 50 years."""
        end = min(day + SEARCH_DAYS, _LAST_DAY)
        while day <= end:
            ahead = (self._first_period - self.period(day)) % self._step
            if ahead:
                day = self.first_of(self.period(day) + ahead)
                continue
            current = _date(day)
            if self._months and current.month not in self._months:
                following = current.year * 12 + current.month
                day = _day(*divmod(following, 12)) if following < 9999 * 12 else end + 1
                continue
            if self._names(current):
                yield day
            day += 1

    def period(self, day: int) -> int:
        """The number of the period that a day is in."""
        match self._parts.frequency:
            case Frequency.YEARLY:
                return _date(day).year
            case Frequency.MONTHLY:
                current = _date(day)
                return current.year * 12 + current.month - 1
            case Frequency.WEEKLY:
                return (day + 3 - self._parts.week_start) // 7  # day 0 was a Thursday
            case _:
                return day

    def first_of(self, period: int) -> int:
        """The first day of a period; beyond the calendar's end, a day beyond it."""
        match self._parts.frequency:
            case Frequency.YEARLY:
                return _day(period, 0)
            case Frequency.MONTHLY:
                return _day(*divmod(period, 12))
            case Frequency.WEEKLY:
                return period * 7 - 3 + self._parts.week_start
            case _:
                return period

    @property
    def _step(self) -> int:
        # Hours and shorter periods are counted within the days, by whoever asks for the times.
        return self._parts.interval if self._parts.frequency <= Frequency.DAILY else 1

    def _names(self, current: date) -> bool:
        parts = self._parts
        if self._month_days and not _is_in(
            self._month_days, current.day, monthrange(current.year, current.month)[1]
        ):
            return False
        if self._weekdays and not self._is_weekday(current):
            return False
        if parts.year_days and not _is_in(
            parts.year_days, _day_of_year(current), 366 if isleap(current.year) else 365
        ):
            return False
        return not parts.week_numbers or _is_in(
            parts.week_numbers, *_week(current, parts.week_start)
        )

    def _is_weekday(self, current: date) -> bool:
        weekday = current.weekday()
        if weekday in self._plain_weekdays:
            return True
        if not self._counted_weekdays:
            return False
        if self._parts.frequency is Frequency.MONTHLY or self._months:
            number, length = current.day, monthrange(current.year, current.month)[1]
        else:
            number, length = _day_of_year(current), 366 if isleap(current.year) else 365
        from_start, from_end = (number - 1) // 7 + 1, -((length - number) // 7 + 1)
        return not self._counted_weekdays.isdisjoint({(weekday, from_start), (weekday, from_end)})


def _is_in(numbers: frozenset[int], number: int, length: int) -> bool:
    """Whether numbers name one of so many, counted from the start or from the end."""
    return number in numbers or number - length - 1 in numbers


def _week(current: date, week_start: int) -> tuple[int, int]:
    """A date's week and the number of weeks of its year; the first one has four days of it."""
    monday = current.toordinal() - (current.weekday() - week_start) % 7
    year = date.fromordinal(monday + 3).year
    first = _first_week(year, week_start)
    return (monday - first) // 7 + 1, (_first_week(year + 1, week_start) - first) // 7


def _first_week(year: int, week_start: int) -> int:
    fourth = date(year, 1, 4) if year <= date.max.year else None
    if fourth is None:
        return date.max.toordinal() + 1
    return fourth.toordinal() - (fourth.weekday() - week_start) % 7


def _day_of_year(current: date) -> int:
    return current.timetuple().tm_yday


def _date(day: int) -> date:
    return date.fromordinal(_EPOCH_ORDINAL + day)


def _day(year: int, month: int) -> int:
    """The first day of a month, counted from 0."""
    if year > date.max.year:
        return _LAST_DAY + 1
    return date(year, month + 1, 1).toordinal() - _EPOCH_ORDINAL
