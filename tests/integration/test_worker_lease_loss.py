"""Tasks that are stopped when their lease is lost: as by a soft limit, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celery_singleton_beat.demo.server import HOST
from tests.integration.workers import ENOUGH

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.integration.workers import Shop
    from tests.rig.proxy import FaultProxy

LOST = "A lease was lost while its task runs"
STOPPED = "A run was stopped: it has lost its lease"


def lose(shop: Shop, key: str) -> None:
    """Take a lease away, as a store does that evicts keys."""
    shop.store.delete(shop.keys.lock(key))


def test_a_body_whose_lease_is_lost_gets_a_soft_limit_and_its_process_goes_on(
    make_shop: Callable[..., Shop],
) -> None:
    """C8: its run ends as failed, an event says why, and the next task has a sound process."""
    shop = make_shop(singleton_beat_lock_ttl=1.2)
    worker = shop.worker(concurrency=1)
    run = shop.send("stopped", "unlucky", ("gate", "g"))
    shop.began("unlucky")

    lose(shop, "stopped:unlucky")
    failure = run.get(timeout=ENOUGH, propagate=False)
    shop.send("stopped", "next").get(timeout=ENOUGH)

    assert type(failure).__name__ == "SoftTimeLimitExceeded"
    assert "key='stopped:unlucky'" in worker.wait_for(LOST, ENOUGH)
    assert f"run='{run.id}'" in worker.wait_for(STOPPED, ENOUGH)
    assert "outcome='failed'" in worker.wait_for("Run ended.*unlucky", ENOUGH)
    tally = shop.ended("next")
    assert tally.bodies["unlucky"][0].process == tally.bodies["next"][0].process


def test_a_run_that_another_one_has_overtaken_is_stopped(make_shop: Callable[..., Shop]) -> None:
    """C8, F5: frozen for longer than its TTL; what it wakes up to is not the key's holder's."""
    shop = make_shop(singleton_beat_lock_ttl=1.2)
    frozen = shop.worker(concurrency=1)
    first = shop.send("stopped", "overtaken", ("gate", "g"))
    shop.began("overtaken")

    frozen.freeze(group=True)
    shop.wait_lock(
        "stopped:overtaken", lambda lock: not lock or lock.deadline_ms < shop.store_now_ms()
    )
    shop.worker(concurrency=1)
    second = shop.send("stopped", "overtaken", ("gate", "g"))
    shop.began("overtaken", 2)
    frozen.thaw()
    failure = first.get(timeout=ENOUGH, propagate=False)
    shop.let("g")

    assert type(failure).__name__ == "SoftTimeLimitExceeded"
    assert second.get(timeout=ENOUGH)["run"] == second.id


def test_a_body_may_clear_up_and_go_on(make_shop: Callable[..., Shop]) -> None:
    """C8: it is told once."""
    shop = make_shop(singleton_beat_lock_ttl=1.2)
    worker = shop.worker(concurrency=1)
    run = shop.send("stopped", "tidy", ("patient gate", "g1"), ("gate", "g2"))
    shop.told("waits", "tidy")

    lose(shop, "stopped:tidy")
    shop.told("warned", "tidy")
    shop.let("g2")

    assert run.get(timeout=ENOUGH)["run"] == run.id
    assert worker.terminate() == 0  # so that all that it said is there
    assert len([line for line in worker.lines if STOPPED in line]) == 1


def test_a_lease_that_cannot_be_renewed_for_its_ttl_stops_its_body(
    own_redis: EmbeddedServer,
    make_proxy: Callable[[int], FaultProxy],
    make_shop: Callable[..., Shop],
) -> None:
    """C8: the moment ``self.lease.lost`` becomes true, for another worker may begin from then on.

    Not before: an outage that is shorter than the TTL stops nobody.
    """
    line = make_proxy(own_redis.port)
    shop = make_shop(
        singleton_beat_redis_url=f"redis://{HOST}:{line.port}/2",
        singleton_beat_socket_timeout=0.5,
        singleton_beat_lock_ttl=3,
    )
    worker = shop.worker(concurrency=1)
    run = shop.send("stopped", "cut off", ("gate", "g"))
    shop.began("cut off")

    line.refuse()
    line.heal()
    shop.wait_renewed("stopped:cut off", 2, ttl_ms=3000)
    stopped_early = [text for text in worker.lines if STOPPED in text]
    line.refuse()
    failure = run.get(timeout=ENOUGH, propagate=False)

    assert not stopped_early
    assert type(failure).__name__ == "SoftTimeLimitExceeded"
    worker.wait_for(STOPPED, ENOUGH)


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_pool_that_cannot_stop_a_body_says_so_at_its_start(
    make_shop: Callable[..., Shop], pool: str
) -> None:
    """C18: naming the tasks; they are told of a lost lease as by default."""
    shop = make_shop(singleton_beat_lock_ttl=1.2)
    worker = shop.worker(pool, 1)
    run = shop.send("stopped", "warned", ("until lost", None), ("gate", "g"))
    shop.told("trusts", "warned")

    lose(shop, "stopped:warned")
    lost = shop.told("lost", "warned")
    worker.wait_for(LOST, ENOUGH)
    shop.let("g")

    assert run.get(timeout=ENOUGH)["run"] == run.id
    assert "'stopped:warned' is over" in lost["text"]
    assert "shop.stopped" in worker.wait_for("WARNING.*needs --pool prefork", ENOUGH)
    assert not [line for line in worker.lines if STOPPED in line]
