"""A real Redis Cluster for tests: three primaries with a replica each, on loopback."""

from __future__ import annotations

import os
import random
import threading
import time
from typing import TYPE_CHECKING, Final

import pytest
from redis.crc import key_slot

from celery_singleton_beat.demo.server import HOST, EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SLOTS: Final = 16_384
NODE_TIMEOUT_MS: Final = 1000
HELD_BACK_MS: Final = 600_000
ENOUGH_SECONDS: Final = 40.0

# A node listens ten thousand ports higher too, and not where kernels take outgoing ports.
PORTS: Final = range(15_000, 22_000)
BIND_ATTEMPTS: Final = 5


class Cluster:
    """Nodes that have met, with all slots given out; started when it is made.

    ``{port}`` in a further argument stands for the port after a node's own: for TLS. With
    ``--tls-cluster`` the nodes meet there.
    """

    def __init__(
        self, binary: str, primaries: int = 3, replicas: int = 3, extra: Sequence[str] = ()
    ) -> None:
        self.nodes: list[EmbeddedServer] = []
        self._apart = int("--tls-cluster" in extra)
        try:
            for _ in range(primaries + replicas):
                self.nodes.append(_start(binary, extra))
            self._unite(primaries)
        except BaseException:
            self.stop()
            raise

    def url(self, scheme: str = "redis+cluster", user: str = "") -> str:
        """Where clients may begin: all nodes but the last, which they find out about."""
        named = self.nodes[:-1] or self.nodes
        return ";".join(f"{scheme}://{user}{HOST}:{node.port}" for node in named)

    def owner(self, key: str) -> EmbeddedServer:
        """The node that has a key, as most say that still run."""
        slot = key_slot(key.encode())
        said = [self._owner_by(node, slot) for node in self._awake]
        port = max(set(said), key=said.count)
        return next(node for node in self.nodes if node.port == port)

    def replicas_of(self, primary: EmbeddedServer) -> list[EmbeddedServer]:
        """All replicas of a primary."""
        name = primary.command("CLUSTER", "MYID")
        lines = [line.split() for line in primary.command("CLUSTER", "NODES").splitlines()]
        ports = {_port(words) for words in lines if words[3] == name}
        return [node for node in self.nodes if node.port in ports]

    def hold_back(self, primary: EmbeddedServer, most: int | None = None) -> list[EmbeddedServer]:
        """Let replicas of a primary (all, or so many) hear nothing more of it until `let_hear`.

        It has no password, so theirs is refused. They keep what they have, and may take over after
        that: until then no node takes another for dead, however long this machine stands still.
        """
        self._set_node_timeout(HELD_BACK_MS)
        if not _is_primary(primary):
            raise RuntimeError("it was taken for dead before: it is a primary no more")
        replicas = self.replicas_of(primary)[:most]
        for replica in replicas:
            replica.command("CONFIG", "SET", "masterauth", "wrong")
        primary.command("CLIENT", "KILL", "TYPE", "replica")
        return replicas

    def let_hear(self, replicas: Sequence[EmbeddedServer]) -> None:
        """Let replicas that were held back hear whoever is their primary."""
        self._set_node_timeout(NODE_TIMEOUT_MS)
        for replica in replicas:
            replica.command("CONFIG", "SET", "masterauth", "")

    def begin_move(self, key: str) -> tuple[EmbeddedServer, EmbeddedServer]:
        """Announce that the slot of a key moves; tell from where and whereto. No key has moved."""
        slot, source = str(key_slot(key.encode())), self.owner(key)
        ids = {node.command("CLUSTER", "MYID"): node for node in self.nodes}
        target = next(node for node in ids.values() if node is not source and _is_primary(node))
        names = {node: name for name, node in ids.items()}
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        return source, target

    def end_move(self, key: str, source: EmbeddedServer, target: EmbeddedServer) -> None:
        """Let the target have the slot, all of whose keys were moved."""
        slot, name = str(key_slot(key.encode())), target.command("CLUSTER", "MYID")
        for node in (target, source):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", name)
        _until(lambda: self.owner(key) is target, "hear of the move")

    def wait_failed_over(self, key: str, before: EmbeddedServer) -> EmbeddedServer:
        """The new owner of a key, once the others agree that it is no more the one before."""
        asleep = before

        def has_moved() -> bool:
            slot = key_slot(key.encode())
            awake = [node for node in self._awake if node is not asleep]
            said = {self._owner_by(node, slot) for node in awake}
            return len(said) == 1 and not said & {None, before.port}

        self._asleep = asleep
        _until(has_moved, "fail over")
        return self.owner(key)

    def stop(self) -> None:
        for node in self.nodes:
            if node.running:
                node.thaw()
            node.stop()

    _asleep: EmbeddedServer | None = None

    def _set_node_timeout(self, timeout_ms: int) -> None:
        for node in self._awake:
            node.command("CONFIG", "SET", "cluster-node-timeout", str(timeout_ms))

    @property
    def _awake(self) -> list[EmbeddedServer]:
        return [node for node in self.nodes if node.running and node is not self._asleep]

    @staticmethod
    def _owner_by(node: EmbeddedServer, slot: int) -> int | None:
        for line in node.command("CLUSTER", "NODES").splitlines():
            words = line.split()
            if "master" in words[2] and "fail" not in words[2].replace("fail?", "").split(","):
                for part in words[8:]:
                    first, _, last = part.partition("-")
                    if first.isdigit() and int(first) <= slot <= int(last or first):
                        return _port(words)
        return None

    def _unite(self, primaries: int) -> None:
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            if node is not first:
                node.command("CLUSTER", "MEET", HOST, str(first.port + self._apart))
            if number < primaries:
                own = range(number * SLOTS // primaries, (number + 1) * SLOTS // primaries)
                node.command("CLUSTER", "ADDSLOTS", *map(str, own))
        _until(lambda: all(_knows(node, len(self.nodes)) for node in self.nodes), "meet")
        ids = [node.command("CLUSTER", "MYID") for node in self.nodes[:primaries]]
        for number, node in enumerate(self.nodes[primaries:]):
            node.command("CLUSTER", "REPLICATE", ids[number % primaries])
        _until(lambda: all(map(_is_ready, self.nodes)), "be ready")


def _start(binary: str, extra: Sequence[str]) -> EmbeddedServer:
    arguments = (
        *("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
        *("--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"),
    )
    for attempt in range(1, BIND_ATTEMPTS + 1):
        server, port = EmbeddedServer(binary), random.SystemRandom().choice(PORTS)
        own = [word.replace("{port}", str(port + 1)) for word in extra]
        try:
            return server.start(port=port, extra=(*arguments, *own))
        except RuntimeError as error:
            server.stop()
            if "in use" not in str(error) or attempt == BIND_ATTEMPTS:
                raise
    raise AssertionError


def _port(words: Sequence[str]) -> int:
    return int(words[1].partition("@")[0].partition(",")[0].rpartition(":")[2])


def _knows(node: EmbeddedServer, count: int) -> bool:
    lines = node.command("CLUSTER", "NODES").splitlines()
    return len(lines) == count and "handshake" not in " ".join(lines)


def _is_primary(node: EmbeddedServer) -> bool:
    return "role:master" in node.command("INFO", "replication")


def _is_ready(node: EmbeddedServer) -> bool:
    told = node.command("INFO", "replication")
    is_linked = "role:master" in told or "master_link_status:up" in told
    return is_linked and "cluster_state:ok" in node.command("CLUSTER", "INFO")


def _until(reached: Callable[[], bool], what: str) -> None:
    """Wait for what nodes tell each other but nobody else."""
    deadline = time.monotonic() + ENOUGH_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the cluster did not {what}")
        threading.Event().wait(0.02)


@pytest.fixture(scope="session")
def cluster(redis_binary: str) -> Iterator[Cluster]:
    """The session's cluster. Do not maltreat it: others come after you."""
    made = Cluster(redis_binary)
    yield made
    made.stop()


@pytest.fixture
def make_cluster(redis_binary: str) -> Iterator[Callable[..., Cluster]]:
    """A maker of private clusters: `make_cluster(primaries=…, replicas=…, extra=…)`."""
    made: list[Cluster] = []

    def make(**how: object) -> Cluster:
        binary = os.environ.get("CLUSTER_BINARY", redis_binary)
        made.append(Cluster(binary, **how))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()
