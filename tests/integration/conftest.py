"""Fixtures of the tests with real workers and servers of several kinds."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from celery_singleton_beat.demo.child import ChildProcess
from celery_singleton_beat.demo.server import HOST, PORTS
from celery_singleton_beat.testing import FakeClock
from tests.integration.command_line import CommandLine
from tests.integration.stored import Replica, ms
from tests.integration.workers import Shop

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator, Mapping

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.processes import Processes


@pytest.fixture
def make_shop(
    own_redis: EmbeddedServer, processes: Processes, tmp_path: pathlib.Path
) -> Iterator[Callable[..., Shop]]:
    """A maker of shops: `make_shop(singleton_beat_…=…)`."""
    made: list[Shop] = []

    def make(**conf: Any) -> Shop:
        made.append(Shop(own_redis, processes, tmp_path, **conf))
        return made[-1]

    yield make
    for shop in made:
        shop.close()


@pytest.fixture
def shop(make_shop: Callable[..., Shop]) -> Shop:
    """A shop with settings that most tests can use."""
    return make_shop()


@pytest.fixture
def make_replica(redis_url: str) -> Iterator[Callable[..., Replica]]:
    """A maker of replicas on one store: `make_replica(clock, schedule, **conf)`."""
    made: list[Replica] = []

    def make(clock: FakeClock, schedule: Mapping[str, Any] | None = None, **conf: Any) -> Replica:
        made.append(Replica(redis_url, clock, schedule, **conf))
        return made[-1]

    yield make
    for replica in made:
        replica.close()


@pytest.fixture
def replica(make_replica: Callable[..., Replica]) -> Replica:
    """A replica with no entries of its own, on a Monday at seven in the morning."""
    return make_replica(FakeClock(ms("2026-03-02 07:00")))


@pytest.fixture
def sentinel(own_redis: EmbeddedServer, redis_binary: str, tmp_path: pathlib.Path) -> Iterator[int]:
    """A Sentinel's port; it watches ``own_redis`` under the name `shop`."""
    port = random.choice(PORTS)
    conf = tmp_path / "sentinel.conf"
    conf.write_text(
        f"bind {HOST}\nport {port}\nprotected-mode no\ndir {tmp_path}\n"
        f"sentinel monitor shop {HOST} {own_redis.port} 1\n"
    )
    child = ChildProcess([redis_binary, str(conf), "--sentinel"], dict(os.environ), name="sentinel")
    child.wait_for("monitor master shop", 20)
    yield port
    child.stop()


@pytest.fixture
def line(replica: Replica) -> CommandLine:
    """The command line of a replica's app; the store's clock is the replica's."""
    return CommandLine(replica.app)
