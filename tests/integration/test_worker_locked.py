"""Runs whose key is held, and tasks that reach their workers in unusual ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery, chain, chord

from celery_singleton_beat import Locked, SingletonTask
from celery_singleton_beat.adapters.extension import extension_of
from tests.integration.workers import ENOUGH, occurrence

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery.canvas import Signature

    from tests.integration.workers import Shop
    from tests.rig.skew import ClockSkew

HOUR_MS = 3_600_000


def call(shop: Shop, task: str, key: str, *steps: tuple[str, Any]) -> Signature:
    """A signature of a task that this process does not have."""
    for verb, argument in steps:
        if verb == "gate":
            shop.gate(argument)
    return shop.client.signature(f"shop.{task}", args=[key, list(steps)])


def gather(shop: Shop, key: str) -> Signature:
    """A signature of the task that takes results in."""
    return shop.client.signature("shop.gather", kwargs={"key": key})


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_run_whose_key_is_held_gives_way_and_says_so(shop: Shop, pool: str) -> None:
    """S0-18, S1-05, S3-12, S4-06, S4-15, C10: the caller is told; the log says who holds it."""
    holder = shop.worker("prefork", 1)
    shop.send("early", "held", ("gate", "g"))
    shop.began("held")
    rival = shop.worker(pool, 1, "-Q", "rival")

    skipped = shop.send("early", "held", queue="rival").get(timeout=ENOUGH)
    shop.let("g")

    assert skipped == {
        "singleton_skipped": "locked",
        "lock_key": "early:held",
        "holder": f"{holder.name}@rig",
    }
    line = rival.wait_for("Run skipped", ENOUGH)
    assert "INFO" in line
    assert "key='early:held' reason='locked'" in line
    assert f"holder='{holder.name}@rig'" in line
    assert "starts=1" in holder.wait_for("Lock acquired", ENOUGH)
    assert shop.ended("held").started("held") == 1


def test_a_skip_is_for_good(shop: Shop) -> None:
    """C9, F4: an occurrence that gave way does not run when its message comes once more."""
    worker = shop.worker()
    about: dict[str, Any] = {"task_id": "an-occurrence", "headers": occurrence()}
    shop.send("early", "held", ("gate", "g"))
    shop.began("held")
    shop.send("early", "held", **about).get(timeout=ENOUGH)
    shop.let("g")
    shop.wait_free("early:held")

    shop.send("early", "held", **about)
    worker.wait_for("Duplicate message dropped.*verdict='DONE'", ENOUGH)

    assert shop.ended("held").started("held") == 1


def test_a_chord_with_a_skipped_member_completes(shop: Shop) -> None:
    """S4-06: its body gets the skip among the results."""
    shop.worker()
    shop.send("early", "held", ("gate", "g"))
    shop.began("held")

    members = [call(shop, "early", key) for key in ("one", "held", "two")]
    results = chord(members, gather(shop, "all"), app=shop.client)().get(timeout=ENOUGH)
    shop.let("g")

    assert [result.get("singleton_skipped") for result in results] == [None, "locked", None]


def test_a_chain_with_a_skipped_member_ends_there_and_its_caller_does_not_hang(
    shop: Shop,
) -> None:
    """S4-06: what would have followed is skipped with it, and the last result says so."""
    shop.worker()
    shop.send("early", "held", ("gate", "g"))
    shop.began("held")

    steps = chain(call(shop, "early", "held"), gather(shop, "next"), app=shop.client)
    result = steps.apply_async()
    last = result.get(timeout=ENOUGH)
    shop.let("g")

    assert last["singleton_skipped"] == "locked"
    shop.ended("held")
    assert shop.witness.tally().started("next") == 0


def test_retry_on_locked_queues_the_run_until_it_runs(shop: Shop) -> None:
    """S4-04, C9: it keeps its id, its chain and its callbacks, and burns none of its retries."""
    worker = shop.worker()
    shop.send("again", "busy", ("gate", "g"))
    shop.began("busy")

    waiting = call(shop, "again", "busy").set(task_id="the-one", link=gather(shop, "linked"))
    last = chain(waiting, gather(shop, "next"), app=shop.client).apply_async()
    requeued = "Run re-queued.*run='the-one'.*reason='locked' delay_ms=300"
    worker.wait_for(requeued, ENOUGH)
    worker.wait_for(requeued, ENOUGH, since=1 + worker.lines.index(worker.wait_for(requeued, 1)))
    shop.let("g")
    came = last.get(timeout=ENOUGH)

    assert (came["run"], came["retries"]) == ("the-one", 0)
    assert shop.ended("linked").started("linked") == 1
    assert shop.ended("next").started("next") == 1
    assert shop.ended("busy").overlapping("busy") == 0


def test_a_worker_whose_clock_is_wrong_delays_no_run_that_it_queues_again(
    shop: Shop, make_skew: Callable[[int], ClockSkew]
) -> None:
    """S0-38: it is an hour ahead, finds the key held, and another worker gets the message next."""
    shop.worker(concurrency=1)
    shop.send("again", "busy", ("gate", "g"))
    shop.began("busy")
    run = shop.send("again", "busy", queue="other")
    shop.send("early", "elsewhere", ("gate", "h"), queue="other")
    # It is in the second body when the first message is in the queue again.
    wrong = shop.worker("solo", 1, "-Q", "other", skew=make_skew(HOUR_MS))
    wrong.wait_for(f"Run re-queued.*run='{run.id}'", ENOUGH)
    shop.began("elsewhere")

    shop.let("g")
    shop.worker("prefork", 1, "-Q", "other")

    assert run.get(timeout=ENOUGH)["run"] == run.id
    shop.let("h")


def test_lock_retries_bound_how_often_a_run_is_queued_again(shop: Shop) -> None:
    """S0-11, S0-26, S4-03: twice here; then it gives way, for good."""
    worker = shop.worker()
    shop.send("again_twice", "busy", ("gate", "g"))
    shop.began("busy")

    result = shop.send("again_twice", "busy").get(timeout=ENOUGH)
    shop.let("g")

    assert result["singleton_skipped"] == "locked"
    assert shop.ended("busy").started("busy") == 1
    assert worker.terminate() == 0  # so that all that its processes said is there
    assert len([line for line in worker.lines if "Run re-queued" in line]) == 2


def test_a_late_acked_run_that_waits_for_its_key_is_not_lost(shop: Shop) -> None:
    """S4-03: three at once, one after another."""
    shop.worker(concurrency=3)
    runs = [shop.send("again_late", "queue", ("gate", "g")) for _ in range(3)]
    shop.began("queue")
    shop.let("g", 3)

    ids = {run.get(timeout=ENOUGH)["run"] for run in runs}

    assert ids == {run.id for run in runs}
    assert shop.ended("queue", 3).duplicates() == {"queue"}  # three runs of one key, by design
    assert shop.ended("queue", 3).overlapping("queue") == 0


def test_raise_on_locked_fails_and_names_key_and_holder(shop: Shop) -> None:
    """S4-06: for who wants an error."""
    worker = shop.worker()
    shop.send("strict", "held", ("gate", "g"))
    shop.began("held")

    failure = shop.send("strict", "held").get(timeout=ENOUGH, propagate=False)
    shop.let("g")

    assert isinstance(failure, Locked)
    assert str(failure) == f"lock key 'strict:held' is held by {worker.name}@rig"


def test_a_subclass_that_overrides_before_start_without_super_stays_protected(shop: Shop) -> None:
    """S3-01: and its own hook runs, under the lease."""
    shop.worker()
    shop.send("careless", "held", ("gate", "g"))
    shop.began("held")

    skipped = shop.send("careless", "held").get(timeout=ENOUGH)
    shop.let("g")

    assert skipped["singleton_skipped"] == "locked"
    assert shop.told("user's before_start", "held")["holds"] is True


def test_a_task_class_for_the_whole_application_protects_its_tasks(
    make_shop: Callable[..., Shop],
) -> None:
    """S3-01, C11: ``Celery(task_cls=SingletonTask)``; Celery's own tasks stay as they are."""
    shop = make_shop(task_cls="celery_singleton_beat:SingletonTask")
    shop.worker(concurrency=3)
    shop.send("by_class", "held", ("gate", "g"))
    shop.began("held")

    skipped = shop.send("by_class", "other").get(timeout=ENOUGH)
    shop.gate("map")
    passing = shop.client.signature("shop.pass_gate")
    maps = [
        shop.client.send_task("celery.map", kwargs={"task": passing, "it": ["map"]})
        for _ in range(2)
    ]
    shop.began("passes map", 2)
    shop.let("map", 2)
    shop.let("g")

    assert skipped["singleton_skipped"] == "locked"
    assert [result.get(timeout=ENOUGH) for result in maps] == [["map"], ["map"]]


def test_eager_mode_and_direct_calls_need_no_store() -> None:
    """S0-40: called as a function or eagerly it is a plain task."""
    app = Celery("offline", broker="memory://", set_as_current=False)
    app.conf.singleton_beat_redis_url = "redis://127.0.0.1:1/0"
    app.conf.task_always_eager = True

    @app.task(bind=True, shared=False, base=SingletonTask, lock_key="offline:{number}")
    def double(self: SingletonTask, number: int) -> tuple[int, object, object]:
        return 2 * number, self.lease, self.occurrence

    assert double(2) == (4, None, None)
    assert double.apply((3,)).get() == (6, None, None)
    assert double.delay(4).get(disable_sync_subtasks=False) == (8, None, None)
    assert "store" not in vars(extension_of(app))


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_memory_coordinates_the_threads_of_one_process(
    make_shop: Callable[..., Shop], pool: str
) -> None:
    """S0-02, S0-40, S4-08: without a Redis for the store, if that is asked for by name."""
    shop = make_shop(singleton_beat_redis_url="memory://")
    worker = shop.worker(pool)
    about: dict[str, Any] = {"task_id": "an-occurrence", "headers": occurrence()}
    shop.send("early", "here", **about).get(timeout=ENOUGH)

    shop.send("early", "here", **about)
    worker.wait_for("Duplicate message dropped.*verdict='DONE'", ENOUGH)
    if pool == "threads":
        shop.send("early", "here", ("gate", "g"))
        shop.began("here", 2)
        assert shop.send("early", "here").get(timeout=ENOUGH)["singleton_skipped"] == "locked"
        shop.let("g")

    assert shop.store.dbsize() == 0


def test_memory_is_refused_with_several_processes(make_shop: Callable[..., Shop]) -> None:
    """S0-40, C18: with the setting, the reason and the way out, and a failing exit status."""
    shop = make_shop(singleton_beat_redis_url="memory://")
    worker = shop.run("worker", "-c", "1", name="refused")

    line = worker.wait_for("ConfigurationError: ", ENOUGH)
    status = worker.wait_ended(ENOUGH)

    assert "singleton_beat_redis_url = 'memory://'" in line
    assert "--pool solo or threads, or set a Redis" in line
    assert status != 0
