"""Cost of `SingletonTask` in the worker, beside a plain task.

A real worker (solo, and prefork with one child) meets a queue that already holds N no-op tasks,
as our beat would have sent them: distinct occurrences with their header and task id. Both sides
read the very same messages; only the task's base class differs. No result backend. Two marker
tasks in the queue, after 500 tasks and at the end, read the CPU (user + sys) of all processes of
the worker, so its start does not count. Store calls are the store server's own counts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_singleton_beat.demo.child import ChildProcess
from celery_singleton_beat.protocol.occurrence import HEADER, Occurrence
from tests.benchmarks.bench_app import MARK, MARKS, NOOP, AppSpec, make_app
from tests.benchmarks.burst_child import QUEUE
from tests.benchmarks.bursts import ROOT, NotMeasured
from tests.benchmarks.rounds import Bench, alternate, complete
from tests.benchmarks.tables import Table, Target, ratios

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.servers import Usage

WARM = 500
ENTRIES = 100
SAVED = "benchmark:saved-queue"
PATIENCE_S = 180.0
RATIO = Target(at_most=1.25)
SCRIPTS = Target(at_most=2.0)
DAY_MS = 86_400_000


@dataclass(frozen=True)
class WorkerCost:
    """What one worker spent on each task."""

    cpu_us: float
    wall_us: float
    scripts: float
    store_cpu_us: float


def run(bench: Bench) -> list[Table]:
    """Measure both pools."""
    tasks = bench.scaled(10_000, 2_000)
    return [_pool(bench, pool, tasks) for pool in ("solo", "prefork")]


def _pool(bench: Bench, pool: str, tasks: int) -> Table:
    table = Table(f"SingletonTask beside a plain task, {pool}, {tasks:,} no-ops")
    bench.servers.wipe()
    _fill(bench, tasks)
    sides: dict[str, Callable[[], WorkerCost]] = {
        "plain": lambda: _measure(bench, pool, tasks, singleton=False),
        "singleton": lambda: _measure(bench, pool, tasks, singleton=True),
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


def _fill(bench: Bench, tasks: int) -> None:
    """Publish the warm-up, a mark, the tasks and the second mark; keep a copy of the queue."""
    app = make_app(AppSpec(bench.servers.broker.url, bench.servers.store.url))
    now_ms = int(time.time()) * 1000
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(WARM + tasks):
            if number == WARM:
                app.send_task(MARK, args=("begin",), producer=producer)
            due_ms = now_ms - 1000 * (tasks + WARM - number) // ENTRIES
            entry = f"due-{number % ENTRIES:05d}"
            occurrence = Occurrence(entry, due_ms, not_after_ms=now_ms + DAY_MS)
            headers = {HEADER: occurrence.to_header(), "celery_beat_task": True}
            headers["periodic_task_name"] = entry
            identity = occurrence.task_id("benchmark")
            app.send_task(NOOP, task_id=identity, headers=headers, producer=producer)
        app.send_task(MARK, args=("end",), producer=producer)
    bench.servers.broker.client.rename(QUEUE, SAVED)
    app.close()


def _measure(bench: Bench, pool: str, tasks: int, *, singleton: bool) -> WorkerCost:
    broker, store = bench.servers.broker, bench.servers.store
    store.wipe()
    broker.client.delete(MARKS)
    broker.client.copy(SAVED, QUEUE, replace=True)
    spec = AppSpec(broker.url, store.url, singleton_task=singleton)
    command = [sys.executable, "-m", "celery", "-A", "tests.benchmarks.bench_app", "worker"]
    command += ["--pool", pool, "--concurrency", "1", "--loglevel", "WARNING"]
    worker = ChildProcess(
        command,
        spec.environment(PYTHONPATH=os.fspath(ROOT)),
        name=f"{pool}-{'singleton' if singleton else 'plain'}",
    )
    try:
        first, used_before = _mark(bench, worker)
        last, used_after = _mark(bench, worker)
        left = broker.client.llen(QUEUE)
    finally:
        worker.stop()
        broker.client.delete(QUEUE, "unacked", "unacked_index", "unacked_mutex")
    if left:
        raise NotMeasured(f"{left} messages were put back into the queue")
    used = used_after.since(used_before)
    return WorkerCost(
        cpu_us=(last["cpu_s"] - first["cpu_s"]) * 1e6 / tasks,
        wall_us=(last["at_s"] - first["at_s"]) * 1e6 / tasks,
        scripts=sum(used.commands.get(word, 0) for word in ("evalsha", "eval")) / tasks,
        store_cpu_us=used.cpu_s * 1e6 / tasks,
    )


def _mark(bench: Bench, worker: ChildProcess) -> tuple[dict[str, float], Usage]:
    """Wait for the next mark; read the store's counts as soon as it is there."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and worker.running:
        found = bench.servers.broker.client.brpop([MARKS], timeout=1)
        if found is not None:
            return json.loads(found[1]), bench.servers.store.usage()
    raise NotMeasured(f"no mark from {worker.name}: {(worker.lines or ['no output'])[-1]}")
