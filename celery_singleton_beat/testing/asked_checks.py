"""What every store promises of claims on what is asked for: holds, portions, turns."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.asked import Ask, AskAnswer, Asked
from celery_singleton_beat.protocol.claim import Queued, Settled, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.protocol.tenant import Quota
from celery_singleton_beat.store.asked_port import (
    AskedClaim,
)
from celery_singleton_beat.testing.asking import (
    LATER_MS,
    LONG,
    MINUTE_MS,
    OPENED,
    ask,
    claim,
    claimed,
    has_entry,
    settle,
)
from celery_singleton_beat.testing.harness import HOLD_MS, START_MS, StoreUnderTest, equal


def what_is_asked_for_is_claimed_at_once_and_apart_from_the_timetable(it: StoreUnderTest) -> None:
    """Design, promise 2: a request has a slot of its own, and the entry keeps its."""
    has_entry(it)
    before = it.slot()

    equal(ask(it), OPENED)
    (one,) = claim(it).claims

    at_once = (START_MS, START_MS, START_MS, 1, 1, 1)
    asked = Ask("x", False, False, *at_once)  # noqa: FBT003
    held = Slot("", START_MS, START_MS, START_MS * 1000, START_MS + HOLD_MS)
    equal(one, AskedClaim("q", asked, held, it.card(), 1))
    equal(settle(it, one), Settled.CONFIRMED)
    equal((claim(it).claims, claim(it).next_ms), ((), None))
    equal((it.slot(), it.take().claims), (before, ()))


def a_backfill_is_claimed_portion_by_portion(it: StoreUnderTest) -> None:
    """The last portion is what is left of it."""
    has_entry(it)
    equal(it.store.ask(LONG), AskAnswer(Asked.ASKED, 7))
    portions = []

    for _ in range(3):
        (one,) = claim(it).claims
        portions.append(one.portion)
        moved = replace(one.slot, slot_ms=8, due_ms=0, runs=one.slot.runs + one.portion)
        settle(it, one, slot=moved)

    a_backfill = Ask(
        "x",
        is_backfill=True,
        is_config=False,
        from_ms=7,
        until_ms=9,
        asked_ms=START_MS,
        total=250,
        most=300,
        step=100,
        by="me?",
    )
    equal(portions, [100, 100, 50])
    equal(one.ask, a_backfill)
    equal(claim(it).next_ms, it.clock.now_ms + HOLD_MS)


def no_more_is_claimed_at_once_than_was_asked_for(it: StoreUnderTest) -> None:
    has_entry(it)
    it.store.ask(LONG)
    it.store.ask(LONG._replace(request="second"))
    ask(it, "third")

    found = claimed(it, limit=150)

    equal(found, [("long", 100), ("second", 50)])
    equal(claimed(it, limit=150), [("third", 1)])


def requests_take_turns(it: StoreUnderTest) -> None:
    """A run now waits for a claim or two behind a backfill, and not for its end."""
    has_entry(it)
    it.store.ask(LONG)
    (one,) = claim(it).claims
    it.clock.advance(1)
    ask(it)
    it.clock.advance(1)
    settle(it, one, slot=replace(one.slot, slot_ms=8, due_ms=7))

    equal(claimed(it), [("q", 1), ("long", 99)])


def a_request_is_held_by_one_and_free_when_the_hold_is_over(it: StoreUnderTest) -> None:
    """C3: two live claims of one occurrence never exist."""
    has_entry(it)
    ask(it)
    first = claim(it)

    it.clock.advance(HOLD_MS - 1)
    equal((claimed(it, replica="r2"), claim(it, "r2").next_ms), ([], START_MS + HOLD_MS))
    it.clock.advance(1)
    (second,) = claim(it, "r2").claims

    equal((second.slot.slot_ms, second.slot.fence > first.claims[0].slot.fence), (START_MS, True))
    equal(settle(it, first.claims[0]), Settled.LOST)
    equal([settle(it, second) for _ in range(2)], [Settled.CONFIRMED] * 2)


def a_claim_of_requests_asked_again_is_answered_the_same(it: StoreUnderTest) -> None:
    has_entry(it)
    has_entry(it, "y")
    it.store.ask(LONG)
    ask(it, "q", "y")
    first = claim(it, request_id="same", limit=101)

    equal(claim(it, request_id="same"), first)
    it.pause("x")
    settle(it, first.claims[1])

    equal(claim(it, request_id="same").claims, ())
    it.resume("x")
    equal(claim(it, request_id="same").claims, (first.claims[0]._replace(card=it.card("x")),))


def a_request_waits_while_its_entry_is_stopped_and_goes_on(it: StoreUnderTest) -> None:
    """By a pause of the entry, of its tenant and of everything; a disabled one waits, too."""
    has_entry(it, tenant="t")

    def by_entry(*, stopped: bool) -> None:
        it.store.pause(["x"], paused=stopped)

    def by_tenant(*, stopped: bool) -> None:
        it.store.pause_all("t", paused=stopped)

    def by_all(*, stopped: bool) -> None:
        it.store.pause_all(None, paused=stopped)

    def by_being_disabled(*, stopped: bool) -> None:
        has_entry(it, tenant="t", is_enabled=not stopped)

    for change in (by_entry, by_tenant, by_all, by_being_disabled):
        ask(it, change.__name__)
        change(stopped=True)
        equal(claimed(it), [])
        change(stopped=False)
        it.clock.advance(1010)
        (one,) = claim(it).claims
        equal(one.request, change.__name__)
        settle(it, one)


def many_requests_that_wait_are_looked_at_less_often(it: StoreUnderTest) -> None:
    has_entry(it)
    for number in range(9):
        ask(it, f"q{number}")
    it.pause()

    equal(claim(it).next_ms, START_MS + 1090)


def what_is_asked_for_counts_for_its_tenant(it: StoreUnderTest) -> None:
    """A backfill takes what is left of the minute, and the rest in the next ones."""
    has_entry(it, tenant="t")
    has_entry(it, "free")
    it.store.allow("u", Quota(max_per_minute=0))
    has_entry(it, "never", tenant="u")
    it.store.ask(LONG)
    ask(it, "now")
    ask(it, "other", "free")
    ask(it, "zero", "never")
    next_ms = (START_MS // MINUTE_MS + 1) * MINUTE_MS

    first = claim(it, per_minute=30)

    equal([(one.request, one.portion) for one in first.claims], [("long", 30), ("other", 1)])
    equal(it.store.tenants(["t"])[0].used, 30)
    for one in first.claims:
        settle(it, one, slot=replace(one.slot, runs=30, due_ms=0))
    it.clock.now_ms = next_ms
    found = [one for one in claimed(it, per_minute=30) if one[0] != "other"]
    equal(found, [("long", 30)])


def an_entry_of_the_configuration_may_be_asked_for(it: StoreUnderTest) -> None:
    """Only a replica whose configuration governs takes it; all may see that it is there."""
    it.plan(config=LATER_MS)
    it.plan(ended=ABSENT)
    it.live_on(16, ("r1", "a"))

    equal(ask(it, "q", "config").verdict, Asked.ASKED)

    equal(claimed(it, digest="b"), [])
    equal((it.claim().asked_ms, it.claim("r2", "b").asked_ms), (START_MS + 16_000, None))
    (one,) = claim(it).claims
    equal((one.ask.is_config, one.card), (True, None))
    equal(settle(it, one), Settled.CONFIRMED)
    equal(it.claim().asked_ms, None)


def a_replica_hears_when_to_look_at_requests(it: StoreUnderTest) -> None:
    """So that a tick with nothing asked for costs no call."""
    has_entry(it)
    equal(it.claim().asked_ms, None)
    ask(it)
    equal((it.claim().asked_ms, it.claim("r2", "b").asked_ms), (START_MS, START_MS))
    (one,) = claim(it).claims
    equal(it.claim().asked_ms, START_MS + HOLD_MS)
    settle(it, one)

    equal(it.claim().asked_ms, None)


def what_a_settlement_queues_and_tells_is_noted_once(it: StoreUnderTest) -> None:
    has_entry(it)
    ask(it)
    (one,) = claim(it).claims
    told = (Told("published", START_MS, "run", "r1", "q"),)

    for _ in range(2):
        settle(it, one, told=told, queued=(Queued("run", 10),))

    equal((it.kinds(), it.store.busy(["run"])), (["asked", "published"], [True]))
    equal(it.store.history(1)[0][2:], ("x", START_MS, "run", 0, "r1", "q"))
    it.clock.advance(10)
    equal(it.store.busy(["run"]), [False])


def a_claim_of_requests_asked_again_gives_nothing_that_another_took(it: StoreUnderTest) -> None:
    has_entry(it)
    equal([claimed(it, request_id="none") for _ in range(2)], [[], []])
    ask(it)
    (one,) = claim(it, request_id="same").claims
    settle(it, one, slot=replace(one.slot, due_ms=START_MS))

    equal(claimed(it, replica="r2"), [("q", 1)])

    equal(claimed(it, request_id="same"), [])


ASKED_CHECKS = (
    what_is_asked_for_is_claimed_at_once_and_apart_from_the_timetable,
    a_backfill_is_claimed_portion_by_portion,
    no_more_is_claimed_at_once_than_was_asked_for,
    requests_take_turns,
    a_request_is_held_by_one_and_free_when_the_hold_is_over,
    a_claim_of_requests_asked_again_is_answered_the_same,
    a_claim_of_requests_asked_again_gives_nothing_that_another_took,
    a_request_waits_while_its_entry_is_stopped_and_goes_on,
    many_requests_that_wait_are_looked_at_less_often,
    what_is_asked_for_counts_for_its_tenant,
    an_entry_of_the_configuration_may_be_asked_for,
    a_replica_hears_when_to_look_at_requests,
    what_a_settlement_queues_and_tells_is_noted_once,
)
