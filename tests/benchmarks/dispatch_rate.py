"""Dispatch rate: one of our replicas beside a bare `apply_async` loop.

Both are one process on the same broker, warmed up, same task, no arguments, result backend off
(one more pair with a Redis result backend on), logging at WARNING. Ours claims, plans, publishes
and confirms against a store of its own; the loop only publishes. With 100 entries the same
entries fall due every second, ten times; with 10,000 they fall due once. "batched" is the bare loop
inside kombu's batches of 100: the most that a scheduler without a memory could do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.bursts import Burst, Cost, measure
from tests.benchmarks.rounds import Bench, alternate, complete
from tests.benchmarks.tables import Table, Target, ratios

if TYPE_CHECKING:
    from collections.abc import Callable

BATCHING = Target(at_least=1.8)
LIMIT = ("batched",)


def run(bench: Bench) -> list[Table]:
    """Measure at two sizes, and once more with a result backend."""
    many = bench.scaled(10_000, 2_000)
    return [
        pair(bench, "Dispatch rate, 100 due entries", BATCHING, LIMIT, entries=100, bursts=10),
        pair(bench, f"Dispatch rate, {many:,} due entries", BATCHING, LIMIT, entries=many),
        pair(
            bench,
            f"Dispatch rate, {many:,} due entries, Redis result backend",
            None,
            entries=many,
            result_backend=True,
        ),
    ]


def pair(
    bench: Bench,
    title: str,
    target: Target | None,
    beside: tuple[str, ...] = (),
    **burst: int | bool | str,
) -> Table:
    """Measure ours and the bare loop in turn, and what else is to stand beside them."""
    table = Table(title)
    results = alternate(
        {name: _side(bench, name, burst) for name in ("ours", "bare", *beside)},
        bench.rounds,
        table,
    )
    measured = complete(results, bench.rounds)
    for name, costs in measured.items():
        table.add(f"{name}: dispatches", [cost.rate for cost in costs], "/s")
        table.add(f"{name}: CPU of the process", [cost.cpu_us for cost in costs], "us each")
        table.notes.append(f"{name}: one message is {costs[0].message_bytes} bytes")
    if {"ours", "bare"} <= measured.keys():
        ours, bare = measured["ours"], measured["bare"]
        by_wall = ratios([cost.rate for cost in ours], [cost.rate for cost in bare])
        by_cpu = ratios([cost.cpu_us for cost in bare], [cost.cpu_us for cost in ours])
        table.add("ours / bare, by wall time", by_wall, "times", target)
        table.add("ours / bare, by CPU", by_cpu, "times", target)
        versions = ", ".join(f"{name} {number}" for name, number in ours[0].versions.items())
        table.notes.append(f"all: {versions}")
    return table


def _side(bench: Bench, name: str, burst: dict[str, int | bool | str]) -> Callable[[], Cost]:
    return lambda: measure(Burst(side=name, **burst), bench.servers)  # type: ignore[arg-type]
