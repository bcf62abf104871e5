"""Leases under real workers: as long as the run, never longer than a TTL after it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from celery_singleton_beat.demo.server import HOST
from tests.integration.workers import ENOUGH, TTL_MS
from tests.rig.proxy import TO_SERVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.integration.workers import Shop
    from tests.rig.proxy import FaultProxy

LOCKED = {"singleton_skipped": "locked"}


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_lease_outlives_a_run_of_ten_times_its_ttl(
    make_shop: Callable[..., Shop], pool: str
) -> None:
    """S0-24, C6, C7, F5: a rival that asks meanwhile is told no, and gives way."""
    shop = make_shop(singleton_beat_lock_ttl=1.5, singleton_beat_renew_every=0.3)
    shop.worker(pool)
    first = shop.send("early", "long", ("gate", "g"))
    shop.began("long")

    shop.wait_renewed("early:long", 10, ttl_ms=1500)
    rival = shop.send("early", "long").get(timeout=ENOUGH)
    shop.let("g")

    assert rival["singleton_skipped"] == "locked"
    assert first.get(timeout=ENOUGH)["run"] == first.id
    assert shop.began("long").started("long") == 1
    shop.wait_free("early:long")


def test_a_lease_outlives_a_run_that_holds_the_interpreter_lock(
    make_shop: Callable[..., Shop],
) -> None:
    """S0-24, C7: nothing else runs in the child for ten TTLs, and the lease is kept."""
    shop = make_shop(singleton_beat_lock_ttl=1.2)
    shop.worker()
    first = shop.send("early", "greedy", ("holding gate", "g"))
    shop.began("greedy")

    shop.wait_renewed("early:greedy", 10, ttl_ms=1200)
    rival = shop.send("early", "greedy").get(timeout=ENOUGH)
    shop.let("g")

    assert rival["singleton_skipped"] == "locked"
    assert first.get(timeout=ENOUGH)["run"] == first.id
    # A thread that had its turns would have told 1,200; before and after the call it has some.
    assert shop.told("held", "greedy")["ticks"] < 60
    assert shop.began("greedy").started("greedy") == 1


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_the_result_is_there_before_the_lease_is_freed(
    make_shop: Callable[..., Shop],
    make_proxy: Callable[[int], FaultProxy],
    own_redis: EmbeddedServer,
    pool: str,
) -> None:
    """Whoever waits for it may come too early for the key, and never too late for the result."""
    line = make_proxy(own_redis.port)
    # No answer is given up while the result is waited for.
    slowly = {"singleton_beat_socket_timeout": 3 * ENOUGH, "singleton_beat_lock_ttl": 3 * ENOUGH}
    shop = make_shop(singleton_beat_redis_url=f"redis://{HOST}:{line.port}/2", **slowly)
    shop.worker(pool, 1)
    run = shop.send("early", "slow", ("gate", "g"))
    shop.began("slow")

    line.hold(TO_SERVER)
    shop.let("g")
    result = run.get(timeout=ENOUGH)
    line.wait_until(lambda now: now.held[TO_SERVER] > 0, ENOUGH)

    assert result["run"] == run.id
    lock = shop.lock("early:slow")
    assert lock is not None
    assert lock.deadline_ms > shop.store_now_ms()
    line.heal()
    shop.wait_free("early:slow")


def test_one_command_renews_all_the_runs_of_a_process(make_shop: Callable[..., Shop]) -> None:
    """S0-35: the store's work grows with processes, not with runs."""
    shop = make_shop(singleton_beat_lock_ttl=3.0)
    shop.worker(concurrency=6)
    for number in range(6):
        shop.send("early", f"k{number}", ("gate", "g"))
    for number in range(6):
        shop.began(f"k{number}")
    shop.wait_renewed("early:k0", 1.5, ttl_ms=3000)

    calls = shop.calls("evalsha")
    shop.wait_renewed("early:k0", 4.5, ttl_ms=3000)
    asked = shop.calls("evalsha") - calls
    shop.let("g", 6)

    assert 3 <= asked <= 15  # about nine renewals, a second apart; one by one it were 54
    for number in range(6):
        shop.ended(f"k{number}")


def test_the_fencing_token_grows_from_run_to_run(shop: Shop) -> None:
    """S0-22: and the record in the store says who holds the key, since when, until when."""
    worker = shop.worker()
    for _ in range(2):
        shop.send("early", "fenced").get(timeout=ENOUGH)
        shop.wait_free("early:fenced")
    shop.send("early", "fenced", ("gate", "g"))
    shop.began("fenced", 3)

    lock = shop.lock("early:fenced")
    shop.let("g")

    tokens = [body["token"] for body in shop.bodies("fenced")]
    assert tokens == sorted(set(tokens))
    assert lock is not None
    assert lock.token == tokens[-1]
    assert lock.owner == f"{worker.name}@rig"
    assert lock.acquired_ms < lock.deadline_ms <= shop.store_now_ms() + TTL_MS


@pytest.mark.parametrize("task", ["early", "late"])
def test_a_warm_shutdown_keeps_the_lease_of_the_run_that_goes_on(
    make_shop: Callable[..., Shop], task: str
) -> None:
    """F8, S0-27: SIGTERM in the middle of a run of several TTLs starts it nowhere else."""
    shop = make_shop(singleton_beat_lock_ttl=1.2)
    leaving = shop.worker()
    first = shop.send(task, "leaving", ("gate", "g"))
    shop.began("leaving")

    leaving.send(signal.SIGTERM)
    leaving.wait_for("Warm shutdown", ENOUGH)
    shop.worker()
    shop.wait_renewed(f"{task}:leaving", 4, ttl_ms=1200)
    rival = shop.send(task, "leaving").get(timeout=ENOUGH)
    shop.let("g")

    assert rival["singleton_skipped"] == "locked"
    assert first.get(timeout=ENOUGH)["run"] == first.id
    assert leaving.wait_ended(ENOUGH) == 0
    assert shop.lock(f"{task}:leaving") is None
    assert shop.began("leaving").started("leaving") == 1


def test_a_child_whose_main_process_is_frozen_sees_its_lease_lost(
    make_shop: Callable[..., Shop],
) -> None:
    """C8: ``lost`` and ``check()`` say so without anybody's help; another run may begin."""
    shop = make_shop(singleton_beat_lock_ttl=1.5)
    frozen = shop.worker(concurrency=1)
    shop.send("early", "cut off", ("until lost", None), ("gate", "g"))
    trusted = shop.told("trusts", "cut off")

    frozen.freeze()
    lost = shop.told("lost", "cut off")
    shop.wait_lock("early:cut off", lambda lock: not lock or lock.deadline_ms < shop.store_now_ms())
    shop.worker(concurrency=1)
    shop.send("early", "cut off")
    shop.began("cut off", 2)
    frozen.thaw()
    reported = frozen.wait_for("A lease was lost while its task runs", ENOUGH)
    shop.let("g")

    assert trusted["lost"] is False
    assert "'early:cut off' is over" in lost["text"]
    assert "early:cut off" in reported
    tokens = [body["token"] for body in shop.bodies("cut off")]
    assert tokens == sorted(set(tokens))


def test_a_hard_limit_frees_the_key_when_the_process_is_gone(
    make_shop: Callable[..., Shop],
) -> None:
    """S0-20, S0-21: not before its process has ended, and without waiting for a long TTL."""
    shop = make_shop(singleton_beat_lock_ttl=60)
    worker = shop.worker(concurrency=1)
    shop.send("early", "slow", ("stubborn gate", "g"), time_limit=3)
    process = shop.began("slow").bodies["slow"][0].process

    shop.wait_free("early:slow")

    assert process not in worker.group()
    worker.wait_for("Hard time limit", ENOUGH)
    assert shop.send("early", "slow").get(timeout=ENOUGH)["token"]


def test_a_soft_limit_ends_the_lease_with_the_body_and_not_before(
    make_shop: Callable[..., Shop],
) -> None:
    """S0-20: a body that survives its soft limit keeps its lease; one that does not frees it."""
    shop = make_shop(singleton_beat_lock_ttl=60)
    shop.worker()
    stubborn = shop.send("early", "soft", ("patient gate", "g1"), ("gate", "g2"), soft_time_limit=3)
    shop.told("warned", "soft")

    rival = shop.send("early", "soft").get(timeout=ENOUGH)
    shop.let("g2")
    stubborn.get(timeout=ENOUGH)
    shop.wait_free("early:soft")
    broken = shop.send("early", "soft", ("gate", "g1"), soft_time_limit=1)
    failure = broken.get(timeout=ENOUGH, propagate=False)

    assert rival["singleton_skipped"] == "locked"
    assert type(failure).__name__ == "SoftTimeLimitExceeded"
    shop.wait_free("early:soft")


@pytest.mark.parametrize("number", ["SIGTERM", "SIGKILL"])
def test_a_terminated_run_frees_its_key_when_it_is_gone(
    make_shop: Callable[..., Shop], number: str
) -> None:
    """S0-20: revoke(terminate=True), whatever the signal."""
    shop = make_shop(singleton_beat_lock_ttl=60)
    worker = shop.worker()
    doomed = shop.send("early", "revoked", ("gate", "g"))
    process = shop.began("revoked").bodies["revoked"][0].process

    doomed.revoke(terminate=True, signal=number)
    shop.wait_free("early:revoked")

    worker.wait_for("Terminating", ENOUGH)
    if number == "SIGKILL":
        assert process not in worker.group()
    assert shop.send("early", "revoked").get(timeout=ENOUGH)["token"]


def test_failing_ignoring_and_succeeding_free_the_key(make_shop: Callable[..., Shop]) -> None:
    """S0-19, S0-20, S1-06, S3-03: the key is free with the end of the body, not with the TTL."""
    shop = make_shop(singleton_beat_lock_ttl=60)
    worker = shop.worker()
    shop.send("early", "plain").get(timeout=ENOUGH)
    shop.send("early", "failing", ("fail", "no")).get(timeout=ENOUGH, propagate=False)
    shop.send("early", "ignoring", ("ignore", None))
    shop.ended("ignoring")

    for key in ("plain", "failing", "ignoring"):
        shop.wait_free(f"early:{key}")

    for outcome in ("succeeded", "failed", "succeeded"):
        worker.wait_for(f"Run ended.*outcome='{outcome}' recorded=True", ENOUGH)
