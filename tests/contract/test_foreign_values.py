"""What is under a key and was not written by us stops only what it is of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from celery_singleton_beat.errors import StoreCorrupt
from celery_singleton_beat.protocol.asked import Asked, Asking
from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.claim import Settled
from celery_singleton_beat.protocol.run import Begun, Finished, Outcome, Renewed
from celery_singleton_beat.store.asked_port import AskedRequest
from celery_singleton_beat.store.port import Ending, Renewal, Standing
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import START_MS, FakeClock, StoreUnderTest

PREFIX = "{foreign}"
DIGITS = [
    str(2**53 - 1),
    "9" * 16,
    "-" + "9" * 16,
    "9" * 400,
    "inf",
    "-inf",
    "nan",
    "1e400",
    "x",
    "",
]


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def it(redis_url: str, client: Any) -> StoreUnderTest:  # noqa: ARG001
    clock = FakeClock()
    store = RedisStore(Wire(redis_url), prefix=PREFIX, app="app", now_ms=clock)
    return StoreUnderTest(store, clock)


def put_foreign(client: Any, name: str) -> None:
    client.delete(f"{PREFIX}:{name}")
    client.rpush(f"{PREFIX}:{name}", "foreign")


@pytest.mark.parametrize("key", ["run:one", "lock:one"])
def test_of_many_leases_only_the_one_with_something_foreign_is_lost(
    it: StoreUnderTest, client: Any, key: str
) -> None:
    """S0-33: a process renews and ends all its leases by one script."""
    one = it.attempt("one", "h1", key="one")
    two = it.attempt("two", "h2", key="two")
    tokens = [it.store.begin(lease, close_if_busy=False, grace_ms=1).token for lease in (one, two)]
    put_foreign(client, key)

    pairs = zip((one, two), tokens, strict=True)
    renewed = it.store.renew([Renewal(lease, token) for lease, token in pairs])
    locks = it.store.locks(["one", "two"]).locks
    ended = it.store.finish([Ending(lease, Outcome.SUCCEEDED) for lease in (one, two)])

    assert [answer.verdict for answer in renewed] == [Renewed.LOST, Renewed.KEPT]
    assert locks[1] is not None
    assert ended[1] is Finished.RECORDED
    client.delete(f"{PREFIX}:{key}", f"{PREFIX}:lock:one", f"{PREFIX}:run:one")
    assert it.begin(it.attempt("three", "h3", key="one")) is Begun.RUN


def test_a_foreign_value_where_a_run_is_awaited_keeps_no_settlement_waiting(
    it: StoreUnderTest, client: Any
) -> None:
    it.put("x", START_MS)
    (claim,) = it.take().claims
    put_foreign(client, "run:r1")
    awaited = Awaited("r1", "x", START_MS, 1000, 60_000)

    assert it.settle_stored(claim, awaited=(awaited,)) is Settled.CONFIRMED
    assert it.store.busy(["r1", "r2"]) == [False, False]


@pytest.mark.parametrize("name", ["awaited", "published", "progress"])
def test_a_run_that_cannot_be_struck_from_what_is_awaited_takes_no_lock(
    it: StoreUnderTest, client: Any, name: str
) -> None:
    """Its message is tried again; until then nobody else has to wait for it."""
    put_foreign(client, name)
    with pytest.raises(StoreCorrupt):
        it.begin(it.attempt(entry="x", is_awaited=True))

    assert not client.exists(f"{PREFIX}:lock:key", f"{PREFIX}:run:run")
    client.delete(f"{PREFIX}:{name}")
    assert it.begin(it.attempt("another", "h2")) is Begun.RUN


def test_an_unreadable_record_where_a_run_is_awaited_keeps_no_settlement_waiting(
    it: StoreUnderTest, client: Any
) -> None:
    it.put("x", START_MS)
    (claim,) = it.take().claims
    client.set(f"{PREFIX}:run:r1", "1|open|0|h|x|x|x|x||x")
    awaited = Awaited("r1", "x", START_MS, 1000, 60_000)

    assert it.settle_stored(claim, awaited=(awaited,)) is Settled.CONFIRMED
    assert it.store.busy(["r1"]) == [False]


def test_a_foreign_list_of_an_entrys_requests_keeps_no_request_waiting(
    it: StoreUnderTest, client: Any
) -> None:
    it.put("x", START_MS + 60_000)
    it.put("y", START_MS + 60_000)
    put_foreign(client, "asked_of:x")

    assert it.store.ask(Asking("q1", "x")).verdict is Asked.ASKED
    assert it.store.ask(Asking("q2", "y")).verdict is Asked.ASKED
    answer = it.store.claim_asked(AskedRequest("r", "d", "a", 10, 5000, -1))
    assert [claim.request for claim in answer.claims] == ["q1", "q2"]
    assert it.store.cancel_asked(["q1", "q2"]) == [True, True]
    it.store.remove(["x"])


@pytest.mark.parametrize("number", DIGITS)
def test_a_number_that_is_none_is_not_written_on(
    it: StoreUnderTest, client: Any, number: str
) -> None:
    """Fences, revisions and the fleet's clock go on from the server's time, or from nothing."""
    it.plan(x=START_MS)
    it.put("y", START_MS)
    fields = ("fence", "revision", "clock", "reported", "number", "resumed", "born", "idle")
    client.hset(f"{PREFIX}:meta", mapping=dict.fromkeys(fields, number))

    answer = it.live_on(20, ("r1", "a"))
    claims = it.take().claims

    assert answer.standing is Standing.GOVERNS
    (claim,) = claims
    assert 0 < claim.slot.fence < 1 << 52
    assert it.settle_stored(claim) is Settled.CONFIRMED
    assert 0 < it.put("z", START_MS).revision < 1 << 52
    assert it.begin(it.attempt()) is Begun.RUN


@pytest.mark.parametrize("number", ["9" * 16, "-" + "9" * 16, "9" * 5000])
@pytest.mark.parametrize("field", range(1, 8))
def test_a_slot_with_a_number_that_nobody_counts_to_is_set_aside(
    it: StoreUnderTest, client: Any, number: str, field: int
) -> None:
    it.plan(x=START_MS)
    it.put("y", START_MS)
    for key, name in (("slots", "x"), ("stored", "y")):
        fields = client.hget(f"{PREFIX}:{key}", name).split("|")
        fields[field] = number
        client.hset(f"{PREFIX}:{key}", name, "|".join(fields))

    answers = it.claim(), it.take()

    assert [answer.unreadable for answer in answers] == [("x",), ("y",)]


def test_a_replica_heard_of_in_times_to_come_does_not_govern(
    it: StoreUnderTest, client: Any
) -> None:
    """It may be of a clock that was evicted, or be nobody; what is dead claims nothing."""
    it.plan(x=START_MS)
    client.hset(f"{PREFIX}:replicas", "ghost", "1|other|0|99999999999|host")
    client.hset(f"{PREFIX}:numbers", "other", "999")

    answer = it.claim()

    assert answer.standing is Standing.GOVERNS
    assert not client.hexists(f"{PREFIX}:replicas", "ghost")


@pytest.mark.parametrize("score", [float("-inf"), -1e300, 1e300])
def test_an_index_with_a_time_that_never_was_is_read_as_a_number(
    it: StoreUnderTest, client: Any, score: float
) -> None:
    it.plan(x=START_MS + 60_000)
    it.put("y", START_MS + 60_000)
    for key in ("due", "held", "turns", "asked", "asked:config"):
        client.zadd(f"{PREFIX}:{key}", {"nobody": score})

    it.claim()
    it.take()
    it.store.overview()

    assert it.claim().standing is Standing.GOVERNS


@pytest.mark.parametrize("record", [f"1|{2**53 - 1}|ghost", "1|x|ghost", "junk", ""])
def test_a_duty_of_nobody_keeps_nobody_from_it(
    it: StoreUnderTest, client: Any, record: str
) -> None:
    """Alerts are told by somebody who lives."""
    it.store.alert("rule:x", "text")
    client.hset(f"{PREFIX}:alerts", "", record)

    assert it.store.watch("me", 1000).watcher == "me"


@pytest.mark.parametrize(
    "text", ["junk", "[]", "null", "1", '[1e999,"k","e",0,"",0,"",""]', "[" * 50_000, "9" * 5000]
)
def test_a_fact_that_is_none_hides_no_other(it: StoreUnderTest, client: Any, text: str) -> None:
    it.begin(it.attempt())
    client.xadd(f"{PREFIX}:history", {"f": text})
    client.xadd(f"{PREFIX}:history", {"foreign": "x", "more": "y"})

    assert it.kinds() == ["started"]
