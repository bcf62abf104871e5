"""What every store promises of holds on stored entries: claims, repeats, settlements."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.claim import MOST_CLAIMS, Settled, Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.protocol.stored import Put
from celery_singleton_beat.protocol.tenant import Quota
from celery_singleton_beat.testing.harness import HOLD_MS, START_MS, StoreUnderTest, equal

FAR_MS = START_MS + 10_000_000


def a_claim_holds_an_entry_for_a_while_and_no_longer(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    it.clock.advance(HOLD_MS - 1)
    equal((it.taken("r2"), it.take().next_ms), ([], START_MS + HOLD_MS))

    it.clock.advance(1)
    (second,) = it.take("r2").claims

    equal(claim.slot.hold_until_ms, START_MS + HOLD_MS)
    equal(second.slot.hold_until_ms, START_MS + 2 * HOLD_MS)
    equal(second.slot.fence, (START_MS + HOLD_MS) * 1000)
    equal(it.slot(), second.slot)


def the_most_overdue_stored_entry_comes_first(it: StoreUnderTest) -> None:
    for entry, at in (("young", 3), ("old", 1), ("middle", 2), ("next", 5)):
        it.put(entry, START_MS + at)
    it.clock.advance(4)

    equal(it.taken(limit=2), ["old", "middle"])
    equal(it.take(limit=2).next_ms, START_MS + 5)


def the_fences_of_all_entries_come_from_one_counter(it: StoreUnderTest) -> None:
    it.plan(config=START_MS - 20_000)
    it.put("a")
    it.put("b")
    fences = [claim.slot.fence for claim in it.take().claims]
    it.clock.advance(-10_000)
    fences += [claim.slot.fence for claim in it.claim().claims]
    it.clock.advance(10_000)
    for entry in ("c", "d"):
        it.put(entry)
        fences += [claim.slot.fence for claim in it.take().claims]

    equal(fences, [START_MS * 1000 + at for at in range(5)])


def a_hold_is_confirmed_and_the_slot_moves_on(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims

    equal(it.settle_stored(claim, by_ms=700), Settled.CONFIRMED)

    slot = it.slot()
    equal(slot and (slot.slot_ms, slot.runs, slot.hold_until_ms), (START_MS + 700, 1, 0))
    equal(slot and (slot.fence, slot.last_ms), (claim.slot.fence, START_MS))
    it.clock.advance(699)
    equal((it.taken(), it.take().next_ms), ([], START_MS + 700))
    it.clock.advance(1)
    equal(it.taken(), ["x"])


def a_stored_settlement_sent_twice_moves_once(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    it.settle_stored(claim)
    moved = it.slot()

    equal(it.settle_stored(claim, by_ms=9), Settled.CONFIRMED)

    equal(it.slot(), moved)


def a_stored_settlement_after_a_reclaim_is_lost(it: StoreUnderTest) -> None:
    it.put()
    (first,) = it.take().claims
    it.clock.advance(HOLD_MS)
    (second,) = it.take("r2").claims

    equal(it.settle_stored(first), Settled.LOST)
    equal(it.slot(), second.slot)
    equal(it.settle_stored(second), Settled.CONFIRMED)


def a_late_stored_settlement_that_nobody_overtook_is_confirmed(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    it.clock.advance(3 * HOLD_MS)

    equal(it.settle_stored(claim, by_ms=60_000), Settled.CONFIRMED)

    equal(it.taken(), [])


def a_stored_entry_whose_rule_has_ended_is_never_claimed_again(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    ended = replace(claim.slot, slot_ms=ABSENT, due_ms=ABSENT, hold_until_ms=0)

    equal(it.settle_stored(claim, slot=ended), Settled.CONFIRMED)
    it.clock.advance(10_000_000)

    equal((it.taken(), it.take().next_ms, it.slot()), ([], None, ended))


def a_stored_claim_asked_again_is_answered_the_same(it: StoreUnderTest) -> None:
    for entry in ("a", "b", "c"):
        it.put(entry)
    first = it.take(limit=2, request_id="same")

    again = it.take(limit=2, request_id="same")

    equal((again.claims, len(first.claims)), (first.claims, 2))
    equal([it.taken("r2", limit=5, request_id="same") for _ in range(2)], [["c"], ["c"]])
    equal(it.take("r1", request_id="same").claims, first.claims)


def a_stored_claim_asked_again_gives_only_what_it_still_holds(it: StoreUnderTest) -> None:
    for entry in ("settled", "put", "paused", "removed", "tenant's"):
        it.put(entry, tenant="t" if entry == "tenant's" else "")
    first = it.take(request_id="same")
    equal(len(first.claims), 5)

    it.settle_stored(next(claim for claim in first.claims if claim.entry == "settled"))
    it.put("put", definition="2")
    it.pause("paused")
    it.store.remove(["removed"])
    it.store.pause_all("t", paused=True)

    again = it.take(request_id="same")
    equal([(claim.entry, claim.card.definition) for claim in again.claims], [("put", "2")])


def a_stored_claim_asked_again_gives_nothing_that_another_took(it: StoreUnderTest) -> None:
    it.put("a")
    it.put("b", START_MS + 1)
    it.clock.advance(1)
    first = it.take(limit=1, request_id="same")
    equal(len(first.claims), 1)
    it.clock.advance(HOLD_MS)
    it.take("r2")
    equal(it.taken("r1", request_id="same"), [])

    it.put("c")
    (claim,) = it.take(request_id="also").claims
    it.settle_stored(claim, by_ms=0)
    equal(it.taken("r2"), ["c"])
    equal(it.taken("r1", request_id="also"), [])


def a_stored_claim_that_took_nothing_may_be_asked_again(it: StoreUnderTest) -> None:
    it.put(at_ms=START_MS + 1000)

    equal([it.taken(request_id="same") for _ in range(2)], [[], []])


def a_claim_takes_no_more_than_one_step_can_carry(it: StoreUnderTest) -> None:
    puts = [Put(f"e{n}", "{}", "rule", START_MS, START_MS) for n in range(MOST_CLAIMS + 5)]
    it.store.put(puts, Quota())

    equal(len(it.take(limit=10_000).claims), MOST_CLAIMS)
    equal(it.take(limit=0).next_ms, START_MS)
    equal(len(it.take(limit=10_000).claims), 5)


def what_was_published_of_a_stored_entry_is_awaited_and_told(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    awaited = Awaited("run", "x", START_MS, 2000, 60_000, None)
    told = (Told("published", START_MS, "run", "r1"), Told("superseded", START_MS))
    moved = replace(claim.slot, due_ms=FAR_MS, slot_ms=FAR_MS)
    settlement = Settlement("x", claim.slot.fence, moved, (awaited,), told, claim.card.revision)

    equal(it.store.settle_stored([settlement, settlement]), [Settled.CONFIRMED] * 2)
    equal(it.kinds(), ["published", "superseded"])
    lost = settlement._replace(fence=1)
    equal(it.store.settle_stored([lost]), [Settled.LOST])

    equal(it.kinds(), ["published", "superseded", "published"])
    equal(it.store.recall(limit=5, hold_ms=HOLD_MS), [])
    it.clock.advance(2000)
    equal(it.store.recall(limit=5, hold_ms=HOLD_MS), [awaited])


HOLD_CHECKS = (
    a_claim_holds_an_entry_for_a_while_and_no_longer,
    the_most_overdue_stored_entry_comes_first,
    the_fences_of_all_entries_come_from_one_counter,
    a_hold_is_confirmed_and_the_slot_moves_on,
    a_stored_settlement_sent_twice_moves_once,
    a_stored_settlement_after_a_reclaim_is_lost,
    a_late_stored_settlement_that_nobody_overtook_is_confirmed,
    a_stored_entry_whose_rule_has_ended_is_never_claimed_again,
    a_stored_claim_asked_again_is_answered_the_same,
    a_stored_claim_asked_again_gives_only_what_it_still_holds,
    a_stored_claim_asked_again_gives_nothing_that_another_took,
    a_stored_claim_that_took_nothing_may_be_asked_again,
    a_claim_takes_no_more_than_one_step_can_carry,
    what_was_published_of_a_stored_entry_is_awaited_and_told,
)
