"""What a Redis tells of itself: its limits, its rights, and who else is on it."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from typing import Any, Final

from celery_singleton_beat.errors import StoreUnavailable
from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.protocol.codec import Unreadable
from celery_singleton_beat.protocol.fleet import Member
from celery_singleton_beat.store.redis_script import RedisScripts, script
from celery_singleton_beat.store.redis_wire import Refused
from celery_singleton_beat.store.redis_words import packed, script_call
from celery_singleton_beat.store.server_port import Neighbour, Server

PROBES: Final = (
    ("DEL", "@1", "@2", "@3", "@4"),
    ("TIME",),
    ("SET", "@1", "x", "PX", "1000", "NX"),
    ("GET", "@1"),
    ("MGET", "@1"),
    ("PTTL", "@1"),
    ("HSET", "@2", "x", "1"),
    ("HGET", "@2", "x"),
    ("HMGET", "@2", "x"),
    ("HGETALL", "@2"),
    ("HINCRBY", "@2", "x", "1"),
    ("HLEN", "@2"),
    ("HSCAN", "@2", "0"),
    ("HDEL", "@2", "x"),
    ("ZADD", "@3", "1", "x"),
    ("ZCARD", "@3"),
    ("ZCOUNT", "@3", "0", "1"),
    ("ZRANGE", "@3", "0", "1"),
    ("ZRANGEBYSCORE", "@3", "0", "1"),
    ("ZREVRANGEBYSCORE", "@3", "1", "0"),
    ("ZSCAN", "@3", "0"),
    ("ZSCORE", "@3", "x"),
    ("ZREM", "@3", "x"),
    ("ZREMRANGEBYSCORE", "@3", "0", "1"),
    ("XADD", "@4", "MAXLEN", "~", "1", "*", "f", "x"),
    ("XREVRANGE", "@4", "+", "-", "COUNT", "1"),
)
"""Every command of the scripts, on keys where it does no harm."""

_MOST_NEIGHBOURS: Final = 20


class RedisServer(RedisScripts):
    """Implements ``server`` on one Redis."""

    def server(self) -> Server:
        asked = _Questions(self._wire)
        # Before we listen ourselves, to see whether that is allowed.
        listeners = asked.listeners(self.keys.wake)
        info = _info(asked.answer("INFO", "INFO"))
        config = {
            name: asked.setting(name)
            for name in ("maxmemory-policy", "maxclients", "appendonly", "save")
        }
        product, version = _product(info)
        return Server(
            product=product,
            version=version,
            role=info.get("role"),
            policy=info.get("maxmemory_policy") or config["maxmemory-policy"],
            used_memory=_number(info.get("used_memory")),
            max_memory=_number(info.get("maxmemory")),
            evicted=_number(info.get("evicted_keys")),
            clients=_number(info.get("connected_clients")),
            max_clients=_number(info.get("maxclients") or config["maxclients"]),
            append_only=_is_on(info.get("aof_enabled"), config["appendonly"]),
            snapshots=config["save"],
            write_errors=tuple(
                f"{name}:{info[name]}"
                for name in ("rdb_last_bgsave_status", "aof_last_write_status")
                if info.get(name, "ok") != "ok"
            ),
            set_aside=asked.answer("what was set aside", "HLEN", self.keys.aside),
            user=asked.answer("ACL WHOAMI", "ACL", "WHOAMI"),
            refused=self._refused(),
            listeners=listeners,
            neighbours=self._neighbours(asked),
            untold=asked.untold,
        )

    def _refused(self) -> Mapping[str, str]:
        """Try what the scripts do; and what listening takes, which no script can do."""
        probe, keys = script("probe"), [f"{self.keys.prefix}:probe:{n}" for n in range(1, 5)]
        probes = [*PROBES, ("PUBLISH", self.keys.wake, "")]
        call = script_call(probe.sha, keys) + packed(dumps(probes))
        refused: dict[str, str] = {}
        try:
            _, *told = self._wire.call(probe, call)
            refused.update(zip(told[::2], told[1::2], strict=True))
        except StoreUnavailable as error:  # it has answered before: these keys, or any script
            refused["EVALSHA"] = str(error.__cause__)
        try:
            self._wire.ask("SUBSCRIBE", self.keys.wake, on_its_own=True)
        except Refused as error:
            refused["SUBSCRIBE"] = str(error)
        return refused

    def _neighbours(self, asked: _Questions) -> tuple[Neighbour, ...] | None:
        """Find other prefixes by who listens: nothing here looks for keys by pattern."""
        ending = ":wake"
        channels = asked.answer("PUBSUB", "PUBSUB", "CHANNELS", f"*{ending}")
        if channels is None:
            return None
        others = sorted(name for name in channels if name != self.keys.wake)[:_MOST_NEIGHBOURS]
        found = []
        for channel in others:
            prefix = channel.removesuffix(ending)
            listeners = asked.listeners(channel)
            app = asked.answer(f"the app of {prefix}", "HGET", f"{prefix}:meta", "app")
            members = asked.answer(f"the beats of {prefix}", "HVALS", f"{prefix}:replicas")
            replicas = tuple(filter(None, map(_about, members or ())))
            found.append(
                Neighbour(prefix=prefix, listeners=listeners or 0, app=app, replicas=replicas)
            )
        return tuple(found)


class _Questions:
    """Questions to a server that may refuse any of them."""

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        self.untold: dict[str, str] = {}

    def answer(self, what: str, *words: str) -> Any:
        """Ask; None if it was refused, and that is noted."""
        try:
            return self._wire.ask(*words)
        except Refused as error:
            self.untold[what] = str(error)
            return None

    def setting(self, name: str) -> str | None:
        found = self.answer(f"CONFIG GET {name}", "CONFIG", "GET", name)
        return found[1] if found else None

    def listeners(self, channel: str) -> int | None:
        found = self.answer("PUBSUB", "PUBSUB", "NUMSUB", channel)
        return int(found[1]) if found else None


def _info(text: str | None) -> dict[str, str]:
    lines = (text or "").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and line[0] != "#")


def _product(info: Mapping[str, str]) -> tuple[str, str]:
    if "valkey_version" in info:
        return "Valkey", info["valkey_version"]
    return ("Redis" if "redis_version" in info else ""), info.get("redis_version", "")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _is_on(flag: str | None, setting: str | None) -> bool | None:
    if flag is not None:
        return flag == "1"
    return None if setting is None else setting == "yes"


def _about(member: str) -> About | None:
    try:
        return About.from_text(Member.from_text(member).info)
    except (Unreadable, ValueError):
        return None
