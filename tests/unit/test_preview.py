"""Previews: what a timetable will do, as data."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import islice, pairwise
from typing import Any

import pytest

from celery_singleton_beat import Entry, RecurrenceError
from celery_singleton_beat.protocol.preview import next_runs, preview

START = datetime(2026, 9, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def entry(name: str, recurrence: Any, **given: Any) -> Entry:
    return Entry(name, task="report", recurrence=recurrence, **given)


def test_the_occurrences_of_all_entries_come_in_order_of_their_times() -> None:
    entries = [
        entry("six", "0 */6 * * *"),
        entry("daily", "@daily"),
        entry("off", 60, enabled=False),
    ]

    found = list(preview(entries, START, START + DAY))

    assert [(due.entry.name, due.scheduled.hour) for due in found] == [
        ("daily", 0),
        ("six", 0),
        ("six", 6),
        ("six", 12),
        ("six", 18),
        ("daily", 0),
        ("six", 0),
    ]
    assert all(due.scheduled.tzinfo is timezone.utc for due in found)


def test_jitter_moves_the_due_time_and_not_the_scheduled_one() -> None:
    """S2-06, S2-07."""
    jittery = entry("jittery", "@hourly", jitter=30)
    offset = timedelta(milliseconds=jittery.timing().offset_ms)

    found = next_runs(jittery, START, 3)

    assert [due.scheduled.hour for due in found] == [1, 2, 3]
    assert {due.due - due.scheduled for due in found} == {offset}
    assert timedelta(0) < offset < timedelta(seconds=30)


def test_a_hundred_years_of_every_second_are_computed_while_they_are_asked_for() -> None:
    entries = [entry(str(n), 1) for n in range(100)]

    found = list(islice(preview(entries, START, START + 36_500 * DAY), 1000))

    assert len(found) == 1000
    assert all(a.scheduled <= b.scheduled for a, b in pairwise(found))
    assert found[-1].scheduled == START + timedelta(seconds=9)


def test_an_entry_that_ends_has_no_more() -> None:
    thrice = entry("thrice", 60, max_runs=3)
    bounded = entry("bounded", 3600, end=START + timedelta(hours=2))

    assert len(next_runs(thrice, START, 10)) == 3
    assert len(next_runs(bounded, START, 10)) == 2
    assert len(list(preview([thrice, bounded], START, START + DAY))) == 3 + 3


def test_times_need_a_zone_and_an_order() -> None:
    naive = START.replace(tzinfo=None)

    with pytest.raises(RecurrenceError, match="has no time zone"):
        next_runs(entry("x", 60), naive, 1)
    with pytest.raises(RecurrenceError, match="is before start"):
        preview([], START, START - DAY)
