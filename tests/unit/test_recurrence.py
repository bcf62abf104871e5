"""Intervals, and the questions that can be asked of every recurrence."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.crontab import Crontab
from celery_singleton_beat.protocol.recurrences.recurrence import (
    Interval,
    Recurrence,
    is_due_at,
    latest_until,
    occurrences,
)
from celery_singleton_beat.protocol.recurrences.relative import RelativeInterval

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_MS = 86_400_000
START_MS = 1_790_000_000_000  # in September 2026
ZONES = ["UTC", "Europe/Rome", "Australia/Lord_Howe", "America/Santiago"]
ALL_DAYS = (range(7), range(1, 32), range(1, 13))


class Counting:
    """A recurrence that counts how often it is asked, and has no shortcuts."""

    rule = "counting"

    def __init__(self, inner: Recurrence) -> None:
        self.inner = inner
        self.asked = 0

    def next_after(self, after_ms: int) -> int | None:
        self.asked += 1
        return self.inner.next_after(after_ms)


def intervals() -> st.SearchStrategy[Recurrence]:
    return st.integers(1, 3 * 86_400).map(lambda seconds: Interval(seconds * 1000))


def relatives() -> st.SearchStrategy[Recurrence]:
    lengths = st.integers(1, 3 * 86_400) | st.sampled_from([60, 3600, 7200, 86_400, 172_800])
    zones = st.sampled_from(ZONES).map(ZoneInfo)
    return st.builds(
        lambda seconds, zone: RelativeInterval(seconds * 1000, zone), lengths, zones
    ).filter(lambda rule: rule.next_after(START_MS) is not None)


def crontabs() -> st.SearchStrategy[Recurrence]:
    def build(
        minutes: set[int],
        hours: set[int],
        weekdays: set[int],
        zone: str,
        wild: bool,
    ) -> Recurrence:
        rest = (range(1, 32), range(1, 13))
        return Crontab(minutes, hours, weekdays, *rest, zone=ZoneInfo(zone), hours_are_wild=wild)

    def some(size: int) -> st.SearchStrategy[set[int]]:
        return st.sets(st.integers(0, size - 1), min_size=1, max_size=4)

    hours = some(24) | st.just(set(range(24)))
    return st.builds(build, some(60), hours, some(7), st.sampled_from(ZONES), st.booleans())


def walked(recurrence: Recurrence, until_ms: int, not_before_ms: int) -> int | None:
    """The last occurrence, by going through all of them."""
    begins_there = is_due_at(recurrence, not_before_ms) and not_before_ms <= until_ms
    latest_ms = not_before_ms if begins_there else None
    for at_ms in occurrences(recurrence, not_before_ms, until_ms):
        latest_ms = at_ms
    return latest_ms


@given(
    recurrence=crontabs() | relatives() | intervals(),
    start_ms=st.integers(START_MS - 200 * DAY_MS, START_MS + 200 * DAY_MS),
    spans=st.tuples(st.integers(0, 60 * 60_000), st.integers(0, 30 * 60)),
    from_occurrence=st.booleans(),
)
def test_the_latest_is_the_one_that_walking_from_the_start_ends_at(
    recurrence: Recurrence,
    start_ms: int,
    spans: tuple[int, int],
    from_occurrence: bool,
) -> None:
    if from_occurrence:
        start_ms = recurrence.next_after(start_ms) or start_ms
    until_ms = start_ms + spans[0] + spans[1] * 60_000

    expected = walked(recurrence, until_ms, start_ms)

    assert latest_until(recurrence, until_ms, start_ms) == expected


@given(recurrence=crontabs() | intervals(), after_ms=st.integers(0, START_MS))
def test_the_next_occurrence_is_strictly_later_due_and_nothing_is_due_before_it(
    recurrence: Recurrence, after_ms: int
) -> None:
    next_ms = recurrence.next_after(after_ms)

    assert next_ms is not None
    assert next_ms > after_ms
    assert is_due_at(recurrence, next_ms)
    assert recurrence.next_after((after_ms + next_ms) // 2) == next_ms
    assert recurrence.next_after(next_ms - 1) == next_ms


def every_minute() -> Recurrence:
    return Crontab(
        range(60), range(24), *ALL_DAYS, zone=ZoneInfo("Europe/Rome"), hours_are_wild=True
    )


def every_minute_of_january() -> Recurrence:
    rest = (range(7), range(1, 32), [1])
    return Crontab(range(60), range(24), *rest, zone=ZoneInfo("Europe/Rome"), hours_are_wild=True)


@pytest.mark.parametrize(
    ("make", "away"),
    [
        (lambda: Interval(1000), timedelta(days=1)),
        (every_minute, timedelta(days=365)),
        (every_minute_of_january, timedelta(days=365)),
    ],
)
def test_the_latest_after_a_long_absence_is_found_in_a_hundred_questions(
    make: Callable[[], Recurrence], away: timedelta
) -> None:
    recurrence = Counting(make())

    latest_ms = latest_until(recurrence, START_MS, START_MS - away // timedelta(milliseconds=1))

    assert latest_ms is not None
    following_ms = recurrence.next_after(latest_ms)
    assert following_ms is not None
    assert latest_ms <= START_MS < following_ms
    assert recurrence.asked < 100


def test_there_is_no_latest_before_the_first() -> None:
    hourly = Interval(3_600_000)

    assert latest_until(hourly, 3_599_999, 1) is None
    assert latest_until(hourly, 3_600_000, 1) == 3_600_000
    assert latest_until(hourly, 3_600_000, 3_600_000) == 3_600_000
    assert latest_until(Counting(hourly), 3_599_999, 1) is None
    assert latest_until(Counting(hourly), 3_600_000, 3_600_000) == 3_600_000
    assert latest_until(Counting(hourly), 3_600_000, 3_600_001) is None
    assert latest_until(Counting(hourly), 3_601_000, 3_600_000) == 3_600_000


def test_an_interval_counts_from_the_epoch_and_not_from_its_start() -> None:
    """F1: no replica's clock or start has a part in it."""
    half_minute = Interval(30_000)

    assert half_minute.next_after(0) == 30_000
    assert half_minute.next_after(29_999) == 30_000
    assert half_minute.next_after(30_000) == 60_000
    assert half_minute.next_after(-1) == 0
    assert half_minute.rule == "every 30000ms"


def test_occurrences_leave_out_the_first_instant_and_keep_the_last() -> None:
    assert list(occurrences(Interval(1000), 1000, 4000)) == [2000, 3000, 4000]


@pytest.mark.parametrize("make", [Interval, lambda ms: RelativeInterval(ms, ZoneInfo("UTC"))])
@pytest.mark.parametrize("every_ms", [0, -1000])
def test_an_interval_that_is_never_over_is_refused(
    make: Callable[[int], Recurrence], every_ms: int
) -> None:
    with pytest.raises(RecurrenceError, match="never over"):
        make(every_ms)
