"""What a site stands on: a kind of store and a broker, and the fault that is that kind's own."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import redis

from celery_singleton_beat.demo.server import HOST, EmbeddedServer, find_server_binary
from tests.acceptance.campaign import CONFIRMED
from tests.acceptance.deployment import holds_of
from tests.rig.absent import NotInstalled
from tests.rig.certificates import documented_rights, make_certificate, serve_tls
from tests.rig.cluster import Cluster
from tests.rig.proxy import TO_CLIENT, FaultProxy
from tests.rig.rabbit import find_rabbit
from tests.rig.replicated import Replicated
from tests.versions.binaries import RELEASES

if TYPE_CHECKING:
    import contextlib

    from tests.rig.skew import ClockSkew

PREFIX: Final = "acceptance"
# Where `pytest -m servers` keeps what it downloaded.
DOWNLOADED: Final = Path(__file__).parents[2] / ".pytest_cache" / "d" / "servers"
BEHIND_S: Final = 1.0
AWAITED: Final = {"singleton_beat_wait_replicas": 1, "singleton_beat_wait_timeout": 0.5}
# In the slot of the store's keys; the one was written before its replicas were held back.
SEEN: Final = f"seen:{{csb:{PREFIX}}}"
UNSEEN: Final = f"unseen:{{csb:{PREFIX}}}"


class Broker(Protocol):
    """A broker that can be killed, and keeps what it acknowledged."""

    def url(self) -> str: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...


class Servers(ABC):
    """A store of some kind and a broker; its docstring and `peers` stand below the table.

    Raises:
        NotInstalled: it is not to be had on this machine.
    """

    peers = ""
    """How the peers use it, where that is not the same."""

    def __init__(
        self, stack: contextlib.ExitStack, folder: Path, clock: ClockSkew | None = None
    ) -> None:
        self._stack, self._folder, self._clock = stack, folder, clock
        try:
            find_server_binary()
        except FileNotFoundError as error:
            raise NotInstalled("a Redis-compatible server") from error
        self.broker = self._start_broker()
        self._start_store()

    @abstractmethod
    def conf(self) -> dict[str, Any]:
        """Where ours find the store."""

    @abstractmethod
    def peer_conf(self) -> dict[str, Any]:
        """Where the peers find it."""

    @abstractmethod
    def primary(self) -> EmbeddedServer:
        """The server that has the store's keys, before it is struck."""

    def holds(self) -> dict[str, int]:
        """The entries that somebody has claimed, and until when."""
        with redis.Redis.from_url(self.primary().url()) as client:
            return holds_of(client)

    @abstractmethod
    def strike(self) -> None:
        """Bring the kind's own fault about."""

    @abstractmethod
    def mend(self) -> None:
        """Bring back what was struck."""

    def now_ms(self) -> int:
        """The store's time, which is this host's unless it was given another."""
        return time.time_ns() // 1_000_000

    @abstractmethod
    def _start_store(self) -> None: ...

    def _start_broker(self) -> Broker:
        return self._server(appendonly=True)

    def _server(
        self, binary: str | None = None, clock: ClockSkew | None = None, **how: Any
    ) -> EmbeddedServer:
        server = EmbeddedServer(binary, env=clock.env if clock else None)
        self._stack.callback(server.stop)
        return server.start(**how)

    def _line(self, port: int) -> FaultProxy:
        line = FaultProxy(port)
        self._stack.callback(line.close)
        return line


class Plain(Servers):
    """One Redis with an append-only file. It is killed, and comes back 4 s later."""

    binary: str | None = None
    is_durable = True

    def conf(self) -> dict[str, Any]:
        return {"singleton_beat_redis_url": self.line.url()}

    def peer_conf(self) -> dict[str, Any]:
        return {"redbeat_redis_url": self.line.url(), "singleton_backend_url": self.line.url()}

    def primary(self) -> EmbeddedServer:
        return self.store

    def strike(self) -> None:
        self.store.kill()

    def mend(self) -> None:
        self.store.restart()

    def now_ms(self) -> int:
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def _start_store(self) -> None:
        self.store = self._server(self._find_binary(), self._clock, appendonly=self.is_durable)
        self.line = self._line(self.store.port)
        self.client = self._stack.enter_context(redis.Redis.from_url(self.store.url()))

    def _find_binary(self) -> str | None:
        return None


class Valkey9(Plain):
    """Valkey 9.1 with an append-only file. It is killed, and comes back 4 s later."""

    release = "Valkey 9.1"

    def _find_binary(self) -> str:
        release = next(one for one in RELEASES if one.name == self.release)
        DOWNLOADED.mkdir(parents=True, exist_ok=True)
        found = release.binary(DOWNLOADED)
        if found is None:
            raise NotInstalled(self.release)
        return str(found)


class Valkey8(Valkey9):
    """Valkey 8.1 with an append-only file. It is killed, and comes back 4 s later."""

    release = "Valkey 8.1"


class ValkeyInMemory(Valkey9):
    """Valkey 9.1 that keeps nothing. It is killed, and comes back empty 4 s later."""

    is_durable = False


class Secured(Plain):
    """TLS and a user with the documented rights. The server restarts; its line is cut for 4 s."""

    peers = "The peers' user may do everything."

    def conf(self) -> dict[str, Any]:
        trusting = {"ssl_ca_certs": str(self._certificate[0])}
        return {
            "singleton_beat_redis_url": self._url("beat"),
            "singleton_beat_redis_options": trusting,
        }

    def peer_conf(self) -> dict[str, Any]:
        trusting = {"ssl_ca_certs": str(self._certificate[0])}
        return {
            "redbeat_redis_url": self._url("peer"),
            "redbeat_redis_use_ssl": trusting,
            "singleton_backend_url": self._url("peer"),
            "singleton_backend_kwargs": trusting,
        }

    def strike(self) -> None:
        self.line.blackhole()
        self.store.kill()
        self.store.restart()

    def mend(self) -> None:
        self.line.heal()

    def _start_store(self) -> None:
        self._certificate = make_certificate(self._folder)
        users = self._folder / "users.acl"
        rights = " ".join(documented_rights(PREFIX))
        users.write_text(
            "user default on nopass ~* &* +@all\nuser peer on >secret ~* &* +@all\n"
            f"user beat on >secret {rights}\n"
        )
        self.store, port = serve_tls(
            lambda extra: self._server(appendonly=True, extra=(*extra, "--aclfile", str(users))),
            self._certificate,
        )
        self.line = self._line(port)
        self.client = self._stack.enter_context(redis.Redis.from_url(self.store.url()))

    def _url(self, user: str) -> str:
        return f"rediss://{user}:secret@{HOST}:{self.line.port}/0"


class OnRabbit(Plain):
    """RabbitMQ as the broker, and one Redis as the store. RabbitMQ is killed and started again."""

    def conf(self) -> dict[str, Any]:
        return super().conf() | CONFIRMED

    def peer_conf(self) -> dict[str, Any]:
        return super().peer_conf() | CONFIRMED

    def strike(self) -> None:
        self.broker.kill()

    def mend(self) -> None:
        self.broker.restart()

    def _start_broker(self) -> Broker:
        broker = find_rabbit()
        self._stack.callback(broker.stop)
        broker.start()
        return broker


class Sentinel(Servers):
    """A Sentinel. The primary is killed when its two replicas have heard nothing for 1 s."""

    peers = (
        "RedBeat asks the Sentinel; celery-singleton knows none, and has its locks on the broker."
    )

    def conf(self) -> dict[str, Any]:
        return {
            "singleton_beat_redis_url": self._url,
            "singleton_beat_redis_options": {"master_name": "shop"},
        }

    def peer_conf(self) -> dict[str, Any]:
        host, _, port = self._url.removeprefix("sentinel://").removesuffix("/0").partition(":")
        options = {"sentinels": [[host, int(port)]], "service_name": "shop", "socket_timeout": 1}
        return {
            "redbeat_redis_url": "redis-sentinel://",
            "redbeat_redis_options": options,
            "singleton_backend_url": self.broker.url(),
        }

    def primary(self) -> EmbeddedServer:
        return self._replicated.primary

    def strike(self) -> None:
        for replica in (self._replicated.replica, self._other):
            self._replicated.put_on_line(replica)
        self._replicated.line.blackhole(TO_CLIENT)
        threading.Event().wait(BEHIND_S)
        self._replicated.primary.kill()

    def mend(self) -> None:
        self._replicated.wait_promoted(self._other)
        self._replicated.line.heal()
        self._replicated.primary.restart()

    def _start_store(self) -> None:
        replicated = Replicated(self._server, self._line)
        self._replicated, self._other = replicated, self._server()
        replicated.add(self._other)
        sentinel, self._url = replicated.watch(self._folder, find_server_binary())
        self._stack.callback(sentinel.stop)


class SentinelAwaited(Sentinel):
    """The same, with `singleton_beat_wait_replicas = 1`."""

    peers = "The peers have no such setting: for them it is the same again."

    def conf(self) -> dict[str, Any]:
        return super().conf() | AWAITED


class Clustered(Servers):
    """A cluster of six nodes; the one with the store is killed, and its replica takes over."""

    replicas = 3
    peers = (
        "RedBeat has its keys in one slot, by a hash tag in their prefix, and is given a node that "
        "stays; celery-singleton knows no cluster, and has its locks on the broker."
    )

    def conf(self) -> dict[str, Any]:
        return {"singleton_beat_redis_url": self._cluster.url()}

    def peer_conf(self) -> dict[str, Any]:
        # Its startup_nodes are not what redis-py 8 takes, and a URL names one node.
        return {
            "redbeat_redis_url": self._cluster.nodes[-1].url(),
            "redbeat_redis_options": {"cluster": True, "decode_responses": True},
            "redbeat_key_prefix": f"{{csb:{PREFIX}}}:",
            "singleton_backend_url": self.broker.url(),
        }

    def primary(self) -> EmbeddedServer:
        return self._cluster.owner(SEEN)

    def strike(self) -> None:
        self._struck = self.primary()
        self._struck.kill()

    def mend(self) -> None:
        self._promoted = self._cluster.wait_failed_over(SEEN, self._struck)
        self._struck.restart()

    def _start_store(self) -> None:
        self._cluster = Cluster(find_server_binary(), replicas=self.replicas)
        self._stack.callback(self._cluster.stop)


class ClusteredBehind(Clustered):
    """Nine nodes. The one with the store is killed when its two replicas heard nothing for 1 s."""

    replicas = 6
    peers = "The peers use it as they do the other one."

    def strike(self) -> None:
        self._struck = self.primary()
        held = self._cluster.hold_back(self._struck)
        self._struck.command("SET", UNSEEN, "written when no replica heard it")
        threading.Event().wait(BEHIND_S)
        self._struck.kill()
        self._cluster.let_hear(held)

    def mend(self) -> None:
        super().mend()
        # Or the row would tell of a failover that forgot nothing, or all.
        assert [self._promoted.command("EXISTS", key) for key in (SEEN, UNSEEN)] == ["1", "0"]

    def _start_store(self) -> None:
        super()._start_store()
        self._cluster.owner(SEEN).command("SET", SEEN, "written when all heard it")


class ClusteredAwaited(ClusteredBehind):
    """The same, with `singleton_beat_wait_replicas = 1`."""

    peers = SentinelAwaited.peers

    def conf(self) -> dict[str, Any]:
        return super().conf() | AWAITED
