"""Cost of `SingletonTask` in the worker, beside a plain task.

A real worker (solo, and prefork with one child) meets a queue that already holds N no-op tasks,
as our beat would have sent them: distinct occurrences with their header and task id. Both sides
read the very same messages; only the task's base class differs. No result backend.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery_singleton_beat.protocol.occurrence import HEADER, Occurrence
from tests.benchmarks.bench_app import NOOP
from tests.benchmarks.protections import OURS, PLAIN
from tests.benchmarks.rounds import Bench, alternate, complete
from tests.benchmarks.tables import Table, Target, ratios
from tests.benchmarks.worker_cost import WARM, WorkerCost, fill, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENTRIES = 100
RATIO = Target(at_most=1.25)
SCRIPTS = Target(at_most=2.0)
DAY_MS = 86_400_000


def run(bench: Bench) -> list[Table]:
    """Measure both pools."""
    tasks = bench.scaled(10_000, 2_000)
    return [_pool(bench, pool, tasks) for pool in ("solo", "prefork")]


def _pool(bench: Bench, pool: str, tasks: int) -> Table:
    table = Table(f"SingletonTask beside a plain task, {pool}, {tasks:,} no-ops")
    bench.servers.wipe()
    fill(bench, _occurrences(tasks))
    sides: dict[str, Callable[[], WorkerCost]] = {
        "plain": lambda: measure(bench, pool, tasks, PLAIN),
        "singleton": lambda: measure(bench, pool, tasks, OURS),
    }
    measured = complete(alternate(sides, bench.rounds, table), bench.rounds)
    for name, costs in measured.items():
        table.add(f"{name}: CPU of the worker", [cost.cpu_us for cost in costs], "us each")
        table.add(f"{name}: wall time", [cost.wall_us for cost in costs], "us each")
    if len(measured) == 2:
        plain = [cost.cpu_us for cost in measured["plain"]]
        ours = [cost.cpu_us for cost in measured["singleton"]]
        added = [above - below for above, below in zip(ours, plain, strict=True)]
        table.add("SingletonTask adds, CPU", added, "us each")
        table.add("singleton / plain, by CPU", ratios(ours, plain), "times", RATIO)
        costs = measured["singleton"]
        table.add("singleton: script calls", [c.scripts for c in costs], "each", SCRIPTS)
        table.add("singleton: CPU of the store", [c.store_cpu_us for c in costs], "us each")
    return table


def _occurrences(tasks: int) -> Iterator[dict[str, Any]]:
    """Name the messages that our beat would have sent: the warm-up and the tasks."""
    now_ms = int(time.time()) * 1000
    for number in range(WARM + tasks):
        due_ms = now_ms - 1000 * (tasks + WARM - number) // ENTRIES
        entry = f"due-{number % ENTRIES:05d}"
        occurrence = Occurrence(entry, due_ms, not_after_ms=now_ms + DAY_MS)
        headers = {HEADER: occurrence.to_header(), "celery_beat_task": True}
        headers["periodic_task_name"] = entry
        yield {"name": NOOP, "task_id": occurrence.task_id("benchmark"), "headers": headers}
