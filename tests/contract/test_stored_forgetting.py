"""What a store does when something of stored entries was evicted, or cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from celery_singleton_beat.protocol.claim import Settled, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.stored import Put, Stored
from celery_singleton_beat.protocol.tenant import Quota, Tenant
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import START_MS, FakeClock, StoreUnderTest
from celery_singleton_beat.testing.harness import HOLD_MS

PREFIX = "{timetable}"
LATER_MS = START_MS + 1000


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        for key in client.scan_iter(f"{PREFIX}*"):
            client.delete(key)
        yield client


@pytest.fixture
def it(redis_url: str, client: Any) -> StoreUnderTest:  # noqa: ARG001  emptied first
    """A store with three entries of two tenants, all due in a second."""
    clock = FakeClock()
    store = RedisStore(Wire(redis_url), prefix=PREFIX, app="app", now_ms=clock)
    it = StoreUnderTest(store, clock)
    it.put("a", LATER_MS, tenant="t", source="crm")
    it.put("b", LATER_MS, tenant="t")
    it.put("c", LATER_MS)
    return it


def evict(client: Any, *names: str) -> None:
    assert client.delete(*(f"{PREFIX}:{name}" for name in names)) == len(names)


def all_claimed(it: StoreUnderTest) -> list[str]:
    """Do what a replica does: claim whenever it is told that there is something to do."""
    found: list[str] = []
    for _ in range(50):
        stored_ms = it.claim().stored_ms
        if stored_ms is None:
            break
        it.clock.now_ms = max(it.clock.now_ms, stored_ms)
        claims = it.take(limit=2).claims
        found += [claim.entry for claim in claims]
        for claim in claims:
            ended = Slot("rule", ABSENT, ABSENT, fence=claim.slot.fence)
            assert it.settle_stored(claim, slot=ended) is Settled.CONFIRMED
    return found


@pytest.mark.parametrize(
    "lost",
    [("turns",), ("of:t",), ("of:",), ("of:t", "of:"), ("tenants",), ("stored",),
     ("turns", "of:t"), ("turns", "tenants", "of:t", "of:"), ("tenants", "of:t")],
)  # fmt: skip
@pytest.mark.parametrize("meanwhile", ["nothing", "put", "settled"])
def test_every_entry_is_found_again_whatever_index_was_evicted(
    it: StoreUnderTest, client: Any, lost: tuple[str, ...], meanwhile: str
) -> None:
    it.put("held", START_MS, tenant="t")
    (held,) = it.take().claims
    evict(client, *lost)

    if meanwhile == "put":
        it.put("d", LATER_MS, tenant="t")
    if meanwhile == "settled" and lost != ("stored",):
        assert it.settle_stored(held, by_ms=1000) is Settled.CONFIRMED
    expected = ["a", "b", "c", "held"] + (["d"] if meanwhile == "put" else [])

    assert sorted(all_claimed(it)) == sorted(expected)
    assert it.store.tenants(["t", ""]) == [Tenant(len(expected) - 1), Tenant(1)]
    assert client.hget(f"{PREFIX}:meta", "sweep") is None


def test_what_was_found_again_is_told(it: StoreUnderTest, client: Any) -> None:
    evict(client, "of:t", "turns")

    assert it.claim().stored_ms == START_MS
    answer = it.take()

    assert (answer.found_again, answer.unreadable) == (2, ())
    assert (it.take().found_again, it.take().next_ms) == (0, LATER_MS)


def test_many_entries_are_found_again_in_small_steps(it: StoreUnderTest, client: Any) -> None:
    puts = [Put(f"e{n}", "x" * 90, "rule", LATER_MS, LATER_MS, f"t{n % 7}") for n in range(2000)]
    it.store.put(puts, Quota())
    evict(client, "turns", "tenants", *(f"of:t{n}" for n in range(7)))

    steps = []
    while (answer := it.take()).next_ms == START_MS:
        steps.append(answer.found_again)

    assert sum(steps) + answer.found_again == 2000
    assert len(steps) > 5
    assert max(steps) < 400
    assert it.store.tenants([f"t{n}" for n in range(7)])[0] == Tenant(286)


def test_an_entry_that_is_paused_is_found_again_when_it_is_resumed(
    it: StoreUnderTest, client: Any
) -> None:
    it.pause("a")
    evict(client, "stored")

    assert it.card("a").is_paused
    assert it.slot("a") == Slot("", ABSENT, START_MS, last_ms=START_MS)
    it.resume("a")

    (claim,) = it.take().claims
    fresh = Slot("", ABSENT, START_MS, last_ms=START_MS)
    assert claim.entry == "a"
    assert replace(claim.slot, fence=0, hold_until_ms=0) == fresh


def test_what_was_only_paused_or_ended_is_not_looked_for(it: StoreUnderTest) -> None:
    it.store.pause(["a", "b", "c"], paused=True)

    assert it.claim().stored_ms is None
    assert (it.take().next_ms, it.take().found_again) == (None, 0)


def test_an_evicted_definition_is_told_when_it_would_have_been_due(
    it: StoreUnderTest, client: Any
) -> None:
    evict(client, "cards")
    it.clock.advance(1000)

    answer = it.take()

    assert sorted(answer.unreadable) == ["a", "b", "c"]
    assert (answer.claims, answer.next_ms) == ((), None)
    assert it.store.tenants(["t"]) == [Tenant()]
    assert it.put("a", LATER_MS + 1, tenant="t").verdict is Stored.ADDED


def test_a_source_that_was_evicted_knows_its_entries_again(it: StoreUnderTest, client: Any) -> None:
    it.put("gone", LATER_MS, source="crm", mark=it.store.mark())
    mark = it.store.mark()
    evict(client, "source:crm")

    it.put("a", LATER_MS, tenant="t", source="crm", mark=mark)
    it.take()

    assert it.store.unmarked("crm", mark, 10) == ["gone"]


def test_an_entry_that_is_in_the_index_of_another_tenant_is_claimed_once(
    it: StoreUnderTest, client: Any
) -> None:
    client.zadd(f"{PREFIX}:of:", {"a": START_MS})
    client.zadd(f"{PREFIX}:turns", {"": START_MS})

    assert it.taken() == []
    it.clock.advance(1000)

    assert sorted(it.taken()) == ["a", "b", "c"]
    assert it.taken() == []


def test_an_index_that_is_wrong_is_put_right(it: StoreUnderTest, client: Any) -> None:
    it.put("held", START_MS, tenant="t")
    it.put("disabled", START_MS, tenant="t", is_enabled=False)
    assert it.taken() == ["held"]
    it.pause("a")
    client.zadd(f"{PREFIX}:of:t", dict.fromkeys(["a", "held", "disabled"], START_MS))
    client.zadd(f"{PREFIX}:turns", {"t": START_MS})

    assert (it.taken(), it.take().next_ms) == ([], LATER_MS)

    scores = client.zmscore(f"{PREFIX}:of:t", ["a", "held", "disabled"])
    assert scores == [float("inf"), START_MS + HOLD_MS, float("inf")]


@pytest.mark.parametrize("record", ["", "junk", "2|1|2|3|1|0|t|crm|||{}", "1|1|x|3|1|0|t||||{}",
                                    "1|0x1|2|3|1|0|t||||{}", "1|1|2.5|3|1|0|t||||{}"])  # fmt: skip
def test_an_unreadable_definition_is_set_aside_with_its_text(
    it: StoreUnderTest, client: Any, record: str
) -> None:
    client.hset(f"{PREFIX}:cards", "a", record)
    it.clock.advance(1000)

    answer = it.take()

    assert (sorted(claim.entry for claim in answer.claims), answer.unreadable) == (
        ["b", "c"],
        ("a",),
    )
    assert client.hget(f"{PREFIX}:aside", "a") == record
    assert (it.store.kept(["a"]), it.store.tenants(["t"])) == ([None], [Tenant(1)])
    assert it.take().unreadable == ()
    assert client.hget(f"{PREFIX}:meta", "sweep") is None
    assert it.store.remove(["a"], source="crm") == [Stored.MISSING]
    assert it.store.unmarked("crm", it.store.mark(), 5) == []


def test_an_unreadable_definition_that_is_overwritten_or_removed_is_kept_aside(
    it: StoreUnderTest, client: Any
) -> None:
    client.hset(f"{PREFIX}:cards", mapping={"a": "junk", "b": "waste", "c": "rubbish"})
    assert it.store.kept(["a", "b"]) == [None, None]

    assert it.put("a", LATER_MS, tenant="u").verdict is Stored.ADDED
    assert it.store.pause(["b"], paused=True) == [Stored.MISSING]
    assert it.store.remove(["b"], if_revision=3) == [Stored.CONFLICT]
    assert it.store.remove(["b"]) == [Stored.REMOVED]

    aside = client.hgetall(f"{PREFIX}:aside")
    assert aside == {"a": "junk", "b": "waste"}
    assert "a" in all_claimed(it)
    assert it.store.tenants(["t", "u", ""]) == [Tenant(), Tenant(1), Tenant()]


@pytest.mark.parametrize("record", ["", "junk", "1|1e3|2|3|0|0|0|0|r", "1|1|2|3|0|0|0.5|0|r"])
def test_an_unreadable_slot_is_set_aside_and_its_entry_planned_anew(
    it: StoreUnderTest, client: Any, record: str
) -> None:
    client.hset(f"{PREFIX}:stored", "a", record)
    it.clock.advance(1000)

    first = it.take()

    assert (sorted(c.entry for c in first.claims), first.unreadable) == (["b", "c"], ("a",))
    assert client.hget(f"{PREFIX}:aside", "a") == record
    assert it.slot("a") == Slot("", ABSENT, LATER_MS, last_ms=LATER_MS)
    assert it.taken() == ["a"]


def test_an_unreadable_tenant_is_set_aside_and_counted_anew(
    it: StoreUnderTest, client: Any
) -> None:
    client.hset(f"{PREFIX}:tenants", "t", "1|two|0|0|0|0|0|-1|-1|-1")
    assert it.store.tenants(["t"]) == [Tenant()]

    it.put("d", LATER_MS, tenant="t")

    assert client.hget(f"{PREFIX}:aside", "tenant t") == "1|two|0|0|0|0|0|-1|-1|-1"
    assert it.store.tenants(["t"]) == [Tenant(3)]


def test_a_name_put_again_in_a_store_that_forgot_has_no_revision_twice(
    it: StoreUnderTest, client: Any
) -> None:
    before = it.card("a").revision
    it.clock.advance(1)
    evict(client, "meta")

    it.store.remove(["a"])

    assert it.put("a").revision > before


@pytest.mark.parametrize("lost", ["stored", "cards"])
def test_a_hold_of_what_was_evicted_is_gone(it: StoreUnderTest, client: Any, lost: str) -> None:
    it.clock.advance(1000)
    first = it.take().claims
    evict(client, lost)

    assert {it.settle_stored(claim) for claim in first} == {Settled.GONE}
    it.clock.advance(HOLD_MS)
    assert sorted(it.take().unreadable) == ["a", "b", "c"]
    assert sorted(it.taken()) == (["a", "b", "c"] if lost == "stored" else [])


def test_the_only_entry_is_found_again(it: StoreUnderTest, client: Any) -> None:
    it.store.remove(["a", "b"])
    evict(client, "turns")

    assert all_claimed(it) == ["c"]


@pytest.mark.parametrize("cure", ["removed", "put back"])
def test_a_foreign_index_of_one_tenant_keeps_only_its_own_entries_waiting(
    it: StoreUnderTest, client: Any, cure: str
) -> None:
    """F13: each minute it is said whose they are; when the key is well they are found again."""
    it.put("held", START_MS, tenant="t")
    (held,) = it.take().claims
    kept = client.zrange(f"{PREFIX}:of:t", 0, -1, withscores=True)
    client.delete(f"{PREFIX}:of:t")
    client.set(f"{PREFIX}:of:t", "foreign")
    it.clock.advance(1000)

    first = it.take()
    assert ([claim.entry for claim in first.claims], first.foreign) == (["c"], ("t",))
    assert it.settle_stored(held) is Settled.CONFIRMED
    assert it.put("d", LATER_MS + 1, tenant="t").verdict is Stored.ADDED
    assert it.settle_stored(first.claims[0], by_ms=120_000) is Settled.CONFIRMED
    assert it.take().foreign == ()

    client.delete(f"{PREFIX}:of:t")
    if cure == "put back":
        client.zadd(f"{PREFIX}:of:t", dict(kept))
    it.clock.advance(60_000)

    assert sorted(all_claimed(it)) == ["a", "b", "c", "d", "held"]
    assert it.store.tenants(["t"]) == [Tenant(4)]


def test_an_entry_that_shall_never_be_looked_at_is_mended_when_it_is_put_again(
    it: StoreUnderTest, client: Any
) -> None:
    """As any reconciliation does; nothing is written of what is as it was put."""
    client.zadd(f"{PREFIX}:of:t", {"a": float("inf")})
    it.clock.advance(1000)
    assert sorted(it.taken()) == ["b", "c"]

    assert it.put("a", LATER_MS, tenant="t", source="crm").verdict is Stored.UNCHANGED

    assert it.taken() == ["a"]
