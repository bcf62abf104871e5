"""The line to a Redis: one script call, one round trip, no retry that could do harm.

Connections are redis-py's, taken straight from its pool classes: a client's
command path costs twice as much. A call that finds its connection dead is made
once more on a new one; every script answers a repeat the same, so that is safe.
One that has been idle for a while is tried first: a firewall that has forgotten
it lets whatever is sent vanish, and says nothing. Nothing is ever queued for later.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as DeadConnection,
)
from redis.exceptions import (
    TimeoutError as SlowServer,
)
from redis.retry import Retry

from celery_singleton_beat.errors import (
    ConfigurationError,
    ForeignStore,
    StoreCorrupt,
    StoreTooNew,
    StoreTooOld,
    StoreUnavailable,
)
from celery_singleton_beat.store.redis_cluster import follow, place_in
from celery_singleton_beat.store.redis_place import address_of, is_cluster, pool_of
from celery_singleton_beat.store.redis_version import OLDEST, version_of
from celery_singleton_beat.store.redis_words import command, exchange, exchange_and_wait

LINE_ERRORS: Final = (RedisError, OSError)
"""What a connection of this wire may raise."""


class Refused(Exception):
    """The server would not answer a question; the text is its own."""


@dataclass(frozen=True)
class Script:
    """A Lua script and the name by which the server knows it.

    ``waits``: if the wire waits for replicas, what this one wrote is to be on them.
    """

    name: str
    source: str
    waits: bool = False
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


class Wire:
    """Calls scripts on one Redis. Connects when first used; safe in threads and after a fork.

    ``wait_replicas``: an answer counts only if so many replicas have what it rests on within
    ``wait_timeout_ms``. ``near`` is a key of the store: in a cluster, it leads to the node.
    """

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, object] | None = None,
        connect_timeout_ms: int = 2000,
        socket_timeout_ms: int = 2000,
        health_check_ms: int = 0,
        wait_replicas: int = 0,
        wait_timeout_ms: int = 1000,
    ) -> None:
        self._url = url
        self.near = ""
        self.in_cluster = is_cluster(url)
        self.waits = wait_replicas > 0
        self._replicas = wait_replicas
        self._wait = command("WAIT", str(wait_replicas), str(wait_timeout_ms))
        keepalive = {} if url.startswith("unix") else {"socket_keepalive": True}
        self._options: dict[str, Any] = {
            "socket_connect_timeout": connect_timeout_ms / 1000,
            "socket_timeout": socket_timeout_ms / 1000,
            "health_check_interval": health_check_ms / 1000,
            "protocol": 2,
            "max_connections": 1 << 20,  # one for each thread that asks; the default is a hundred
            **keepalive,
            **(options or {}),
            "encoding": "utf-8",
            "decode_responses": True,
            "encoding_errors": "replace",
            "retry": Retry(NoBackoff(), 0),
            "retry_on_timeout": False,
        }
        self._pool: Any = None
        self._idle: deque[Any] = deque()
        self._pid = 0
        self._is_admitted = False

    @property
    def address(self) -> str:
        """Where the server is, without secrets: for messages."""
        return address_of(self._url)

    def call(self, script: Script, call: bytes) -> list[Any]:
        """Run a script and return its answer; ``call`` is the whole command.

        Raises:
            StoreUnavailable: no answer, or too few replicas have it; the script may have run.
            ForeignStore, StoreTooNew, StoreCorrupt: what the script found.
            StoreTooOld: the server is.
        """
        try:
            connection = self._take()
            try:
                text = self._ask(connection, script, call)
            except BaseException:
                # Also when interrupted: a late reply must not meet the next question. It is kept
                # all the same: the pool counts what it makes, and never makes more than so many.
                connection.disconnect()
                self._idle.append(connection)
                raise
            self._idle.append(connection)
        except ResponseError as error:
            raise self._meant(error) from error
        except (RedisError, OSError) as error:
            raise self._unavailable(error) from error
        answer: list[Any] = json.loads(text)
        return answer

    def ask(self, *words: str, on_its_own: bool = False) -> Any:
        """Ask the server something beside the scripts; the answer is as the driver reads it.

        ``on_its_own``: on a connection that is closed afterwards.

        Raises:
            Refused: the server does not know such a command, or this user may not give it.
            StoreUnavailable: no answer.
        """
        try:
            connection = self.new_connection() if on_its_own else self._take()
            try:
                if connection._sock is None:  # noqa: SLF001  # no public way to ask
                    self._connect(connection)
                connection.send_command(*words)
                answer = connection.read_response()
            except ResponseError:
                raise
            except BaseException:
                connection.disconnect()
                raise
            finally:
                if on_its_own:
                    connection.disconnect()
                else:
                    self._idle.append(connection)
        except ResponseError as error:
            raise Refused(str(error)) from error
        except LINE_ERRORS as error:
            raise self._unavailable(error) from error
        return answer

    def close(self) -> None:
        """Close what is idle. The wire can be used again."""
        if self._pid == os.getpid():
            while self._idle:
                self._idle.pop().disconnect()

    def _ask(self, connection: Any, script: Script, call: bytes) -> str:
        was_open = connection._sock is not None  # noqa: SLF001  # no public way to ask
        try:
            if not was_open or not _is_well(connection):
                self._connect(connection)
            return self._run(connection, script, call)
        except (AuthenticationError, SlowServer, TimeoutError):
            raise
        except (DeadConnection, OSError, ReadOnlyError):
            # A server that was the primary when this connection was made may be one no more.
            if not was_open:
                raise
        except ResponseError as error:
            if not follow(connection, error):
                raise
        connection.disconnect()
        self._connect(connection)
        return self._run(connection, script, call)

    def _run(self, connection: Any, script: Script, call: bytes) -> str:
        tell = self._tell_and_wait if script.waits else exchange
        try:
            text = tell(connection, call)
        except NoScriptError:
            exchange(connection, command("SCRIPT", "LOAD", script.source))
            text = tell(connection, call)
        if connection.health_check_interval:  # the driver counts only what it reads itself
            connection.next_health_check = time.monotonic() + connection.health_check_interval
        return text

    def _tell_and_wait(self, connection: Any, call: bytes) -> str:
        text, replicas = exchange_and_wait(connection, call, self._wait)
        if replicas < self._replicas:
            raise StoreUnavailable(
                f"the store at {self.address} answered, but only {replicas} of "
                f"{self._replicas} replicas have it (singleton_beat_wait_replicas)"
            )
        return text

    def _connect(self, connection: Any) -> None:
        """Connect; behind Sentinel and in a cluster, that is where the primary is looked up.

        Raises:
            StoreTooOld: this server cannot run the scripts.
        """
        connection.next_health_check = math.inf
        connection.connect()
        if not self._is_admitted:
            version = version_of(connection)
            if version is not None and version < OLDEST:
                connection.disconnect()
                found, least = (".".join(map(str, numbers)) for numbers in (version, OLDEST))
                raise StoreTooOld(
                    f"the store at {self.address} is Redis {found}: at least {least} is needed, "
                    "or any Valkey"
                )
            self._is_admitted = True

    def _take(self) -> Any:
        if self._pid != os.getpid():
            self._pid, self._idle, self._pool = os.getpid(), deque(), None
        try:
            return self._idle.pop()
        except IndexError:
            return self.new_connection()

    def new_connection(self) -> Any:
        """Make a connection that is not open yet, for the caller to keep.

        Raises:
            ConfigurationError: the URL or the options cannot be.
        """
        try:
            if self._pool is None:
                self._pool = pool_of(self._url, dict(self._options), self.near)
            connection = self._pool.make_connection()
        except (TypeError, ValueError) as error:
            msg = f"the store's URL ({self.address}) or singleton_beat_redis_options: {error}"
            raise ConfigurationError(msg) from error
        connection.next_health_check = math.inf  # a new line needs no trial before its first answer
        return connection

    def _meant(self, error: ResponseError) -> Exception:
        text = str(error)
        if text.startswith("FOREIGN"):
            other = text.removeprefix("FOREIGN").strip()
            return ForeignStore(
                f"the store at {self.address} belongs to the app {other!r} under this prefix: "
                "give this app another singleton_beat_key_prefix"
            )
        if text.startswith("TOONEW"):
            return StoreTooNew(
                f"the store at {self.address} has schema {text.removeprefix('TOONEW').strip()}, "
                "written by a newer release: upgrade this process"
            )
        if "WRONGTYPE" in text:
            return StoreCorrupt(
                f"a key under our prefix at {self.address} holds something foreign ({text}): "
                "remove it or set another singleton_beat_key_prefix"
            )
        if place_in(error) and not self.in_cluster:
            return StoreUnavailable(
                f"the store at {self.address} is a node of a cluster, and not the one that has "
                "these keys: name it by redis+cluster:// (or rediss+cluster://)"
            )
        return self._unavailable(error)

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        text = str(error) or type(error).__name__
        return StoreUnavailable(f"the store at {self.address} did not answer: {text}")


def _is_well(connection: Any) -> bool:
    """Tell whether an open connection may be used; one that idled has to answer a ping first."""
    if time.monotonic() <= connection.next_health_check:
        return True
    try:
        connection.check_health()
    except LINE_ERRORS:
        connection.disconnect()
        return False
    return True
