"""What every store promises of stored entries that are changed while somebody holds them."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.claim import Settled, Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.testing.harness import HOLD_MS, START_MS, StoreUnderTest, equal

FAR_MS = START_MS + 10_000_000


def a_change_never_touches_a_live_hold(it: StoreUnderTest) -> None:
    it.put(at_ms=START_MS + 1)
    it.clock.advance(1)
    (claim,) = it.take().claims
    it.clock.advance(1)

    it.put(definition="2", rule="r2")
    it.pause()
    it.resume()

    it.clock.advance(HOLD_MS - 2)
    equal((it.slot(), it.taken("r2")), (claim.slot, []))
    it.clock.advance(1)
    (second,) = it.take("r2").claims
    equal((second.card.definition, second.slot.rule), ("2", "rule"))


def a_holder_of_an_entry_changed_meanwhile_is_stale(it: StoreUnderTest) -> None:
    """F16: the slot has moved, and is looked at at once by the new definition."""
    it.put()
    (claim,) = it.take().claims
    it.put(definition="2", rule="r2")
    it.clock.advance(10)

    equal(it.settle_stored(claim), Settled.STALE)

    (second,) = it.take().claims
    equal((second.card.definition, second.slot.slot_ms), ("2", START_MS + 1000))
    equal((second.slot.due_ms, second.slot.runs), (START_MS + 10, 1))


def a_holder_of_an_ended_rule_that_was_changed_is_stale_too(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    it.put(definition="2", rule="r2")

    ended = replace(claim.slot, slot_ms=ABSENT, due_ms=ABSENT)
    equal(it.settle_stored(claim, slot=ended), Settled.STALE)

    equal(it.taken(), ["x"])


def a_holder_of_an_entry_paused_and_resumed_is_stale(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    it.pause()
    it.clock.advance(10)
    it.resume()

    equal(it.settle_stored(claim), Settled.STALE)

    equal([claim.resumed_ms for claim in it.take().claims], [START_MS + 10])


def a_holder_of_an_entry_paused_meanwhile_hears_that_it_is_gone(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    it.pause()

    equal(it.settle_stored(claim, by_ms=1000), Settled.GONE)
    it.clock.advance(HOLD_MS)

    slot = it.slot()
    equal(slot and (slot.slot_ms, slot.runs), (START_MS + 1000, 1))
    equal((it.taken(), it.take().next_ms), ([], None))
    it.resume()
    equal(it.taken(), ["x"])


def a_holder_of_an_entry_disabled_meanwhile_hears_that_it_is_gone(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    it.put(definition="2", is_enabled=False)

    equal(it.settle_stored(claim), Settled.GONE)

    equal((it.taken(), it.take().next_ms), ([], None))


def a_holder_of_an_entry_removed_meanwhile_hears_that_it_is_gone(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    it.store.remove(["x"])

    equal(it.settle_stored(claim), Settled.GONE)

    it.clock.advance(10_000_000)
    equal((it.taken(), it.store.kept(["x"])), ([], [None]))


def a_holder_of_an_entry_removed_and_put_again_has_lost_it(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    it.store.remove(["x"])
    it.put(at_ms=FAR_MS)
    before = it.slot()

    equal(it.settle_stored(claim), Settled.LOST)

    equal(it.slot(), before)


def a_paused_entry_with_a_lapsed_hold_waits_until_it_is_resumed(it: StoreUnderTest) -> None:
    it.put()
    it.take()
    it.pause()
    it.clock.advance(HOLD_MS)
    equal((it.taken(), it.take().next_ms), ([], None))

    it.resume()

    equal(it.taken(), ["x"])


def a_hold_that_is_ended_twice_in_one_call_moves_once(it: StoreUnderTest) -> None:
    it.put()
    (claim,) = it.take().claims
    first, second = (
        Settlement(
            "x", claim.slot.fence, replace(claim.slot, due_ms=due_ms), revision=claim.card.revision
        )
        for due_ms in (START_MS + 5, START_MS + 9)
    )

    verdicts = it.store.settle_stored([first, second])

    equal(verdicts, [Settled.CONFIRMED, Settled.CONFIRMED])
    equal(it.take().next_ms, START_MS + 5)


CHANGE_CHECKS = (
    a_change_never_touches_a_live_hold,
    a_holder_of_an_entry_changed_meanwhile_is_stale,
    a_holder_of_an_ended_rule_that_was_changed_is_stale_too,
    a_holder_of_an_entry_paused_and_resumed_is_stale,
    a_holder_of_an_entry_paused_meanwhile_hears_that_it_is_gone,
    a_holder_of_an_entry_disabled_meanwhile_hears_that_it_is_gone,
    a_holder_of_an_entry_removed_meanwhile_hears_that_it_is_gone,
    a_holder_of_an_entry_removed_and_put_again_has_lost_it,
    a_paused_entry_with_a_lapsed_hold_waits_until_it_is_resumed,
    a_hold_that_is_ended_twice_in_one_call_moves_once,
)
