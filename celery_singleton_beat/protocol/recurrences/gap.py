"""The smallest distance that two occurrences of a rule ever have.

Not of the next two, which may well be far apart: ``*/7`` is 7 minutes from
itself but once an hour, where it is 4.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache, singledispatch
from itertools import pairwise
from typing import Final, NamedTuple

from celery_singleton_beat.protocol.recurrences.bounds import Bounded, Once
from celery_singleton_beat.protocol.recurrences.calendar_cycle import DaySet
from celery_singleton_beat.protocol.recurrences.cron_text import CronFields
from celery_singleton_beat.protocol.recurrences.crontab import Crontab
from celery_singleton_beat.protocol.recurrences.recurrence import Interval, Recurrence, latest_until
from celery_singleton_beat.protocol.recurrences.relative import RelativeInterval
from celery_singleton_beat.protocol.recurrences.solar import Solar
from celery_singleton_beat.protocol.recurrences.wallclock import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    WallClock,
)

# A fixed time, so that the answer does not depend on when it is asked for. In 28 years every
# date has been every weekday, and forty hold all changes of clocks that are known of.
_FROM_MS: Final = 20_089 * DAY_MS  # 1 January 2025
_CHANGE_YEARS: Final = 40
_SAMPLE_MS: Final = 5 * DAY_MS
_FAR_DAYS: Final = 3
_LONGEST_LOOK_BACK_DAYS: Final = 9 * 366

# The bound of the search where there is nothing to reason on.
_SEARCH_OCCURRENCES: Final = 5_000
_SEARCH_MS: Final = 30 * 366 * DAY_MS

_CHANGES_OF_SECONDS: Final = 4

_SOLAR_GAP_MS: Final = 12 * HOUR_MS


class Change(NamedTuple):
    """A change of a zone's clocks."""

    at_ms: int
    before_ms: int
    after_ms: int


@lru_cache(maxsize=16384)
def min_gap_ms(recurrence: Recurrence) -> int | None:
    """The smallest distance of two occurrences in a row; None if there are never two.

    Intervals and crontabs: exact, over all dates there are and forty years of
    the zone's clock changes. Events of the sun: 12 hours, which no two of a
    kind fall below. Rules of iCalendar and others: what is found in 5,000
    occurrences or 30 years, and at forty years of clock changes. Bounds are
    not looked at: what lies outside counts as well.
    """
    return _min_gap_ms(recurrence)


@singledispatch
def _min_gap_ms(recurrence: Recurrence) -> int | None:
    start_ms = recurrence.next_after(_FROM_MS)
    if start_ms is None:
        start_ms = recurrence.next_after(0)
    found: list[int] = []
    at_ms = start_ms
    for _ in range(_SEARCH_OCCURRENCES):
        next_ms = None if at_ms is None else recurrence.next_after(at_ms)
        if at_ms is None or next_ms is None or next_ms - (start_ms or 0) > _SEARCH_MS:
            break
        found.append(next_ms - at_ms)
        at_ms = next_ms
    clock = getattr(recurrence, "clock", None)
    changes = changes_of(clock) if found and isinstance(clock, WallClock) else ()
    if found and min(found) < MINUTE_MS:
        # As good as always due: it is the same at every change, and slow to look at.
        changes = changes[:_CHANGES_OF_SECONDS]
    for change in changes:
        found += _gaps_over(recurrence, change.at_ms, 366)
    return min(found, default=None)


@_min_gap_ms.register
def _(recurrence: Interval) -> int | None:
    return recurrence.every_ms


@_min_gap_ms.register
def _(recurrence: Once) -> int | None:  # noqa: ARG001  there is but one
    return None


@_min_gap_ms.register
def _(recurrence: Bounded) -> int | None:
    return min_gap_ms(recurrence.inner)


@_min_gap_ms.register
def _(recurrence: Solar) -> int | None:  # noqa: ARG001  wherever on Earth
    return _SOLAR_GAP_MS


@_min_gap_ms.register
def _(recurrence: RelativeInterval) -> int | None:
    unit_ms = recurrence.unit_ms
    gap_ms = recurrence.every_ms // unit_ms * unit_ms
    if unit_ms == DAY_MS:
        leaps = (change.after_ms - change.before_ms for change in changes_of(recurrence.clock))
        return gap_ms - max(0, *leaps, 0)
    if unit_ms <= SECOND_MS:
        return gap_ms
    # Only a change that is no whole number of units can move the boundaries together.
    for change in changes_of(recurrence.clock):
        if (change.after_ms - change.before_ms) % unit_ms:
            at_ms = change.at_ms - gap_ms - 2 * unit_ms
            while at_ms < change.at_ms + unit_ms:
                first_ms = recurrence.next_after(at_ms)
                if first_ms is not None:
                    gap_ms = min(gap_ms, (recurrence.next_after(first_ms) or at_ms) - first_ms)
                at_ms += unit_ms
    return gap_ms


@_min_gap_ms.register
def _(recurrence: Crontab) -> int | None:
    fields = recurrence.fields
    days = DaySet(fields)
    distance = days.least_distance
    if distance is None:
        return None
    gap_ms = _gap_by_fields(fields, distance)
    # Clocks change at whole minutes.
    if gap_ms == (SECOND_MS if fields.seconds != {0} else MINUTE_MS):
        return gap_ms
    is_single = len(fields.hours) * len(fields.minutes) * len(fields.seconds) == 1
    reach = distance if is_single else min(distance, _FAR_DAYS)
    seen: set[tuple[object, ...]] = set()
    changes = changes_of(recurrence.clock)
    for change in changes:
        signature = _signature(change, changes, days, reach)
        if signature is not None and signature not in seen:
            seen.add(signature)
            gap_ms = min(gap_ms, *_gaps_over(recurrence, change.at_ms, reach + _FAR_DAYS))
    return gap_ms


def _gap_by_fields(fields: CronFields, distance: int) -> int:
    """The smallest distance where no clock changes, given the least one of the days.

    Each field goes on to its next number while those below it start again.
    """
    within_ms = 0  # from the first time within the field's unit to the last
    gaps: list[int] = []
    units = (
        (fields.seconds, SECOND_MS),
        (fields.minutes, MINUTE_MS),
        (fields.hours, HOUR_MS),
    )
    for numbers, unit_ms in units:
        ordered = sorted(numbers)
        steps = [after - before for before, after in pairwise(ordered)]
        if steps:
            gaps.append(min(steps) * unit_ms - within_ms)
        within_ms += (ordered[-1] - ordered[0]) * unit_ms
    gaps.append(distance * DAY_MS - within_ms)
    return min(gaps)


def _signature(
    change: Change, changes: tuple[Change, ...], days: DaySet, reach: int
) -> tuple[object, ...] | None:
    """What a rule makes of a change; None if no two occurrences of it can be nearer for it.

    Rules do the same on all changes of one signature.
    """
    day, in_day_ms = divmod(change.at_ms + change.before_ms, DAY_MS)
    # The nearest of its days on either side, as far as it matters.
    before = days.nearest_before(day, reach + 1)
    after = days.nearest_after(day, reach + 1)
    is_one = day in days
    if not is_one and (before is None or after is None or before + after > reach + 1):
        return None
    leap_ms = change.after_ms - change.before_ms
    # Between days that are far apart there may be other changes.
    ends = (day - (before or 0), day + (after or 0))
    offsets = (_offset_on(end, changes) - change.before_ms for end in ends)
    if not is_one and before is not None and after is not None:
        # Far from both it does not matter how far from which.
        near = (min(before, _FAR_DAYS), min(after, _FAR_DAYS))
        return (in_day_ms, leap_ms, *near, before + after, *offsets)
    return (in_day_ms, leap_ms, before, is_one, after, *offsets)


def _offset_on(day: int, changes: tuple[Change, ...]) -> int:
    """The offset at noon, UTC, of a day."""
    index = bisect_right(changes, day * DAY_MS + DAY_MS // 2, key=_instant)
    return changes[index - 1].after_ms if index else changes[0].before_ms


def _instant(change: Change) -> int:
    return change.at_ms


def _gaps_over(recurrence: Recurrence, at_ms: int, look_back_days: int) -> list[int]:
    """The distances of the occurrences in a row around an instant."""
    look_back_ms = min(look_back_days, _LONGEST_LOOK_BACK_DAYS) * DAY_MS
    first_ms = latest_until(recurrence, at_ms - 1, at_ms - look_back_ms)
    row = [] if first_ms is None else [first_ms]
    while len(row) < 4 and (next_ms := recurrence.next_after(row[-1] if row else at_ms - 1)):  # noqa: PLR2004
        row.append(next_ms)
    return [after - before for before, after in pairwise(row)]


@lru_cache(maxsize=1024)
def changes_of(clock: WallClock) -> tuple[Change, ...]:
    """The changes of a zone's clocks in the forty years that are looked at."""
    found: list[Change] = []
    at_ms, offset_ms = _FROM_MS, clock.offset_asked(_FROM_MS)
    while at_ms < _FROM_MS + _CHANGE_YEARS * 366 * DAY_MS:
        next_ms = at_ms + _SAMPLE_MS
        next_offset_ms = clock.offset_asked(next_ms)
        if next_offset_ms != offset_ms:
            found.append(Change(clock.change_between(at_ms, next_ms), offset_ms, next_offset_ms))
        at_ms, offset_ms = next_ms, next_offset_ms
    return tuple(found)
