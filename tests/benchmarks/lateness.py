"""Lateness with 1,000 entries that are due every second: ours beside stock beat.

One real `celery beat` process each. Late by: arrival in the broker's queue minus scheduled time.
Ours names the scheduled time in the message: a whole second, whatever happened before. Stock beat
knows only "last run + 1 s", which drifts with every delay and forgets what was missed; it is
judged by that, in its favour, and the share of the due occurrences that it dispatched stands
beside. The first seconds after the start are not counted.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial

from tests.benchmarks.arrivals import Arrival, Bystander
from tests.benchmarks.bench_app import AppSpec, Timetable
from tests.benchmarks.replicas import Fleet, ended_early
from tests.benchmarks.rounds import Bench, alternate
from tests.benchmarks.tables import Table

ENTRIES = 1_000
START_S = 60.0
WARM_S = 3.0
LATEST_S = 3.0


@dataclass(frozen=True)
class Spread:
    """How late the messages of one process were, and what share of those due came at all."""

    median_ms: float
    p99_ms: float
    max_ms: float
    share: float


def run(bench: Bench) -> list[Table]:
    """Measure ours and stock beat in turn."""
    entries, seconds = bench.scaled(ENTRIES, 200), bench.scaled(20, 6)
    table = Table(f"Lateness, {entries:,} entries due every second, {seconds} s")
    sides = {name: partial(_measure, bench, name, entries, seconds) for name in ("ours", "stock")}
    for name, spreads in alternate(sides, bench.rounds, table).items():
        table.add(f"{name}: median", [spread.median_ms for spread in spreads], "ms")
        table.add(f"{name}: p99", [spread.p99_ms for spread in spreads], "ms")
        table.add(f"{name}: max", [spread.max_ms for spread in spreads], "ms")
        table.add(f"{name}: dispatched of due", [100 * s.share for s in spreads], "%")
    return [table]


def _measure(bench: Bench, name: str, entries: int, seconds: int) -> Spread:
    bench.servers.wipe()
    urls = bench.servers.broker.url, bench.servers.store.url
    spec = AppSpec(*urls, (Timetable("due", entries, 1),))
    with Fleet(name, spec) as fleet, Bystander(bench.servers.broker.url) as bystander:
        replica = fleet.start()
        if not bystander.wait_for(1, START_S):
            raise ended_early(replica)
        time.sleep(WARM_S)
        # Half a second off the boundary, so that no burst is cut in two.
        first_ms = (int(time.time()) + 1.5) * 1000
        time.sleep(max(0.0, first_ms / 1000 + seconds + LATEST_S - time.time()))
        arrivals = bystander.arrivals()
    return _spread(arrivals, first_ms, first_ms + seconds * 1000, entries * seconds)


def _spread(arrivals: list[Arrival], from_ms: float, to_ms: float, due: int) -> Spread:
    late = sorted(a.late_ms for a in arrivals if from_ms <= (a.scheduled_ms or 0) < to_ms)
    return Spread(
        median_ms=statistics.median(late),
        p99_ms=late[int(len(late) * 0.99)],
        max_ms=late[-1],
        share=len(late) / due,
    )
