"""What every store promises of turns: no tenant starves another, or has more than it may."""

from __future__ import annotations

from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.stored import Put
from celery_singleton_beat.protocol.tenant import Quota, Tenant
from celery_singleton_beat.testing.harness import HOLD_MS, START_MS, StoreUnderTest, equal

TWO = Quota(max_entries=2)
SLOW = Quota(min_interval_ms=500)
MINUTE_MS = 60_000


def a_tenant_with_a_backlog_does_not_starve_another(it: StoreUnderTest) -> None:
    for number in range(50):
        it.put(f"many{number:02}", START_MS + 1, tenant="many")
    it.put("few", START_MS + 2, tenant="few")
    it.put("none", START_MS + 3)
    it.clock.advance(10)

    first = it.taken(limit=3)

    equal(first, ["many00", "few", "none"])
    equal(it.taken(limit=3), ["many01", "many02", "many03"])


def what_one_tenant_leaves_of_its_share_others_get(it: StoreUnderTest) -> None:
    it.put("a1", START_MS + 1, tenant="a")
    for tenant, at in (("b", 2), ("c", 3)):
        for number in range(5):
            it.put(f"{tenant}{number}", START_MS + at, tenant=tenant)
    it.clock.advance(10)

    equal(it.taken(limit=8), ["a1", "b0", "b1", "b2", "b3", "c0", "c1", "c2"])


def tenants_take_turns_also_while_they_settle_and_are_changed(it: StoreUnderTest) -> None:
    for tenant in ("a", "b", "c"):
        for number in range(3):
            it.put(f"{tenant}{number}", START_MS + 1, tenant=tenant)
    it.clock.advance(10)
    order = []

    for _ in range(6):
        (claim,) = it.take(limit=1).claims
        order.append(claim.entry)
        it.settle_stored(claim, by_ms=10_000_000)
        it.put("a2", definition=str(len(order)), tenant="a", at_ms=START_MS + 1)
        it.clock.advance(1)

    equal(order, ["a0", "b0", "c0", "a1", "b1", "c1"])


def a_tenant_that_has_nothing_more_due_waits_for_its_next(it: StoreUnderTest) -> None:
    it.put("a0", START_MS + 1, tenant="a")
    it.put("a1", START_MS + 500, tenant="a")
    it.clock.advance(10)

    equal(it.taken(), ["a0"])
    equal(it.take().next_ms, START_MS + 500)
    it.put("b", START_MS + 300, tenant="a")
    equal(it.take().next_ms, START_MS + 300)
    it.store.remove(["b"])
    equal(it.take().next_ms, START_MS + 500)


def of_a_tenant_no_more_is_claimed_in_a_minute_than_it_may(it: StoreUnderTest) -> None:
    for number in range(4):
        it.put(f"t{number}", START_MS + number, tenant="t")
        it.put(f"free{number}", START_MS + number)
    it.clock.advance(10)
    minute_ms = it.clock.now_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS

    first = it.take(limit=2, per_minute=3).claims
    rest = it.take(per_minute=3).claims

    equal([c.entry for c in first], ["free0", "t0"])
    equal(sorted(c.entry for c in rest), ["free1", "free2", "free3", "t1", "t2"])
    for claim in first + rest:
        it.settle_stored(claim, by_ms=10_000_000)
    equal(it.taken(per_minute=3), [])
    it.clock.now_ms = minute_ms - 1
    equal(it.taken(per_minute=3), [])
    it.clock.advance(1)
    equal(it.taken(per_minute=3), ["t3"])
    equal(it.store.tenants(["t"]), [Tenant(4, minute=minute_ms // MINUTE_MS, used=1)])


def a_tenant_that_used_up_its_minute_is_looked_at_in_the_next(it: StoreUnderTest) -> None:
    it.put("a", tenant="t")
    it.put("b", tenant="t")
    minute = it.clock.now_ms // MINUTE_MS

    answer = it.take(per_minute=1)

    equal(([c.entry for c in answer.claims], answer.next_ms), (["a"], (minute + 1) * MINUTE_MS))
    equal(it.store.tenants(["t"]), [Tenant(2, minute=minute, used=1)])
    equal(it.claim().stored_ms, (minute + 1) * MINUTE_MS)
    it.store.allow("t", Quota(max_per_minute=1))
    equal(it.taken(), [])
    it.store.allow("t", Quota(max_per_minute=2))
    equal((it.taken(per_minute=1), it.store.tenants(["t"])[0].used), (["b"], 2))


def a_quota_of_its_own_may_be_no_limit_to_a_minute(it: StoreUnderTest) -> None:
    it.store.allow("t", Quota())
    it.put("a", tenant="t")
    it.put("b", tenant="t")
    it.store.allow("none", Quota(max_per_minute=0))
    it.put("c", tenant="none")

    answer = it.take(per_minute=1)

    equal([claim.entry for claim in answer.claims], ["a", "b"])
    equal(answer.next_ms, START_MS + HOLD_MS)
    equal(it.store.tenants(["none"]), [Tenant(1, quota=Quota(max_per_minute=0))])


def entries_of_an_unlimited_tenant_are_not_counted_by_the_minute(it: StoreUnderTest) -> None:
    it.put("a", tenant="t")
    it.taken(per_minute=ABSENT)

    equal(it.store.tenants(["t"]), [Tenant(1)])


def a_turn_is_given_for_all_that_changed_in_one_step(it: StoreUnderTest) -> None:
    now = Put("now", "{}", "rule", START_MS, START_MS, "t")
    overdue = now._replace(entry="overdue", slot_ms=START_MS - 1, due_ms=START_MS - 1, last_ms=1)

    it.store.put([now, overdue], Quota())

    equal(it.claim().stored_ms, START_MS - 1)
    equal(it.taken(), ["overdue", "now"])


TURN_CHECKS = (
    a_turn_is_given_for_all_that_changed_in_one_step,
    a_tenant_with_a_backlog_does_not_starve_another,
    what_one_tenant_leaves_of_its_share_others_get,
    tenants_take_turns_also_while_they_settle_and_are_changed,
    a_tenant_that_has_nothing_more_due_waits_for_its_next,
    of_a_tenant_no_more_is_claimed_in_a_minute_than_it_may,
    a_tenant_that_used_up_its_minute_is_looked_at_in_the_next,
    a_quota_of_its_own_may_be_no_limit_to_a_minute,
    entries_of_an_unlimited_tenant_are_not_counted_by_the_minute,
)
