"""What every store promises of overlap: whether the run before is queued, runs, or is over."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.claim import Queued, Settled, Settlement
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.protocol.run import NOTICE_MS, Outcome
from celery_singleton_beat.testing.harness import START_MS, TTL_MS, StoreUnderTest, equal

FOR_MS = 60_000


def _publish(it: StoreUnderTest, run: str = "run") -> Settlement:
    """Settle one claim that published a run which counts as queued."""
    it.plan(x=START_MS)
    (claim,) = it.claim("r1").claims
    slot = replace(claim.slot, due_ms=claim.slot.due_ms + 1000)
    told = Settlement("x", claim.slot.fence, slot, queued=(Queued(run, FOR_MS),))
    equal(it.store.settle("a", [told]), [Settled.CONFIRMED])
    return told


def a_run_that_nobody_knows_is_not_busy(it: StoreUnderTest) -> None:
    equal(it.store.busy(["nobody"]), [False])
    equal(it.store.busy([]), [])


def a_published_run_is_busy_until_its_time_is_over(it: StoreUnderTest) -> None:
    _publish(it)

    it.clock.advance(FOR_MS - 1)
    equal(it.store.busy(["run", "nobody"]), [True, False])
    it.clock.advance(1)

    equal(it.store.busy(["run"]), [False])


def what_was_not_sent_at_most_once_is_busy_no_longer(it: StoreUnderTest) -> None:
    _publish(it)
    it.store.note_once("x", [Told("published", START_MS, "run", "r1", "")], [])
    equal(it.store.busy(["run"]), [True])

    dropped = Told("dropped", START_MS, "run", "r|1", "not sent: é")
    it.store.note_once("x", [dropped, dropped._replace(run="other")], ["run", "nobody"])

    equal(it.store.busy(["run"]), [False])
    equal(it.kinds(), ["published", "dropped", "dropped"])
    fact = it.store.history(2)[1]
    equal((fact.entry, fact.scheduled_ms, fact.run, fact.by), ("x", START_MS, "run", "r|1"))
    equal(fact.note, "not sent: é")


def a_stored_entry_s_run_is_busy_too(it: StoreUnderTest) -> None:
    it.put()
    it.clock.advance(10_000)
    (claim,) = it.take("r1").claims

    it.settle_stored(claim, queued=(Queued("run", FOR_MS),))

    equal(it.store.busy(["run"]), [True])


def a_settlement_that_comes_too_late_queues_nothing(it: StoreUnderTest) -> None:
    told = _publish(it, "first")

    late = told._replace(queued=(Queued("second", FOR_MS),))

    equal(it.store.settle("a", [late]), [Settled.CONFIRMED])
    equal(it.store.busy(["second"]), [False])


def a_run_that_began_is_busy_until_it_has_ended(it: StoreUnderTest) -> None:
    _publish(it)
    attempt = it.attempt()
    it.begin(attempt)

    it.clock.advance(FOR_MS // 3)
    it.renew(attempt)
    it.clock.advance(TTL_MS - 1)
    equal(it.store.busy(["run"]), [True])
    it.finish(attempt, Outcome.SUCCEEDED)

    equal(it.store.busy(["run"]), [False])


def a_run_whose_worker_died_is_busy_until_its_notice_is_over(it: StoreUnderTest) -> None:
    it.begin(it.attempt())

    it.clock.advance(TTL_MS + NOTICE_MS - 1)
    equal(it.store.busy(["run"]), [True])
    it.clock.advance(1)

    equal(it.store.busy(["run"]), [False])


def a_run_that_will_be_run_again_is_busy(it: StoreUnderTest) -> None:
    it.begin(it.attempt(message="message"))

    it.clock.advance(TTL_MS + 10 * NOTICE_MS)

    equal(it.store.busy(["run"]), [True])


def a_run_that_waits_for_its_retry_is_busy(it: StoreUnderTest) -> None:
    attempt = it.attempt()
    it.begin(attempt)
    it.finish(attempt, Outcome.RETRYING, wait_ms=FOR_MS)

    it.clock.advance(FOR_MS)

    equal(it.store.busy(["run"]), [True])


OVERLAP_CHECKS = (
    a_run_that_nobody_knows_is_not_busy,
    a_published_run_is_busy_until_its_time_is_over,
    what_was_not_sent_at_most_once_is_busy_no_longer,
    a_stored_entry_s_run_is_busy_too,
    a_settlement_that_comes_too_late_queues_nothing,
    a_run_that_began_is_busy_until_it_has_ended,
    a_run_whose_worker_died_is_busy_until_its_notice_is_over,
    a_run_that_will_be_run_again_is_busy,
    a_run_that_waits_for_its_retry_is_busy,
)
