"""The schedules that entries show to other tools: the rule and the zone that they have."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab, schedule

from celery_singleton_beat import Entry
from celery_singleton_beat.adapters.entries import read_entry, stored_entry

app = Celery("shop", set_as_current=False)


def shown(recurrence: Any, timezone: str = "Asia/Tokyo") -> Any:
    return stored_entry(app, Entry("x", "shop.task", recurrence, timezone=timezone)).schedule


@pytest.mark.parametrize(
    ("recurrence", "fields"),
    [
        ("*/20 8 1 * mon-fri", ("0,20,40", "8", "1", "*", "1-5")),
        ("@weekly", ("0", "0", "*", "*", "0")),
        (crontab(minute=5, hour="*/6"), ("5", "*/6", "*", "*", "*")),
    ],
)
def test_a_stored_rule_of_cron_is_shown_as_a_crontab(recurrence: Any, fields: Any) -> None:
    found = shown(recurrence)

    minute, hour, day_of_month, month, day_of_week = fields
    assert found == crontab(minute, hour, day_of_week, day_of_month, month)
    assert str(found.tz) == "Asia/Tokyo"


def test_a_stored_interval_is_shown_as_a_schedule() -> None:
    found = shown(90)

    assert type(found) is schedule
    assert found.seconds == 90


@pytest.mark.parametrize("recurrence", ["30 * * * * *", "RRULE:FREQ=WEEKLY"])
def test_what_celery_has_no_object_for_is_shown_as_nothing(recurrence: str) -> None:
    assert shown(recurrence) is None


def test_a_schedule_that_two_entries_share_is_shown_in_the_zone_of_each() -> None:
    shared = crontab(minute=0, hour=3)
    zones = ("Asia/Tokyo", "Europe/Rome")
    fields = {"task": "shop.task", "schedule": shared}

    found = [read_entry(app, zone, {**fields, "timezone": zone}) for zone in zones]
    plain = read_entry(app, "plain", fields)

    assert [str(entry.schedule.tz) for entry in found] == list(zones)
    assert str(plain.schedule.tz) == "UTC"
