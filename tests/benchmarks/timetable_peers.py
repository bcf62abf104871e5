"""Stored entries beside entries of the configuration, and beside RedBeat's: rate and memory.

All meet 10,000 due entries in one process each, as in "peers"; ours are in the store, put there
before, and none is in the configuration. Memory of the store is what 10,000 schedules add to an
empty server (RedBeat: one hash each, and its sorted set), before any of them was dispatched.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING

from celery_singleton_beat import Timetable
from tests.benchmarks.bench_app import NOOP, AppSpec, make_app
from tests.benchmarks.bursts import Burst, Cost, NotMeasured, measure
from tests.benchmarks.peers_rate import OVERHEAD, SCRIPT_CALLS
from tests.benchmarks.rounds import Bench, alternate, complete
from tests.benchmarks.tables import Table, Target, ratios

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

RATE = Target(at_least=3)
EVERY_S = 3600


def run(bench: Bench) -> list[Table]:
    """Measure the rate, then the memory."""
    many = bench.scaled(10_000, 2_000)
    return [_rate(bench, many), _memory(bench, many)]


def _rate(bench: Bench, many: int) -> Table:
    table = Table(f"Stored entries beside others, {many:,} due entries")
    lead_s = many / 300
    sides: dict[str, Callable[[], Cost]] = {
        "stored": lambda: measure(Burst("stored", many, lead_s=lead_s), bench.servers),
        "configured": lambda: measure(Burst("ours", many), bench.servers),
        "redbeat": lambda: measure(Burst("redbeat", many, lead_s=lead_s), bench.servers),
    }
    measured = complete(alternate(sides, bench.rounds, table), bench.rounds)
    for name, costs in measured.items():
        calls = [
            {w: n / c.dispatched for w, n in c.store.commands.items() if w not in OVERHEAD}
            for c in costs
        ]
        table.add(f"{name}: dispatches", [cost.rate for cost in costs], "/s")
        table.add(f"{name}: CPU of the process", [cost.cpu_us for cost in costs], "us each")
        store_us = [cost.store.cpu_s * 1e6 / cost.dispatched for cost in costs]
        table.add(f"{name}: CPU of the store", store_us, "us each")
        scripts = [sum(c.get(word, 0.0) for word in SCRIPT_CALLS) for c in calls]
        table.add(f"{name}: script calls", scripts, "each")
        table.add(f"{name}: all commands", [sum(c.values()) for c in calls], "each")
    for name in ("configured", "redbeat"):
        if not {"stored", name} <= measured.keys():
            continue
        target = RATE if name == "redbeat" and not bench.quick else None
        ours, others = measured["stored"], measured[name]
        by_wall = ratios([cost.rate for cost in ours], [cost.rate for cost in others])
        by_cpu = ratios([cost.cpu_us for cost in others], [cost.cpu_us for cost in ours])
        table.add(f"stored / {name}, by wall time", by_wall, "times", target)
        table.add(f"stored / {name}, by CPU", by_cpu, "times")
    return table


def _memory(bench: Bench, many: int) -> Table:
    table = Table(f"Memory of the store, {many:,} schedules")
    sides = {
        "stored": partial(_bytes_each, bench, many, _store_ours),
        "redbeat": partial(_bytes_each, bench, many, _store_redbeat),
    }
    for name, found in complete(alternate(sides, bench.rounds, table), bench.rounds).items():
        table.add(f"{name}: memory", found, "bytes each")
    return table


def _bytes_each(bench: Bench, many: int, store: Callable[[Celery, int], None]) -> float:
    bench.servers.wipe()
    app = make_app(AppSpec(bench.servers.broker.url, bench.servers.store.url))
    store(app, 1)  # what is there once, whatever the number
    empty = bench.servers.store.memory()
    store(app, many)
    app.close()
    return (bench.servers.store.memory() - empty) / many


def _store_ours(app: Celery, many: int) -> None:
    Timetable(app).reconcile(
        {"name": f"entry-{n:05d}", "task": NOOP, "recurrence": EVERY_S} for n in range(many)
    )


def _store_redbeat(app: Celery, many: int) -> None:
    try:
        schedulers = importlib.import_module("redbeat.schedulers")
    except ImportError as error:
        raise NotMeasured("not installed") from error
    for number in range(many):
        schedulers.RedBeatSchedulerEntry(f"entry-{number:05d}", NOOP, EVERY_S, app=app).save()
