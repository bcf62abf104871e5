"""Cost of one-at-a-time in the worker: `SingletonTask` beside a plain task and five other ways.

A real worker (solo; prefork with two children) meets a queue that already holds N calls of a no-op
task, whose argument is the lock key: 100 keys in turn. All sides read the very same messages; only
the task's base class, or a decorator, differs. Where the two runs of a key meet, none is wanted:
they are 100 messages apart. No result backend.

celery-singleton and celery-once take their lock where a task is called, and only free it in the
worker: the table of the callers has the other half. Neither renews, and neither survives a killed
worker. celery-heimdall takes its lock in both places. After a call that was made through it, its
worker waits for the lock that its own run has, by default for a second; here it meets calls made
by name, as a beat makes them, and takes the lock once.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.benchmarks import protections
from tests.benchmarks.bench_app import KEYED, AppSpec, make_app
from tests.benchmarks.bursts import NotMeasured
from tests.benchmarks.protections import OURS, PACKAGES, PLAIN, version_of
from tests.benchmarks.rounds import Bench, alternate, complete
from tests.benchmarks.tables import Table, Target, ratios
from tests.benchmarks.worker_cost import WARM, WorkerCost, fill, measure

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = 100
SIDES = (
    *(PLAIN, OURS, protections.CELERY_SINGLETON, protections.CELERY_ONCE),
    *(protections.REDIS_LOCK, protections.HEIMDALL),
)
RATIO = Target(at_most=1.2)


def run(bench: Bench) -> list[Table]:
    """Measure both pools."""
    tasks = bench.scaled(20_000, 2_000)
    pools = {"solo": 1, "prefork": 2}
    tables = [_pool(bench, pool, tasks, children) for pool, children in pools.items()]
    return [*tables, _callers(bench, bench.scaled(5_000, 1_000))]


def _pool(bench: Bench, pool: str, tasks: int, children: int) -> Table:
    table = Table(f"One at a time, in the worker, {pool}, {tasks:,} no-ops")
    bench.servers.wipe()
    fill(bench, _calls(tasks))
    sides = {side: partial(_side, bench, pool, tasks, side, children) for side in SIDES}
    measured = complete(alternate(sides, bench.rounds, table), bench.rounds)
    plain = measured.get(PLAIN, [])
    for side, costs in measured.items():
        name = f"{side} {version_of(side) or ''}".strip() if side in PACKAGES else side
        table.add(f"{name}: CPU of the worker", [cost.cpu_us for cost in costs], "us each")
        if plain and side != PLAIN:
            target = RATIO if side == OURS else None
            ratio = ratios([cost.cpu_us for cost in costs], [cost.cpu_us for cost in plain])
            table.add(f"{name} / plain", ratio, "times", target)
            table.add(f"{name}: script calls", [cost.scripts for cost in costs], "each")
            commands = [cost.commands for cost in costs]
            table.add(f"{name}: commands, those in scripts too", commands, "each")
            table.add(f"{name}: CPU of the store", [c.store_cpu_us for c in costs], "us each")
    return table


def _callers(bench: Bench, calls: int) -> Table:
    table = Table(f"One at a time, where the task is called, {calls:,} calls")
    sides = {side: partial(_caller, bench, calls, side) for side in SIDES}
    measured = complete(alternate(sides, bench.rounds, table), bench.rounds)
    for side, costs in measured.items():
        table.add(f"{side}: CPU of the caller", costs, "us each")
        if side != PLAIN and PLAIN in measured:
            table.add(f"{side} / plain", ratios(costs, measured[PLAIN]), "times")
    return table


def _caller(bench: Bench, calls: int, side: str) -> float:
    """Call the task, each time with a key that nobody has; tell the CPU time of a call."""
    _must_be_installed(side)
    bench.servers.wipe()
    app = make_app(AppSpec(bench.servers.broker.url, bench.servers.store.url, protection=side))
    task = app.tasks[KEYED]
    task.apply_async(("warm-up",))
    from_s = time.process_time()
    for number in range(calls):
        task.apply_async((f"key-{number}",))
    spent_s = time.process_time() - from_s
    app.close()
    return spent_s * 1e6 / calls


def _must_be_installed(side: str) -> None:
    if side in PACKAGES and version_of(side) is None:
        raise NotMeasured("not installed")


def _side(bench: Bench, pool: str, tasks: int, side: str, children: int) -> WorkerCost:
    _must_be_installed(side)
    return measure(bench, pool, tasks, side, children)


def _calls(tasks: int) -> Iterator[dict[str, Any]]:
    for number in range(WARM + tasks):
        yield {"name": KEYED, "args": (f"key-{number % KEYS:03d}",)}
