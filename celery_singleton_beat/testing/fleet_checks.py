"""What every store promises of replicas: who governs, and how entries are taken on."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.claim import Adopted, Settled, Settlement, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.store.port import Adoption, Standing
from celery_singleton_beat.testing.harness import HOLD_MS, START_MS, StoreUnderTest, equal


def only_the_governing_configuration_claims(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    it.live_on(15, ("r1", "a"))
    equal(it.claim("r2", "b").standing, Standing.STANDS_BY)

    answer = it.live_on(15, ("r1", "a"), ("r2", "b"))

    equal(answer.standing, Standing.ADOPTS)
    it.plan("b", replica="r2", x=START_MS)
    equal(it.claim("r2", "b").standing, Standing.GOVERNS)
    equal(it.claim("r1", "a").standing, Standing.STANDS_BY)


def a_version_that_keeps_crashing_never_governs(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS + 10_000_000)
    it.live_on(15, ("r1", "a"))

    lives = [it.live_on(5, ("r1", "a"), (f"crashing-{life}", "b")) for life in range(10)]

    equal({answer.standing for answer in lives}, {Standing.STANDS_BY})


def a_dead_governor_is_followed_after_the_timeout(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS + 10_000_000)
    it.claim("r2", "b")
    it.plan("b", replica="r2", x=START_MS + 10_000_000)
    it.live_on(16, ("r1", "a"), ("r2", "b"))

    standings = [it.live_on(1, ("r1", "a")).standing for _ in range(17)]

    equal(standings[:15], [Standing.STANDS_BY] * 15)
    equal(standings[15], Standing.ADOPTS)


def a_governor_that_leaves_is_followed_at_once(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    it.claim("r2", "b")
    it.plan("b", replica="r2", x=START_MS)

    it.store.leave("r2")

    equal(it.claim("r1", "a").standing, Standing.ADOPTS)


def a_replica_that_comes_back_with_another_configuration_is_as_new(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    it.live_on(16, ("r1", "a"), ("r2", "a"))

    equal(it.claim("r1", "b").standing, Standing.STANDS_BY)


def an_outage_of_the_store_changes_no_governor(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    it.claim("r2", "b")
    it.plan("b", replica="r2", x=START_MS + 10_000_000)

    it.clock.advance(3_600_000)

    equal(it.claim("r1", "a").standing, Standing.STANDS_BY)
    equal(it.claim("r2", "b").standing, Standing.GOVERNS)


def adoption_is_compare_and_set_and_leaves_a_live_hold_alone(it: StoreUnderTest) -> None:
    it.plan(x=START_MS, y=START_MS + 1)
    x, y = it.store.slots(["x", "y"]).slots
    it.claim("r1", limit=1)
    held = it.store.slots(["x"]).slots[0]
    planned = Slot("new", START_MS + 9000, START_MS + 9000)

    verdicts = it.store.adopt(
        "a",
        [Adoption("x", x, planned), Adoption("x", held, planned), Adoption("y", y, planned)],
        done=False,
    )

    equal(verdicts, [Adopted.CHANGED, Adopted.HELD, Adopted.ADOPTED])
    it.clock.advance(HOLD_MS - 1)
    equal(it.store.adopt("a", [Adoption("x", held, planned)], done=False), [Adopted.HELD])
    it.clock.advance(1)
    equal(it.store.adopt("a", [Adoption("x", held, planned)], done=False), [Adopted.ADOPTED])
    equal([slot and slot.fence for slot in it.store.slots(["x"]).slots], [held and held.fence])


def a_configuration_is_in_place_when_all_its_entries_have_slots(it: StoreUnderTest) -> None:
    """A store that forgot in between must not be taken for one that knows what is due."""
    it.claim("r1", "a")
    planned = Slot("rule", it.clock() + 1000, it.clock() + 1000)
    adoption = Adoption("x", None, planned)
    it.store.adopt("a", [adoption], done=True, of={"x": "rule", "y": "rule"})
    equal(it.claim("r1", "a").standing, Standing.ADOPTS)

    it.store.adopt("a", [replace(adoption, entry="y")], done=True, of={"x": "rule", "y": "rule"})

    equal(it.claim("r1", "a").standing, Standing.GOVERNS)


def who_does_not_govern_plans_nothing(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    seen = it.store.slots(["x"]).slots[0]

    verdicts = it.store.adopt("b", [Adoption("x", seen, Slot("b", 1, 1))], done=True)

    equal(verdicts, [Adopted.CHANGED])
    equal(it.store.slots(["x"]).slots[0], seen)
    equal(it.claim("r1", "a").standing, Standing.GOVERNS)


def a_settlement_of_a_former_governor_is_stale_and_due_at_once(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    old = it.claim("r1", "a")
    it.claim("r2", "b")
    it.plan("b", replica="r2")

    equal(it.move_on(old, by_ms=60_000), [Settled.STALE])
    equal(it.held(it.claim("r2", "b")), ["x"])


def what_a_former_governor_has_no_more_to_do_with_is_due_at_once_as_well(
    it: StoreUnderTest,
) -> None:
    """It does not know the entry, or its rule has ended: the governor's may be another."""
    it.plan("a", x=START_MS)
    (old,) = it.claim("r1", "a").claims
    it.claim("r2", "b")
    it.plan("b", replica="r2")
    given_up = Settlement("x", old.slot.fence, replace(old.slot, due_ms=ABSENT))

    equal(it.store.settle("a", [given_up]), [Settled.STALE])
    equal(it.held(it.claim("r2", "b")), ["x"])


def who_governs_again_settles_as_a_former_governor_until_it_is_in_place(
    it: StoreUnderTest,
) -> None:
    it.plan("a", x=START_MS)
    old = it.claim("r1", "a")
    it.claim("r2", "b")
    it.plan("b", replica="r2")
    it.store.leave("r2")
    equal(it.claim("r1", "a").standing, Standing.ADOPTS)

    equal(it.move_on(old, by_ms=60_000), [Settled.STALE])


def a_configuration_is_not_in_place_while_an_entry_is_to_be_planned(it: StoreUnderTest) -> None:
    """Who says that it is may have read the slots long ago, before others governed."""
    it.plan("a", x=START_MS, y=START_MS)
    it.store.leave("r1")
    it.claim("r2", "b")
    rule = "rule-a"
    dropped, ended = Slot(rule, START_MS, ABSENT), Slot(rule, ABSENT, ABSENT)

    def standing_with(planned: Slot) -> Standing:
        seen = it.store.slots(["y"]).slots[0]
        it.store.adopt("b", [Adoption("y", seen, planned)], done=True, of={"x": rule, "y": rule})
        return it.claim("r2", "b").standing

    equal(standing_with(Slot("another", START_MS, START_MS)), Standing.ADOPTS)
    equal(standing_with(replace(ended, rule="another")), Standing.ADOPTS)
    equal(standing_with(dropped), Standing.ADOPTS)
    equal(standing_with(ended), Standing.GOVERNS)


def a_configuration_is_in_place_though_another_holds_an_entry(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    it.claim("r1", "a")
    it.claim("r2", "b")

    it.clock.advance(HOLD_MS)
    it.store.adopt("b", [], done=True, of={"x": "another"})
    equal(it.claim("r2", "b").standing, Standing.ADOPTS)

    it.clock.advance(-1)
    it.store.adopt("b", [], done=True, of={"x": "another"})
    equal(it.claim("r2", "b").standing, Standing.GOVERNS)


FLEET_CHECKS = (
    only_the_governing_configuration_claims,
    a_version_that_keeps_crashing_never_governs,
    a_dead_governor_is_followed_after_the_timeout,
    a_governor_that_leaves_is_followed_at_once,
    a_replica_that_comes_back_with_another_configuration_is_as_new,
    an_outage_of_the_store_changes_no_governor,
    adoption_is_compare_and_set_and_leaves_a_live_hold_alone,
    a_configuration_is_in_place_when_all_its_entries_have_slots,
    who_does_not_govern_plans_nothing,
    a_settlement_of_a_former_governor_is_stale_and_due_at_once,
    what_a_former_governor_has_no_more_to_do_with_is_due_at_once_as_well,
    who_governs_again_settles_as_a_former_governor_until_it_is_in_place,
    a_configuration_is_not_in_place_while_an_entry_is_to_be_planned,
    a_configuration_is_in_place_though_another_holds_an_entry,
)
