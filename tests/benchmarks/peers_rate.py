"""Dispatch rate beside RedBeat and stock beat, and what each does to its store.

All three meet 10,000 due entries in one process each. RedBeat holds its lock and dispatches all of
them in one tick; stock beat dispatches one entry a tick, and as a tick compares its whole schedule
only the first 300 are awaited. The targets are for the full size. Command counts and CPU of the
store are the server's own (`INFO commandstats`, `used_cpu_*`), divided by the dispatches; commands
that a script calls are counted as well as the call of the script. The broker is another server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.bursts import Burst, Cost, measure
from tests.benchmarks.rounds import Bench, alternate, complete
from tests.benchmarks.tables import Table, Target, ratios

if TYPE_CHECKING:
    from collections.abc import Callable

TARGETS = {"redbeat": Target(at_least=3), "stock": Target(at_least=20)}
SAMPLE = 300
SCRIPT_CALLS = ("evalsha", "eval", "fcall")
OVERHEAD = ("info", "script|load", "hello", "client|setinfo")


def run(bench: Bench) -> list[Table]:
    """Measure all three in turn."""
    many = bench.scaled(10_000, 2_000)
    rates = Table(f"Dispatch rate beside the peers, {many:,} due entries")
    sides: dict[str, Callable[[], Cost]] = {
        "ours": lambda: measure(Burst("ours", many), bench.servers),
        "redbeat": lambda: measure(Burst("redbeat", many, lead_s=many / 300), bench.servers),
        "stock": lambda: measure(Burst("stock", many, sample=SAMPLE), bench.servers),
    }
    measured = complete(alternate(sides, bench.rounds, rates), bench.rounds)
    for name, costs in measured.items():
        rates.add(f"{name}: dispatches", [cost.rate for cost in costs], "/s")
        rates.add(f"{name}: CPU of the process", [cost.cpu_us for cost in costs], "us each")
    for name, target in TARGETS.items():
        if {"ours", name} <= measured.keys():
            ours = [cost.rate for cost in measured["ours"]]
            ratio = ratios(ours, [cost.rate for cost in measured[name]])
            rates.add(
                f"ours / {name}, by wall time", ratio, "times", None if bench.quick else target
            )
    return [rates, _store_table(many, measured)]


def _store_table(many: int, measured: dict[str, list[Cost]]) -> Table:
    table = Table(f"Store commands and CPU per dispatch, {many:,} due entries")
    for name, costs in measured.items():
        if name == "stock":
            table.notes.append("stock beat has no store: it keeps a local file")
            continue
        calls = [_calls(cost) for cost in costs]
        table.add(f"{name}: script calls", [_each(c, SCRIPT_CALLS) for c in calls], "each")
        table.add(f"{name}: all commands", [_each(c, tuple(c)) for c in calls], "each")
        cpu = [cost.store.cpu_s * 1e6 / cost.dispatched for cost in costs]
        table.add(f"{name}: CPU of the store", cpu, "us each")
        top = sorted(calls[-1].items(), key=lambda item: -item[1])[:8]
        table.notes.append(f"{name}: " + ", ".join(f"{word} {count:.3g}" for word, count in top))
    return table


def _calls(cost: Cost) -> dict[str, float]:
    counts = cost.store.commands.items()
    return {word: count / cost.dispatched for word, count in counts if word not in OVERHEAD}


def _each(calls: dict[str, float], words: tuple[str, ...]) -> float:
    return sum(calls.get(word, 0.0) for word in words)
