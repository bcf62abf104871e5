"""Entries of ``beat_schedule``: the fields that they share with stored ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import pytest
from celery import Celery

from celery_singleton_beat import EntryError, SingletonTask
from celery_singleton_beat.adapters.entries import read_entry, timing_of
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.protocol.entry import Overlap, Timing

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def timing(**fields: Any) -> Timing:
    """When an entry of a minute is due that has these fields."""
    app = Celery("shop", set_as_current=False)
    app.conf.singleton_beat_redis_url = "memory://"

    @app.task(name="plain", shared=False)
    def plain() -> None: ...

    @app.task(name="ours", base=SingletonTask, shared=False)
    def ours() -> None: ...

    entry = read_entry(app, "x", {"task": "ours", "schedule": 60, **fields})
    return timing_of(app, entry, extension_of(app).settings)


def test_an_entry_says_what_becomes_of_overlap_and_delivery() -> None:
    told = timing(overlap="queue", overlap_limit=90, delivery="at_most_once", max_runs=3)

    assert (told.overlap, told.overlap_limit_ms) == (Overlap.QUEUE, 90_000)
    assert (told.is_at_most_once, told.max_runs) == (True, 3)


def test_without_them_it_is_as_it_was() -> None:
    told = timing()

    assert (told.overlap, told.is_at_most_once, told.max_runs) == (Overlap.ALLOW, False, None)


def test_start_and_end_bound_it() -> None:
    told = timing(start=NOON, end=NOON.replace(minute=1)).recurrence
    noon_ms = round(NOON.timestamp() * 1000)

    assert told.next_after(0) == noon_ms
    assert told.next_after(noon_ms) == noon_ms + 60_000
    assert told.next_after(noon_ms + 60_000) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"overlap": "wait"}, "overlap of entry 'x'"),
        ({"delivery": "twice"}, "delivery of entry 'x'"),
        ({"max_runs": 0}, "max_runs of entry 'x'"),
        ({"start": datetime(2026, 3, 1)}, "start of entry 'x'.*has no time zone"),  # noqa: DTZ001
        ({"end": "tomorrow"}, "end of entry 'x' must be a datetime"),
        ({"task": "plain", "overlap": "skip"}, "is not a SingletonTask"),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(EntryError, match=said):
        timing(**fields)


def test_an_app_has_one_extension_for_all_its_schedules() -> None:
    """S2-11: one manager in a process, whoever asks first."""
    app = Celery("shop", set_as_current=False)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: extension_of(app), range(64)))

    assert {id(one) for one in found} == {id(extension_of(app))}
