"""A primary with a replica behind a line that can go wrong, and a Sentinel that watches."""

from __future__ import annotations

import os
import random
import threading
import time
from typing import TYPE_CHECKING, Final

import pytest

from celery_singleton_beat.demo.child import ChildProcess
from celery_singleton_beat.demo.server import HOST, PORTS, EmbeddedServer
from tests.rig.proxy import FaultProxy

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator

ENOUGH_SECONDS: Final = 30.0
DOWN_AFTER_MS: Final = 500


class Replicated:
    """Two servers; what the primary writes goes to the replica through ``line``."""

    def __init__(
        self, make_redis: Callable[..., EmbeddedServer], make_proxy: Callable[[int], FaultProxy]
    ) -> None:
        at_once = ("--repl-diskless-sync-delay", "0")
        self.primary, self.replica = make_redis(extra=at_once), make_redis(extra=at_once)
        self.line = make_proxy(self.primary.port)
        self.replica.command("REPLICAOF", HOST, str(self.line.port))
        self.wait_replicas(1)

    def add(self, replica: EmbeddedServer) -> None:
        """Let another server be a replica, over no line that goes wrong."""
        replica.command("REPLICAOF", HOST, str(self.primary.port))
        self.wait_replicas(2)

    def put_on_line(self, replica: EmbeddedServer) -> None:
        """Let a replica hear the primary over the line; a Sentinel undoes that after 8 s."""
        port = str(self.line.port)
        replica.command("REPLICAOF", HOST, port)

        def is_heard() -> bool:
            told = replica.command("INFO", "replication").splitlines()
            return {f"master_port:{port}", "master_link_status:up"} <= set(told)

        _until(is_heard, "join over the line")

    def wait_replicas(self, count: int) -> None:
        """Wait until the primary has so many replicas that are in step."""

        def are_there() -> bool:
            return self.primary.command("INFO", "replication").count("state=online") == count

        _until(are_there, "have its replica")

    def watch(self, directory: pathlib.Path, binary: str) -> tuple[ChildProcess, str]:
        """Start a Sentinel that knows both; tell its URL. The primary's name is `shop`."""
        port = random.SystemRandom().choice(PORTS)
        conf = directory / "sentinel.conf"
        conf.write_text(
            f"bind {HOST}\nport {port}\nprotected-mode no\ndir {directory}\n"
            f"sentinel monitor shop {HOST} {self.primary.port} 1\n"
            f"sentinel down-after-milliseconds shop {DOWN_AFTER_MS}\n"
            "sentinel failover-timeout shop 5000\n"
        )
        child = ChildProcess([binary, str(conf), "--sentinel"], dict(os.environ), name="sentinel")
        count = self.primary.command("INFO", "replication").count("state=online")
        try:
            child.wait_for(lambda _: child.output.count("+slave ") >= count, 30)
        except RuntimeError:
            if "Address already in use" not in child.output:
                raise
            return self.watch(directory, binary)
        return child, f"sentinel://{HOST}:{port}/0"

    def wait_promoted(self, *others: EmbeddedServer) -> None:
        """Wait until the replica, or one of others, is the primary."""
        _until(
            lambda: any(
                "role:master" in server.command("INFO", "replication")
                for server in (self.replica, *others)
            ),
            "take over",
        )


def _until(reached: Callable[[], bool], what: str) -> None:
    """Wait for what servers settle between themselves."""
    deadline = time.monotonic() + ENOUGH_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the server did not {what}")
        threading.Event().wait(0.02)


@pytest.fixture
def replicated(
    make_redis: Callable[..., EmbeddedServer], make_proxy: Callable[[int], FaultProxy]
) -> Iterator[Replicated]:
    """A primary and its replica."""
    made = Replicated(make_redis, make_proxy)
    yield made
    made.replica.thaw()
