"""Relative intervals: as Celery's, with days on which clocks change."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import celery
import pytest
from celery.schedules import schedule
from hypothesis import given
from hypothesis import strategies as st

from celery_singleton_beat.protocol.recurrences.recurrence import (
    is_due_at,
    latest_until,
    occurrences,
)
from celery_singleton_beat.protocol.recurrences.relative import RelativeInterval

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)
SINCE_CELERY_5_7 = tuple(map(int, celery.__version__.split(".")[:2])) >= (5, 7)
LENGTHS = st.integers(1, 59) | st.sampled_from(
    [60, 90, 120, 900, 3599, 3600, 5400, 7200, 86_399, 86_400, 129_600, 172_800, 604_800]
)
CHANGES = [
    ("Europe/Rome", "2026-03-29T01:00+00:00"),
    ("Europe/Rome", "2026-10-25T01:00+00:00"),
    ("America/Santiago", "2026-04-05T03:00+00:00"),
    ("America/Santiago", "2026-09-06T04:00+00:00"),
    ("America/Havana", "2026-11-01T05:00+00:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00+00:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30+00:00"),
]


def _celerys_next(seconds: int, after: datetime) -> datetime:
    celerys = schedule(timedelta(seconds=seconds), relative=True, nowfun=lambda: after)
    celerys.tz = after.tzinfo
    remaining: timedelta = celerys.remaining_estimate(after)
    return after.astimezone(timezone.utc) + remaining


def _ours(seconds: int, after: datetime) -> datetime:
    zone = after.tzinfo
    assert zone is not None
    next_ms = RelativeInterval(seconds * 1000, zone).next_after((after - EPOCH) // MILLISECOND)
    assert next_ms is not None
    return EPOCH + next_ms * MILLISECOND


@given(
    seconds=LENGTHS,
    after_seconds=st.integers(0, 4_000_000_000),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/Phoenix"]),
)
def test_where_clocks_do_not_change_it_is_celerys(
    seconds: int, after_seconds: int, zone: str
) -> None:
    since_1990 = EPOCH + timedelta(days=20 * 366, seconds=after_seconds)
    after = since_1990.astimezone(ZoneInfo(zone))

    assert _ours(seconds, after) == _celerys_next(seconds, after)


@pytest.mark.skipif(not SINCE_CELERY_5_7, reason="Celery before 5.7 rounds across changes wrongly")
@given(
    seconds=LENGTHS,
    minutes=st.integers(-150, 150) | st.integers(-3000, 3000),
    change=st.sampled_from(CHANGES),
)
def test_where_clocks_change_it_is_celerys_since_5_7(
    seconds: int, minutes: int, change: tuple[str, str]
) -> None:
    zone, at = change
    utc = datetime.fromisoformat(at) + timedelta(minutes=minutes)
    after = utc.astimezone(ZoneInfo(zone))

    assert _ours(seconds, after) == _celerys_next(seconds, after)


@pytest.mark.parametrize(("zone", "at"), CHANGES)
@pytest.mark.parametrize("seconds", [40, 60, 3600, 5400, 7200, 10_800, 86_400])
def test_the_latest_across_a_change_is_the_one_that_walking_ends_at(
    seconds: int, zone: str, at: str
) -> None:
    rule = RelativeInterval(seconds * 1000, ZoneInfo(zone))
    change_ms = (datetime.fromisoformat(at) - EPOCH) // MILLISECOND
    for hours_before in (1, 2, 5, 6):
        start_ms = rule.next_after(change_ms - hours_before * 3_600_000)
        assert start_ms is not None
        following = list(occurrences(rule, start_ms, change_ms + 8 * 3_600_000))

        for half_hours in range(-2, 17):
            until_ms = change_ms + half_hours * 1_800_000
            reached = [at_ms for at_ms in [start_ms, *following] if at_ms <= until_ms]
            assert latest_until(rule, until_ms, start_ms) == (reached[-1] if reached else None)


def _local(seconds: int, zone: str, after: str, until: str) -> list[str]:
    rule = RelativeInterval(seconds * 1000, ZoneInfo(zone))
    first, last = ((datetime.fromisoformat(at) - EPOCH) // MILLISECOND for at in (after, until))
    found = (EPOCH + at_ms * MILLISECOND for at_ms in occurrences(rule, first, last))
    return [f"{at.astimezone(ZoneInfo(zone)):%d %H:%M%z}" for at in found]


def test_a_relative_day_ends_at_every_local_midnight() -> None:
    """S2-19."""
    found = _local(86_400, "Europe/Rome", "2026-10-23T17:20+02:00", "2026-10-26T23:00+01:00")

    assert found == ["24 00:00+0200", "25 00:00+0200", "26 00:00+0100"]


def test_a_midnight_that_the_clocks_leap_over_is_at_the_end_of_the_gap() -> None:
    found = _local(86_400, "America/Santiago", "2026-09-04T12:00-04:00", "2026-09-07T12:00-03:00")

    assert found == ["05 00:00-0400", "06 01:00-0300", "07 00:00-0300"]


def test_relative_hours_follow_the_wall_clock_through_both_changes() -> None:
    spring = _local(3600, "Europe/Rome", "2026-03-29T00:10+01:00", "2026-03-29T04:00+02:00")
    autumn = _local(3600, "Europe/Rome", "2026-10-25T01:10+02:00", "2026-10-25T03:00+01:00")

    assert spring == ["29 01:00+0100", "29 03:00+0200", "29 04:00+0200"]
    assert autumn == ["25 02:00+0200", "25 02:00+0100", "25 03:00+0100"]


def test_relative_hours_in_lord_howe_leave_out_no_hour_that_the_clocks_leap_over() -> None:
    zone = "Australia/Lord_Howe"

    spring = _local(3600, zone, "2026-10-04T00:00+10:30", "2026-10-04T04:00+11:00")
    autumn = _local(3600, zone, "2026-04-05T00:00+11:00", "2026-04-05T03:00+10:30")

    # 02:00 is leapt over: its gap ends at 02:30.
    assert spring == ["04 01:00+1030", "04 02:30+1100", "04 03:00+1100", "04 04:00+1100"]
    assert autumn == ["05 01:00+1100", "05 02:00+1030", "05 03:00+1030"]


def test_any_boundary_of_the_unit_may_be_an_occurrence_and_nothing_else() -> None:
    two_hours = RelativeInterval(7_200_000, ZoneInfo("Asia/Kolkata"))  # UTC+05:30

    half_past_ms = 1_790_001_000_000 // 3_600_000 * 3_600_000 + 1_800_000

    assert is_due_at(two_hours, half_past_ms)
    assert is_due_at(two_hours, half_past_ms + 3_600_000)
    assert not is_due_at(two_hours, half_past_ms + 1_800_000)
    assert not is_due_at(two_hours, half_past_ms + 1)


def test_the_rule_tells_length_and_zone() -> None:
    rome = RelativeInterval(60_000, ZoneInfo("Europe/Rome"))

    assert rome.rule == "relative every 60000ms Europe/Rome"
    assert rome == RelativeInterval(60_000, ZoneInfo("Europe/Rome"))
    assert rome != RelativeInterval(60_000, ZoneInfo("Europe/Paris"))
