"""What every store promises of slots: claims, holds and settlements."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.claim import MOST_CLAIMS, Settled, Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.testing.harness import HOLD_MS, START_MS, StoreUnderTest, equal


def a_due_slot_is_claimed_once(it: StoreUnderTest) -> None:
    it.plan(x=START_MS + 1000)
    equal(it.held(it.claim("r1")), [])

    it.clock.advance(1000)

    equal(it.held(it.claim("r1")), ["x"])
    equal(it.held(it.claim("r2")), [])


def a_claim_asked_again_is_answered_the_same(it: StoreUnderTest) -> None:
    it.plan(x=START_MS, y=START_MS)
    first = it.claim("r1", limit=1, request_id="same")

    again = it.claim("r1", limit=1, request_id="same")

    equal(again.claims, first.claims)
    equal(it.held(it.claim("r1", limit=5)), ["y"])


def a_claim_asked_again_after_its_settlement_is_empty(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    it.move_on(it.claim("r1", request_id="same"))

    again = it.claim("r1", request_id="same")

    equal(it.held(again), [])


def a_claim_asked_again_gives_nothing_that_another_took_in_that_moment(
    it: StoreUnderTest,
) -> None:
    it.plan(x=START_MS)
    it.move_on(it.claim("r1", request_id="same"), by_ms=0)

    equal(it.held(it.claim("r2")), ["x"])

    equal(it.held(it.claim("r1", request_id="same")), [])


def a_slot_is_due_again_when_its_hold_is_over_and_not_before(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    equal(it.held(it.claim("r1")), ["x"])

    it.clock.advance(HOLD_MS - 1)
    equal(it.held(it.claim("r2")), [])
    it.clock.advance(1)

    equal(it.held(it.claim("r2")), ["x"])


def a_settlement_after_a_reclaim_is_lost(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    first = it.claim("r1")
    it.clock.advance(HOLD_MS)
    second = it.claim("r2")

    equal(it.move_on(first), [Settled.LOST])
    equal(it.move_on(second), [Settled.CONFIRMED])


def a_late_settlement_that_nobody_overtook_is_confirmed(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    first = it.claim("r1")
    it.clock.advance(HOLD_MS * 3)

    equal(it.move_on(first, by_ms=60_000), [Settled.CONFIRMED])
    equal(it.held(it.claim("r2")), [])


def a_settlement_sent_twice_answers_the_same_and_moves_once(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    answer = it.claim("r1")

    equal(it.move_on(answer), [Settled.CONFIRMED])
    equal(it.move_on(answer), [Settled.CONFIRMED])

    slot = it.store.slots(["x"]).slots[0]
    equal(slot and (slot.slot_ms, slot.runs), (START_MS + 1000, 1))


def the_most_overdue_comes_first_also_after_a_lapsed_hold(it: StoreUnderTest) -> None:
    it.plan(old=START_MS, young=START_MS + 2000, youngest=START_MS + 3000)
    equal(it.held(it.claim("r1")), ["old"])

    it.clock.advance(HOLD_MS)

    equal(it.held(it.claim("r2", limit=1)), ["old"])
    equal(it.held(it.claim("r2", limit=1)), ["young"])


def fences_grow_across_entries_and_claims(it: StoreUnderTest) -> None:
    it.plan(x=START_MS, y=START_MS)
    fences = [c.slot.fence for c in it.claim("r1").claims]
    it.clock.advance(-10_000)
    begun = it.store.begin(it.attempt(), close_if_busy=False, grace_ms=0)

    fences.append(begun.token)

    equal(fences, sorted(set(fences)))


def the_answer_says_when_to_look_again(it: StoreUnderTest) -> None:
    it.plan(x=START_MS, y=START_MS + 700)

    answer = it.claim("r1")

    equal((answer.next_ms, answer.others_hold), (START_MS + 700, False))
    it.move_on(answer, by_ms=300)
    equal(it.claim("r1").next_ms, START_MS + 300)


def an_entry_without_a_due_time_is_never_claimed(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    claim = it.claim("r1").claims[0]
    gone = replace(claim.slot, due_ms=ABSENT)

    it.store.settle("a", [Settlement("x", claim.slot.fence, gone)])
    it.clock.advance(10_000_000)

    equal(it.held(it.claim("r1")), [])
    equal(it.store.settle("a", [Settlement("nobody", 1, gone)]), [Settled.GONE])


def a_claim_takes_no_more_slots_than_one_step_can_carry(it: StoreUnderTest) -> None:
    due = {f"e{number}": START_MS for number in range(MOST_CLAIMS + 5)}
    it.plan("a", replica="r1", **due)

    equal(len(it.claim(limit=10_000).claims), MOST_CLAIMS)
    equal(len(it.claim(limit=10_000).claims), 5)


SLOT_CHECKS = (
    a_claim_takes_no_more_slots_than_one_step_can_carry,
    a_due_slot_is_claimed_once,
    a_claim_asked_again_is_answered_the_same,
    a_claim_asked_again_after_its_settlement_is_empty,
    a_claim_asked_again_gives_nothing_that_another_took_in_that_moment,
    a_slot_is_due_again_when_its_hold_is_over_and_not_before,
    a_settlement_after_a_reclaim_is_lost,
    a_late_settlement_that_nobody_overtook_is_confirmed,
    a_settlement_sent_twice_answers_the_same_and_moves_once,
    the_most_overdue_comes_first_also_after_a_lapsed_hold,
    fences_grow_across_entries_and_claims,
    the_answer_says_when_to_look_again,
    an_entry_without_a_due_time_is_never_claimed,
)
