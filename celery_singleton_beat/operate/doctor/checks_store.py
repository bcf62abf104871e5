"""Checks of the store: whether it answers, what it can lose, and what it allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celery_singleton_beat.operate.doctor.finding import (
    Check,
    Finding,
    ok,
    problem,
    some,
    unknown,
    warning,
)
from celery_singleton_beat.operate.words import moment

if TYPE_CHECKING:
    from celery_singleton_beat.operate.doctor.facts import Facts
    from celery_singleton_beat.store.server_port import Server

LEAST: Final = {"Redis": (6, 2), "Valkey": (8, 0)}
"""The oldest releases that are supported."""

FAR_MS: Final = 20.0
"""A round trip as long as this is felt: a claim, a begin and a finish each cost one."""

_FULL: Final = 0.9
_NEARLY_FULL: Final = 0.75
_FOR_COMFORT: Final = frozenset({"PUBLISH", "SUBSCRIBE", "XADD", "XREVRANGE"})
"""What beats and workers do without: they hear of changes later, or keep no history."""


def _reachable(facts: Facts) -> Finding:
    if facts.round_trip_ms is None:
        cure = (
            "let the server run and be reached from here, with the right password; "
            "singleton_beat_redis_url says where it is"
        )
        return problem(facts.untold.get("round_trip_ms", "it does not answer"), cure)
    where = f"{facts.address} answers in {facts.round_trip_ms:.2g} ms"
    if facts.round_trip_ms > facts.settings.socket_timeout_ms / 2:
        return problem(
            f"{where}, and singleton_beat_socket_timeout gives up after "
            f"{facts.settings.socket_timeout_ms / 1000:g} s",
            "find out what keeps it (SLOWLOG GET on the server; a far network), or raise "
            "singleton_beat_socket_timeout",
        )
    if facts.round_trip_ms > FAR_MS:
        return warning(
            f"{where}: each run costs two round trips, each dispatch one or two",
            "move the store nearer to beats and workers, or look what keeps it: SLOWLOG GET",
        )
    return ok(where)


def _shared(facts: Facts) -> Finding:
    if facts.is_in_memory:
        return warning(
            "memory:// is each process's own and coordinates nothing between processes",
            "set singleton_beat_redis_url to a Redis, unless this is one process in development",
        )
    return ok("all processes that name it share it")


def _ours(facts: Facts) -> Finding:
    if facts.refusal:
        cure = (
            "another singleton_beat_key_prefix for one of the two apps; the newest release for "
            "all processes; for a foreign key, find who writes it"
        )
        return problem(facts.refusal, cure)
    return ok(f"what is under {facts.prefix} is app {facts.app!r}'s, and can be read")


def _version(facts: Facts) -> Finding:
    server = _server(facts)
    if not server.version:
        return unknown(_why(server, "INFO"))
    numbers = tuple(int(part) for part in server.version.split(".")[:2] if part.isdigit())
    found = f"{server.product} {server.version}"
    least = LEAST[server.product]
    if numbers < least:
        needed = ".".join(map(str, least))
        return problem(f"{found} is older than any that is tested", f"upgrade it to {needed}")
    return ok(found)


def _eviction(facts: Facts) -> Finding:
    server = _server(facts)
    policy = server.policy
    if policy is None:
        return unknown(_why(server, "CONFIG GET maxmemory-policy"))
    cure = (
        "CONFIG SET maxmemory-policy noeviction (and in the server's configuration), or give "
        "the store a server of its own"
    )
    gone = f"; {server.evicted} keys were evicted already" if server.evicted else ""
    if policy == "noeviction":
        return ok("noeviction: nothing is thrown away")
    if policy.startswith("allkeys-"):
        if not server.max_memory:
            return warning(
                f"{policy} would throw entries and locks away as soon as maxmemory is set", cure
            )
        return problem(f"{policy} throws entries and locks away when memory is short{gone}", cure)
    if not server.max_memory:
        return ok(f"{policy}, and no maxmemory: nothing is thrown away")
    return warning(
        f"{policy} spares the timetable, and throws locks and records of runs away, which have a "
        f"time to live, when memory is short{gone}",
        cure,
    )


def _persistence(facts: Facts) -> Finding:
    server = _server(facts)
    if server.write_errors:
        return problem(
            f"the server cannot write to its disk: {some(list(server.write_errors))}",
            "look into its log; free its disk",
        )
    if server.append_only:
        return ok("appendonly: a restart loses a second at most (appendfsync everysec)")
    if server.append_only is None or server.snapshots is None:
        return unknown(_why(server, "CONFIG GET save"))
    if server.snapshots:
        return ok(
            f"snapshots only (save {server.snapshots}): a restart loses what came after the last",
        )
    stored = facts.fleet.stored if facts.fleet else 0
    cure = "CONFIG SET appendonly yes (and in the server's configuration)"
    if stored:
        return problem(f"none: a restart of the server loses {stored} stored entries", cure)
    return warning(
        "none: after a restart of the server nothing begins for a lock TTL, late occurrences are "
        "not caught up on, and the history is gone",
        cure,
    )


def _forgotten(facts: Facts) -> Finding:
    fleet = facts.fleet
    assert fleet is not None  # noqa: S101  # the check needs it
    if fleet.is_reborn:
        return warning(
            f"it came back empty at {moment(fleet.born_at)} UTC: it was restarted without its "
            "data, or flushed",
            "put stored entries back (singleton restore, or reconcile), and see that the server "
            "keeps its data",
        )
    return ok(f"it remembers since {moment(fleet.born_at)} UTC")


def _memory(facts: Facts) -> Finding:
    server = _server(facts)
    if server.used_memory is None or server.max_memory is None:
        return unknown(_why(server, "INFO"))
    used = f"{server.used_memory / 2**20:.0f} MB"
    if not server.max_memory:
        return ok(f"{used} used; maxmemory is not set, so the host's memory is the limit")
    share = server.used_memory / server.max_memory
    found = f"{used} of {server.max_memory / 2**20:.0f} MB used ({share:.0%})"
    cure = "raise maxmemory, or see what else is on this server: redis-cli --bigkeys"
    if share > _FULL:
        return problem(f"{found}: what cannot be written is an outage of the store", cure)
    return warning(found, cure) if share > _NEARLY_FULL else ok(found)


def _connections(facts: Facts) -> Finding:
    server = _server(facts)
    if server.clients is None or not server.max_clients:
        return unknown(_why(server, "CONFIG GET maxclients"))
    share = server.clients / server.max_clients
    found = f"{server.clients} of {server.max_clients} connections in use ({share:.0%})"
    cure = "raise maxclients, or see who is connected: CLIENT LIST"
    if share > _FULL:
        return problem(f"{found}: the next processes are turned away", cure)
    return warning(found, cure) if share > _NEARLY_FULL else ok(found)


def _rights(facts: Facts) -> Finding:
    server = _server(facts)
    user = server.user or "the user"
    # What a replica or a full server refuses, it refuses everybody: other checks say so.
    refused = {c: text for c, text in server.refused.items() if "READONLY" not in text}
    if not refused:
        hidden = sorted(name for name in server.untold if name.split()[0] in ("INFO", "CONFIG"))
        more = f"; not needed, and not allowed: {', '.join(hidden)}" if hidden else ""
        return ok(f"{user} may give every command that is needed{more}")
    told = sorted({text.removeprefix("ERR ") for text in refused.values()})
    wanted = " ".join(f"+{command.lower()}" for command in sorted(refused))
    channel = f" &{facts.prefix}:*" if refused.keys() & {"PUBLISH", "SUBSCRIBE"} else ""
    cure = (
        f"ACL SETUSER {server.user or 'USER'} ~{facts.prefix}:*{channel} +evalsha +script|load "
        f"{wanted}"
    )
    names = ", ".join(sorted(refused))
    if refused.keys() <= _FOR_COMFORT:
        return warning(
            f"{user} may not give {names}: changes are heard of a second later, or no history "
            "is kept",
            cure,
            *told,
        )
    return problem(f"{user} may not give {names}", cure, *told)


def _role(facts: Facts) -> Finding:
    server = _server(facts)
    if server.role is None:
        return unknown(_why(server, "INFO"))
    if server.role == "slave":
        return problem(
            "it is a replica, which cannot be written to",
            "let singleton_beat_redis_url name the primary, or sentinel:// its sentinels",
        )
    return ok("it is the primary")


def _server(facts: Facts) -> Server:
    assert facts.server is not None  # noqa: S101  # the check needs it
    return facts.server


def _why(server: Server, question: str) -> str:
    if server.product == "memory":
        return "memory:// has no server"
    return f"the server does not tell: {server.untold.get(question, 'nothing is said of it')}"


_SERVER: Final = ("server",)

CHECKS: Final = (
    Check(
        "store-reachable",
        "The store answers, and how long a round trip takes.",
        "Start the server, correct `singleton_beat_redis_url` or the password; over 20 ms: "
        "a nearer server.",
        _reachable,
    ),
    Check(
        "store-shared",
        "The store is one that processes share, not `memory://`.",
        "Set `singleton_beat_redis_url`.",
        _shared,
    ),
    Check(
        "store-ours",
        "What is under the prefix is this app's, of no newer release, and in no key foreign.",
        "Another `singleton_beat_key_prefix`; the newest release for all processes.",
        _ours,
        ("round_trip_ms",),
    ),
    Check(
        "store-role",
        "The server takes writes: it is no replica.",
        "Name the primary, or its sentinels.",
        _role,
        _SERVER,
    ),
    Check(
        "store-version",
        "Redis 6.2 or Valkey 8, or newer.",
        "Upgrade the server.",
        _version,
        _SERVER,
    ),
    Check(
        "store-eviction",
        "`maxmemory-policy`: `allkeys-*` throws entries away, `volatile-*` locks and records of "
        "runs.",
        "`CONFIG SET maxmemory-policy noeviction`, or a server of its own.",
        _eviction,
        _SERVER,
    ),
    Check(
        "store-persistence",
        "What a restart of the server would lose, and whether it can write to its disk.",
        "`CONFIG SET appendonly yes`; put both into the server's configuration.",
        _persistence,
        _SERVER,
    ),
    Check(
        "store-forgotten",
        "Whether the store came back empty.",
        "`singleton restore`, or `reconcile`; then persistence.",
        _forgotten,
        ("fleet",),
    ),
    Check(
        "store-memory",
        "Memory in use against `maxmemory`.",
        "Raise `maxmemory`; over 90 % is a problem.",
        _memory,
        _SERVER,
    ),
    Check(
        "store-connections",
        "Connections in use against `maxclients`.",
        "Raise `maxclients`; `CLIENT LIST` tells who they are.",
        _connections,
        _SERVER,
    ),
    Check(
        "store-rights",
        "The user may give every command of the scripts, on our keys and on our channel.",
        "`ACL SETUSER` with what is missing. `INFO` and `CONFIG` are not needed; without "
        "them some checks say unknown.",
        _rights,
        _SERVER,
    ),
)
