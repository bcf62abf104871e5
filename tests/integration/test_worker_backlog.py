"""A long queue whose workers lose their store: everything in it runs, and once."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import redis

from celery_singleton_beat.demo.server import HOST
from tests.integration.workers import ENOUGH

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.integration.workers import Shop
    from tests.rig.proxy import FaultProxy

OUTAGE_SECONDS = 5


@pytest.mark.timeout(300)
@pytest.mark.parametrize("messages", [2000, pytest.param(10_000, marks=pytest.mark.campaign)])
def test_a_backlog_met_by_an_outage_loses_nothing(
    make_shop: Callable[..., Shop],
    own_redis: EmbeddedServer,
    make_proxy: Callable[[int], FaultProxy],
    messages: int,
) -> None:
    """C1, S0-39, F7: each waits in the queue while the store is away, and runs when it is back."""
    line = make_proxy(own_redis.port)
    shop = make_shop(
        singleton_beat_redis_url=f"redis://{HOST}:{line.port}/2",
        singleton_beat_socket_timeout=0.5,
        task_ignore_result=True,
        worker_prefetch_multiplier=4,
    )
    broker = redis.Redis.from_url(
        own_redis.url(0), decode_responses=True, socket_timeout=2 * ENOUGH
    )
    with shop.client.pool.acquire(block=True) as connection:
        producer = shop.client.amqp.Producer(connection)
        for number in range(messages):
            shop.client.send_task("shop.counted", args=[number], producer=producer)
    ran: Counter[str] = Counter()

    shop.worker()
    count(broker, ran, messages // 10)
    line.refuse()
    threading.Event().wait(OUTAGE_SECONDS)  # its length is the fault itself
    line.heal()
    count(broker, ran, messages)

    broker.close()
    assert len(ran) == messages
    assert set(ran.values()) == {1}


def count(broker: redis.Redis, ran: Counter[str], wanted: int) -> None:
    """Count runs as they come in until so many different ones have."""
    while len(ran) < wanted:
        found: Any = broker.blpop(["counted"], timeout=ENOUGH)
        assert found is not None, f"{len(ran)} of {wanted} ran, then no more"
        ran[found[1]] += 1
