"""Overlap and delivery: what is not sent while the run before is not over, or not sent twice."""

from __future__ import annotations

import pytest

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.publisher import Sent
from celery_singleton_beat.protocol.entry import CatchUp, Overlap, Timing
from celery_singleton_beat.protocol.recurrences.recurrence import Interval
from celery_singleton_beat.protocol.run import Attempt, Outcome
from celery_singleton_beat.store.port import Ending
from celery_singleton_beat.testing import START_MS
from tests.unit.replicas import Deployment


@pytest.fixture
def it() -> Deployment:
    return Deployment()


def apart(overlap: Overlap, **fields: object) -> dict[str, Timing]:
    return {"x": Timing("x", Interval(10_000), overlap=overlap, **fields)}  # type: ignore[arg-type]


def at(*seconds: int) -> list[int]:
    return [START_MS + second * 1000 for second in seconds]


def attempt(it: Deployment, number: int = -1) -> Attempt:
    """The run of a message that was sent."""
    run = it.broker.task_id(it.broker.sent[number])
    return Attempt(run, f"holder {run}", "key", 600_000, owner="worker")


def run_through(it: Deployment) -> None:
    """Let a worker take the last message and finish its run."""
    one = attempt(it)
    it.store.begin(one, close_if_busy=False, grace_ms=0)
    it.store.finish([Ending(one, Outcome.SUCCEEDED, 0)])


def test_what_is_queued_keeps_the_next_ones_from_being_sent(it: Deployment) -> None:
    """While the workers are away nothing piles up."""
    beat = it.replica(apart(Overlap.SKIP))

    it.run(100, beat)

    assert it.sent() == at(10)
    missed = it.heard(happened.OccurrencesMissed)
    assert {(m.first_ms, m.reason) for m in missed} == {  # type: ignore[attr-defined]
        (first_ms, "overlap") for first_ms in at(*range(20, 101, 10))
    }


def test_what_runs_keeps_the_next_ones_from_being_sent_until_it_ends(it: Deployment) -> None:
    beat = it.replica(apart(Overlap.SKIP))
    it.run(15, beat)
    one = attempt(it)
    it.store.begin(one, close_if_busy=False, grace_ms=0)

    it.run(30, beat)
    it.store.finish([Ending(one, Outcome.FAILED, 0)])
    it.run(10, beat)

    assert it.sent() == at(10, 50)


def test_an_occurrence_that_waits_is_sent_when_the_one_before_has_ended(it: Deployment) -> None:
    beat = it.replica(apart(Overlap.QUEUE))
    it.run(35, beat)
    assert it.sent() == at(10)

    run_through(it)
    it.run(2, beat)

    assert it.sent() == at(10, 30)  # the latest of those that wait; catch-up is "latest"
    (missed,) = it.heard(happened.OccurrencesMissed)
    assert (missed.first_ms, missed.last_ms, missed.by_ms) == (*at(20, 20), *at(30))  # type: ignore[attr-defined]


def test_with_catch_up_all_those_that_wait_are_sent_one_after_another(it: Deployment) -> None:
    beat = it.replica(apart(Overlap.QUEUE, catch_up=CatchUp.ALL))
    it.run(35, beat)

    for _ in range(2):
        run_through(it)
        it.run(2, beat)

    assert it.sent() == at(10, 20, 30)


def test_what_is_left_out_is_no_run_of_those_that_there_may_be(it: Deployment) -> None:
    beat = it.replica(apart(Overlap.SKIP, max_runs=2))
    it.run(25, beat)

    run_through(it)
    it.run(30, beat)

    assert it.sent() == at(10, 30)


def test_a_queued_run_stops_blocking_after_its_limit(it: Deployment) -> None:
    beat = it.replica(apart(Overlap.SKIP, overlap_limit_ms=25_000))

    it.run(60, beat)

    assert it.sent() == at(10, 40)


def test_by_default_a_queued_run_blocks_for_an_hour_or_until_it_is_refused() -> None:
    daily = Timing("x", Interval(86_400_000), overlap=Overlap.SKIP)
    often = Timing("x", Interval(10_000), overlap=Overlap.SKIP)

    assert daily.queued_ms(86_400_000, daily.window_ms(86_400_000)) == 86_400_000
    assert often.queued_ms(10_000, often.window_ms(10_000)) == 600_000
    assert often.queued_ms(10_000, 86_400_000) == 3_600_000


def test_without_a_record_nothing_is_in_the_way(it: Deployment) -> None:
    beat = it.replica(apart(Overlap.SKIP, dedupe_window_ms=5000))

    it.run(30, beat)

    assert it.sent() == at(10, 20, 30)


def test_at_most_once_moves_on_before_it_publishes(it: Deployment) -> None:
    """A message that may have been sent is not sent again; it is told of."""
    beat = it.replica(apart(Overlap.ALLOW, is_at_most_once=True))
    it.broker.fates["x"] = Sent.UNKNOWN

    it.run(25, beat)

    assert it.sent() == at(10, 20)
    assert [d.scheduled_ms for d in it.heard(happened.OccurrenceDropped)] == at(10, 20)  # type: ignore[attr-defined]


@pytest.mark.parametrize("fate", [Sent.UNSENT, Sent.FAILED])
@pytest.mark.parametrize("overlap", [Overlap.SKIP, Overlap.QUEUE])
def test_at_most_once_what_was_not_sent_keeps_the_next_one_from_nothing(
    it: Deployment, overlap: Overlap, fate: Sent
) -> None:
    beat = it.replica(apart(overlap, is_at_most_once=True))
    it.broker.fates["x"] = fate
    it.run(15, beat)
    it.broker.fates.clear()

    it.run(10, beat)

    assert it.sent() == at(20)
    facts = [(fact.kind, fact.scheduled_ms, fact.by) for fact in it.store.history(9)]
    assert facts == [("published", *at(20), "r1"), ("dropped", *at(10), "r1")]
    assert it.store.history(9)[1].note == f"not sent: {fate.value}"


def test_at_most_once_what_may_have_been_sent_keeps_the_next_one_back(it: Deployment) -> None:
    beat = it.replica(apart(Overlap.SKIP, is_at_most_once=True))
    it.broker.fates["x"] = Sent.UNKNOWN

    it.run(25, beat)

    assert it.sent() == at(10)
    dropped = it.store.history(9)[-1]
    assert (dropped.kind, dropped.note) == ("dropped", "perhaps not sent: UNKNOWN")


def test_at_most_once_publishes_nothing_that_is_not_known_to_be_settled(it: Deployment) -> None:
    beat = it.replica(apart(Overlap.ALLOW, is_at_most_once=True))
    it.run(5, beat)
    it.clock.advance(5000)
    it.store.loses_answer_of = "settle"

    it.run(20, beat)

    assert it.sent() == at(20, 30)


def test_at_most_once_survives_a_question_that_was_never_heard(it: Deployment) -> None:
    """The hold ends, and the occurrence is due again: it was not sent."""
    beat = it.replica(apart(Overlap.ALLOW, is_at_most_once=True))
    it.run(5, beat)
    it.clock.advance(5000)
    it.store.refuses = "settle"

    it.run(8, beat)

    assert it.sent() == at(10)


def test_at_most_once_is_not_published_again_by_a_start_deadline(it: Deployment) -> None:
    fields = {"start_deadline_ms": 2000, "max_runs": 1}
    once = it.replica(apart(Overlap.ALLOW, is_at_most_once=True, **fields))

    it.run(30, once)

    assert it.sent() == at(10)
