"""The calendar's whole cycle of 400 years, as one bit a day: which days are how far apart.

Dates, leap years and weekdays together repeat every 146,097 days, a whole
number of weeks. So what holds of every day of one cycle holds for ever.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from celery_singleton_beat.protocol.recurrences.cron_text import CronFields

FIRST_DAY: Final = date(2000, 1, 1).toordinal() - date(1970, 1, 1).toordinal()
CYCLE_DAYS: Final = 146_097

_FIRST_YEAR: Final = 2000
_CLOSE: Final = 31


class DayMasks(NamedTuple):
    """The days of the cycle, bit by bit, by what they are called."""

    months: dict[int, int]
    days_of_month: dict[int, int]
    days_of_week: dict[int, int]


class DaySet:
    """The days that the fields of a crontab name, in any year.

    ``least_distance`` is that of two of them, in days; None if there is no day at all.
    """

    def __init__(self, fields: CronFields) -> None:
        masks = _masks()
        months = _any_of(masks.months, fields.months)
        in_month = _any_of(masks.days_of_month, fields.days_of_month)
        in_week = _any_of(masks.days_of_week, fields.days_of_week)
        days = in_month | in_week if fields.either_day else in_month & in_week
        self._mask = months & days
        self._bits = self._mask.to_bytes(CYCLE_DAYS // 8 + 1, "little")
        self._few: list[int] = []
        self.least_distance = self._least_distance()

    def __contains__(self, day: int) -> bool:
        index = (day - FIRST_DAY) % CYCLE_DAYS
        return bool(self._bits[index >> 3] >> (index & 7) & 1)

    def nearest_before(self, day: int, reach: int) -> int | None:
        """How many days ago the last of them was, seen from a day; None if more than `reach`."""
        if self._few:
            back = day - self._few_near(day)[0]
            return back if back <= reach else None
        return next((back for back in range(1, reach + 1) if day - back in self), None)

    def nearest_after(self, day: int, reach: int) -> int | None:
        """In how many days the next of them comes, seen from a day; None if more than `reach`."""
        if self._few:
            ahead = self._few_near(day)[1] - day
            return ahead if ahead <= reach else None
        return next((ahead for ahead in range(1, reach + 1) if day + ahead in self), None)

    def _least_distance(self) -> int | None:
        if not self._mask:
            return None
        twice = self._mask | self._mask << CYCLE_DAYS
        for distance in range(1, _CLOSE + 1):
            if self._mask & twice >> distance:
                return distance
        # No two are close, so they are few.
        backwards = [CYCLE_DAYS - 1 - at.start() for at in re.finditer("1", self._written())]
        self._few = backwards[::-1]
        distances = [after - before for before, after in pairwise(self._few)]
        return min([*distances, self._few[0] + CYCLE_DAYS - self._few[-1]])

    def _written(self) -> str:
        return f"{self._mask:0{CYCLE_DAYS}b}"

    def _few_near(self, day: int) -> tuple[int, int]:
        """The last of a few days before a day, and the first after it."""
        cycle, index = divmod(day - FIRST_DAY, CYCLE_DAYS)
        start = FIRST_DAY + cycle * CYCLE_DAYS
        first_behind, first_ahead = (
            bisect_left(self._few, index) - 1,
            bisect_right(self._few, index),
        )
        before = self._few[first_behind] - (CYCLE_DAYS if first_behind < 0 else 0)
        is_last = first_ahead == len(self._few)
        after = self._few[0] + CYCLE_DAYS if is_last else self._few[first_ahead]
        return start + before, start + after


def _any_of(masks: dict[int, int], numbers: Iterable[int]) -> int:
    mask = 0
    for number in numbers:
        mask |= masks[number]
    return mask


@lru_cache(maxsize=1)
def _masks() -> DayMasks:
    size = CYCLE_DAYS // 8 + 1
    months = {number: bytearray(size) for number in range(1, 13)}
    days_of_month = {number: bytearray(size) for number in range(1, 32)}
    days_of_week = {number: bytearray(size) for number in range(7)}
    index, weekday = 0, date(_FIRST_YEAR, 1, 1).isoweekday() % 7
    for year in range(_FIRST_YEAR, _FIRST_YEAR + 400):
        for month, of_month in months.items():
            for day in range(1, monthrange(year, month)[1] + 1):
                byte, bit = index >> 3, 1 << (index & 7)
                of_month[byte] |= bit
                days_of_month[day][byte] |= bit
                days_of_week[weekday][byte] |= bit
                index, weekday = index + 1, (weekday + 1) % 7
    return DayMasks(*map(_as_numbers, (months, days_of_month, days_of_week)))


def _as_numbers(masks: dict[int, bytearray]) -> dict[int, int]:
    return {number: int.from_bytes(mask, "little") for number, mask in masks.items()}
