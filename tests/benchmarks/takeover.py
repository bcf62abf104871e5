"""Takeover: from kill -9 of a replica to the next dispatch, ours beside RedBeat.

Two real `celery beat` processes, 20 entries due every second. Time runs from the kill to the
latest of the entries' next dispatches.

- ours, idle: killed half a second before the entries are due, when it holds nothing. The next due
  time is half a second away whatever happens; "late" is what came on top.
- ours, holding: killed while it holds claims that it has not published: the other replica is
  frozen (SIGSTOP) and the broker's writes are paused until the claims are made, and let go after
  the kill. What was claimed is due again when its hold (5 s, the default) is over.
- RedBeat: its leader is killed. The lock's timeout is set to 10 s and the longest sleep to 2 s,
  both 1/150 of its defaults (1,500 s and 300 s).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.arrivals import Bystander
from tests.benchmarks.bench_app import AppSpec, Timetable
from tests.benchmarks.bursts import NotMeasured
from tests.benchmarks.replicas import Fleet, ended_early
from tests.benchmarks.rounds import Bench, alternate
from tests.benchmarks.tables import Table, Target

if TYPE_CHECKING:
    from celery_singleton_beat.demo.child import ChildProcess

ENTRIES = Timetable("due", 20, 1)
START_S = 60.0
STEADY_S = 4.0
HOLD_S = 5.0
NEXT_DUE_S = 0.5
PATIENCE_S = 60.0
LOCK_TIMEOUT_S, MAX_INTERVAL_S, SCALE = 10, 2, 150
PAUSE_MS = 10_000


@dataclass(frozen=True)
class Takeover:
    """Seconds from the kill to the latest of the entries' next dispatches."""

    next_dispatch_s: float


def run(bench: Bench) -> list[Table]:
    """Measure the three cases in turn."""
    table = Table("Takeover after kill -9")
    results = alternate(
        {
            "ours, idle": lambda: _idle(bench),
            "ours, holding": lambda: _holding(bench),
            "redbeat": lambda: _redbeat(bench),
        },
        bench.rounds,
        table,
    )
    seconds = {name: [t.next_dispatch_s for t in taken] for name, taken in results.items()}
    late_ms = [1000 * (value - NEXT_DUE_S) for value in seconds["ours, idle"]]
    table.add("ours, idle: late", late_ms, "ms", Target(at_most=100))
    holding = seconds["ours, holding"]
    table.add("ours, holding: next dispatch", holding, "s", Target(at_most=HOLD_S + 1))
    table.add("redbeat, lock of 10 s: next dispatch", seconds["redbeat"], "s")
    scaled = [SCALE * value for value in seconds["redbeat"]]
    table.add(f"redbeat, its default lock (x {SCALE})", scaled, "s, computed")
    table.notes.append("ours, idle: on time is 0 ms; 100 ms allows for two busy cores")
    table.notes.append("ours, holding: the hold, and the second until its entries are due again")
    return [table]


def _idle(bench: Bench) -> Takeover:
    with _pair(bench, "ours") as (fleet, bystander):
        _wait_until_steady(fleet, bystander)
        _sleep_to_fraction(1 - NEXT_DUE_S)
        return _taken(bystander, _kill(fleet, fleet.running[0]))


def _holding(bench: Bench) -> Takeover:
    broker = bench.servers.broker.client
    with _pair(bench, "ours") as (fleet, bystander):
        _wait_until_steady(fleet, bystander)
        claimer, other = fleet.running
        _sleep_to_fraction(0.5)
        fleet.freeze(other)
        broker.client_pause(PAUSE_MS, all=False)
        seen = bystander.count
        _sleep_to_fraction(0.3)
        killed_ms = _kill(fleet, claimer)
        time.sleep(0.2)  # so that the server drops the dead one's connection with what was in it
        fleet.thaw(other)
        broker.client_unpause()
        if bystander.count != seen:
            raise NotMeasured("messages came in spite of the paused broker")
        return _taken(bystander, killed_ms)


def _redbeat(bench: Bench) -> Takeover:
    with _pair(bench, "redbeat") as (fleet, bystander):
        _wait_until_steady(fleet, bystander)
        _sleep_to_fraction(1 - NEXT_DUE_S)
        return _taken(bystander, _kill(fleet, fleet.running[0]))


class _pair:  # noqa: N801 (used as a function)
    """Two replicas, the first one dispatching before the second is started."""

    def __init__(self, bench: Bench, scheduler: str) -> None:
        bench.servers.wipe()
        broker, store = bench.servers.broker.url, bench.servers.store.url
        conf = {"redbeat_lock_timeout": LOCK_TIMEOUT_S} if scheduler == "redbeat" else {}
        spec = AppSpec(broker, store, (ENTRIES,), named=True, conf=conf)
        interval = MAX_INTERVAL_S if scheduler == "redbeat" else None
        self.fleet = Fleet(scheduler, spec, max_interval_s=interval)
        self.bystander = Bystander(broker)

    def __enter__(self) -> tuple[Fleet, Bystander]:
        self.bystander.__enter__()
        self.fleet.start("beat-1")
        return self.fleet, self.bystander

    def __exit__(self, *_: object) -> None:
        self.fleet.__exit__()
        self.bystander.__exit__(None, None, None)


def _wait_until_steady(fleet: Fleet, bystander: Bystander) -> None:
    if not bystander.wait_for(ENTRIES.count, START_S):
        raise ended_early(fleet.running[0])
    fleet.start("beat-2")
    time.sleep(STEADY_S)


def _sleep_to_fraction(fraction: float) -> None:
    """Wait until the clock's next second is `fraction` old."""
    time.sleep((fraction - time.time()) % 1.0)


def _kill(fleet: Fleet, replica: ChildProcess) -> float:
    killed_ms = time.time() * 1000
    fleet.kill(replica)
    return killed_ms


def _taken(bystander: Bystander, killed_ms: float) -> Takeover:
    deadline = time.monotonic() + PATIENCE_S
    seen = 0
    while time.monotonic() < deadline:
        bystander.wait_for(seen + 1, 1.0)
        seen = bystander.count
        after = [a for a in bystander.arrivals() if a.arrived_ms > killed_ms]
        firsts: dict[str, float] = {}
        for arrival in after:
            firsts.setdefault(arrival.entry, arrival.arrived_ms)
        if len(firsts) == ENTRIES.count:
            return Takeover((max(firsts.values()) - killed_ms) / 1000)
    raise NotMeasured(f"no dispatch of all entries within {PATIENCE_S:g} s of the kill")
