"""Real Redis-compatible servers for tests: one shared, and private ones to maltreat."""

from __future__ import annotations

import itertools
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import redis

from celery_singleton_beat.demo.server import EmbeddedServer, find_server_binary
from tests.rig.absent import skip_or_fail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATABASES = 128

# Database 0 is left alone: what ends up there was sent to a URL that did not name a database.
_databases = itertools.cycle(range(1, DATABASES))


def server_arguments(binary: str) -> tuple[str, ...]:
    """What test servers are started with, beyond the defaults."""
    printed = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True)
    found = re.search(r"v=(\d+)", printed.stdout)
    major = int(found[1]) if found else 0
    debug = ("--enable-debug-command", "local") if major >= 7 else ()
    return ("--databases", str(DATABASES), *debug)


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """The server binary that this session's tests run against."""
    try:
        return find_server_binary()
    except FileNotFoundError:
        skip_or_fail("a Redis-compatible server")


@pytest.fixture(scope="session")
def redis_server(redis_binary: str) -> Iterator[EmbeddedServer]:
    """The session's server. Do not stop, pause, flush or skew it: others come after you."""
    with EmbeddedServer(redis_binary).start(extra=server_arguments(redis_binary)) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedServer) -> str:
    """The URL of an empty database, used by no other test that still runs."""
    url = redis_server.url(next(_databases))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def make_redis(redis_binary: str) -> Iterator[Callable[..., EmbeddedServer]]:
    """A maker of private servers: `make_redis(appendonly=…, env=…, extra=…)`."""
    made: list[EmbeddedServer] = []

    def make(
        *, appendonly: bool = False, env: dict[str, str] | None = None, extra: tuple[str, ...] = ()
    ) -> EmbeddedServer:
        made.append(EmbeddedServer(redis_binary, env=env))
        return made[-1].start(
            appendonly=appendonly, extra=(*server_arguments(redis_binary), *extra)
        )

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def own_redis(make_redis: Callable[..., EmbeddedServer]) -> EmbeddedServer:
    """A private server that the test may kill, freeze, pause and wipe."""
    return make_redis()
