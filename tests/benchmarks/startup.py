"""Start-up with 10,000 entries: time to the first dispatch, and memory, beside the peers.

One real `celery beat` process. One entry is due every second, the others not while we look. Time
runs from the start of the command to the first message in the broker's queue; it contains the
start of Python and Celery, and for ours up to a second until the next whole second, for the peers
the second that they let pass first. "First start" meets an empty store (or no local file),
"restart" what the first start left. Memory is what is resident at the first dispatch; "with one
entry" is the same process without the 10,000.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.arrivals import Bystander
from tests.benchmarks.bench_app import AppSpec, Timetable
from tests.benchmarks.replicas import Fleet, ended_early, resident_mib
from tests.benchmarks.rounds import Bench, alternate, complete
from tests.benchmarks.tables import Table, ratios

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET_S = 1_800
DAY_S = 86_400
START_S = 180.0


@dataclass(frozen=True)
class Start:
    """One start: seconds to the first dispatch, MiB in use by then."""

    first_s: float
    restart_s: float
    memory_mib: float


def run(bench: Bench) -> list[Table]:
    """Measure all three, with many entries and with one."""
    many = bench.scaled(10_000, 1_000)
    table = Table(f"Start-up with {many:,} entries")
    sides: dict[str, Callable[[], Start]] = {}
    for name in ("ours", "stock", "redbeat"):
        sides[name] = partial(_measure, bench, name, many)
        sides[f"{name}, one entry"] = partial(_measure, bench, name, 0)
    measured = complete(alternate(sides, bench.rounds, table), bench.rounds)
    for name in ("ours", "stock", "redbeat"):
        alone = f"{name}, one entry"
        if not {name, alone} <= measured.keys():
            continue
        full, bare = measured[name], measured[alone]
        table.add(f"{name}: first start", [start.first_s for start in full], "s")
        table.add(f"{name}: restart", [start.restart_s for start in full], "s")
        table.add(f"{name}: restart, with one entry", [start.restart_s for start in bare], "s")
        table.add(f"{name}: memory", [start.memory_mib for start in full], "MiB")
        table.add(f"{name}: memory, with one entry", [start.memory_mib for start in bare], "MiB")
    for peer in ("stock", "redbeat"):
        if {"ours", peer} <= measured.keys():
            ours = [start.restart_s for start in measured["ours"]]
            ratio = ratios([start.restart_s for start in measured[peer]], ours)
            table.add(f"{peer} / ours, restart", ratio, "times")
    return [table]


def _measure(bench: Bench, name: str, many: int) -> Start:
    bench.servers.wipe()
    timetables = (Timetable("tick", 1, 1), Timetable("quiet", many, _quiet_interval()))
    spec = AppSpec(bench.servers.broker.url, bench.servers.store.url, timetables)
    with Fleet(name, spec) as fleet:
        first_s, _ = _start(bench, fleet)
        restart_s, memory_mib = _start(bench, fleet)
    return Start(first_s, restart_s, memory_mib)


def _start(bench: Bench, fleet: Fleet) -> tuple[float, float]:
    bench.servers.broker.wipe()
    with Bystander(bench.servers.broker.url) as bystander:
        started_ms = time.time() * 1000
        replica = fleet.start()
        if not bystander.wait_for(1, START_S):
            raise ended_early(replica)
        memory_mib = resident_mib(replica.pid)
        first_ms = bystander.arrivals()[0].arrived_ms
        fleet.stop(replica)
    return (first_ms - started_ms) / 1000, memory_mib


def _quiet_interval() -> int:
    """Return an interval of about a day that does not fall due in the next half hour."""
    now_s = int(time.time())
    return next(n for n in range(DAY_S, 2 * DAY_S) if n - now_s % n > QUIET_S)
