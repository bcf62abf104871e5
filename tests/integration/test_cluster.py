"""A Redis Cluster as the store: all of it on one node, and found again wherever that is."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from redis.exceptions import AskError, TryAgainError

from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.demo.server import HOST, EmbeddedServer
from celery_singleton_beat.errors import ConfigurationError, StoreUnavailable
from celery_singleton_beat.protocol.run import Attempt, Begun, Finished, Outcome
from celery_singleton_beat.store.port import Ending, Renewal
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from tests.rig.absent import skip_or_fail
from tests.rig.certificates import TLS_SERVER
from tests.rig.cluster import Cluster

ATTEMPT = Attempt("run", "holder", "key", 30_000)


@pytest.fixture
def store(cluster: Cluster) -> RedisStore:
    return store_of(cluster.url())


def store_of(url: str, **options: Any) -> RedisStore:
    wire = Wire(url, socket_timeout_ms=1000, **options)
    return RedisStore(wire, prefix=uuid.uuid4().hex, app="shop")


def begin(store: RedisStore, attempt: Attempt = ATTEMPT) -> Begun:
    return store.begin(attempt, close_if_busy=False, grace_ms=0).verdict


def move(store: RedisStore, source: EmbeddedServer, target: EmbeddedServer, most: int) -> int:
    """Move some of the store's keys, as a cluster's tools do; tell how many there are still."""
    with redis.Redis(port=source.port, decode_responses=True) as client:
        keys = sorted(client.scan_iter(f"{store.keys.prefix}*"))
        for key in keys[:most]:
            client.migrate(HOST, target.port, key, 0, 5000)
    return len(keys[most:])


def test_a_store_that_moves_is_followed(cluster: Cluster, store: RedisStore) -> None:
    """Its scripts are not known yet where it goes."""
    begin(store)
    source, target = cluster.begin_move(store.keys.meta)
    left = move(store, source, target, 1000)

    cluster.end_move(store.keys.meta, source, target)

    assert left == 0
    assert store.finish([Ending(ATTEMPT, Outcome.SUCCEEDED)]) == [Finished.RECORDED]
    assert begin(store) is Begun.DONE


def test_nothing_runs_on_the_half_of_a_store_that_is_moving(
    cluster: Cluster, store: RedisStore
) -> None:
    """Or it would break off in the middle, at the first key that is not there any more."""
    begin(store)
    calls: list[Callable[[], Any]] = [
        lambda: begin(store),
        lambda: begin(store, Attempt("other", "h2", "other", 30_000)),
        lambda: store.renew([Renewal(ATTEMPT, 0)]),
        lambda: store.finish([Ending(ATTEMPT, Outcome.SUCCEEDED)]),
        lambda: store.unlock("key", "op"),
        lambda: store.locks(["key"]),
        lambda: store.lock_names(10),
        lambda: store.leave("replica"),
    ]
    source, target = cluster.begin_move(store.keys.meta)

    causes, left = [], 1
    while left:
        for call in calls:
            with pytest.raises(StoreUnavailable) as refused:
                call()
            causes.append(refused.value.__cause__)
        left = move(store, source, target, 1)
    cluster.end_move(store.keys.meta, source, target)

    # Older drivers have no classes of their own for them.
    assert all(
        isinstance(cause, (AskError, TryAgainError)) or str(cause).startswith(("ASK ", "TRYAGAIN "))
        for cause in causes
    )
    assert store.finish([Ending(ATTEMPT, Outcome.SUCCEEDED)]) == [Finished.RECORDED]


def test_calls_go_on_after_a_replica_took_over(make_cluster: Callable[..., Cluster]) -> None:
    """Also while the old primary stands still, keeps its connections, and is named in the URL."""
    cluster = make_cluster()
    store = store_of(cluster.url())
    begin(store)
    old = cluster.owner(store.keys.meta)
    wait_replicated(old)

    old.freeze()
    cluster.wait_failed_over(store.keys.meta, old)
    answers = [answer_of(store) for _ in range(3)]

    assert answers[-1] is Begun.RUN  # the same run, in the replica's memory of it
    old.thaw()
    assert begin(store) is Begun.RUN


def answer_of(store: RedisStore) -> Begun | None:
    try:
        return begin(store)
    except StoreUnavailable:
        return None


def wait_replicated(server: EmbeddedServer) -> None:
    with redis.Redis(port=server.port) as client:
        client.ping()
        assert client.wait(1, 5000) == 1


def test_a_change_is_heard_wherever_in_the_cluster_it_was_said(
    cluster: Cluster, store: RedisStore
) -> None:
    """Who listens need not be on the node that has the keys."""
    listener = RedisStore(Wire(cluster.url()), prefix=store.keys.prefix, app="shop")
    other = next(n for n in cluster.nodes if n is not cluster.owner(store.keys.meta))
    assert listener.wait_change(0.01)
    with redis.Redis(port=other.port) as client, client.pubsub() as channel:
        channel.subscribe(store.keys.wake)
        channel.get_message(timeout=10)

        store.pause_all("", paused=True)

        heard = channel.get_message(timeout=10)
    assert heard is not None
    assert heard["type"] == "message"
    assert listener.wait_change(10)


def test_the_first_nodes_of_the_url_may_be_away(cluster: Cluster) -> None:
    nodes = f"redis+cluster://{HOST}:1;redis+cluster://{HOST}:2;"

    store = store_of(nodes + cluster.url())

    assert [begin(store, Attempt(f"r{n}", f"h{n}", f"k{n}", 30_000)) for n in range(3)] == [
        Begun.RUN
    ] * 3


def test_tls_and_a_user_who_may_not_ask_for_the_way(
    make_cluster: Callable[..., Cluster], certificate: tuple[Path, Path]
) -> None:
    """The nodes say themselves who has the keys; with ``cluster|slots`` they need not."""
    pem, key = map(str, certificate)
    extra = (
        *("--tls-port", "{port}", "--tls-cert-file", pem, "--tls-key-file", key),
        *("--tls-ca-cert-file", pem, "--tls-cluster", "yes", "--tls-auth-clients", "no"),
    )
    try:
        cluster = make_cluster(primaries=3, replicas=0, extra=extra)
    except RuntimeError as error:
        if "tls" not in str(error).lower():
            raise
        skip_or_fail(TLS_SERVER)
    rights = ("on", ">secret", "~{csb:urls}:*", "&*", "+@all", "-cluster")
    for node in cluster.nodes:
        node.command("ACL", "SETUSER", "beat", *rights)
        node.command("ACL", "SETUSER", "seer", *rights, "+cluster|slots")
    for user in ("beat", "seer"):
        app = Celery("urls", broker="memory://", set_as_current=False)
        app.conf.singleton_beat_redis_url = ";".join(
            f"rediss+cluster://{user}:secret@{HOST}:{node.port + 1}" for node in cluster.nodes
        )
        app.conf.singleton_beat_redis_options = {"ssl_ca_certs": pem}
        store = extension_of(app).store

        verdict = store.begin(ATTEMPT, close_if_busy=False, grace_ms=0).verdict

        assert verdict is Begun.RUN


def test_a_server_that_is_no_cluster_says_so(redis_server: EmbeddedServer) -> None:
    store = store_of(redis_server.url().replace("redis:", "redis+cluster:"))

    with pytest.raises(ConfigurationError, match=r"no node of a cluster.*redis://"):
        begin(store)


def test_a_cluster_that_was_named_as_one_server_says_so(cluster: Cluster) -> None:
    stores = [RedisStore(Wire(n.url()), prefix="same", app="shop") for n in cluster.nodes]

    failed = [str(error) for error in map(error_of, stores) if error]

    assert len(failed) == len(stores) - 1
    assert all("redis+cluster://" in text for text in failed)


def error_of(store: RedisStore) -> StoreUnavailable | None:
    try:
        begin(store)
    except StoreUnavailable as error:
        return error
    return None


def test_a_cluster_has_no_database_of_another_number(cluster: Cluster) -> None:
    store = store_of(cluster.url().replace(";", "/3;"))

    with pytest.raises(ConfigurationError, match="database 0 only"):
        begin(store)
