"""Stored entries: how soon every replica looks at a change, and what a second replica gains.

Real `celery beat` processes. "Seen": from the moment when the store's script published a change
to the moment when the last of two idle replicas asks the store again, by the server's own clock
(MONITOR); a replica that heard nothing would ask up to a second later. "Shared": one or two
replicas meet 10,000 stored entries that are due at one moment; time runs from then to the arrival
of the last. With fewer processors than processes (replicas, broker, store, bystander) two
replicas cannot be faster; what they cost together tells more.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from celery_singleton_beat import Entry, Timetable
from tests.benchmarks.arrivals import Bystander
from tests.benchmarks.bench_app import NOOP, AppSpec, make_app
from tests.benchmarks.bursts import NotMeasured
from tests.benchmarks.replicas import Fleet, cpu_seconds, ended_early
from tests.benchmarks.rounds import Bench, alternate, complete
from tests.benchmarks.tables import Table, Target, ratios
from tests.benchmarks.timetable_fill import Awake, Filler
from tests.benchmarks.timetable_rate import sleep_until

if TYPE_CHECKING:
    from tests.benchmarks.servers import MeasuredServer

SOON = Target(at_most=100)
START_S, PATIENCE_S = 60.0, 5.0
BEFORE_S, LEAD_S, STORED_A_SECOND = 0.5, 4, 1_000
CALL, TOLD = "EVALSHA", "PUBLISH"
LATER = 86_399


def run(bench: Bench) -> list[Table]:
    """Measure both."""
    return [_seen(bench, bench.scaled(50, 10)), _shared(bench, bench.scaled(10_000, 2_000))]


@dataclass(frozen=True)
class Command:
    """A command that a server ran."""

    at_s: float
    client: str
    words: str


class Monitor:
    """A thread that notes every command of a server; use it in a `with` block."""

    def __init__(self, server: MeasuredServer) -> None:
        self._server = server
        self._stopping = False
        self._noted: list[Command] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)

    def __enter__(self) -> Monitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._server.client.ping()  # so that it has something to note, and sees that it is over
        self._thread.join()

    def wait_for(self, wanted: Any, timeout_s: float) -> Any:
        """Wait until `wanted` finds something in what was noted so far; return it."""
        with self._changed:
            return self._changed.wait_for(lambda: wanted(self._noted), timeout_s)

    def _watch(self) -> None:
        with self._server.client.monitor() as monitor:
            for told in monitor.listen():
                client = f"{told['client_address']}:{told['client_port']}"
                with self._changed:
                    self._noted.append(Command(told["time"], client, told["command"]))
                    self._changed.notify_all()
                if self._stopping:
                    return


def _seen(bench: Bench, changes: int) -> Table:
    table = Table(f"Stored entries: a change seen by both of two idle replicas, {changes} changes")
    delays_ms = _delays_ms(bench, changes)
    ordered = sorted(delays_ms)
    table.add("seen by both, median", [statistics.median(ordered)], "ms", SOON)
    table.add("seen by both, p90", [ordered[int(len(ordered) * 0.9)]], "ms", SOON)
    table.add("seen by both, max", [ordered[-1]], "ms", SOON)
    return table


def _delays_ms(bench: Bench, changes: int) -> list[float]:
    bench.servers.wipe()
    spec = AppSpec(bench.servers.broker.url, bench.servers.store.url)
    app = make_app(spec)
    timetable = Timetable(app)
    delays_ms = []
    with Fleet("ours", spec) as fleet, Monitor(bench.servers.store) as monitor:
        for number in (1, 2):
            fleet.start(f"beat-{number}")
        if not monitor.wait_for(lambda noted: len(_callers(noted)) == 2, START_S):
            raise ended_early(fleet.running[0])
        time.sleep(2)
        replicas = _callers(monitor._noted)
        for change in range(changes):
            time.sleep(random.uniform(0.3, 1.3))  # at any moment of their pause
            asked_s = time.time()
            timetable.put(Entry("changed", NOOP, LATER - change))
            found = monitor.wait_for(partial(_delay_ms, replicas, asked_s), PATIENCE_S)
            if not found:
                raise NotMeasured("a replica did not look at the store")
            delays_ms.append(found)
    app.close()
    return delays_ms
