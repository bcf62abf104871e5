"""Fixtures of the tests with real workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.workers import Shop

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator

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
