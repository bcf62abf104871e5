"""Private Redis servers of one benchmark run, and what they say about the work done on them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis

from celery_singleton_beat.demo.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Usage:
    """CPU seconds and command counts of a server, at one moment or between two."""

    cpu_s: float
    commands: dict[str, int]

    def since(self, earlier: Usage) -> Usage:
        """Return what was used between `earlier` and this one."""
        counts = {
            name: count - earlier.commands.get(name, 0) for name, count in self.commands.items()
        }
        return Usage(self.cpu_s - earlier.cpu_s, {n: c for n, c in counts.items() if c > 0})


class MeasuredServer:
    """A running server, how to reach it and what it has done; `url` is its database 0."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.url = server.url()
        self.second_url = server.url(db=1)
        self.client: Any = redis.Redis.from_url(self.url, socket_timeout=60)

    @property
    def version(self) -> str:
        """Name and version, as the server gives them."""
        info = self.client.info("server")
        valkey = info.get("valkey_version")
        return f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"

    def usage(self) -> Usage:
        """Read the server's CPU time and its command counts so far."""
        cpu = self.client.info("cpu")
        stats = self.client.info("commandstats")
        counts = {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()}
        return Usage(cpu["used_cpu_user"] + cpu["used_cpu_sys"], counts)

    def memory(self) -> int:
        """Read how many bytes the server has in use."""
        return int(self.client.info("memory")["used_memory"])

    def wipe(self) -> None:
        """Forget everything, so that no round inherits from the one before."""
        self.client.flushall()


@dataclass(frozen=True)
class Servers:
    """Messages go to the broker; what a scheduler or a task remembers goes to the store.

    They are apart so that the commands and the CPU of the one can be told from the other's.
    """

    broker: MeasuredServer
    store: MeasuredServer

    def wipe(self) -> None:
        """Empty both."""
        self.broker.wipe()
        self.store.wipe()


@contextlib.contextmanager
def private_servers() -> Iterator[Servers]:
    """Yield two servers that end with this block."""
    with EmbeddedServer() as broker, EmbeddedServer() as store:
        yield Servers(MeasuredServer(broker), MeasuredServer(store))
