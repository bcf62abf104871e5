"""Runs that Celery's main process has forgotten while a child has them."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.integration.workers import ENOUGH
from tests.rig.witness import born

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.integration.workers import Shop
    from tests.rig.proxy import FaultProxy


def test_a_forgotten_child_that_is_killed_holds_its_key_for_one_ttl_at_most(
    make_shop: Callable[..., Shop],
    own_redis: EmbeddedServer,
    make_proxy: Callable[[int], FaultProxy],
) -> None:
    """S0-21, F6: Celery drops what is in a child's pipe when it loses its broker."""
    line = make_proxy(own_redis.port)
    shop = make_shop(
        broker_url=line.url(0), singleton_beat_lock_ttl=1.5, worker_prefetch_multiplier=4
    )
    worker = shop.worker(concurrency=1)
    shop.send("late", "wakes the child").get(timeout=ENOUGH)
    inspect = shop.client.control.inspect(timeout=5, limit=1)
    while any((inspect.active() or {"": True}).values()):
        pass  # the main process has yet to hear that the child is free
    child = next(process for process in worker.group() if process[0] != worker.pid)
    before = len(worker.lines)
    os.kill(child[0], signal.SIGSTOP)
    shop.send("late", "forgotten", ("gate", "g"))
    worker.wait_for(r"\] received", ENOUGH, since=before)
    for key in ("later", "later still"):  # when they are there, the first is in the child's pipe
        before, run = len(worker.lines), shop.send("late", key)
        worker.wait_for(rf"{run.id}\] received", ENOUGH, since=before)

    line.reset()
    worker.wait_for("Connection to broker lost", ENOUGH)
    os.kill(child[0], signal.SIGCONT)
    begun = shop.began("forgotten").bodies["forgotten"][0].process
    shop.wait_renewed("late:forgotten", 2, ttl_ms=1500)
    worker.kill_child((begun[0], born(begun[0])))
    shop.let("g")

    assert shop.ended("forgotten").started("forgotten") == 2
