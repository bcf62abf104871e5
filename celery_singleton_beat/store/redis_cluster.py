"""A Redis Cluster: which of its nodes has the store's slot, found anew for each connection.

All keys of a store are in one slot, so one node at a time has all of it. That is
why this asks one question only (``CLUSTER SLOTS``, of any node that answers), when
a connection is made, as one behind Sentinel does. A map of all slots, kept in every
process, would have to be kept right.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from redis import Connection, SSLConnection
from redis.crc import key_slot
from redis.exceptions import ConnectionError as DeadConnection
from redis.exceptions import MovedError, NoPermissionError, RedisError, ResponseError

from celery_singleton_beat.errors import ConfigurationError

_UNKNOWN_HOSTS: Final = (None, "", "?")
_MOVED: Final = re.compile(r"(MOVED )?\d+ (.*):(\d+)")


class Node(NamedTuple):
    """Where a node of a cluster listens."""

    host: str
    port: int


class Nodes:
    """The nodes of a cluster that are known: those that were given, and those that were named."""

    def __init__(self, given: Sequence[Node], line: type[Any], options: Mapping[str, Any]) -> None:
        self._given = tuple(given)
        self._known = self._given
        self._line = line
        self._options = dict(options)
        # Each question begins with another node: one that is dead, or that was cut off and
        # still names who had the slot before, is not asked first for ever.
        self._turns = itertools.count()

    def owner(self, key: str) -> Node:
        """Find the node that has the slot of a key.

        Raises:
            ConnectionError, TimeoutError: no node says.
            ConfigurationError: this is no cluster.
        """
        slot, turn, nodes = key_slot(key.encode()), next(self._turns), self._known
        error: Exception | None = None
        for at in range(len(nodes)):
            node = nodes[(turn + at) % len(nodes)]
            try:
                primaries = self._ask(node)
            except NoPermissionError:
                return node  # which says itself who has the slot
            except ResponseError as refused:
                if "cluster support disabled" not in str(refused):
                    raise
                msg = f"{node.host}:{node.port} is no node of a cluster: name it by redis://"
                raise ConfigurationError(msg) from refused
            except (RedisError, OSError) as failed:
                error = failed
                continue
            for first, last, primary in primaries:
                if first <= slot <= last:
                    return primary
        if error is not None:
            raise error
        msg = f"no node of the cluster has slot {slot}"
        raise DeadConnection(msg)

    def _ask(self, node: Node) -> list[tuple[int, int, Node]]:
        """Ask a node for the primaries of slots; note what other nodes it knows."""
        line = self._line(**self._options, host=node.host, port=node.port)
        try:
            line.connect()
            line.send_command("CLUSTER", "SLOTS")
            answer = line.read_response()
        finally:
            line.disconnect()
        told = [
            (first, last, [Node(_host(host, node), port) for host, port, *_ in servers])
            for first, last, *servers in answer
        ]
        named = (server for *_, servers in told for server in servers)
        self._known = tuple(dict.fromkeys((*self._given, *named)))
        return [(first, last, servers[0]) for first, last, servers in told]


def _host(host: str | None, asked: Node) -> str:
    """Read a host as a node names it; of itself it may not know one."""
    return asked.host if host in _UNKNOWN_HOSTS or host is None else host


class _AtOwner:
    """A connection to the node that has a key, whichever that is when it connects."""

    host: str
    port: int
    _sock: Any

    def __init__(self, *, nodes: Nodes, key: str, **options: Any) -> None:
        self._nodes = nodes
        self._key = key
        self.moved_to: tuple[str, int] | None = None
        super().__init__(**options)

    def connect(self) -> None:
        if self._sock is None:
            told, self.moved_to = self.moved_to, None
            self.host, self.port = told or self._nodes.owner(self._key)
        super().connect()  # type: ignore[misc]  # the driver's


class ClusterConnection(_AtOwner, Connection):
    """Without TLS."""


class ClusterSSLConnection(_AtOwner, SSLConnection):
    """With TLS."""


def follow(connection: Any, error: ResponseError) -> bool:
    """Let a connection be made to the node that an error names next.

    False if it names none, or the connection is not one of a cluster.
    """
    moved_to = place_in(error)
    if moved_to is None or not isinstance(connection, _AtOwner):
        return False
    host, port = moved_to
    connection.moved_to = (host or connection.host, port)
    return True


def place_in(error: ResponseError) -> tuple[str, int] | None:
    """Read the host and port of a ``MOVED``; None of any other error.

    Older releases of the driver have no class of their own for it outside of their cluster client.
    """
    found = _MOVED.fullmatch(str(error))
    if found is None or not (found[1] or isinstance(error, MovedError)):
        return None
    return found[2], int(found[3])
