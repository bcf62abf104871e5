"""Entries brought in line with a database: rows a second, and memory, beside plain HSETs.

One process, rows from a generator, everything included: reading the rows as
entries, planning them, the limits, Redis. "CPU" is what that process and the
server used together, which other work on the machine does not change. The bare
side writes the same rows as JSON with redis-py, 500 HSETs in a pipeline: no
checks, no indexes, nothing planned. Memory is what the process grew by.
"""

from __future__ import annotations

import json
import resource
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import Celery

from celery_singleton_beat import Timetable
from celery_singleton_beat.adapters.extension import extension_of
from tests.benchmarks.rounds import Bench, alternate, complete
from tests.benchmarks.tables import Table, Target, ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH = 500
ZONES = ("UTC", "Europe/Rome", "America/New_York")
ADDING, AGAIN, CHANGING, REHEARSING, BARE = "added", "unchanged", "changed", "dry run", "bare HSET"


@dataclass(frozen=True)
class Rate:
    """Rows a second by the wall and by CPU, and MiB grown."""

    by_wall: float
    by_cpu: float
    grown_mib: float


def run(bench: Bench) -> list[Table]:
    """Measure each kind of reconciliation and the bare side."""
    many = bench.scaled(100_000, 5_000)
    table = Table(f"Reconciliation of {many:,} rows")
    kinds: dict[str, Callable[[], Rate]] = {
        kind: partial(_measure, bench, kind, many)
        for kind in (BARE, ADDING, AGAIN, CHANGING, REHEARSING)
    }
    measured = complete(alternate(kinds, bench.rounds, table), bench.rounds)
    for kind, rates in measured.items():
        target = Target(at_least=8_000) if kind in {ADDING, AGAIN, CHANGING} else None
        table.add(kind, [rate.by_wall for rate in rates], "rows/s", target)
        table.add(f"{kind}: by CPU", [rate.by_cpu for rate in rates], "rows/CPU s")
        table.add(f"{kind}: memory grown", [rate.grown_mib for rate in rates], "MiB")
        if kind != BARE and BARE in measured:
            ratio = ratios([r.by_cpu for r in measured[BARE]], [r.by_cpu for r in rates])
            table.add(f"bare HSET / {kind}, by CPU", ratio, "times")
    return [table]


def _measure(bench: Bench, kind: str, many: int) -> Rate:
    server = bench.servers.store
    bench.servers.wipe()
    app = Celery("bench", broker=server.url)
    timetable = Timetable(app)
    reconcile = partial(timetable.reconcile, source="crm", progress=False)
    if kind in {AGAIN, CHANGING, REHEARSING}:
        reconcile(_rows(many, 0))
    work: dict[str, Callable[[], object]] = {
        BARE: partial(_bare, server.client, many),
        ADDING: partial(reconcile, _rows(many, 0)),
        AGAIN: partial(reconcile, _rows(many, 0)),
        CHANGING: partial(reconcile, _rows(many, 1)),
        REHEARSING: partial(reconcile, _rows(many, 1), dry_run=True),
    }
    before = (time.perf_counter(), time.process_time(), server.usage(), _resident_mib())
    work[kind]()
    wall_s = time.perf_counter() - before[0]
    cpu_s = time.process_time() - before[1] + server.usage().since(before[2]).cpu_s
    store: Any = extension_of(app).store
    store.close()
    return Rate(many / wall_s, many / cpu_s, _resident_mib() - before[3])


def _rows(many: int, version: int) -> Iterator[dict[str, Any]]:
    for number in range(many):
        yield {
            "name": f"crm:{number}",
            "task": "reports.run",
            "recurrence": f"{number % 60} {number % 24} * * *",
            "timezone": ZONES[number % 3],
            "kwargs": {"customer": number, "version": version},
            "tenant": f"t{number // 10}",
            "jitter": 30,
        }


def _bare(client: Any, many: int) -> None:
    pipeline = client.pipeline(transaction=False)
    for number, row in enumerate(_rows(many, 0), 1):
        pipeline.hset("bare", row["name"], json.dumps(row))
        if number % BATCH == 0:
            pipeline.execute()
    pipeline.execute()


def _resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
