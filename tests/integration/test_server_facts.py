"""What a store tells of its server: limits, rights, and who else is on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files

import redis

from celery_singleton_beat.demo.server import EmbeddedServer
from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.store.memory_store import MemoryStore
from celery_singleton_beat.store.port import ClaimRequest
from celery_singleton_beat.store.redis_server import PROBES
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire

COMMAND = re.compile(r"redis\.p?call\(\s*'([A-Z]+)'")


def store_at(url: str, prefix: str = "server-facts", app: str = "shop") -> RedisStore:
    return RedisStore(Wire(url), prefix=prefix, app=app)


def report(store: RedisStore, about: About) -> None:
    request = ClaimRequest("r", "digest", "q", 10, 5000, 15_000, about.to_text())
    store.claim(request)


def test_every_command_of_every_script_is_tried() -> None:
    folder = files("celery_singleton_beat.store") / "lua"
    scripts = [path for path in folder.iterdir() if path.name.endswith(".lua")]
    used = {command for path in scripts for command in COMMAND.findall(path.read_text("utf-8"))}

    assert used - {"PUBLISH"} == {probe[0] for probe in PROBES}


def test_a_server_tells_its_version_its_limits_and_how_it_keeps_data(
    make_redis: Callable[..., EmbeddedServer],
) -> None:
    limits = ("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru", "--maxclients", "123")
    url = make_redis(extra=limits).url()
    with redis.Redis.from_url(url) as client:
        client.config_set("save", "900 1")
        client.config_set("appendonly", "yes")

        server = store_at(url).server()

        client.config_set("save", "")  # else it will not stop before it has saved
        client.config_set("appendonly", "no")

    assert server.product in ("Redis", "Valkey")
    assert re.fullmatch(r"\d+\.\d+\.\d+", server.version)
    assert (server.role, server.policy) == ("master", "allkeys-lru")
    assert (server.max_memory, server.max_clients) == (50 * 1024 * 1024, 123)
    assert (server.append_only, server.snapshots) == (True, "900 1")
    assert 0 < (server.used_memory or 0) < 50 * 1024 * 1024
    assert 0 < (server.clients or 0) < 123
    assert (server.user, server.refused, server.untold) == ("default", {}, {})


def test_nothing_is_left_of_what_was_tried(redis_url: str) -> None:
    store_at(redis_url).server()

    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == []


def test_commands_that_a_user_may_not_give_are_named(
    make_redis: Callable[..., EmbeddedServer],
) -> None:
    url = make_redis().url()
    with redis.Redis.from_url(url) as client:
        client.acl_setuser(
            "beat",
            enabled=True,
            passwords="+secret",
            reset_channels=True,  # Redis 6.2 gives a new user all of them
            keys=["{server-facts}*"],
            channels=["{server-facts}*"],
            commands=["+@all", "-@dangerous", "-@admin", "-xadd"],
        )

    server = store_at(url.replace("//", "//beat:secret@")).server()

    assert set(server.refused) == {"XADD"}
    assert server.user in ("beat", None)  # Redis 6.2 tells it only to an administrator
    assert {"INFO", "CONFIG GET save"} <= set(server.untold)
    assert (server.policy, server.role, server.product) == (None, None, "")


def test_keys_and_channels_that_a_user_may_not_touch_are_named(
    make_redis: Callable[..., EmbeddedServer],
) -> None:
    url = make_redis().url()
    with redis.Redis.from_url(url) as client:
        client.acl_setuser(
            "beat",
            enabled=True,
            passwords="+secret",
            reset_channels=True,  # Redis 6.2 gives a new user all of them
            keys=["somewhere-else:*"],
            channels=["somewhere-else:*"],
            commands=["+@all"],
        )

    server = store_at(url.replace("//", "//beat:secret@")).server()

    assert set(server.refused) == {"EVALSHA", "SUBSCRIBE"}
    assert all("permission" in text for text in server.refused.values())


def test_beats_under_another_prefix_are_found_with_what_they_tell(redis_url: str) -> None:
    other = store_at(redis_url, "elsewhere", "shop")
    about = About("web-2", 7, "amqp://***@broker:5672//")
    report(other, about)
    other.wait_change(0)
    store = store_at(redis_url)
    store.wait_change(0)

    server = store.server()

    assert server.listeners == 1
    assert server.neighbours is not None
    (found,) = [one for one in server.neighbours if one.prefix == "{elsewhere}"]
    assert (found.app, found.listeners, found.replicas) == ("shop", 1, (about,))
    other.close()
    store.close()


def test_a_replica_that_only_reads_says_so(make_redis: Callable[..., EmbeddedServer]) -> None:
    primary = make_redis()
    url = make_redis(extra=("--replicaof", "127.0.0.1", str(primary.port))).url()

    server = store_at(url).server()

    assert server.role == "slave"
    assert "READONLY" in server.refused["DEL"]


def test_a_store_in_memory_has_no_server() -> None:
    assert MemoryStore().server().product == "memory"
