"""The store behind every kind of URL: sockets, TLS with an ACL user, Sentinel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from celery import Celery

from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.demo.server import HOST, EmbeddedServer
from celery_singleton_beat.errors import StoreUnavailable
from celery_singleton_beat.protocol.run import Attempt, Begun
from celery_singleton_beat.store.port import Store

MakeRedis = Callable[..., EmbeddedServer]


def store_of(url: str, **conf: object) -> Store:
    app = Celery("urls", broker="memory://", set_as_current=False)
    app.conf.update(singleton_beat_redis_url=url, **conf)
    return extension_of(app).store


def begins(store: Store) -> bool:
    attempt = Attempt("run", "holder", "key", 30_000)
    answer = store.begin(attempt, close_if_busy=False, grace_ms=0)
    return answer.verdict is Begun.RUN


def test_a_unix_socket(make_redis: MakeRedis, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("s") / "redis.sock"
    make_redis(extra=("--unixsocket", str(path)))

    assert begins(store_of(f"unix://{path}"))
    assert begins(store_of(f"redis+socket://{path}?virtual_host=3"))


def test_tls_and_an_acl_user_with_only_what_is_needed(
    redis_behind_tls: tuple[EmbeddedServer, str], certificate: tuple[Path, Path]
) -> None:
    """S0-03..08: user, password and database, over a line that is verified."""
    server, address = redis_behind_tls
    server.command(
        *("ACL", "SETUSER", "beat", "on", ">p@ss:word/", "~{csb:urls}:*", "-@all"),
        *("+evalsha", "+script|load", "+select", "+ping", "+time", "+get", "+set", "+del"),
        *("+exists", "+pttl", "+hget", "+hset", "+hmget", "+hdel", "+hlen", "+hgetall"),
        *("+zadd", "+zrem", "+zcard", "+zrange", "+zscore", "+zrangebyscore"),
        *("+zrevrangebyscore", "+zremrangebyscore", "+xadd", "+xrevrange"),
    )
    trusting = {"singleton_beat_redis_options": {"ssl_ca_certs": str(certificate[0])}}
    url = f"rediss://beat:p%40ss%3Aword%2F@{address}/2"

    assert begins(store_of(url, **trusting))
    with pytest.raises(StoreUnavailable, match="certificate"):
        begins(store_of(url))
    with pytest.raises(StoreUnavailable):
        begins(store_of(url.replace("word", "wrong"), **trusting))


def test_a_primary_behind_sentinel(own_redis: EmbeddedServer, sentinel: int) -> None:
    """As kombu writes it: several sentinels, of which the first may be away."""
    urls = f"sentinel://{HOST}:1;sentinel://{HOST}:{sentinel}/4"

    assert begins(store_of(urls, singleton_beat_redis_options={"master_name": "shop"}))
    assert begins(store_of(urls, broker_transport_options={"master_name": "shop"}))
    with redis.Redis.from_url(own_redis.url(4)) as client:
        assert client.dbsize() > 0


def test_a_sentinel_without_the_primarys_name_says_what_to_set(sentinel: int) -> None:
    with pytest.raises(ValueError, match=r"singleton_beat_redis_options.*master_name"):
        begins(store_of(f"sentinel://{HOST}:{sentinel}/0"))
