"""The visibility timeout of a Redis broker: for messages of the dead, not of the living."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from celery_singleton_beat.demo.server import HOST
from tests.integration.workers import ENOUGH, IMPATIENT, occurrence

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.integration.workers import Shop
    from tests.rig.processes import Proc
    from tests.rig.proxy import FaultProxy

TTL_MS = 1500
SEVERAL_TIMEOUTS = 8  # in TTLs: six visibility timeouts


@pytest.fixture
def shop(make_shop: Callable[..., Shop]) -> Shop:
    """A shop whose broker waits for two seconds."""
    return make_shop(singleton_beat_lock_ttl=TTL_MS / 1000, broker_transport_options=IMPATIENT)


def received(run: str, *workers: Proc) -> int:
    """How often workers were given messages of a run."""
    return sum(f"[{run}] received" in line for worker in workers for line in worker.lines)


@pytest.mark.parametrize(
    ("task", "pool"),
    [("late", "prefork"), ("late", "threads"), ("late", "solo"), ("early", "solo")],
)
def test_the_message_of_a_run_that_is_alive_does_not_come_again(
    shop: Shop, task: str, pool: str
) -> None:
    """S0-01: six visibility timeouts, two workers that look for such messages, one delivery.

    With solo the early acknowledgement too is sent when the body has ended.
    """
    workers = [shop.worker(pool), shop.worker(pool)]
    run = shop.send(task, "slow", ("gate", "g"))
    shop.began("slow")

    shop.wait_renewed(f"{task}:slow", SEVERAL_TIMEOUTS, ttl_ms=TTL_MS)
    shop.let("g")
    run.get(timeout=ENOUGH)

    shop.send("early", "fence").get(timeout=ENOUGH)
    assert received(run.id, *workers) == 1
    assert shop.ended("slow").started("slow") == 1


def test_the_message_of_a_worker_that_was_killed_comes_again(shop: Shop) -> None:
    """F6: also when it was kept back for several timeouts before."""
    first = shop.worker()
    run = shop.send("late", "orphan", ("gate", "g"))
    shop.began("orphan")
    shop.wait_renewed("late:orphan", 4, ttl_ms=TTL_MS)

    first.kill()
    second = shop.worker()
    shop.began("orphan", 2)
    shop.let("g")

    assert run.get(timeout=ENOUGH)["run"] == run.id
    assert received(run.id, second) >= 1
    tally = shop.ended("orphan")
    assert (tally.ended("orphan"), tally.reruns(), tally.duplicates()) == (1, 1, set())


def test_an_early_acknowledged_message_is_not_spoken_of(shop: Shop) -> None:
    """S0-01: its broker has forgotten it, and nothing writes it down anew."""
    workers = [shop.worker(), shop.worker()]
    run = shop.send("early", "gone", ("gate", "g"))
    shop.began("gone")

    shop.wait_renewed("early:gone", 4, ttl_ms=TTL_MS)
    noted = shop.broker.zcard("unacked_index"), shop.broker.hlen("unacked")
    shop.let("g")
    run.get(timeout=ENOUGH)

    assert noted == (0, 0)
    assert received(run.id, *workers) == 1


def test_a_warm_shutdown_keeps_the_message_of_the_run_that_goes_on(shop: Shop) -> None:
    """F8, S0-27: the worker takes nothing new, and still says that this run is alive."""
    leaving = shop.worker()
    run = shop.send("late", "leaving", ("gate", "g"))
    shop.began("leaving")

    leaving.send(signal.SIGTERM)
    leaving.wait_for("Warm shutdown", ENOUGH)
    other = shop.worker()
    shop.wait_renewed("late:leaving", SEVERAL_TIMEOUTS, ttl_ms=TTL_MS)
    shop.let("g")
    run.get(timeout=ENOUGH)

    assert leaving.wait_ended(ENOUGH) == 0
    assert received(run.id, leaving, other) == 1


@pytest.mark.parametrize("fault", ["refuse", "blackhole"])
def test_an_outage_of_the_broker_neither_delays_a_lease_nor_doubles_a_run(
    own_redis: EmbeddedServer,
    make_proxy: Callable[[int], FaultProxy],
    make_shop: Callable[..., Shop],
    fault: str,
) -> None:
    """F7, C8: for longer than TTL and visibility timeout; the lease is renewed all the while."""
    line = make_proxy(own_redis.port)
    shop = make_shop(
        singleton_beat_lock_ttl=TTL_MS / 1000,
        broker_url=f"redis://{HOST}:{line.port}/0",
        broker_transport_options=IMPATIENT,
    )
    workers = [shop.worker(), shop.worker()]
    about: dict[str, Any] = {"headers": occurrence()}
    run = shop.send("late", "cut off", ("gate", "g"), **about)
    shop.began("cut off")

    getattr(line, fault)()
    shop.wait_renewed("late:cut off", 4, ttl_ms=TTL_MS)
    line.heal()
    shop.wait_renewed("late:cut off", SEVERAL_TIMEOUTS, ttl_ms=TTL_MS)
    shop.let("g")
    result = run.get(timeout=ENOUGH)

    shop.send("late", "fence").get(timeout=ENOUGH)
    assert result["run"] == run.id
    tally = shop.ended("cut off")
    assert (tally.started("cut off"), tally.duplicates()) == (1, set())
    assert not [line for worker in workers for line in worker.lines if "lease was lost" in line]
