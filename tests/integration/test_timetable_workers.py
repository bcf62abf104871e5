"""Stored entries up to their runs: what is queued when an entry changes, and what overlaps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celery_singleton_beat import Entry, EntryError, SingletonScheduler, Timetable, subscribe
from celery_singleton_beat import events as happened
from celery_singleton_beat.adapters.entries import stored_timing
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.events import Event
from celery_singleton_beat.protocol.entry import Defaults
from tests.integration.workers import Shop


class Beat:
    """A replica in this process, in front of the shop's workers."""

    def __init__(self, shop: Shop) -> None:
        self.app = Celery("shop", set_as_current=False)
        self.app.conf.update(shop.conf, result_expires=None)
        self.told: list[Event] = []
        subscribe(self.app, self.told.append)
        self.timetable = Timetable(self.app)
        self.scheduler = SingletonScheduler(app=self.app)
        self._shop = shop

    def put(self, key: str, *steps: tuple[str, Any], **fields: Any) -> int:
        """Put the entry: each second a run of that key."""
        entry = Entry("each", "shop.early", 1, args=[key, [list(step) for step in steps]])
        changes = {name: value for name, value in fields.items() if name != "cancel_queued"}
        entry = Entry.from_data({**entry.to_data(), **changes})
        return self.timetable.put(entry, cancel_queued=bool(fields.get("cancel_queued")))

    def until_queued(self, count: int) -> None:
        """Dispatch until so many messages wait for a worker."""
        while self._shop.broker.llen("celery") < count:
            self.scheduler.tick()

    def until_told(self, kind: type[Event], count: int = 1) -> list[Any]:
        """Dispatch until so many events of a kind were heard."""
        while len(found := [event for event in self.told if isinstance(event, kind)]) < count:
            self.scheduler.tick()
        return found

    def close(self) -> None:
        self.scheduler.close()
        extension_of(self.app).store.close()


@pytest.fixture
def beat(shop: Shop) -> Iterator[Beat]:
    beat = Beat(shop)
    yield beat
    beat.close()


@pytest.mark.parametrize("change", ["put", "pause", "remove"])
def test_what_an_earlier_revision_queued_does_not_run(shop: Shop, beat: Beat, change: str) -> None:
    """F16, with a queue in between: nothing old begins after the change."""
    beat.put("old")
    beat.until_queued(2)

    if change == "pause":
        beat.timetable.pause("each", cancel_queued=True)
        beat.timetable.resume("each")
    elif change == "remove":
        beat.timetable.remove("each", cancel_queued=True)
    beat.put("new", cancel_queued=change == "put")
    beat.until_queued(3)
    shop.worker()
    shop.ended("new")

    shop.wait_history(lambda facts: [fact.kind for fact in facts].count("cancelled") == 2)
    assert shop.bodies("old") == []


def test_without_being_asked_nothing_that_is_queued_is_cancelled(shop: Shop, beat: Beat) -> None:
    beat.put("old")
    beat.until_queued(1)

    beat.put("new")
    beat.until_queued(2)
    shop.worker()

    shop.ended("old")
    shop.ended("new")


@pytest.mark.parametrize("stop", ["pause", "disable"])
def test_what_was_queued_and_lost_before_a_stop_still_runs(
    shop: Shop, beat: Beat, stop: str
) -> None:
    """S0-01: as it would have, had the broker not lost it."""
    beat.put("old", start_deadline=1)
    beat.until_queued(1)

    getattr(beat.timetable, stop)("each")
    shop.broker.delete("celery")
    beat.until_told(happened.OccurrenceRecalled)
    shop.worker()

    shop.ended("old")


def test_while_the_workers_are_away_nothing_piles_up(shop: Shop, beat: Beat) -> None:
    beat.put("one", overlap="skip")
    beat.until_queued(1)

    left_out = beat.until_told(happened.OccurrencesMissed, 2)

    assert {missed.reason for missed in left_out} == {"overlap"}
    assert shop.broker.llen("celery") == 1


def test_an_occurrence_waits_for_the_run_before_it(shop: Shop, beat: Beat) -> None:
    shop.gate("g")
    beat.put("one", ("gate", "g"), overlap="queue")
    shop.worker()
    beat.until_told(happened.OccurrencePublished)
    shop.began("one")
    for _ in range(3):
        beat.scheduler.tick()
    assert len(shop.bodies("one")) == 1

    shop.let("g", 2)
    beat.until_told(happened.OccurrencePublished, 2)

    shop.ended("one", 2)


def test_overlap_is_refused_where_nobody_knows_what_runs() -> None:
    app = Celery("plain", set_as_current=False)
    app.conf.singleton_beat_redis_url = "memory://"

    @app.task(name="plain.task", shared=False)
    def plain() -> None: ...

    entry = Entry("x", "plain.task", 60, overlap="skip")

    with pytest.raises(EntryError, match="is not a SingletonTask"):
        stored_timing(app, entry, extension_of(app).settings, Defaults())
