"""The lines that beats and workers log, with real processes: each has its text and its facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_singleton_beat.demo.server import HOST
from tests.integration.workers import ENOUGH

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.workers import Shop
    from tests.rig.proxy import FaultProxy


def test_a_beat_says_that_it_is_connected_and_ready(make_shop: Callable[..., Shop]) -> None:
    """S1-05, S1-16: in this order, before it dispatches anything."""
    entry = {"task": "shop.early", "schedule": 1.0, "args": ["k"]}
    shop = make_shop(
        beat_scheduler="celery_singleton_beat:SingletonScheduler", beat_schedule={"often": entry}
    )
    beat = shop.run("beat", "-l", "INFO", name="beat")

    connected = beat.wait_for("INFO.*Connected to the store:", ENOUGH)
    ready = beat.wait_for("INFO.*Ready: role='beat'", ENOUGH)

    assert f"address='redis://{HOST}:{shop.server.port}/2'" in connected
    assert "count=1" in ready
    assert beat.lines.index(connected) < beat.lines.index(ready)


def test_a_worker_says_that_it_is_connected_and_ready(shop: Shop) -> None:
    """S1-05, S1-16: before its first run."""
    worker = shop.worker("prefork", 1)

    connected = worker.wait_for("INFO.*Connected to the store:", ENOUGH)
    ready = worker.wait_for("INFO.*Ready: role='worker'", ENOUGH)

    assert f"address='redis://{HOST}:{shop.server.port}/2'" in connected
    assert "name='" in ready


def test_a_worker_that_starts_without_its_store_says_so_and_when_it_is_back(
    make_shop: Callable[..., Shop], own_redis: Any, make_proxy: Callable[[int], FaultProxy]
) -> None:
    """S1-05: not only with its first run."""
    line = make_proxy(own_redis.port)
    shop = make_shop(singleton_beat_redis_url=line.url(2))
    line.refuse()
    worker = shop.worker("prefork", 1)

    lost = worker.wait_for("ERROR.*The store does not answer", ENOUGH)
    line.heal()
    back = worker.wait_for("WARNING.*The store answers again", ENOUGH)
    connected = worker.wait_for("Connected to the store", ENOUGH)
    lines = worker.lines

    assert f"{HOST}:{line.port}" in lost
    assert lines.index(back) < lines.index(connected)


def test_a_run_is_said_to_begin_and_to_end_and_a_rival_to_be_left_out(shop: Shop) -> None:
    """S1-16, S4-15: acquired, with the number of the attempt; skipped because held; completed."""
    worker = shop.worker("prefork", 2)
    run = shop.send("early", "one", ("gate", "g"))
    shop.began("one")
    rival = shop.send("early", "one")
    rival.get(timeout=ENOUGH)
    shop.let("g")

    acquired = worker.wait_for(f"INFO.*Lock acquired: .*run='{run.id}'", ENOUGH)
    skipped = worker.wait_for(f"INFO.*Run skipped: .*run='{rival.id}'", ENOUGH)
    ended = worker.wait_for(f"INFO.*Run ended: .*run='{run.id}'", ENOUGH)

    assert "key='early:one'" in acquired
    assert "starts=1" in acquired
    assert "reason='locked'" in skipped
    assert "holder='worker1@rig" in skipped
    assert "outcome='succeeded'" in ended
