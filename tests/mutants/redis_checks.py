"""Checks that the published suite cannot have: of a Redis that forgot, or that lost a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import redis

from celery_singleton_beat.protocol.claim import Settled, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.run import Begun, Outcome, Renewed
from celery_singleton_beat.store.port import Renewal
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import START_MS, FakeClock, StoreUnderTest
from celery_singleton_beat.testing.harness import TTL_MS, equal
from tests.mutants.scripts import store_on

RedisCheck = Callable[[Wire, redis.Redis], None]


def _reborn(wire: Wire) -> StoreUnderTest:
    """Make a store that somebody remembers as another one, and that exists from now on."""
    clock = FakeClock()
    earlier = store_on(wire, clock)
    it = StoreUnderTest(earlier, clock)
    it.begin(it.attempt())
    clock.advance(1000)
    it.store = store_on(wire, clock)
    it.store._epoch = earlier._epoch  # noqa: SLF001  # as a process that goes on
    equal(it.begin(it.attempt("b", "h2", key="b")), Begun.WAIT)
    return it


def one_ttl_after_it_forgot_a_store_goes_on(wire: Wire, _: redis.Redis) -> None:
    it = _reborn(wire)
    it.clock.advance(TTL_MS - 1)
    equal(it.begin(it.attempt("b", "h2", key="b")), Begun.WAIT)
    it.clock.advance(1)

    equal(it.renew(it.attempt(), token=START_MS * 1000), Renewed.LOST)
    it.store.discard(it.attempt("c", "h3", key="c"), "expired")

    equal(it.kinds(), ["lost", "discarded"])
    equal(it.begin(it.attempt("b", "h2", key="b")), Begun.RUN)


def before_that_those_who_live_come_back(wire: Wire, _: redis.Redis) -> None:
    it = _reborn(wire)
    it.clock.advance(TTL_MS - 1)

    it.store.discard(it.attempt("c", "h3", key="c"), "expired")
    equal(it.renew(it.attempt("d", "h4", key="d"), token=0), Renewed.UNKNOWN)
    equal(it.renew(it.attempt(), token=START_MS * 1000), Renewed.RESTORED)
    equal(it.renew(it.attempt("run2", "h5"), token=START_MS * 1000), Renewed.LOST)

    equal(it.kinds(), ["lost"])
    equal(it.finish(it.attempt(), Outcome.SUCCEEDED).value, "RECORDED")


def indexes_that_are_gone_are_made_again(wire: Wire, client: redis.Redis) -> None:
    clock = FakeClock()
    store = store_on(wire, clock)
    it = StoreUnderTest(store, clock)
    it.plan(x=START_MS)
    client.delete(store.keys.due, store.keys.held)

    equal(it.held(it.claim()), ["x"])


def a_stored_entry_without_its_card_is_left_out(wire: Wire, client: redis.Redis) -> None:
    clock = FakeClock()
    store = store_on(wire, clock)
    it = StoreUnderTest(store, clock)
    it.put()
    client.hdel(store.keys.cards, "x")

    equal(it.take().claims, ())


def turns_and_tenants_that_are_gone_are_found_again(wire: Wire, client: redis.Redis) -> None:
    for lost in ("turns", "tenants"):
        clock = FakeClock()
        store = store_on(wire, clock)
        it = StoreUnderTest(store, clock)
        it.put(tenant="t")
        client.delete(f"{store.keys.prefix}:{lost}")

        it.take()
        it.clock.advance(10_000)

        equal(it.taken("r2"), ["x"])
        equal(client.exists(store.keys.turns, f"{store.keys.prefix}:tenants"), 2)


def a_tenant_without_entries_has_no_turn(wire: Wire, client: redis.Redis) -> None:
    clock = FakeClock()
    store = store_on(wire, clock)
    it = StoreUnderTest(store, clock)
    it.put(tenant="t")
    it.store.remove(["x"])

    equal(client.exists(store.keys.turns), 0)


def leases_that_are_restored_together_have_fences_of_their_own(wire: Wire, _: redis.Redis) -> None:
    it = _reborn(wire)
    both = [it.attempt("a", "h8", key="a"), it.attempt("b", "h9", key="b")]

    answers = it.store.renew([Renewal(attempt, START_MS * 1000) for attempt in both])

    equal(answers[0].token < answers[1].token, True)


def as_many_are_counted_as_are_asked_for(wire: Wire, _: redis.Redis) -> None:
    clock = FakeClock()
    it = StoreUnderTest(store_on(wire, clock, statistics=2), clock)
    for key in ("a", "b", "c"):
        it.begin(it.attempt(key, key, key=key))

    equal(len(it.store.counted(10)), 2)


def a_fence_is_above_the_last_one_also_when_the_clock_steps_back(
    wire: Wire, _: redis.Redis
) -> None:
    clock = FakeClock()
    it = StoreUnderTest(store_on(wire, clock), clock)
    it.plan(x=START_MS, y=START_MS + 1, z=START_MS + 2)
    (first,) = it.claim(limit=1).claims
    clock.advance(-5000)
    attempt = it.attempt()
    began = it.store.begin(attempt, close_if_busy=False, grace_ms=TTL_MS).token
    clock.advance(5001)
    (second,) = it.claim("r2", limit=1).claims

    equal(first.slot.fence < began < second.slot.fence, True)


def another_application_and_a_newer_release_are_refused(wire: Wire, client: redis.Redis) -> None:
    clock = FakeClock()
    store = store_on(wire, clock)
    it = StoreUnderTest(store, clock)
    it.begin(it.attempt())
    for field, value in (("app", "another"), ("schema", "999")):
        kept = client.hget(store.keys.meta, field)
        client.hset(store.keys.meta, field, value)
        equal(_is_refused(it), True)
        client.hset(store.keys.meta, field, kept)


def _is_refused(it: StoreUnderTest) -> bool:
    try:
        it.begin(it.attempt())
    except Exception:  # noqa: BLE001  # which one it is, other tests say
        return True
    return False


def what_has_ended_is_not_told_as_found_again(wire: Wire, client: redis.Redis) -> None:
    clock = FakeClock()
    store = store_on(wire, clock)
    it = StoreUnderTest(store, clock)
    it.put("ended")
    (claim,) = it.take().claims
    slot = Slot("rule", ABSENT, ABSENT, fence=claim.slot.fence)
    equal(it.settle_stored(claim, slot=slot), Settled.CONFIRMED)
    it.put("later", START_MS + 1000)
    client.delete(store.keys.turns)

    equal([it.take().found_again for _ in range(3)], [0, 0, 0])


REDIS_CHECKS: Final[tuple[RedisCheck, ...]] = (
    one_ttl_after_it_forgot_a_store_goes_on,
    before_that_those_who_live_come_back,
    indexes_that_are_gone_are_made_again,
    a_stored_entry_without_its_card_is_left_out,
    turns_and_tenants_that_are_gone_are_found_again,
    a_tenant_without_entries_has_no_turn,
    leases_that_are_restored_together_have_fences_of_their_own,
    as_many_are_counted_as_are_asked_for,
    a_fence_is_above_the_last_one_also_when_the_clock_steps_back,
    another_application_and_a_newer_release_are_refused,
    what_has_ended_is_not_told_as_found_again,
)
