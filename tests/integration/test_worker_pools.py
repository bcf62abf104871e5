"""What holds in every pool and on every broker: the faults of other tools, and Celery's ways."""

from __future__ import annotations

import signal
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.workers import ENOUGH, IMPATIENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.workers import Shop

POOLS = ("prefork", "threads", "solo")
TTL_MS = 1500


@pytest.fixture(params=["redis", "rabbitmq"])
def shop(request: pytest.FixtureRequest, make_shop: Callable[..., Shop]) -> Shop:
    """A shop on each of the brokers, with a queue of its own."""
    conf: dict[str, Any] = {"broker_transport_options": IMPATIENT}
    if request.param == "rabbitmq":
        conf = {"broker_url": request.getfixturevalue("rabbitmq")}
    queue = f"shop-{uuid.uuid4().hex}"
    return make_shop(singleton_beat_lock_ttl=TTL_MS / 1000, task_default_queue=queue, **conf)


@pytest.fixture
def rivals(shop: Shop) -> str:
    """The name of a second queue, so that rivals need not wait for a busy worker."""
    return f"{shop.conf['task_default_queue']}-rivals"


@pytest.mark.parametrize("pool", POOLS)
def test_a_run_longer_than_its_ttl_keeps_its_key_whoever_gives_way(
    shop: Shop, rivals: str, pool: str
) -> None:
    """C6, C7, F5, S0-24: and a rival that gave way frees nothing when it ends."""
    shop.worker(pool, 1)
    shop.worker(pool, 1, "-Q", rivals)
    run = shop.send("late", "long", ("gate", "g"))
    shop.began("long")
    taken = shop.lock("late:long")

    shop.wait_renewed("late:long", 2, ttl_ms=TTL_MS)
    skipped = [shop.send("late", "long", queue=rivals).get(timeout=ENOUGH) for _ in range(2)]
    held = shop.lock("late:long")
    shop.let("g")

    assert [result["singleton_skipped"] for result in skipped] == ["locked", "locked"]
    assert taken is not None
    assert held is not None
    assert held.holder == taken.holder
    assert run.get(timeout=ENOUGH)["run"] == run.id
    assert shop.ended("long").started("long") == 1
    shop.wait_free("late:long")


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("task", ["early", "late"])
def test_a_retry_is_published_runs_and_leaves_no_lock(shop: Shop, task: str, pool: str) -> None:
    """S0-20, S4-06: with either acknowledgement."""
    shop.worker(pool, 1)
    run = shop.send(task, "tries", ("retry", 2))

    assert run.get(timeout=ENOUGH)["retries"] == 2
    assert [body["retries"] for body in shop.bodies("tries")] == [0, 1, 2]
    shop.wait_free(f"{task}:tries")


@pytest.mark.parametrize("pool", POOLS)
def test_a_killed_worker_blocks_its_key_for_a_ttl_and_its_late_acked_run_begins_again(
    shop: Shop, pool: str
) -> None:
    """F6, S0-21, S0-37, S1-13: with a higher token, after the first one's end."""
    first = shop.worker(pool, 1)
    run = shop.send("late", "orphan", ("gate", "g"))
    shop.began("orphan")

    first.kill()
    shop.worker(pool, 1)
    shop.began("orphan", 2)
    shop.let("g")

    assert run.get(timeout=ENOUGH)["run"] == run.id
    tally = shop.ended("orphan")
    assert (tally.ended("orphan"), tally.reruns(), tally.duplicates()) == (1, 1, set())
    tokens = [body["token"] for body in shop.bodies("orphan")]
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_killed_worker_blocks_the_key_of_its_early_acked_run_for_a_ttl(
    shop: Shop, pool: str
) -> None:
    """F6, S0-21: that run is over, and the next one of its key begins.

    Not with solo: there Celery sends the early acknowledgement when the body has ended.
    """
    first = shop.worker(pool, 1)
    run = shop.send("early", "orphan", ("gate", "g"))
    shop.began("orphan")
    shop.wait_acknowledged(first)

    first.kill()
    shop.wait_lock("early:orphan", lambda lock: not lock or lock.deadline_ms < shop.store_now_ms())
    shop.worker(pool, 1)
    other = shop.send("early", "orphan")

    assert other.get(timeout=ENOUGH)["run"] == other.id
    assert [body["run"] for body in shop.bodies("orphan")] == [run.id, other.id]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_cold_shutdown_gives_a_late_acked_run_back_and_it_runs_alone(
    shop: Shop, pool: str
) -> None:
    """F8, S0-27: SIGQUIT; never beside what is still being unwound.

    Not for solo: there Celery's own handler raises in the body, which fails with that.
    """
    leaving = shop.worker(pool, 1)
    run = shop.send("late", "cut short", ("tell", None), ("gate", "g"))
    shop.told("self", "cut short")  # in its body: the witness will see it being unwound
    shop.wait_accepted(run)  # Celery gives back only what it knows to be running

    leaving.send(signal.SIGQUIT)
    shop.worker(pool, 1)
    if pool != "threads":  # a thread cannot be stopped: its process waits for it
        shop.began("cut short", 2)
    shop.let("g", 2)

    assert run.get(timeout=ENOUGH)["run"] == run.id
    shop.wait_free("late:cut short")
    assert shop.witness.tally().overlapping("cut short") == 0


@pytest.mark.parametrize("pool", POOLS)
def test_a_receiver_that_fails_before_a_run_opens_no_lock(
    shop: Shop, rivals: str, pool: str
) -> None:
    """S3-01: Celery runs the body all the same, and it is protected all the same."""
    shop.worker(pool, 1)
    shop.worker(pool, 1, "-Q", rivals)
    run = shop.send("early", "tripped", ("gate", "g"))
    shop.began("tripped")

    skipped = shop.send("early", "tripped", queue=rivals).get(timeout=ENOUGH)
    shop.let("g")

    assert skipped["singleton_skipped"] == "locked"
    assert shop.told("tripped", "tripped", 2)
    assert run.get(timeout=ENOUGH)["run"] == run.id


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("task", ["early", "late"])
def test_a_rejected_message_leaves_no_lock(shop: Shop, task: str, pool: str) -> None:
    """S0-20: acknowledged late it runs again, early it is gone; so it is with Celery."""
    shop.worker(pool, 1)
    run = shop.send(task, "given back", ("give back", None))
    shop.ended("given back")
    shop.wait_free(f"{task}:given back")

    if task == "late":
        assert run.get(timeout=ENOUGH)["run"] == run.id
    assert shop.send(task, "given back").get(timeout=ENOUGH)["token"]
    assert shop.witness.tally().overlapping("given back") == 0
