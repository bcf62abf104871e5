"""Who waits for something to do is told of every change, and nothing is left of what is gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from celery_singleton_beat.protocol.asked import Asking
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import FakeClock, StoreUnderTest

Change = Callable[[StoreUnderTest], object]

CHANGES: dict[str, Change] = {
    "put": lambda it: it.put("new"),
    "pause": lambda it: it.store.pause(["x"], paused=True),
    "remove": lambda it: it.store.remove(["x"]),
    "pause a tenant": lambda it: it.store.pause_all("t", paused=True),
    "pause all": lambda it: it.store.pause_all(None, paused=True),
    "ask": lambda it: it.store.ask(Asking("q", "x")),
}
NO_CHANGES: dict[str, Change] = {
    "put": lambda it: it.put("x"),
    "resume": lambda it: it.store.pause(["x"], paused=False),
    "remove": lambda it: it.store.remove(["nobody"]),
    "resume a tenant": lambda it: it.store.pause_all("t", paused=False),
    "resume all": lambda it: it.store.pause_all(None, paused=False),
    "ask": lambda it: it.store.ask(Asking("q", "nobody")),
}


def told(url: str, change: Change, prefix: str) -> int:
    """Count what is told of a change."""
    store = RedisStore(Wire(url), prefix=prefix, app="app", now_ms=FakeClock())
    it = StoreUnderTest(store, FakeClock())
    it.put("x")
    with redis.Redis.from_url(url) as client, client.pubsub() as channel:
        channel.subscribe(store.keys.wake)
        assert channel.get_message(timeout=10)["type"] == "subscribe"
        change(it)
        client.publish(store.keys.wake, "end")
        messages = iter(lambda: channel.get_message(timeout=10)["data"], b"end")
        return len(list(messages))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_wakes_who_waits(redis_url: str, name: str) -> None:
    """F19: and who does not hear of it looks by itself, by the next poll."""
    assert told(redis_url, CHANGES[name], f"told-{name}") == 1


@pytest.mark.parametrize("name", NO_CHANGES)
def test_what_changes_nothing_wakes_nobody(redis_url: str, name: str) -> None:
    assert told(redis_url, NO_CHANGES[name], f"untold-{name}") == 0


def test_nothing_is_left_of_entries_that_are_gone(redis_url: str) -> None:
    clock = FakeClock()
    store = RedisStore(Wire(redis_url), prefix="gone", app="app", now_ms=clock)
    it = StoreUnderTest(store, clock)
    for number in range(4):
        it.put(f"e{number}", tenant=f"t{number % 2}", source="crm")
    it.take(per_minute=1)
    it.put("e0", tenant="t2", source="erp")

    store.remove([f"e{number}" for number in range(4)])

    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        left = set(client.scan_iter("{gone}*"))
    assert left == {store.keys.meta, store.keys.took("r1")}
