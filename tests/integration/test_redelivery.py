"""What a worker tells a Redis broker of its runs, message by message and without a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis
from kombu.connection import Connection

from celery_singleton_beat.adapters.redelivery import Redelivery
from celery_singleton_beat.demo.server import HOST

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.proxy import FaultProxy


class Run:
    """A request as far as its message goes."""

    def __init__(self, message: Any) -> None:
        self.message = message


@pytest.fixture
def redelivery() -> Iterator[Redelivery]:
    """What is tested; it is beaten by hand."""
    made = Redelivery()
    yield made
    made.stop()


@pytest.fixture
def deliver() -> Iterator[Callable[..., Run]]:
    """A deliverer of messages: `deliver(url, **transport_options)`."""
    connections: list[Any] = []
    connect: Any = Connection  # kombu is typed in part only

    def delivered(url: str, **options: Any) -> Run:
        ssl = options.pop("ssl", False)
        connections.append(connect(url, transport_options=options, ssl=ssl))
        queue = connections[-1].SimpleQueue("jobs")
        queue.put("a job")
        return Run(queue.get(timeout=10))

    yield delivered
    for connection in connections:
        connection.release()


def age(client: redis.Redis, key: str = "unacked_index") -> str:
    """Make all that is noted look old, and tell the one tag."""
    (tag,) = map(str, client.zrange(key, 0, -1))
    client.zadd(key, {tag: 1})
    return tag


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A look into the broker."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as made:
        yield made


@pytest.mark.parametrize(
    "noted",
    [
        ({}, "unacked_index"),
        ({"global_keyprefix": "ours:"}, "ours:unacked_index"),
        ({"unacked_index_key": "noted"}, "noted"),
    ],
    ids=["plain", "prefixed", "renamed"],
)
def test_a_held_message_is_noted_as_just_delivered(
    redelivery: Redelivery,
    deliver: Callable[..., Run],
    redis_url: str,
    client: redis.Redis,
    noted: tuple[dict[str, str], str],
) -> None:
    options, key = noted
    run = deliver(redis_url, **options)
    tag = age(client, key)
    redelivery.hold(run)

    wait_s = redelivery.beat()

    assert client.zscore(key, tag) == pytest.approx(client.time()[0], abs=5)
    assert wait_s == 3600 / 3


def test_what_is_acknowledged_put_back_or_let_go_is_not_noted_anew(
    redelivery: Redelivery, deliver: Callable[..., Run], redis_url: str, client: redis.Redis
) -> None:
    """A note without its message would never go away; one of a finished run would keep it back."""
    acknowledged, restored, let_go = (deliver(redis_url) for _ in range(3))
    for run in (acknowledged, restored, let_go):
        redelivery.hold(run)
    acknowledged.message.ack()
    client.zrem("unacked_index", restored.message.delivery_tag)
    tag = age(client)

    redelivery.let_go(let_go)
    redelivery.beat()

    assert client.zrange("unacked_index", 0, -1, withscores=True) == [(tag, 1)]


def test_a_message_is_kept_when_the_connection_that_brought_it_is_gone(
    redelivery: Redelivery, deliver: Callable[..., Run], redis_url: str, client: redis.Redis
) -> None:
    """F7: a worker that has connected anew still does what it was given before."""
    run = deliver(redis_url)
    redelivery.hold(run)
    run.message.channel.do_restore = False  # as if the broker were away at that moment
    run.message.channel.close()
    tag = age(client)

    redelivery.beat()

    assert client.zscore("unacked_index", tag) != 1


def test_a_broker_that_is_away_is_asked_again_soon_and_told_of_what_is_held_then(
    redelivery: Redelivery,
    deliver: Callable[..., Run],
    own_redis: EmbeddedServer,
    make_proxy: Callable[[int], FaultProxy],
) -> None:
    """C8: nothing is kept for later; what ended meanwhile is not spoken of."""
    line = make_proxy(own_redis.port)
    ended, alive = deliver(line.url(0)), deliver(line.url(0))
    redelivery.hold(ended)
    redelivery.hold(alive)
    with redis.Redis.from_url(own_redis.url(0), decode_responses=True) as client:
        line.refuse()
        failed_s = redelivery.beat()
        redelivery.let_go(ended)
        client.zadd("unacked_index", {run.message.delivery_tag: 1 for run in (ended, alive)})
        line.heal()

        answered_s = redelivery.beat()

        assert (failed_s, answered_s) == (1, 3600 / 3)
        assert client.zscore("unacked_index", ended.message.delivery_tag) == 1
        assert client.zscore("unacked_index", alive.message.delivery_tag) != 1


def test_the_thread_tells_soon_after_a_run_was_accepted(
    redelivery: Redelivery, deliver: Callable[..., Run], redis_url: str, client: redis.Redis
) -> None:
    """Its message may have waited in the worker for nearly the whole timeout."""
    run = deliver(redis_url)
    tag = age(client)
    client.config_set("notify-keyspace-events", "KA")
    with client.pubsub(ignore_subscribe_messages=True) as changes:  # type: ignore[no-untyped-call]
        changes.psubscribe("__keyspace@*__:unacked_index")
        redelivery.hold(run)
        while client.zscore("unacked_index", tag) == 1:
            changes.get_message(timeout=1)

    assert client.zscore("unacked_index", tag) == pytest.approx(client.time()[0], abs=5)


@pytest.mark.parametrize("options", [{}, {"ack_emulation": False}], ids=["other", "emulating not"])
def test_where_nothing_is_noted_nothing_is_told(
    redelivery: Redelivery, deliver: Callable[..., Run], redis_url: str, options: dict[str, bool]
) -> None:
    run = deliver(redis_url if options else "memory://", **options)

    redelivery.hold(run)

    assert redelivery.beat() == float("inf")


def test_a_broker_behind_sentinels_of_which_the_first_is_away(
    redelivery: Redelivery,
    deliver: Callable[..., Run],
    own_redis: EmbeddedServer,
    sentinel: int,
) -> None:
    urls = f"sentinel://{HOST}:1/4;sentinel://{HOST}:{sentinel}/4"
    run = deliver(urls, master_name="shop")
    with redis.Redis.from_url(own_redis.url(4), decode_responses=True) as client:
        tag = age(client)
        redelivery.hold(run)

        redelivery.beat()

        assert client.zscore("unacked_index", tag) != 1


def test_a_broker_behind_tls_and_a_password(
    redelivery: Redelivery,
    deliver: Callable[..., Run],
    redis_behind_tls: tuple[EmbeddedServer, str],
    certificate: tuple[pathlib.Path, pathlib.Path],
) -> None:
    server, address = redis_behind_tls
    server.command("ACL", "SETUSER", "shop", "on", ">word", "~*", "&*", "+@all")
    run = deliver(f"rediss://shop:word@{address}/0", ssl={"ssl_ca_certs": str(certificate[0])})
    with redis.Redis.from_url(server.url(0), decode_responses=True) as client:
        tag = age(client)
        redelivery.hold(run)

        redelivery.beat()

        assert client.zscore("unacked_index", tag) != 1
