"""What both stores promise when they forget: all at once, or what is too old."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import redis

from celery_singleton_beat.errors import StoreCorrupt
from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.run import (
    GRACE_MS,
    NOTICE_MS,
    Attempt,
    Begun,
    Finished,
    Lock,
    Outcome,
    Renewed,
)
from celery_singleton_beat.store.memory_store import MemoryStore
from celery_singleton_beat.store.port import Renewal
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import START_MS, FakeClock, StoreUnderTest
from celery_singleton_beat.testing.harness import HOLD_MS, TTL_MS

Forget = Callable[[], None]


@pytest.fixture(params=["memory", "redis"])
def forgetful(request: pytest.FixtureRequest) -> tuple[StoreUnderTest, Forget]:
    """A store that has been used, and what makes it forget everything."""
    clock = FakeClock()
    if request.param == "memory":
        memory = MemoryStore(clock)
        it, forget = StoreUnderTest(memory, clock), memory.forget
    else:
        url = request.getfixturevalue("redis_url")
        store = _redis_store(url, "forgetful", clock)
        it = StoreUnderTest(store, clock)

        def forget() -> None:
            with redis.Redis.from_url(url) as client:
                for key in client.scan_iter("{forgetful}*"):
                    client.delete(key)

        forget()
    it.begin(it.attempt("earlier", "h0", key="another"))
    return it, forget


def _redis_store(
    url: str, prefix: str, clock: FakeClock, history: int = 100, **kept: int
) -> RedisStore:
    return RedisStore(Wire(url), prefix=prefix, app="app", history=history, now_ms=clock, **kept)


def test_nothing_is_discarded_before_those_who_live_came_back(
    forgetful: tuple[StoreUnderTest, Forget],
) -> None:
    it, forget = forgetful
    it.clock.advance(1000)
    forget()

    it.store.discard(it.attempt(holder="h2"), "expired")
    it.clock.advance(TTL_MS - 1)
    it.store.discard(it.attempt(holder="h3"), "expired")

    assert it.kinds() == []
    assert it.renew(it.attempt(), token=START_MS * 1000) is Renewed.RESTORED


def test_what_nobody_came_back_for_is_discarded_in_the_end(
    forgetful: tuple[StoreUnderTest, Forget],
) -> None:
    it, forget = forgetful
    forget()
    it.store.discard(it.attempt(), "expired")

    it.clock.advance(TTL_MS)
    it.store.discard(it.attempt(), "expired")

    assert it.begin(it.attempt(holder="h2")) is Begun.DONE


def test_nothing_begins_for_one_ttl_in_a_store_that_forgot(
    forgetful: tuple[StoreUnderTest, Forget],
) -> None:
    it, forget = forgetful
    forget()
    it.store.lock_names(1)

    for left_ms in (TTL_MS, 1):
        it.clock.now_ms = START_MS + TTL_MS - left_ms
        answer = it.store.begin(it.attempt(), close_if_busy=True, grace_ms=TTL_MS)
        assert (answer.verdict, answer.wait_ms) == (Begun.WAIT, left_ms)
    it.clock.advance(1)

    assert it.begin(it.attempt()) is Begun.RUN


def test_a_history_of_no_facts_writes_nothing(redis_url: str) -> None:
    clock = FakeClock()
    store = _redis_store(redis_url, "silent", clock, history=0)
    it = StoreUnderTest(store, clock)

    it.begin(it.attempt())
    it.renew(it.attempt("nobody", "h2"))
    store.unlock("key", "op")
    store.discard(it.attempt("other", "h3"), "expired")

    assert store.history(10) == []
    with redis.Redis.from_url(redis_url) as client:
        assert client.exists(store.keys.history) == 0


def test_a_history_keeps_about_as_many_facts_as_it_is_told_to(redis_url: str) -> None:
    clock = FakeClock()
    store = _redis_store(redis_url, "trimmed", clock, history=200)
    it = StoreUnderTest(store, clock)

    for number in range(500):
        store.discard(it.attempt(f"run{number}"), "expired")

    facts = store.history(10_000)
    # Redis drops whole nodes of a stream, of a hundred entries each.
    assert 200 <= len(facts) <= 300
    assert [fact.run for fact in facts[:200]] == [f"run{n}" for n in range(499, 299, -1)]


def test_the_last_run_of_an_interval_is_remembered_for_the_longest_that_asked(
    redis_url: str,
) -> None:
    clock = FakeClock()
    store = _redis_store(redis_url, "intervals", clock)
    it = StoreUnderTest(store, clock)
    it.begin(it.attempt("hourly", "h1", once_ms=3_600_000))
    store.unlock("key", "op")
    clock.advance(60_000)

    it.begin(it.attempt("minutely", "h2", once_ms=60_000))

    with redis.Redis.from_url(redis_url) as client:
        assert 7_000_000 < client.pttl(store.keys.spent("key")) <= 7_200_000


def test_a_lease_is_restored_with_all_that_its_holder_was_known_by(
    forgetful: tuple[StoreUnderTest, Forget],
) -> None:
    it, forget = forgetful
    it.clock.advance(1000)
    forget()
    second = it.attempt(holder="h2", attempt=1, owner="pod|1")

    token = it.store.renew([Renewal(second, START_MS * 1000)])[0].token

    deadline_ms = it.clock.now_ms + TTL_MS
    restored = Lock("h2", token, deadline_ms, it.clock.now_ms, "pod|1")
    assert it.store.locks(["key"]).locks == (restored,)
    it.clock.advance(2 * TTL_MS)
    assert it.begin(it.attempt(holder="h3")) is Begun.STALE
    assert it.begin(it.attempt(holder="h4", attempt=1)) is Begun.TWIN


def test_no_message_is_left_of_what_has_ended(redis_url: str) -> None:
    clock = FakeClock()
    store = _redis_store(redis_url, "messages", clock)
    it = StoreUnderTest(store, clock)
    ends = [_finishes, _is_discarded, _gives_way, _cannot_be_published_again]

    for number, end in enumerate(ends):
        it.begin(it.attempt("lives", f"alive{number}", key=f"other{number}", message="kept"))
        one = it.attempt(f"run{number}", f"h{number}", key=f"key{number}", message="m")
        it.begin(one)
        end(it, one)

    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert client.hkeys(store.keys.messages) == ["lives"]
        assert client.zrange(store.keys.crashable, 0, -1) == ["lives"]


def _finishes(it: StoreUnderTest, attempt: Attempt) -> None:
    it.finish(attempt, Outcome.SUCCEEDED)


def _is_discarded(it: StoreUnderTest, attempt: Attempt) -> None:
    it.finish(attempt, Outcome.INTERRUPTED)
    it.store.discard(replace(attempt, holder="another"), "revoked")


def _gives_way(it: StoreUnderTest, attempt: Attempt) -> None:
    it.finish(attempt, Outcome.INTERRUPTED)
    it.begin(it.attempt("in its way", "in its way", key=attempt.key))
    it.begin(replace(attempt, holder="another"), close_if_busy=True)


def _cannot_be_published_again(it: StoreUnderTest, attempt: Attempt) -> None:
    it.finish(attempt, Outcome.INTERRUPTED)
    it.clock.advance(NOTICE_MS)
    it.store.give_up(it.reclaimed())


def test_records_are_dropped_by_the_server_when_they_say_nothing_more(redis_url: str) -> None:
    clock = FakeClock()
    store = _redis_store(redis_url, "expiry", clock)
    it = StoreUnderTest(store, clock)
    attempt = it.attempt(once_ms=60_000)

    it.begin(attempt)

    with redis.Redis.from_url(redis_url) as client:
        left_ms = [client.pttl(key(name)) for key, name in (
            (store.keys.run, "run"), (store.keys.lock, "key"), (store.keys.spent, "key"),
        )]  # fmt: skip
    expected_ms = [TTL_MS + attempt.window_ms, TTL_MS + GRACE_MS, 120_000]
    assert all(
        expected - 10_000 < left <= expected
        for expected, left in zip(expected_ms, left_ms, strict=True)
    )


def test_a_store_names_more_locks_than_a_script_can_unpack(redis_url: str) -> None:
    clock = FakeClock()
    store = _redis_store(redis_url, "many-locks", clock)
    with redis.Redis.from_url(redis_url) as client:
        client.zadd(store.keys.locks, {f"key{n}": START_MS + 1 for n in range(20_000)})

    assert len(store.lock_names(20_000)) == 20_000


def test_a_history_that_cannot_be_written_stops_no_run(redis_url: str) -> None:
    clock = FakeClock()
    store = _redis_store(redis_url, "foreign-history", clock)
    it = StoreUnderTest(store, clock)
    with redis.Redis.from_url(redis_url) as client:
        client.set(store.keys.history, "foreign")

    assert it.begin(it.attempt()) is Begun.RUN
    assert it.finish(it.attempt(), Outcome.SUCCEEDED) is Finished.RECORDED

    with pytest.raises(StoreCorrupt):
        store.history(10)


@pytest.mark.parametrize("foreign", ["counts:", "counts:e:x", "counts:k:key", "counted", "of:e:x"])
def test_figures_that_cannot_be_written_stop_no_run(redis_url: str, foreign: str) -> None:
    clock = FakeClock()
    store = _redis_store(redis_url, f"foreign-{foreign.replace(':', '-')}", clock)
    it = StoreUnderTest(store, clock)
    attempt = it.attempt(entry="x", key="key")
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"{store.keys.history}:{foreign}", "foreign")

    assert it.begin(attempt) is Begun.RUN
    assert it.finish(attempt, Outcome.SUCCEEDED) is Finished.RECORDED

    assert it.kinds() == ["started", "succeeded"]


def test_of_more_subjects_than_are_counted_those_go_to_which_nothing_happened(
    redis_url: str,
) -> None:
    """With what was counted of them, and the history of their own."""
    clock = FakeClock()
    store = _redis_store(redis_url, "counted", clock, statistics=2)
    it = StoreUnderTest(store, clock)
    for number in range(3):
        clock.advance(1)
        attempt = it.attempt(f"run{number}", f"h{number}", key="k", entry=f"x{number}")
        it.begin(attempt)
        it.finish(attempt, Outcome.SUCCEEDED)

    assert store.counted(10) == ["k:k", "e:x2"]
    assert [counts["started"] for counts in store.counts(["e:x0", "e:x1", "e:x2", ""])] == [
        *(0, 0, 1),
        3,
    ]
    assert store.history(10, "x0") == []
    with redis.Redis.from_url(redis_url) as client:
        kept = {key.decode() for key in client.keys("{counted}:history*")}
    assert kept == {
        f"{{counted}}:history{key}"
        for key in ("", ":counted", ":counts:", ":counts:k:k", ":counts:e:x2", ":of:e:x2")
    }


@pytest.mark.parametrize("off", ["history", "statistics", "entry_history"])
def test_what_is_switched_off_writes_nothing(redis_url: str, off: str) -> None:
    clock = FakeClock()
    kept = {"history": 100, "statistics": 100, "entry_history": 100, off: 0}
    store = _redis_store(redis_url, f"off-{off}", clock, **kept)
    it = StoreUnderTest(store, clock)

    it.begin(it.attempt(entry="x", key="k"))

    written = {
        "history": ["counted", "counts:", "counts:e:x", "counts:k:k"],
        "statistics": [""],
        "entry_history": ["", "counted", "counts:", "counts:e:x", "counts:k:k"],
    }
    start = f"{store.keys.history}"
    with redis.Redis.from_url(redis_url) as client:
        found = sorted(key.decode() for key in client.keys("{off-" + off + "}:history*"))
    assert found == [f"{start}:{name}" if name else start for name in written[off]]


@pytest.mark.parametrize("lost", [("due",), ("held",), ("due", "held")], ids="+".join)
def test_entries_are_claimed_whatever_index_was_evicted(
    redis_url: str, lost: tuple[str, ...]
) -> None:
    """The slots know what was in it; a hold that lives is kept until it is over."""
    clock = FakeClock()
    store = _redis_store(redis_url, f"evicted-{'-'.join(lost)}", clock)
    it = StoreUnderTest(store, clock)
    it.plan(x=START_MS, y=START_MS + 1, z=START_MS + 2)
    assert it.held(it.claim(limit=1)) == ["x"]
    with redis.Redis.from_url(redis_url) as client:
        client.delete(*(f"{store.keys.prefix}:{name}" for name in lost))
    clock.advance(10)

    assert it.held(it.claim()) == ["y", "z"]
    clock.advance(HOLD_MS)
    assert it.held(it.claim()) == ["x", "y", "z"]


def test_slots_are_not_looked_through_while_none_is_missing(redis_url: str) -> None:
    """Also where some are in no index because their rules have ended."""
    clock = FakeClock()
    store = _redis_store(redis_url, "whole", clock)
    it = StoreUnderTest(store, clock)
    it.plan(x=START_MS, y=START_MS)
    claim, _ = it.claim().claims
    ended = replace(claim.slot, slot_ms=ABSENT, due_ms=ABSENT)
    store.settle("a", [Settlement(claim.entry, claim.slot.fence, ended)])
    it.claim()
    with redis.Redis.from_url(redis_url) as client:
        # What is due, and has no score, is put back; but nobody looks.
        client.hset(f"{store.keys.prefix}:slots", "late", f"1|{START_MS}|{START_MS}|0|0|0|0|0|r")
        client.hdel(f"{store.keys.prefix}:slots", claim.entry)

        assert it.held(it.claim()) == []
        client.hset(f"{store.keys.prefix}:slots", claim.entry, "1|-1|-1|0|0|0|0|0|r")
        assert it.held(it.claim()) == ["late"]
