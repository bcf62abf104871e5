"""The dispatcher: replicas that race, die, freeze and lose their servers."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.publisher import Sent
from celery_singleton_beat.events import Event
from celery_singleton_beat.protocol.entry import CatchUp, Timing, configuration_digest
from celery_singleton_beat.protocol.occurrence import Occurrence
from celery_singleton_beat.protocol.recurrences.recurrence import Interval
from celery_singleton_beat.protocol.run import Attempt
from celery_singleton_beat.store.port import ClaimRequest
from celery_singleton_beat.testing import START_MS, FakeClock, RecordingPublisher
from tests.unit.replicas import PACE, Deployment, Flaky, timings


@pytest.fixture
def it() -> Deployment:
    return Deployment()


def every_30_and_40_ms() -> dict[str, Timing]:
    return {name: Timing(name, Interval(ms)) for name, ms in (("x", 30), ("y", 40))}


def multiples(seconds: range) -> list[int]:
    return [START_MS + second * 1000 for second in seconds]


def test_three_replicas_dispatch_every_occurrence_once(it: Deployment) -> None:
    replicas = [it.replica(timings(names="abc")) for _ in range(3)]

    it.run(60, *replicas)

    for name in "abc":
        assert it.sent(name) == multiples(range(1, 61))


def test_who_comes_too_late_for_what_was_due_leaves_the_next_moments_to_others(
    it: Deployment,
) -> None:
    first, second = (it.replica(every_30_and_40_ms()) for _ in range(2))
    it.run(1, first, second)
    it.clock.advance(second.tick())

    first.tick()
    rest_ms = second.tick()
    it.clock.advance(rest_ms)
    it.broker.sent.clear()
    second.tick()

    assert rest_ms == 100
    assert it.broker.sent


def test_who_wakes_before_its_time_or_finds_nothing_more_does_not_rest(it: Deployment) -> None:
    replica = it.replica(every_30_and_40_ms(), batch=2)
    it.run(1, replica)
    it.clock.advance(60)

    full_ms, next_ms = replica.tick(), replica.tick()
    it.clock.advance(next_ms - 1)
    early_ms = replica.tick()

    assert [full_ms, next_ms, early_ms] == [0, 20, 1]


def test_what_a_dead_replica_had_claimed_is_dispatched_after_its_hold(it: Deployment) -> None:
    config = timings(names="ab", catch_up=CatchUp.ALL)
    survivor = it.replica(config)
    it.run(2, survivor)
    it.clock.advance(1000)
    digest = configuration_digest(config.values())
    claimed = it.store.claim(ClaimRequest("dead", digest, "its last", 1, 5000, 15_000)).claims

    it.run(4, survivor)
    waiting = it.sent(claimed[0].entry)
    it.run(2, survivor)

    assert waiting == multiples(range(1, 3))
    assert it.sent("a") == it.sent("b") == multiples(range(1, 10))


def test_a_lost_answer_to_a_claim_costs_nothing(it: Deployment) -> None:
    replica = it.replica(timings())
    it.run(3, replica)

    it.clock.advance(999)
    it.store.loses_answer_of = "claim"
    replica.tick()
    it.clock.advance(1)
    it.store.loses_answer_of = "claim"
    replica.tick()
    it.run(2, replica)

    assert it.sent() == multiples(range(1, 7))


@pytest.mark.parametrize("trouble", ["loses_answer_of", "refuses"])
def test_a_settlement_without_an_answer_publishes_nothing_twice(
    it: Deployment, trouble: str
) -> None:
    replica = it.replica(timings())
    it.run(3, replica)

    setattr(it.store, trouble, "settle")
    it.run(3, replica)

    assert it.sent() == multiples(range(1, 7))


@pytest.mark.parametrize("policy", [CatchUp.LATEST, CatchUp.ALL])
@pytest.mark.parametrize("seconds", [5, 20, 600])
def test_an_outage_of_the_store_is_caught_up_once_by_policy(
    it: Deployment, policy: CatchUp, seconds: int
) -> None:
    replicas = [it.replica(timings(catch_up=policy)) for _ in range(3)]
    it.run(5, *replicas)

    it.store.is_away = True
    it.run(seconds, *replicas)
    it.store.is_away = False
    it.run(5, *replicas)

    missed = multiples(range(6, 6 + seconds)) if policy is CatchUp.ALL else []
    expected = [*multiples(range(1, 6)), *missed, *multiples(range(5 + seconds, 11 + seconds))]
    assert it.sent() == sorted(set(expected))
    assert len(it.heard(happened.StoreLost)) == len(it.heard(happened.StoreBack)) == 3


def test_a_store_that_is_down_at_start_is_waited_for(it: Deployment) -> None:
    it.store.is_away = True
    replica = it.replica(timings())
    it.run(30, replica)

    it.store.is_away = False
    it.run(5, replica)

    assert it.sent()
    assert it.sent() == sorted(set(it.sent()))
    assert len(it.heard(happened.StoreLost)) == 1


def test_without_a_broker_nothing_is_claimed(it: Deployment) -> None:
    away, there = it.replica(timings()), it.replica(timings())
    away._publisher = RecordingPublisher()  # noqa: SLF001
    away._publisher.is_away = True  # noqa: SLF001

    it.run(10, away, there)

    assert it.sent() == multiples(range(1, 11))
    assert len(it.heard(happened.BrokerLost)) == 1


def test_an_entry_that_cannot_be_sent_is_given_up_and_hinders_nobody(it: Deployment) -> None:
    replica = it.replica(timings(every_ms=60_000, names="pf"))
    it.broker.fates["p"] = Sent.FAILED

    it.run(230, replica)

    # Three attempts, after 0, 1 and 3 seconds; then the next minute's.
    failures = [e for e in it.told if isinstance(e, happened.DispatchFailed)]
    assert [f.given_up for f in failures[:3]] == [False, False, True]
    assert len({f.scheduled_ms for f in failures[:3]}) == 1
    assert len(it.sent("f")) == 4
    assert it.sent("p") == []


def test_what_may_have_been_sent_is_repeated_with_the_same_id_and_alone(it: Deployment) -> None:
    replica = it.replica(timings(every_ms=60_000, names="ab"))
    it.broker.fates["a"] = Sent.UNKNOWN
    it.run(41, replica)  # a minute begins 40 seconds after the start
    it.broker.fates.clear()

    it.run(20, replica)

    a, again = (o for o in it.broker.sent if o.entry == "a")
    assert a.task_id("p") == again.task_id("p")
    assert [len(batch) for batch in it.broker.batches] == [2, 1]
    assert len(it.sent("b")) == 1


def test_nothing_is_published_under_a_hold_that_may_be_over(it: Deployment) -> None:
    replica, other = it.replica(timings()), it.replica(timings())
    it.run(2, replica, other)
    claim = it.store.claim

    def slow_claim(request: object) -> object:
        answer = claim(request)  # type: ignore[arg-type]
        if answer.claims:
            it.clock.advance(4600)
        return answer

    it.clock.advance(1000)
    it.store.claim = slow_claim  # type: ignore[method-assign,assignment]
    before = it.sent()
    replica.tick()

    assert it.sent() == before


def test_an_unknown_entry_loses_its_due_time_and_nothing_else(it: Deployment) -> None:
    old = it.replica(timings(names="xy"))
    it.run(3, old)
    old.leave()
    new = it.replica(timings(names="x"))

    it.run(5, new)

    assert it.sent("x") == multiples(range(1, 9))
    assert it.sent("y") == multiples(range(1, 4))
    slot = it.store.slots(["y"]).slots[0]
    assert slot is not None
    assert slot.last_ms == START_MS + 3000


def test_a_rolling_deploy_hands_over_once_and_repeats_nothing(it: Deployment) -> None:
    """F20: old and new replicas side by side, a changed rule, an added and a removed entry."""
    old_config = {**timings(names="sg"), **timings(5000, names="c")}
    new_config = {**timings(names="sa"), **timings(2000, names="c")}
    old = [it.replica(old_config) for _ in range(3)]
    it.run(20, *old)
    new = [it.replica(new_config)]
    it.run(10, *old, *new)
    assert it.sent("a") == []

    while old:
        old.pop().leave()
        new.append(it.replica(new_config))
        it.run(10, *old, *new)

    assert it.sent("s") == multiples(range(1, 61))
    changed = it.sent("c")
    assert len(changed) == len(set(changed))
    assert {at % 5000 for at in changed if at <= START_MS + 20_000} == {0}
    assert {at % 2000 for at in changed if at > START_MS + 40_000} == {0}
    assert it.sent("a")
    assert it.sent("g")[-1] < it.sent("a")[0] + 1000


def test_a_new_version_that_keeps_crashing_stops_nothing(it: Deployment) -> None:
    """F20: its replicas live for four seconds each and never govern."""
    old = it.replica(timings())
    it.run(20, old)

    for _ in range(10):
        crashing = it.replica(timings(names="xn"))
        it.run(4, old, crashing)

    assert it.sent("x") == multiples(range(1, 61))
    assert it.sent("n") == []


def begin(it: Deployment, occurrence: Occurrence) -> None:
    """Let a worker begin an occurrence."""
    run = occurrence.task_id("test")
    attempt = Attempt(
        run,
        run,
        run,
        30_000,
        entry=occurrence.entry,
        is_awaited=occurrence.is_awaited,
        scheduled_ms=occurrence.scheduled_ms,
    )
    it.store.begin(attempt, close_if_busy=False, grace_ms=0)


def test_an_occurrence_that_the_broker_lost_is_published_again_until_it_begins(
    it: Deployment,
) -> None:
    replicas = [it.replica(timings(start_deadline_ms=5000)) for _ in range(2)]
    lost_ms = START_MS + 4000

    for _ in range(60):
        it.run(1, *replicas)
        copies = [o for o in it.broker.sent if o.scheduled_ms == lost_ms]
        for occurrence in it.broker.sent:
            if occurrence not in copies[:2]:
                begin(it, occurrence)

    assert sorted(it.sent()) == sorted([*multiples(range(1, 61)), lost_ms, lost_ms])
    assert [str(lost_ms) in str(one) for one in it.heard(happened.OccurrenceRecalled)] == [True] * 2
    told = [f.scheduled_ms for f in it.store.history(1000) if f.kind == "published_again"]
    assert told == [lost_ms, lost_ms]
    assert len({one.task_id("p") for one in copies}) == 1
    first, second, third = (one.not_after_ms for one in copies)
    assert third - second == pytest.approx(2 * (second - first), abs=2000)


def test_while_all_workers_are_away_a_queue_is_not_taken_for_a_loss(
    it: Deployment,
) -> None:
    replica = it.replica(timings(start_deadline_ms=5000))

    it.run(60, replica)

    assert len(it.sent("x")) == 60
    assert it.heard(happened.OccurrenceRecalled) == []


def test_a_jump_of_the_stores_clock_ahead_is_followed_by_a_rest(it: Deployment) -> None:
    store_clock = FakeClock()
    it.store = Flaky(store_clock)
    replica = it.replica(timings(), clock_jump_rest_ms=10_000)
    for _ in range(5):
        it.clock.advance(1000)
        store_clock.advance(1000)
        replica.tick()
    store_clock.advance(3_600_000)
    it.clock.advance(1000)
    replica.tick()
    before = len(it.broker.sent)

    for _ in range(9):
        it.clock.advance(1000)
        store_clock.advance(1000)
        replica.tick()

    assert len(it.heard(happened.StoreClockJumped)) == 1
    assert len(it.broker.sent) == before


@pytest.mark.parametrize("seed", range(20))
def test_through_crashes_freezes_and_lost_answers_nothing_is_lost(
    it: Deployment, seed: int
) -> None:
    dice = random.Random(seed)
    config = timings(names="abcd", catch_up=CatchUp.ALL)
    replicas = [it.replica(config) for _ in range(3)]
    it.run(3, *replicas)

    for _ in range(300):
        it.clock.advance(dice.choice([100, 500, 1000, 2500]))
        it.store.loses_answer_of = dice.choice(["", "", "", "claim", "settle"])
        it.broker.fates = {dice.choice("abcd"): dice.choice([Sent.UNKNOWN, Sent.UNSENT])}
        at = dice.randrange(3)
        if dice.random() < 0.1:
            replicas[at] = it.replica(config)
        replicas[at].tick()
    it.broker.fates, it.store.loses_answer_of = {}, ""
    it.run(70, *replicas)

    last = (it.clock.now_ms - START_MS) // 1000
    for name in "abcd":
        counted = Counter(it.sent(name))
        assert sorted(counted) == multiples(range(1, last + 1))[: len(counted)]
        assert len(counted) >= last - 2


def test_who_listens_takes_no_time_from_a_hold(it: Deployment) -> None:
    """A log handler that stands still for longer than a hold makes nobody publish again."""
    slow, other = it.replica(timings(10_000, "abc")), it.replica(timings(10_000, "abc"))
    it.run(9, slow, other)

    def stand_still(event: Event) -> None:
        if isinstance(event, happened.OccurrencePublished):
            it.clock.advance(PACE.hold_ms)
            other.tick()

    slow._events.subscribe(stand_still)  # noqa: SLF001
    it.run(1, slow)

    assert Counter(it.sent()) == {START_MS + 10_000: 3, START_MS + 20_000: 3}
