"""Our facts as Celery events: what a monitor receives, and that it is not disturbed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.workers import ENOUGH, occurrence
from tests.rig.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.workers import Shop

BEAT = {
    "beat_scheduler": "celery_singleton_beat:SingletonScheduler",
    "beat_schedule": {"often": {"task": "shop.early", "schedule": 1.0, "args": ["k"]}},
}


@pytest.fixture
def listen() -> Iterator[Callable[..., Receiver]]:
    """A maker of receivers."""
    made: list[Receiver] = []

    def make(shop: Shop, state: Any = None) -> Receiver:
        made.append(Receiver(shop.client, state))
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_that_sends_task_events_tells_what_became_of_runs(
    shop: Shop, listen: Callable[..., Receiver], pool: str
) -> None:
    """S1-16: each fact once, whichever process knows it first; Celery's own are as ever."""
    received = listen(shop)
    shop.worker(pool, 2, "-E")
    run = shop.send("early", "one", ("gate", "g"))
    shop.began("one")
    skipped = shop.send("early", "one")
    skipped.get(timeout=ENOUGH)
    shop.let("g")
    run.get(timeout=ENOUGH)
    shop.wait_done(run.id)
    shop.send("early", "one", task_id=run.id)

    told = received.of("singleton-skipped", uuid=skipped.id)
    ended = received.of("singleton-ended", uuid=run.id)
    duplicate = received.of("singleton-duplicate")
    received.of("task-succeeded", uuid=run.id)  # Celery gathers some before it sends them

    assert (told["name"], told["key"], told["reason"]) == ("shop.early", "early:one", "locked")
    assert told["hostname"] == "worker1@rig"
    assert (ended["outcome"], ended["key"]) == ("succeeded", "early:one")
    assert (duplicate["uuid"], duplicate["verdict"]) == (run.id, "DONE")
    assert sorted(e["type"] for e in received.events if e["type"].startswith("singleton-")) == [
        "singleton-duplicate",
        "singleton-ended",
        "singleton-skipped",
    ]
    assert {"task-received", "task-started"} <= received.types("task")
    assert received.failures == []


def test_what_the_heartbeat_finds_is_told_too(
    make_shop: Callable[..., Shop], listen: Callable[..., Receiver]
) -> None:
    shop = make_shop(singleton_beat_lock_ttl=1.2)
    received = listen(shop)
    shop.worker("prefork", 1, "-E")
    run = shop.send("early", "one", ("gate", "g"))
    shop.began("one")

    shop.store.delete(shop.keys.lock("early:one"))
    lost = received.of("singleton-lease-lost")
    shop.let("g")

    assert (lost["uuid"], lost["key"]) == (run.id, "early:one")


def test_a_worker_sends_nothing_until_task_events_are_switched_on(
    shop: Shop, listen: Callable[..., Receiver]
) -> None:
    """As ``celery control enable_events`` does, and as Flower does when it starts."""
    received = listen(shop)
    # With heartbeats, so that it has a dispatcher.
    worker = shop.run("worker", "-l", "INFO", "-n", "worker1@rig", "-c", "1", name="worker1")
    worker.wait_for(r" ready\.", ENOUGH)
    silent = shop.send("early", "silent")
    silent.get(timeout=ENOUGH)
    # A result is there a moment before its run is over; when the next one's is, that is past.
    shop.send("early", "next").get(timeout=ENOUGH)
    shop.wait_reachable()

    shop.client.control.enable_events(reply=True)
    loud = shop.send("early", "loud")
    received.of("singleton-ended", uuid=loud.id)

    assert silent.id not in {event.get("uuid") for event in received.events}


def test_beats_send_what_they_do_when_they_are_asked_to(
    make_shop: Callable[..., Shop], listen: Callable[..., Receiver]
) -> None:
    shop = make_shop(**BEAT, singleton_beat_send_events=True)
    received = listen(shop)
    beat = shop.run("beat", "-l", "INFO", name="beat")

    published = received.of("singleton-published", entry="often")
    beat.terminate()

    assert published["uuid"]
    assert published["late_ms"] >= 0
    assert published["hostname"].startswith("beat")
    assert received.of("singleton-standing", standing="GOVERNS")


def test_beats_send_nothing_unless_they_are_asked_to(
    make_shop: Callable[..., Shop], listen: Callable[..., Receiver]
) -> None:
    shop = make_shop(**BEAT, task_send_sent_event=True)
    received = listen(shop)
    beat = shop.run("beat", "-l", "INFO", name="beat")

    received.of("task-sent")
    beat.terminate()

    assert received.types("singleton") == set()


def test_flower_is_not_disturbed_by_events_that_it_does_not_know(
    make_shop: Callable[..., Shop], listen: Callable[..., Receiver]
) -> None:
    flower = pytest.importorskip("flower.events")
    shop = make_shop(**BEAT, singleton_beat_send_events=True)
    received = listen(shop, flower.EventsState())
    shop.worker("prefork", 1, "-E")
    shop.run("beat", "-l", "INFO", name="beat")
    run = shop.send("early", "one", headers=occurrence())

    received.of("singleton-published")
    received.of("singleton-ended", uuid=run.id)
    received.of("task-succeeded", uuid=run.id)

    assert received.failures == []
    assert received.state.tasks[run.id].state == "SUCCESS"
    assert set(received.state.workers) == {"worker1@rig"}
