"""Lock keys by hand: taken and freed again, ours beside redis-py's Lock, in one process.

Nobody else wants the keys. Round trips are what the server answers to this client: a script with
all that it calls inside is one.
"""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import redis

from celery_singleton_beat import LockService
from tests.benchmarks.bench_app import AppSpec, make_app
from tests.benchmarks.rounds import alternate, complete
from tests.benchmarks.tables import Table, ratios

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.rounds import Bench

OURS, THEIRS = "LockService", "redis-py Lock"


class Cost(NamedTuple):
    """What a lock taken and freed took."""

    wall_us: float
    client_us: float
    store_us: float
    round_trips: float


def run(bench: Bench) -> list[Table]:
    """Take and free keys, each side in turn."""
    count = bench.scaled(5_000, 1_000)
    table = Table(f"Locks by hand, {count:,} taken and freed")
    sides = {OURS: partial(_ours, bench, count), THEIRS: partial(_theirs, bench, count)}
    results = complete(alternate(sides, bench.rounds, table), bench.rounds)
    for name, costs in results.items():
        table.add(f"{name}: wall", [cost.wall_us for cost in costs], "us")
        table.add(f"{name}: CPU here", [cost.client_us for cost in costs], "us")
        table.add(f"{name}: the store's CPU", [cost.store_us for cost in costs], "us")
        table.add(f"{name}: round trips", [cost.round_trips for cost in costs], "")
    ours, theirs = results[OURS], results[THEIRS]
    for field in ("wall_us", "client_us", "store_us"):
        pair = ([getattr(cost, field) for cost in side] for side in (ours, theirs))
        table.add(f"ours beside theirs: {field.removesuffix('_us')}", ratios(*pair), "x")
    return [table]


def _ours(bench: Bench, count: int) -> Cost:
    server = bench.servers.store
    app = make_app(AppSpec(bench.servers.broker.url, server.url))
    service = LockService(app)

    def once(number: int) -> None:
        service.release(service.acquire(f"key-{number}"))

    cost = _measured(bench, once, count, scripts=True)
    app.close()
    return cost


def _theirs(bench: Bench, count: int) -> Cost:
    with closing(redis.Redis.from_url(bench.servers.store.url)) as client:

        def once(number: int) -> None:
            lock = client.lock(f"key-{number}", timeout=30)
            lock.acquire()
            lock.release()

        return _measured(bench, once, count, scripts=False)


def _measured(bench: Bench, once: Callable[[int], None], count: int, *, scripts: bool) -> Cost:
    server = bench.servers.store
    server.wipe()
    for number in range(100):
        once(number)
    before, wall, here = server.usage(), time.perf_counter(), time.process_time()
    for number in range(count):
        once(number)
    wall, here = time.perf_counter() - wall, time.process_time() - here
    used = server.usage().since(before)
    calls = used.commands.get("evalsha", 0) + (0 if scripts else used.commands.get("set", 0))
    return Cost(wall / count * 1e6, here / count * 1e6, used.cpu_s / count * 1e6, calls / count)
