"""Runs under real workers: each occurrence once, whatever happens to its messages."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.workers import ENOUGH, IMPATIENT, TTL_MS, occurrence

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.workers import Shop
    from tests.rig.processes import Process


def process_of(shop: Shop, key: str, number: int = 0) -> Process:
    """The process of a body."""
    return shop.began(key, number + 1).bodies[key][number].process


@pytest.mark.parametrize("pool", ["prefork", "threads"])
@pytest.mark.parametrize("task", ["early", "late"])
def test_a_second_publish_of_an_occurrence_does_not_run_while_the_first_does(
    make_shop: Callable[..., Shop], task: str, pool: str
) -> None:
    """S0-01, S1-12, S2-01, C9: it waits in the queue, and is dropped when the first has ended."""
    shop = make_shop(singleton_beat_lock_ttl=1.5)
    worker = shop.worker(pool)
    about: dict[str, Any] = {"task_id": str(uuid.uuid4()), "headers": occurrence()}
    first = shop.send(task, "twice", ("gate", "g"), **about)
    shop.began("twice")

    shop.send(task, "twice", **about)
    worker.wait_for("Run re-queued.*reason='twin'", ENOUGH)
    shop.let("g")
    worker.wait_for("Duplicate message dropped.*verdict='DONE'", ENOUGH)

    assert shop.ended("twice").started("twice") == 1
    assert first.get(timeout=ENOUGH)["run"] == first.id


@pytest.mark.parametrize("headers", [occurrence(), {}], ids=["occurrence", "ad hoc"])
@pytest.mark.parametrize("task", ["early", "late"])
def test_a_second_publish_after_the_end_is_dropped_and_leaves_the_result(
    shop: Shop, task: str, headers: dict[str, Any]
) -> None:
    """S0-01, F2: finishing does not undo what was claimed; the result stays the first one's."""
    worker = shop.worker()
    about: dict[str, Any] = {"task_id": str(uuid.uuid4()), "headers": headers}
    first = shop.send(task, "again", **about)
    result = first.get(timeout=ENOUGH)

    second = shop.send(task, "again", **about)
    worker.wait_for("Duplicate message dropped.*verdict='DONE'", ENOUGH)

    assert shop.ended("again").started("again") == 1
    assert second.get(timeout=ENOUGH) == result


@pytest.mark.parametrize("ending", ["fail", "ignore"])
def test_a_run_that_failed_or_ignored_itself_does_not_run_again_either(
    shop: Shop, ending: str
) -> None:
    """S0-01: an end is an end."""
    worker = shop.worker()
    about: dict[str, Any] = {"task_id": str(uuid.uuid4()), "headers": occurrence()}
    shop.send("late", "over", (ending, ""), **about)
    shop.ended("over")

    shop.send("late", "over", **about)
    worker.wait_for("Duplicate message dropped.*verdict='DONE'", ENOUGH)

    assert shop.ended("over").started("over") == 1


def test_a_redelivery_after_the_visibility_timeout_runs_nothing_twice(
    make_shop: Callable[..., Shop],
) -> None:
    """S0-01: the broker gives the message out again while its run goes on; it ends once."""
    shop = make_shop(singleton_beat_lock_ttl=20, broker_transport_options=IMPATIENT)
    frozen = shop.worker()
    run = shop.send("late", "slow", ("gate", "g"))
    shop.began("slow")
    other = shop.worker()

    frozen.freeze()  # its main process: nobody tells the broker of the run in the child
    other.wait_for("Run re-queued.*reason='twin'", ENOUGH)
    frozen.thaw()
    shop.let("g")
    result = run.get(timeout=ENOUGH)

    shop.wait_settled()
    tally = shop.ended("slow")
    assert (tally.started("slow"), tally.duplicates()) == (1, set())
    assert result["run"] == run.id


def test_a_redelivered_message_runs_when_the_first_run_was_lost_meanwhile(
    make_shop: Callable[..., Shop],
) -> None:
    """F6, S0-37, S1-13: what was re-queued as a twin is the job, once the holder was killed."""
    shop = make_shop(singleton_beat_lock_ttl=8, broker_transport_options=IMPATIENT)
    first = shop.worker(concurrency=1)
    run = shop.send("late", "lost", ("gate", "g"))
    shop.began("lost")
    second = shop.worker(concurrency=1)
    first.freeze()
    second.wait_for("Run re-queued.*reason='twin'", ENOUGH)

    first.kill()
    shop.began("lost", 2)
    shop.let("g")
    result = run.get(timeout=ENOUGH)

    tally = shop.ended("lost")
    assert (tally.ended("lost"), tally.reruns(), tally.duplicates()) == (1, 1, set())
    assert result["run"] == run.id


def test_a_late_acked_run_whose_child_was_killed_is_run_again_at_once(
    make_shop: Callable[..., Shop],
) -> None:
    """S0-21, S0-37, F6: the main process frees the lease before the message goes back."""
    shop = make_shop(singleton_beat_lock_ttl=600)
    worker = shop.worker()
    run = shop.send("late", "killed", ("gate", "g"))

    worker.kill_child(process_of(shop, "killed"))
    shop.began("killed", 2)
    shop.let("g")

    assert run.get(timeout=ENOUGH)["run"] == run.id
    tally = shop.ended("killed")
    assert (tally.ended("killed"), tally.reruns(), tally.duplicates()) == (1, 1, set())
    assert not [line for line in worker.lines if "reason='twin'" in line]


def test_an_early_acked_run_whose_child_was_killed_is_over_and_its_key_free(
    make_shop: Callable[..., Shop],
) -> None:
    """S0-21: at most once; nobody waits for a TTL of ten minutes."""
    shop = make_shop(singleton_beat_lock_ttl=600)
    worker = shop.worker()
    run = shop.send("early", "killed", ("gate", "g"))

    worker.kill_child(process_of(shop, "killed"))
    failure = run.get(timeout=ENOUGH, propagate=False)
    shop.wait_free("early:killed")

    assert type(failure).__name__ == "WorkerLostError"
    shop.send("early", "killed", ("gate", "g"))
    shop.began("killed", 2)
    shop.let("g")
    shop.ended("killed")
    assert [body["run"] == run.id for body in shop.bodies("killed")] == [True, False]


def test_a_late_acked_run_whose_worker_was_killed_runs_again_after_its_lease(
    make_shop: Callable[..., Shop],
) -> None:
    """F6, S0-21, S0-37, S1-13: by another worker, with a higher token, with no manual step."""
    shop = make_shop(singleton_beat_lock_ttl=1.5, broker_transport_options=IMPATIENT)
    first = shop.worker()
    run = shop.send("late", "orphan", ("gate", "g"))
    shop.began("orphan")

    first.kill()
    shop.worker()
    shop.began("orphan", 2)
    shop.let("g")

    assert run.get(timeout=ENOUGH)["run"] == run.id
    tally = shop.ended("orphan")
    assert (tally.ended("orphan"), tally.reruns(), tally.duplicates()) == (1, 1, set())
    tokens = [body["token"] for body in shop.bodies("orphan")]
    assert tokens == sorted(set(tokens))


def test_an_early_acked_run_whose_worker_was_killed_blocks_its_key_for_a_ttl_at_most(
    make_shop: Callable[..., Shop],
) -> None:
    """F6, S0-21: another run of the key begins; the killed one does not come back."""
    shop = make_shop(singleton_beat_lock_ttl=1.5, broker_transport_options=IMPATIENT)
    first = shop.worker(concurrency=1)
    run = shop.send("early", "orphan", ("gate", "g"))
    shop.began("orphan")
    shop.wait_acknowledged(first)
    lock = shop.lock("early:orphan")

    first.kill()
    left, killed_ms = shop.lock("early:orphan"), shop.store_now_ms()
    shop.worker()
    shop.wait_lock("early:orphan", lambda lock: not lock or lock.deadline_ms < shop.store_now_ms())
    other = shop.send("early", "orphan")

    assert lock is not None
    assert other.get(timeout=ENOUGH)["token"] > lock.token
    shop.wait_free("early:orphan")
    assert left is None or left.deadline_ms <= killed_ms + 1500
    assert [body["run"] for body in shop.bodies("orphan")] == [run.id, other.id]


@pytest.mark.parametrize(
    ("task", "step"), [("early", "retry"), ("late", "retry"), ("stumbling", "stumble")]
)
def test_retries_run_under_the_same_id_and_an_older_attempt_is_stale(
    shop: Shop, task: str, step: str
) -> None:
    """S4-06: self.retry() and autoretry_for; a second publish of the first attempt is dropped."""
    worker = shop.worker()
    about: dict[str, Any] = {"task_id": str(uuid.uuid4()), "headers": occurrence()}
    run = shop.send(task, "tries", (step, 2), ("gate", "g"), **about)
    shop.began("tries", 3)

    shop.send(task, "tries", (step, 2), **about)
    worker.wait_for("Duplicate message dropped.*verdict='STALE'", ENOUGH)
    shop.let("g")

    assert run.get(timeout=ENOUGH)["retries"] == 2
    bodies = shop.bodies("tries")
    assert [body["retries"] for body in bodies] == [0, 1, 2]
    assert {body["run"] for body in bodies} == {run.id}
    assert shop.ended("tries").overlapping("tries") == 0


def test_the_key_is_free_while_a_retry_waits(shop: Shop) -> None:
    """S0-20: nobody else waits for somebody's countdown."""
    shop.worker()
    first = shop.send("early", "pause", ("retry", 1), ("gate", "g"))
    first_body = shop.began("pause", 2)

    shop.let("g")
    first.get(timeout=ENOUGH)

    assert first_body.overlapping("pause") == 0
    shop.wait_free("early:pause")


def test_a_retry_that_does_not_leave_the_body_is_not_taken_for_its_end(shop: Shop) -> None:
    """S4-06: retry(throw=False) goes on to the body's end, and the retry runs all the same."""
    shop.worker()
    run = shop.send("early", "going on", ("retry and go on", None), ("gate", "g"))
    shop.began("going on")
    shop.let("g", 2)

    shop.ended("going on", 2)

    assert [body["retries"] for body in shop.bodies("going on")] == [0, 1]
    assert {body["run"] for body in shop.bodies("going on")} == {run.id}


def test_a_body_that_goes_on_after_its_retry_is_told_that_its_lease_is_over(shop: Shop) -> None:
    """S4-06: another run has its key by then, and at most one of them is told yes."""
    shop.worker()
    first = (("tell", None), ("retry and go on", 60), ("gate", "g"), ("tell", None))
    shop.send("early", "shared", *first)
    shop.told("self", "shared")
    shop.wait_free("early:shared")

    shop.send("early", "shared", ("gate", "h"), ("tell", None))
    shop.began("shared", 2)
    shop.let("g")
    shop.told("self", "shared", 2)
    shop.let("h")
    shop.told("self", "shared", 3)

    told = [fact for fact in shop.witness.facts() if fact["kind"] == "self"]
    told.sort(key=lambda fact: fact["at_ns"])
    assert [fact["lost"] for fact in told] == [False, True, False]
    assert told[0]["token"] == told[1]["token"] < told[2]["token"]


def test_a_retry_beyond_the_allowed_ones_is_an_end(shop: Shop) -> None:
    """S0-20: the run failed; a second publish is dropped and its key is free."""
    worker = shop.worker()
    about: dict[str, Any] = {"task_id": str(uuid.uuid4()), "headers": occurrence()}
    run = shop.send("stumbling", "hopeless", ("stumble", 99), **about)
    failure = run.get(timeout=ENOUGH, propagate=False)
    shop.wait_done(run.id)
    kinds = [fact.kind for fact in reversed(shop.history()) if fact.run == run.id]
    assert kinds == ["started", "retrying"] * 3 + ["started", "failed"]
    assert shop.lock("stumbling:hopeless") is None

    shop.send("stumbling", "hopeless", ("stumble", 99), **about)
    worker.wait_for("Duplicate message dropped.*verdict='DONE'", ENOUGH)

    assert isinstance(failure, ConnectionError)
    assert shop.ended("hopeless").started("hopeless") == 4


def test_a_rejected_and_requeued_message_runs_again(shop: Shop) -> None:
    """S0-20: Reject(requeue=True) ends the attempt, not the run."""
    shop.worker()
    run = shop.send("late", "given back", ("give back", None))

    assert run.get(timeout=ENOUGH)["run"] == run.id
    assert shop.ended("given back", 2).overlapping("given back") == 0
    shop.wait_free("late:given back")


def test_a_late_acked_run_beyond_its_hard_limit_is_run_again_if_its_task_says_so(
    make_shop: Callable[..., Shop],
) -> None:
    """S0-21: not beside the process that is being killed."""
    shop = make_shop(
        singleton_beat_lock_ttl=600,
        task_acks_on_failure_or_timeout=False,
        task_acks_on_timeout=False,
    )
    shop.worker(concurrency=1)
    run = shop.send("late", "too slow", ("gate", "g"), time_limit=4)
    shop.began("too slow", 2)
    shop.let("g", 2)

    # The first is killed by TERM and then KILL: it may or may not have had time to unwind.
    tally = shop.witness.wait_until(
        lambda tally: any(b.outcome == "succeeded" for b in tally.bodies["too slow"]), ENOUGH
    )

    assert shop.bodies("too slow")[1]["run"] == run.id
    first, second = tally.bodies["too slow"]
    assert first.outcome in (None, "failed")
    assert second.outcome == "succeeded"


def test_an_occurrence_is_what_its_task_sees(shop: Shop) -> None:
    """S2-20: entry, moment, the one before it and the cause; none for an ad-hoc call."""
    shop.worker()
    about = occurrence("nightly", 1_700_000_060_000, previous_ms=1_700_000_000_000, cause="c1")
    shop.send("early", "told", ("tell", None), headers=about).get(timeout=ENOUGH)
    shop.send("keyless", "keyless", ("tell", None), headers=about).get(timeout=ENOUGH)
    shop.send("keyless", "ad hoc", ("tell", None)).get(timeout=ENOUGH)

    told, keyless, ad_hoc = (shop.told("self", key) for key in ("told", "keyless", "ad hoc"))

    assert told["occurrence"] == {
        "entry": "nightly",
        "cause": "c1",
        "scheduled_at": "2023-11-14T22:14:20+00:00",
        "previous_at": "2023-11-14T22:13:20+00:00",
    }
    assert (told["lease"], keyless["lease"]) == ("early:told", "shop.keyless:nightly")
    assert (ad_hoc["occurrence"], ad_hoc["lease"]) == (None, "shop.keyless")


def test_a_message_beyond_its_dedupe_window_is_refused_and_says_so(shop: Shop) -> None:
    """S0-01: after the window nobody can know whether it ran; it does not."""
    worker = shop.worker()
    late = occurrence(not_after_ms=shop.store_now_ms() - 1)

    result = shop.send("early", "late", headers=late).get(timeout=ENOUGH)

    assert "dedupe window" in result["singleton_skipped"]
    worker.wait_for("Run skipped.*dedupe window", ENOUGH)
    assert shop.began("late", 0).started("late") == 0


def test_a_ticket_is_good_in_one_process_only(make_shop: Callable[..., Shop]) -> None:
    """S0-01: what the main process tells its child is not in a message that is queued again."""
    shop = make_shop()
    shop.worker()
    shop.send("again", "held", ("gate", "g"))
    shop.began("held")
    shop.send("again", "held", ("tell", None), ("retry", 1))
    shop.wait_renewed("again:held", 1.5)

    shop.let("g")
    shop.ended("held", 2)

    assert TTL_MS == 3000
    told = shop.told("self", "held", 2)
    assert not [name for name in told["headers"] if "ticket" in name]
    assert shop.ended("held").overlapping("held") == 0
