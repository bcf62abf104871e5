"""Specs: what may be given as a recurrence, kept as JSON and read again as the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import BaseSchedule, crontab, schedule, solar
from dateutil.rrule import DAILY, WEEKLY, rrule, rruleset
from hypothesis import given
from hypothesis import strategies as st

from celery_singleton_beat.adapters.convert import recurrence_of, spec_of_schedule
from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences
from celery_singleton_beat.protocol.recurrences.spec import spec_from_json, spec_of
from celery_singleton_beat.protocol.recurrences.spec_kinds import in_bounds

START_MS = 1_790_000_000_000
DAY_MS = 86_400_000
ROME = ZoneInfo("Europe/Rome")
NINE = datetime(2026, 9, 1, 9, tzinfo=ROME)
START_IN_ROME = "DTSTART;TZID=Europe/Rome:20260901T090000"


class OwnRule(schedule):
    """A schedule that decides by code."""

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        del last_run_at
        return timedelta(seconds=1)


@pytest.mark.parametrize(
    ("given", "data", "rule"),
    [
        (30, {"type": "interval", "seconds": 30}, "every 30000ms"),
        (0.25, {"type": "interval", "seconds": 0.25}, "every 250ms"),
        (timedelta(hours=1), {"type": "interval", "seconds": 3600}, "every 3600000ms"),
        (
            "0  2 * * * ",
            {"type": "cron", "expression": "0 2 * * *"},
            "crontab 0 2 * * * Europe/Rome",
        ),
        (
            "30 0 2 1 * 1",
            {"type": "cron", "expression": "30 0 2 1 * 1"},
            "crontab 0 2 1 * 1 Europe/Rome seconds 30 either-day",
        ),
        ("@daily", {"type": "cron", "expression": "@daily"}, "crontab 0 0 * * * Europe/Rome"),
        (
            "rrule:freq=daily;byhour=9",
            {"type": "rrule", "text": "RRULE:FREQ=DAILY;BYHOUR=9"},
            "rrule RRULE:FREQ=DAILY;BYHOUR=9 Europe/Rome",
        ),
        (NINE, {"type": "once", "at": "2026-09-01T07:00:00+00:00"}, "once 1788246000000ms"),
        (
            schedule(timedelta(hours=1), relative=True),
            {"type": "interval", "seconds": 3600, "relative": True},
            "relative every 3600000ms Europe/Rome",
        ),
        (
            crontab("*/30", "9-17", day_of_week="mon-fri"),
            {"type": "crontab", "minute": "0,30", "hour": "9-17", "day_of_week": "1-5"},
            "crontab 0,30 9,10,11,12,13,14,15,16,17 * * 1,2,3,4,5 Europe/Rome",
        ),
        (
            crontab(0, "*/12,*/8"),
            {"type": "crontab", "minute": "0", "hour": "*/12,*/8"},
            "crontab 0 0,8,12,16 * * * Europe/Rome wild-hours",
        ),
        (
            solar("sunset", 41.9, 12.5),
            {"type": "solar", "event": "sunset", "latitude": 41.9, "longitude": 12.5},
            "solar sunset 41.9 12.5",
        ),
        (
            rrule(WEEKLY, interval=2, dtstart=datetime(2026, 1, 5, 9)),  # noqa: DTZ001
            {"type": "rrule", "text": "DTSTART:20260105T090000\nRRULE:FREQ=WEEKLY;INTERVAL=2"},
            "rrule DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;INTERVAL=2 Europe/Rome",
        ),
        (
            rrule(DAILY, dtstart=NINE, until=NINE.astimezone(timezone.utc) + timedelta(days=1)),
            {
                "type": "rrule",
                "text": f"{START_IN_ROME}\nRRULE:FREQ=DAILY;UNTIL=20260902T090000",
            },
            f"rrule {START_IN_ROME} RRULE:FREQ=DAILY;UNTIL=20260902T090000 Europe/Rome",
        ),
        (
            rrule(DAILY, dtstart=NINE),
            {"type": "rrule", "text": "DTSTART;TZID=Europe/Rome:20260901T090000\nRRULE:FREQ=DAILY"},
            "rrule DTSTART;TZID=Europe/Rome:20260901T090000 RRULE:FREQ=DAILY Europe/Rome",
        ),
    ],
)
def test_what_is_given_is_kept_as_data_and_read_again_as_the_same(
    given: object, data: dict[str, Any], rule: str
) -> None:
    """S2-09: the cron expression, and all others."""
    spec = spec_of_schedule(given, "report")

    again = spec_from_json(json.loads(json.dumps(spec.to_json())))

    assert spec.to_json() == data
    assert again == spec
    assert hash(again) == hash(spec)
    assert spec_of(data) == spec_of(spec) == spec
    assert spec.recurrence("Europe/Rome").rule == rule
    assert again.recurrence("Europe/Rome") is spec.recurrence("Europe/Rome")


def fields(lowest: int, highest: int) -> st.SearchStrategy[Any]:
    number = st.integers(lowest, highest)
    some = st.lists(number, min_size=1, max_size=4).map(lambda of: ",".join(map(str, of)))
    ranges = st.builds(lambda a, b, n: f"{min(a, b)}-{max(a, b)}/{n}", number, number, st.just(3))
    return st.just("*") | st.builds("*/{}".format, st.integers(1, highest)) | some | ranges | number


@given(
    minute=fields(0, 59),
    hour=fields(0, 23),
    day_of_week=fields(0, 6),
    day_of_month=fields(1, 28),
    month_of_year=fields(1, 12),
    zone=st.sampled_from(["UTC", "Europe/Rome", "America/Santiago"]),
    after_ms=st.integers(START_MS, START_MS + 400 * DAY_MS),
)
def test_a_crontab_object_is_due_when_its_spec_is(after_ms: int, zone: str, **given: Any) -> None:
    celerys = crontab(**given)

    stored = spec_from_json(spec_of_schedule(celerys, "report").to_json()).recurrence(zone)

    configured = recurrence_of(celerys, zone, "report")
    assert stored.rule == configured.rule
    assert stored.next_after(after_ms) == configured.next_after(after_ms)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (True, "cannot be True .bool.; give seconds"),
        (None, "cannot be None"),
        (float("nan"), "too long to be computed"),
        (0, "an interval of 0 seconds is out of range"),
        (1e300, "too long"),
        (datetime(2026, 1, 1), "has no time zone: give it one"),  # noqa: DTZ001
        ({"type": "corn"}, "must be one of cron, interval.*did you mean cron"),
        ({}, "'type' must be one of"),
        ({"type": "cron"}, "type 'cron' needs 'expression'"),
        ({"type": "cron", "expression": 5}, "must be a text, not 5"),
        ({"type": "cron", "expression": "* * * * *", "zone": "UTC"}, "has no field 'zone'"),
        ({"type": "crontab", "minute": None}, "minute of a crontab must be a text"),
        ({"type": "crontab", "minute": "61"}, "minute '61': 0-59"),
        ({"type": "interval", "seconds": "5"}, "must be seconds or a timedelta, not '5'"),
        ({"type": "interval", "seconds": 5, "relative": 1}, "'relative' must be true or false"),
        ({"type": "once", "at": "tomorrow"}, "must be a time as in 2026-01-31T09:00:00"),
        ({"type": "once", "at": 5}, "must be a datetime with a time zone"),
        ({"type": "rrule", "text": 5}, "must be a text"),
        ({"type": "solar", "event": "noon", "latitude": 1, "longitude": 2}, "unknown solar event"),
        ({"type": "solar", "event": "sunset", "latitude": "1", "longitude": 2}, "number of degre"),
        ("0 0 * * *" + " " * 10 + "x" * 2000, "of 2010 characters is too long: 1000 at most"),
        (OwnRule(5), r"OwnRule decides by code .*: keep it in beat_schedule, or write its rule"),
        (rruleset(), "a rruleset of dateutil's cannot be stored: give one rrule"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_what_can(given: object, complaint: str) -> None:
    with pytest.raises(RecurrenceError, match=complaint) as caught:
        spec_of_schedule(given, "report")

    assert "entry 'report'" in str(caught.value)


def test_a_schedule_class_that_only_adds_to_celerys_is_kept_as_celerys() -> None:
    class Named(crontab):
        """A crontab with nothing of its own about when."""

    assert spec_of_schedule(Named(5), "report") == spec_of_schedule(crontab(5), "report")


def test_a_class_of_nothing_but_code_is_refused() -> None:
    with pytest.raises(RecurrenceError, match="stored entry is data"):
        spec_of_schedule(BaseSchedule(), "report")


def test_bounds_are_kept_at_both_ends_and_by_every_question() -> None:
    hourly = spec_of(3600).recurrence("UTC")
    bounded = in_bounds(hourly, 3_600_000, 3 * 3_600_000)

    assert list(occurrences(bounded, -1, DAY_MS)) == [3_600_000, 7_200_000, 10_800_000]
    assert bounded.next_after(10_800_000) is None
    assert bounded.rule == "every 3600000ms from 3600000ms until 10800000ms"
    assert in_bounds(hourly) is hourly


def test_rules_have_the_same_text_with_every_hash_seed() -> None:
    """F1: replicas on other hosts compute the same rule."""
    program = (
        "from celery_singleton_beat.protocol.recurrences.spec import spec_of\n"
        "for given in ['*/7 1,5,9 1-9,20 feb-may mon,fri', '5,50 * * * * *',\n"
        "    'RRULE:FREQ=YEARLY;BYMONTH=1,2,9;BYDAY=MO,-1FR;BYHOUR=9,17']:\n"
        "    print(spec_of(given).recurrence('Europe/Rome').rule, spec_of(given).to_json())\n"
    )

    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(texts) == 1


def test_once_is_due_once() -> None:
    at_ms = int(datetime(2026, 9, 1, 7, tzinfo=timezone.utc).timestamp() * 1000)
    once = spec_of(NINE).recurrence("UTC")

    assert list(occurrences(once, 0, 2 * at_ms)) == [at_ms]
    assert once.next_after(at_ms) is None
