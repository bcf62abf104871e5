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

from typing_extensions import Self

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
START_S, PATIENCE_S, LATEST_S = 60.0, 5.0, 60.0
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

    def __enter__(self) -> Self:
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
        replicas = _start(fleet, monitor, 2)
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


def _start(fleet: Fleet, monitor: Monitor, count: int) -> set[str]:
    """Start so many replicas; return their connections when all have asked the store."""
    for number in range(count):
        fleet.start(f"beat-{number + 1}")
    found = monitor.wait_for(
        lambda noted: len(_callers(noted)) == count and _callers(noted), START_S
    )
    if not found:
        raise ended_early(fleet.running[0])
    return set(found)


def _callers(noted: list[Command]) -> set[str]:
    """Tell from which connections scripts were called."""
    return {one.client for one in noted if one.words.startswith(CALL)}


def _delay_ms(replicas: set[str], asked_s: float, noted: list[Command]) -> float | None:
    """Tell how long after the first change since then the last replica asked; None: not yet."""
    since = [one for one in noted if one.at_s >= asked_s]
    told_s = next((one.at_s for one in since if one.words.startswith(TOLD)), None)
    if told_s is None:
        return None
    firsts: dict[str, float] = {}
    for one in since:
        if one.client in replicas and one.at_s >= told_s and one.words.startswith(CALL):
            firsts.setdefault(one.client, one.at_s)
    if firsts.keys() != replicas:
        return None
    return max((max(firsts.values()) - told_s) * 1000, 0.001)


@dataclass(frozen=True)
class Shared:
    """What a burst took, and what its replicas spent on it together."""

    last_s: float
    cpu_us: float
    least_share: float


def _shared(bench: Bench, many: int) -> Table:
    table = Table(f"Stored entries: {many:,} due at one moment, one replica and two")
    sides = {"one": partial(_burst, bench, many, 1), "two": partial(_burst, bench, many, 2)}
    measured = complete(alternate(sides, bench.rounds, table), bench.rounds)
    for name, bursts in measured.items():
        table.add(f"{name}: all have arrived", [burst.last_s for burst in bursts], "s")
        table.add(f"{name}: CPU of all beats", [burst.cpu_us for burst in bursts], "us each")
    if len(measured) == 2:
        one, two = measured["one"], measured["two"]
        by_wall = ratios([burst.last_s for burst in one], [burst.last_s for burst in two])
        by_cpu = ratios([burst.cpu_us for burst in two], [burst.cpu_us for burst in one])
        table.add("one / two, by wall time", by_wall, "times")
        table.add("two / one, by CPU", by_cpu, "times")
        shares = [100 * burst.least_share for burst in two]
        table.add("two: CPU of the idler one, of both", shares, "%")
    return table


def _burst(bench: Bench, many: int, replicas: int) -> Shared:
    bench.servers.wipe()
    broker, store = bench.servers.broker, bench.servers.store
    with (
        closing(Filler(broker, store)) as filler,
        Fleet("ours", AppSpec(broker.url, store.url)) as fleet,
        Bystander(broker.url) as bystander,
    ):
        with Monitor(store) as monitor:  # no longer: a server that is watched is slower
            _start(fleet, monitor, replicas)
        from_s = int(time.time()) + LEAD_S + many // STORED_A_SECOND
        filler.wake(Awake(range(many), from_s, many))
        if time.time() > from_s - BEFORE_S:
            raise NotMeasured("the entries were not stored before they were due")
        sleep_until(from_s - BEFORE_S)
        before = [cpu_seconds(replica.pid) for replica in fleet.running]
        if not bystander.wait_for(many, LATEST_S):
            raise NotMeasured(f"{bystander.count} of {many} arrived")
        after = [cpu_seconds(replica.pid) for replica in fleet.running]
        last_ms = max(arrival.late_ms for arrival in bystander.arrivals())
    spent = [above - below for above, below in zip(after, before, strict=True)]
    return Shared(last_ms / 1000, sum(spent) * 1e6 / many, min(spent) / max(sum(spent), 0.01))
