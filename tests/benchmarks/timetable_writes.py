"""Stored entries: put one by one, reconciled in batches, and reconciled again unchanged.

One process against one server, a first time and a second. Beside it stands a bare redis-py
pipeline, in batches of the same size, that writes the same names, definitions and due times with
one HSET and one ZADD each, and asks nothing: no revision, no tenant, no limit, no slot, no mark.
The definitions are made in both: it is the same entries. "By CPU" is what both processes together
would do in a second if nothing else ran on the machine, one after the other as they do it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from celery_singleton_beat import Entry, Timetable
from tests.benchmarks.bench_app import NOOP, AppSpec, make_app
from tests.benchmarks.rounds import Bench, alternate, complete
from tests.benchmarks.tables import Table, Target, ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery

RATE = Target(at_least=8_000)
BATCH = 500
SOURCE = "crm"


@dataclass(frozen=True)
class Written:
    """What storing entries cost, each."""

    wall_us: float
    client_us: float
    store_us: float

    @property
    def rate(self) -> float:
        """Return how many a second both processes would manage, undisturbed."""
        return 1e6 / (self.client_us + self.store_us)


def run(bench: Bench) -> list[Table]:
    """Measure intervals without a tenant, and cron times in a zone with one."""
    many = bench.scaled(20_000, 4_000)
    return [
        _table(bench, f"Storing {many:,} entries: intervals", many, _interval),
        _table(bench, f"Storing {many:,} entries: cron, zone and tenant", many, _cron),
    ]


def _table(bench: Bench, title: str, many: int, row: Callable[[int], dict[str, Any]]) -> Table:
    table = Table(title)
    sides: dict[str, Callable[[], Written]] = {
        "bare pipeline": partial(_written, bench, many, row, _bare),
        "reconcile, new": partial(_written, bench, many, row, _reconcile),
        "reconcile, unchanged": partial(_again, bench, many, row),
        "put, one by one": partial(_written, bench, many // 10, row, _put),
    }
    measured = complete(alternate(sides, bench.rounds, table), bench.rounds)
    for name, costs in measured.items():
        target = RATE if name.startswith("reconcile") else None
        table.add(f"{name}: entries, by CPU", [cost.rate for cost in costs], "/s", target)
        table.add(f"{name}: entries, by wall time", [1e6 / c.wall_us for c in costs], "/s")
        table.add(f"{name}: CPU of the process", [cost.client_us for cost in costs], "us each")
        table.add(f"{name}: CPU of the store", [cost.store_us for cost in costs], "us each")
    bare = [cost.rate for cost in measured.get("bare pipeline", [])]
    for name, costs in measured.items():
        if bare and name.startswith("reconcile"):
            ratio = ratios([cost.rate for cost in costs], bare)
            table.add(f"{name} / bare pipeline, by CPU", ratio, "times")
    return table


def _written(
    bench: Bench,
    many: int,
    row: Callable[[int], dict[str, Any]],
    write: Callable[[Bench, Celery, Iterator[dict[str, Any]]], None],
) -> Written:
    bench.servers.wipe()
    return _measured(bench, many, row, write)


def _again(bench: Bench, many: int, row: Callable[[int], dict[str, Any]]) -> Written:
    bench.servers.wipe()
    _measured(bench, many, row, _reconcile)
    return _measured(bench, many, row, _reconcile)


def _measured(
    bench: Bench,
    many: int,
    row: Callable[[int], dict[str, Any]],
    write: Callable[[Bench, Celery, Iterator[dict[str, Any]]], None],
) -> Written:
    app = make_app(AppSpec(bench.servers.broker.url, bench.servers.store.url))
    before = bench.servers.store.usage()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    write(bench, app, map(row, range(many)))
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    store_s = bench.servers.store.usage().since(before).cpu_s
    app.close()
    return Written(wall_s * 1e6 / many, cpu_s * 1e6 / many, store_s * 1e6 / many)


def _interval(number: int) -> dict[str, Any]:
    return {
        "name": f"entry-{number:07d}",
        "task": NOOP,
        "recurrence": 600 + number % 400,
        "kwargs": {"customer": number},
    }


def _cron(number: int) -> dict[str, Any]:
    return {
        "name": f"entry-{number:07d}",
        "task": NOOP,
        "recurrence": f"{number % 60} {number % 24} * * *",
        "timezone": "Europe/Berlin",
        "kwargs": {"customer": number},
        "tenant": f"tenant-{number // 10:06d}",
    }


def _reconcile(_: Bench, app: Celery, rows: Iterator[dict[str, Any]]) -> None:
    Timetable(app).reconcile(rows, SOURCE, batch=BATCH)


def _put(_: Bench, app: Celery, rows: Iterator[dict[str, Any]]) -> None:
    timetable = Timetable(app)
    for row in rows:
        timetable.put(Entry(**row))


def _bare(bench: Bench, _: Celery, rows: Iterator[dict[str, Any]]) -> None:
    now_ms = int(time.time() * 1000)
    while batch := [Entry(**row) for row in islice(rows, BATCH)]:
        pipeline = bench.servers.store.client.pipeline(transaction=False)
        for entry in batch:
            due_ms = entry.when.next_after(now_ms)
            pipeline.hset("bare:cards", entry.name, entry.to_json())
            pipeline.zadd("bare:due", {entry.name: due_ms})
        pipeline.execute()
