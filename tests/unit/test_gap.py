"""The smallest gap of a rule, beside what forty years of its occurrences show."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_singleton_beat.protocol.recurrences.gap import changes_of, min_gap_ms
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences
from celery_singleton_beat.protocol.recurrences.spec import spec_of
from celery_singleton_beat.protocol.recurrences.wallclock import wall_clock
from celery_singleton_beat.protocol.recurrences.zones import zone_of

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
ZONES = ["UTC", "Europe/Rome", "America/Santiago", "Australia/Lord_Howe", "Africa/Casablanca"]


def gap(given: Any, zone: str = "UTC") -> int | None:
    return min_gap_ms(spec_of(given).recurrence(zone))


def ms(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=timezone.utc).timestamp()) * 1000


def seen_gap(given: Any, zone: str, from_ms: int, until_ms: int) -> int:
    found = occurrences(spec_of(given).recurrence(zone), from_ms, until_ms)
    return min((after - before for before, after in pairwise(found)), default=DAY_MS * 10_000)


def some(lowest: int, highest: int, most: int) -> st.SearchStrategy[str]:
    numbers = st.sets(st.integers(lowest, highest), min_size=1, max_size=most)
    return numbers.map(lambda found: ",".join(map(str, sorted(found))))


@settings(max_examples=40, deadline=None)
@given(
    minute=some(0, 59, 2),
    hour=some(0, 4, 2) | st.sampled_from(["*/12", "*/8", "0,23"]),
    days=st.sampled_from(["* * *", "1 * *", "31 * *", "* 3,10 *", "* * 0", "* * 1-5", "*/2 * *"])
    | st.sampled_from(["25-31 3 *", "1,2 * 0", "* * 6,0", "29 2 *", "30 3 *", "1 4,10 *"]),
    zone=st.sampled_from(ZONES),
)
def test_a_crontabs_gap_is_the_smallest_that_forty_years_show(
    minute: str, hour: str, days: str, zone: str
) -> None:
    """F17: DST days included."""
    expression = f"{minute} {hour} {days}"

    assert gap(expression, zone) == seen_gap(expression, zone, ms(2025), ms(2065))


@settings(max_examples=15, deadline=None)
@given(
    fields=st.tuples(
        st.sampled_from(["0", "5,50", "*/20"]),
        st.sampled_from(["*", "*/7", "0,31", "58,59", "3"]),
        st.sampled_from(["*", "*/5", "1-3", "0,23"]),
    ),
    zone=st.sampled_from(ZONES),
)
def test_a_dense_crontabs_gap_is_the_smallest_that_days_with_changes_of_clocks_show(
    fields: tuple[str, str, str], zone: str
) -> None:
    expression = f"{' '.join(fields)} * * *"
    clock = wall_clock(zone_of(zone, ""))
    days = [ms(2026), *(change.at_ms for change in changes_of(clock)[:4])]

    seen = [seen_gap(expression, zone, at_ms - 2 * DAY_MS, at_ms + 2 * DAY_MS) for at_ms in days]

    assert gap(expression, zone) == min(seen)


@pytest.mark.parametrize(
    ("given", "zone", "expected_ms"),
    [
        ("*/7 * * * *", "UTC", 4 * MINUTE_MS),
        ("*/5 * * * *", "Europe/Rome", 5 * MINUTE_MS),
        ("*/25 * * * * *", "UTC", 10_000),
        ("* * * * * *", "Europe/Rome", 1000),
        ("0 2 * * *", "UTC", DAY_MS),
        ("0 2 * * *", "Europe/Rome", 23 * HOUR_MS),
        ("59 1,3 * * *", "Europe/Rome", HOUR_MS),
        ("0 */2 * * *", "Europe/Rome", HOUR_MS),
        ("0 0 * * 1", "Europe/Rome", 7 * DAY_MS - HOUR_MS),
        ("0 0 1 * *", "Europe/Rome", 28 * DAY_MS),
        ("0 0 31 * *", "UTC", 31 * DAY_MS),
        ("0 0 29 2 *", "UTC", 1461 * DAY_MS),
        ("0 0 1 1 *", "Europe/Rome", 365 * DAY_MS),
        ("0 0 1 * 1", "UTC", DAY_MS),
        ({"type": "crontab", "day_of_month": "13", "day_of_week": "5"}, "UTC", MINUTE_MS),
        (
            {
                "type": "crontab",
                "minute": "0",
                "hour": "0",
                "day_of_month": "29",
                "day_of_week": "1",
                "month_of_year": "2",
            },
            "UTC",
            12 * 365 * DAY_MS + 2 * DAY_MS,
        ),
        (30, "UTC", 30_000),
        (datetime(2026, 1, 1, tzinfo=timezone.utc), "UTC", None),
        ({"type": "solar", "event": "sunset", "latitude": 60, "longitude": 0}, "UTC", 12 * HOUR_MS),
        ({"type": "interval", "seconds": 7200, "relative": True}, "Europe/Rome", 2 * HOUR_MS),
        ({"type": "interval", "seconds": 86400, "relative": True}, "Europe/Rome", 23 * HOUR_MS),
        # Its clocks leap half an hour.
        (
            {"type": "interval", "seconds": 3600, "relative": True},
            "Australia/Lord_Howe",
            30 * MINUTE_MS,
        ),
        ("RRULE:FREQ=MINUTELY;INTERVAL=7", "UTC", 7 * MINUTE_MS),
        # What falls in the hour that is leapt over comes at its end.
        ("RRULE:FREQ=MINUTELY;INTERVAL=7", "Europe/Rome", MINUTE_MS),
        ("RRULE:FREQ=DAILY;BYHOUR=9,17", "Europe/Rome", 8 * HOUR_MS),
        ("RRULE:FREQ=DAILY;BYHOUR=9", "Europe/Rome", 23 * HOUR_MS),
        ("RRULE:FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9", "UTC", 2 * DAY_MS),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;COUNT=1", "UTC", None),
        ("DTSTART:20000101T090000\nRRULE:FREQ=HOURLY;COUNT=3", "UTC", HOUR_MS),
    ],
)  # fmt: skip
def test_gaps(given: Any, zone: str, expected_ms: int | None) -> None:
    """F17."""
    assert gap(given, zone) == expected_ms


@settings(deadline=None)
@given(st.sampled_from(["*/7 * * * *", "0 0 29 2 *", "50,0 * * * *"]), st.sampled_from(ZONES))
def test_no_two_occurrences_are_nearer_than_the_gap(expression: str, zone: str) -> None:
    assert seen_gap(expression, zone, ms(2030), ms(2030) + 30 * DAY_MS) >= (
        gap(expression, zone) or 0
    )
