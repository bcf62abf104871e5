"""Workers of the gevent pool: one process, whose threads are greenlets, the heartbeat's too."""

from __future__ import annotations

import importlib.util
import signal
import uuid
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

# Without an event loop kombu looks for old messages only when a poll of two seconds comes to
# nothing: with BRPOPs of one second, the default, never.
LOOKING = {**IMPATIENT, "polling_interval": 4}

# Without a wheel for this Python it is left out; the dev extra brings it.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed"
)


def worker_of(shop: Shop, *arguments: str) -> Proc:
    """A gevent worker that can do four things at once."""
    return shop.worker("gevent", 4, *arguments)


def test_a_lease_outlives_a_run_of_ten_times_its_ttl_and_a_rival_gives_way(
    make_shop: Callable[..., Shop],
) -> None:
    """S0-24, C6, C7, F5: while its body waits, the heartbeat's greenlet has its turn."""
    shop = make_shop(singleton_beat_lock_ttl=1.5)
    worker_of(shop)
    first = shop.send("early", "long", ("gate", "g"))
    shop.began("long")

    shop.wait_renewed("early:long", 10, ttl_ms=1500)
    rival = shop.send("early", "long").get(timeout=ENOUGH)
    shop.let("g")

    assert rival["singleton_skipped"] == "locked"
    assert first.get(timeout=ENOUGH)["run"] == first.id
    assert shop.began("long").started("long") == 1
    shop.wait_free("early:long")


def test_a_second_publish_waits_and_is_dropped_when_the_first_has_ended(
    make_shop: Callable[..., Shop],
) -> None:
    """S0-01, C9."""
    shop = make_shop(singleton_beat_lock_ttl=1.5)
    worker = worker_of(shop)
    about: dict[str, Any] = {"task_id": str(uuid.uuid4()), "headers": occurrence()}
    first = shop.send("late", "twice", ("gate", "g"), **about)
    shop.began("twice")

    shop.send("late", "twice", **about)
    worker.wait_for("Run re-queued.*reason='twin'", ENOUGH)
    shop.let("g")
    worker.wait_for("Duplicate message dropped.*verdict='DONE'", ENOUGH)

    assert shop.ended("twice").started("twice") == 1
    assert first.get(timeout=ENOUGH)["run"] == first.id


def test_runs_of_one_key_go_one_after_another(shop: Shop) -> None:
    """S4-03, S4-04: queued again until the key is free."""
    worker_of(shop)
    runs = [shop.send("again_late", "queue", ("gate", "g")) for _ in range(3)]
    shop.began("queue")
    shop.let("g", 3)

    ids = {run.get(timeout=ENOUGH)["run"] for run in runs}

    assert ids == {run.id for run in runs}
    assert shop.ended("queue", 3).overlapping("queue") == 0


@pytest.mark.parametrize(("task", "step"), [("early", "retry"), ("stumbling", "stumble")])
def test_retries_run_under_the_same_id(shop: Shop, task: str, step: str) -> None:
    """S4-06: self.retry() and autoretry_for."""
    worker_of(shop)
    run = shop.send(task, "tries", (step, 2))

    assert run.get(timeout=ENOUGH)["retries"] == 2
    assert [body["retries"] for body in shop.bodies("tries")] == [0, 1, 2]
    shop.wait_free(f"{task}:tries")


def test_while_the_store_is_away_a_run_waits_in_the_queue_and_a_live_one_is_kept(
    own_redis: EmbeddedServer,
    make_proxy: Callable[[int], FaultProxy],
    make_shop: Callable[..., Shop],
) -> None:
    """C1, C8, F7: nothing new begins; when the store is back everything goes on by itself."""
    line = make_proxy(own_redis.port)
    shop = make_shop(
        singleton_beat_redis_url=f"redis://{HOST}:{line.port}/2",
        singleton_beat_socket_timeout=0.5,
        singleton_beat_lock_ttl=3,
    )
    worker = worker_of(shop)
    live = shop.send("late", "live", ("gate", "g"))
    shop.began("live")

    line.refuse()
    waiting = shop.send("late", "waiting")
    worker.wait_for("Run re-queued.*store away", ENOUGH)
    before = shop.began("waiting", 0).started("waiting")
    line.heal()
    result = waiting.get(timeout=ENOUGH)
    shop.wait_renewed("late:live", 3, ttl_ms=3000)
    shop.let("g")

    assert before == 0
    assert (result["run"], live.get(timeout=ENOUGH)["run"]) == (waiting.id, live.id)
    assert (shop.ended("waiting").started("waiting"), shop.ended("live").started("live")) == (1, 1)


def test_a_hard_limit_ends_a_run_and_frees_its_key(make_shop: Callable[..., Shop]) -> None:
    """S0-20, S0-21: the greenlet is unwound, in this process; nobody waits for a long TTL."""
    shop = make_shop(singleton_beat_lock_ttl=600)
    worker = worker_of(shop)
    shop.send("early", "slow", ("gate", "g"), time_limit=3)
    shop.began("slow")

    worker.wait_for("Hard time limit", ENOUGH)
    shop.wait_free("early:slow")

    assert shop.send("early", "slow").get(timeout=ENOUGH)["token"]
    assert not [line for line in worker.lines if "met an error" in line]


def test_a_hard_limit_while_the_store_is_away_keeps_no_other_lease_from_being_renewed(
    own_redis: EmbeddedServer,
    make_proxy: Callable[[int], FaultProxy],
    make_shop: Callable[..., Shop],
) -> None:
    """S0-20, F7: what that pool calls a process id is the number of a greenlet."""
    line = make_proxy(own_redis.port)
    shop = make_shop(
        singleton_beat_redis_url=f"redis://{HOST}:{line.port}/2",
        singleton_beat_socket_timeout=0.5,
        singleton_beat_lock_ttl=6,
    )
    worker = worker_of(shop)
    shop.send("early", "slow", ("gate", "g1"), time_limit=2)
    live = shop.send("early", "live", ("gate", "g2"))
    shop.began("slow")
    shop.began("live")

    line.refuse()
    worker.wait_for("Hard time limit", ENOUGH)
    line.heal()
    shop.wait_free("early:slow")
    shop.wait_renewed("early:live", 2, ttl_ms=6000)
    shop.let("g2")

    assert live.get(timeout=ENOUGH)["run"] == live.id
    assert not [text for text in worker.lines if "met an error" in text]


def test_a_terminated_run_frees_its_key(make_shop: Callable[..., Shop]) -> None:
    """S0-20: revoke(terminate=True)."""
    shop = make_shop(singleton_beat_lock_ttl=600)
    worker = worker_of(shop)
    doomed = shop.send("early", "revoked", ("gate", "g"))
    shop.began("revoked")

    shop.wait_reachable()
    doomed.revoke(terminate=True)
    shop.wait_free("early:revoked")

    assert shop.send("early", "revoked").get(timeout=ENOUGH)["token"]
    assert not [line for line in worker.lines if "met an error" in line]


def test_the_message_of_a_run_that_is_alive_does_not_come_again(
    make_shop: Callable[..., Shop],
) -> None:
    """S0-01: six visibility timeouts, one delivery."""
    shop = make_shop(singleton_beat_lock_ttl=1.5, broker_transport_options=LOOKING)
    workers = [worker_of(shop), worker_of(shop)]
    run = shop.send("late", "slow", ("gate", "g"))
    shop.began("slow")

    shop.wait_renewed("late:slow", 8, ttl_ms=1500)
    shop.let("g")
    run.get(timeout=ENOUGH)

    lines = [line for worker in workers for line in worker.lines]
    assert sum(f"[{run.id}] received" in line for line in lines) == 1
    assert shop.ended("slow").started("slow") == 1


def test_the_run_of_a_worker_that_was_killed_runs_again_elsewhere(
    make_shop: Callable[..., Shop],
) -> None:
    """F6, S0-21: all bodies of the process are gone with it."""
    shop = make_shop(singleton_beat_lock_ttl=1.5, broker_transport_options=LOOKING)
    first = worker_of(shop)
    run = shop.send("late", "orphan", ("gate", "g"))
    shop.began("orphan")

    first.kill()
    worker_of(shop)
    shop.began("orphan", 2)
    shop.let("g")

    assert run.get(timeout=ENOUGH)["run"] == run.id
    tally = shop.ended("orphan")
    assert (tally.ended("orphan"), tally.reruns(), tally.duplicates()) == (1, 1, set())


def test_a_worker_of_gevent_ends_in_good_order(shop: Shop) -> None:
    """F8: SIGTERM waits for the body; its end is recorded and its lease free."""
    worker = worker_of(shop)
    run = shop.send("late", "leaving", ("gate", "g"))
    shop.began("leaving")

    worker.send(signal.SIGTERM)
    worker.wait_for("Warm shutdown", ENOUGH)
    shop.let("g")

    assert run.get(timeout=ENOUGH)["run"] == run.id
    assert worker.wait_ended(ENOUGH) == 0
    assert shop.lock("late:leaving") is None
