"""The store in Redis: what it refuses, what it survives, and what it never says."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import redis

from celery_singleton_beat.demo.server import EmbeddedServer
from celery_singleton_beat.errors import (
    ConfigurationError,
    ForeignStore,
    StoreCorrupt,
    StoreTooNew,
    StoreUnavailable,
)
from celery_singleton_beat.protocol.claim import Slot
from celery_singleton_beat.protocol.run import Attempt, Begun
from celery_singleton_beat.store.keys import Keys
from celery_singleton_beat.store.port import Adoption, ClaimRequest, Standing
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import START_MS, FakeClock, StoreUnderTest
from tests.rig.proxy import TO_CLIENT, FaultProxy

ATTEMPT = Attempt("run", "holder", "key", 30_000)


def store_at(url: str, app: str = "shop", **options: object) -> RedisStore:
    wire = Wire(url, **options)  # type: ignore[arg-type]
    return RedisStore(wire, prefix="shop", app=app)


def claim(store: RedisStore, request_id: str = "q") -> Standing:
    return store.claim(ClaimRequest("r", "digest", request_id, 10, 5000, 15_000)).standing


def begin(store: RedisStore) -> Begun:
    return store.begin(ATTEMPT, close_if_busy=False, grace_ms=30_000).verdict


def test_another_app_under_the_same_prefix_is_refused_by_name(redis_url: str) -> None:
    claim(store_at(redis_url, "shop"))

    with pytest.raises(ForeignStore, match=r"'shop'.*singleton_beat_key_prefix"):
        claim(store_at(redis_url, "warehouse"))
    with pytest.raises(ForeignStore):
        begin(store_at(redis_url, "warehouse"))


def test_a_store_of_a_newer_release_is_refused(redis_url: str) -> None:
    claim(store_at(redis_url))
    with redis.Redis.from_url(redis_url) as client:
        client.hset(Keys("shop").meta, "schema", 99)

    with pytest.raises(StoreTooNew, match=r"schema 99.*upgrade"):
        claim(store_at(redis_url))


@pytest.mark.parametrize("lost", [("due", "held"), ("slots",)])
def test_an_index_that_was_evicted_is_made_again_from_what_is_left(
    redis_url: str, lost: tuple[str, ...]
) -> None:
    clock = FakeClock()
    store = RedisStore(Wire(redis_url), prefix="shop", app="shop", now_ms=clock)
    it = StoreUnderTest(store, clock)
    it.plan(x=START_MS, y=START_MS + 1000)
    with redis.Redis.from_url(redis_url) as client:
        client.delete(*(getattr(Keys("shop"), key) for key in lost))
    clock.advance(1000)

    answer = it.claim()

    found = it.held(answer) if "due" in lost else list(answer.unreadable)
    assert found == ["x", "y"]


@pytest.mark.parametrize("key", ["meta", "slots", "due", "held"])
def test_a_foreign_value_under_our_keys_is_named_and_not_overwritten(
    redis_url: str, key: str
) -> None:
    """F13: a foreign value under the key."""
    store = store_at(redis_url)
    planned = Slot("rule", START_MS, START_MS)
    if key != "meta":
        claim(store)
        store.adopt("digest", [Adoption("x", None, planned)], done=True)
    with redis.Redis.from_url(redis_url) as client:
        client.delete(getattr(Keys("shop"), key))
        client.set(getattr(Keys("shop"), key), "somebody's")

        with pytest.raises(StoreCorrupt, match="something foreign"):
            claim(store, "another")

        assert client.get(getattr(Keys("shop"), key)) == b"somebody's"
        client.delete(getattr(Keys("shop"), key))
        if key in ("due", "held"):
            answer = store.claim(ClaimRequest("r", "digest", "third", 10, 5000, 15_000))
            assert [found.entry for found in answer.claims] == ["x"]


@pytest.mark.parametrize("record", ["", "junk", "9|1|2|3|4|5|6|7|rule", "1|x|2|3|4|5|6|7|rule"])
def test_an_unreadable_slot_is_set_aside_with_its_text(redis_url: str, record: str) -> None:
    clock = FakeClock()
    store = RedisStore(Wire(redis_url), prefix="shop", app="shop", now_ms=clock)
    it = StoreUnderTest(store, clock)
    it.plan(x=START_MS, y=START_MS)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.hset(Keys("shop").slots, "x", record)

        answer = it.claim()

        assert (it.held(answer), answer.unreadable) == (["y"], ("x",))
        assert client.hget(Keys("shop").aside, "x") == record
        assert store.slots(["x"]).slots == (None,)


def test_glob_characters_in_a_prefix_are_letters_like_others(redis_url: str) -> None:
    """F12: nothing is looked for by pattern, so nothing can be missed or matched by one."""
    odd = RedisStore(Wire(redis_url), prefix="a*[b]?", app="shop")
    plain = RedisStore(Wire(redis_url), prefix="axbz", app="other")

    assert (begin(odd), begin(plain)) == (Begun.RUN, Begun.RUN)
    assert odd.keys.prefix == "{a*[b]?}"


def test_a_server_that_is_not_there_is_unavailable_and_no_secret_is_told() -> None:
    store = store_at("redis://user:hunter2@127.0.0.1:1/0")

    with pytest.raises(StoreUnavailable) as caught:
        claim(store)

    assert "127.0.0.1:1" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert isinstance(caught.value.__cause__, redis.RedisError)


def test_options_that_the_driver_does_not_know_are_a_configuration_error(redis_url: str) -> None:
    store = store_at(redis_url, options={"no_such_option": 1})

    with pytest.raises(ConfigurationError, match="singleton_beat_redis_options"):
        claim(store)


def test_a_connection_that_died_between_two_calls_is_not_noticed(
    own_redis: EmbeddedServer,
) -> None:
    store = store_at(own_redis.url())
    claim(store)

    own_redis.restart(wipe=False)

    assert claim(store, "again") is Standing.ADOPTS


def test_an_answer_that_was_lost_is_told_when_asked_again(
    redis_server: EmbeddedServer, redis_url: str, make_proxy: Callable[[int], FaultProxy]
) -> None:
    """F7: the request was carried out once, and nothing is queued for later."""
    proxy = make_proxy(redis_server.port)
    store = store_at(redis_url.replace(str(redis_server.port), str(proxy.port)))
    begin(store)
    other = Attempt("other", "second", "another key", 30_000)
    proxy.blackhole(TO_CLIENT)
    with pytest.raises(StoreUnavailable):
        store.begin(other, close_if_busy=False, grace_ms=0)

    proxy.heal()
    again = store.begin(other, close_if_busy=False, grace_ms=0)

    assert (again.verdict, again.starts) == (Begun.RUN, 1)


def test_a_store_that_was_asked_in_vain_a_thousand_times_answers_when_it_is_back(
    make_redis: Callable[..., EmbeddedServer],
) -> None:
    """F7: a driver's pool counts what it makes, and makes a hundred unless told otherwise."""
    server = make_redis(appendonly=True)
    store = store_at(server.url(), options={"max_connections": 3})
    begin(store)
    server.kill()

    for _ in range(1000):
        with pytest.raises(StoreUnavailable, match=r"refused|closed"):
            begin(store)
    server.restart()

    assert begin(store) is Begun.RUN


def test_scripts_that_the_server_forgot_are_loaded_again(redis_url: str) -> None:
    store = store_at(redis_url)
    claim(store)
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()

    assert claim(store, "again") is Standing.ADOPTS


def test_a_store_that_forgot_makes_runs_wait_and_a_new_one_does_not(
    own_redis: EmbeddedServer,
) -> None:
    """F10: who remembers the store tells; live holders come back first."""
    remembers = store_at(own_redis.url())
    assert begin(remembers) is Begun.RUN

    own_redis.restart(wipe=True)
    claim(remembers)

    assert begin(store_at(own_redis.url())) is Begun.WAIT


def test_whoever_remembers_an_earlier_store_makes_all_others_wait(
    own_redis: EmbeddedServer,
) -> None:
    """F10: also when a process that remembers nothing got there first."""
    remembers = store_at(own_redis.url())
    begin(remembers)
    own_redis.restart(wipe=True)
    assert begin(store_at(own_redis.url())) is Begun.RUN

    claim(remembers)

    newcomer = store_at(own_redis.url())
    other = Attempt("other", "second", "another key", 30_000)
    answer = newcomer.begin(other, close_if_busy=False, grace_ms=30_000)
    assert answer.verdict is Begun.WAIT
    assert 0 < answer.wait_ms <= 30_000


def test_a_child_process_uses_connections_of_its_own(redis_url: str) -> None:
    store = store_at(redis_url)
    claim(store)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, begin(store).value.encode())
        os._exit(0)
    os.waitpid(child, 0)

    told = os.read(reader, 100)

    assert told == b"RUN"
    assert claim(store, "again") is Standing.ADOPTS


def test_the_servers_clock_is_the_one_that_counts(redis_url: str) -> None:
    store = store_at(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        before_s = client.time()[0]

    answer = store.claim(ClaimRequest("r", "digest", "q", 10, 5000, 15_000))

    assert before_s * 1000 <= answer.now_ms <= store.ping()
