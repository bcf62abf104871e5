"""Stored entries: what a dispatch costs with a hundred, ten thousand and a million of them.

One real `celery beat` process each, on a store of its own that is filled once. In each second a
thousand of them are due (with a hundred entries: all of them), all at the whole second or, "over
the second", with a jitter of one second; the others are not due while we look. All store commands
are counted, those within scripts too; CPU is user + sys, from half a second before the first due
moment to the last arrival, idle ticks included. Late by: arrival in the broker's queue minus the
time due, jitter included. "A store's entry" is the server's memory when it is filled, divided.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from celery_singleton_beat.demo.server import EmbeddedServer
from celery_singleton_beat.protocol.jitter import offset_ms
from tests.benchmarks.arrivals import Bystander
from tests.benchmarks.bench_app import AppSpec
from tests.benchmarks.bursts import NotMeasured
from tests.benchmarks.replicas import Fleet, cpu_seconds, ended_early, resident_mib
from tests.benchmarks.rounds import Bench, alternate, complete
from tests.benchmarks.servers import MeasuredServer
from tests.benchmarks.tables import Table, Target, ratios
from tests.benchmarks.timetable_fill import Awake, Filler

if TYPE_CHECKING:
    from collections.abc import Iterator


FLAT = Target(at_most=1.2)
PER_SECOND = 1_000
SEVERAL = 10
START_S, BEFORE_S, LATEST_S = 60.0, 0.5, 20.0
LEAD_S, STORED_A_SECOND = 3, 1_000
SCRIPT_CALLS = ("evalsha", "eval")
OVERHEAD = ("info", "script|load", "hello", "client|setinfo", "select", "subscribe")


@dataclass(frozen=True)
class Cost:
    """What the dispatches of one process cost, each."""

    beat_us: float
    store_us: float
    scripts: float
    commands: float
    late_ms: list[float]
    memory_mib: float
    share: float


class Filled:
    """A store with so many entries, and the next of them to be woken."""

    def __init__(self, bench: Bench, store: MeasuredServer, entries: int, tenants: int = 0) -> None:
        self.broker, self.store, self.entries = bench.servers.broker, store, entries
        self._filler = Filler(self.broker, store, tenants)
        self._filler.add_tick()
        empty = store.memory()
        self._filler.fill(entries)
        self.bytes_each = (store.memory() - empty) / entries
        self._next = 0

    def wake(self, seconds: int, jitter_s: int) -> Awake:
        """Let entries fall due soon; each time others, as long as there are some."""
        per_second = min(self.entries, PER_SECOND)
        every_second = self.entries < per_second * seconds
        count = per_second if every_second else per_second * seconds
        first = self._next if self._next + count <= self.entries else 0
        self._next = first + count
        from_s = int(time.time()) + LEAD_S + count // STORED_A_SECOND
        numbers = range(first, first + count)
        awake = Awake(numbers, from_s, per_second, every_second, jitter_s)
        self._filler.wake(awake)
        return awake

    def close(self) -> None:
        """Close connections."""
        self._filler.close()


def run(bench: Bench) -> list[Table]:
    """Measure both ways of falling due."""
    sizes = (100, 10_000, 50_000) if bench.quick else (100, 10_000, 1_000_000)
    seconds = bench.scaled(SEVERAL, 4)
    with _filled(bench, sizes) as stores:
        return [_table(bench, stores, seconds, jitter_s) for jitter_s in (0, 1)]


def _table(bench: Bench, stores: dict[int, Filled], seconds: int, jitter_s: int) -> Table:
    how = "over the second" if jitter_s else "at the whole second"
    table = Table(f"Stored entries, {PER_SECOND:,} due each second {how}, {seconds} s")
    sides = {f"{size:,}": partial(_measure, stores[size], seconds, jitter_s) for size in stores}
    measured = complete(alternate(sides, bench.rounds, table), bench.rounds)
    for name, costs in measured.items():
        table.add(f"{name}: CPU of the beat", [cost.beat_us for cost in costs], "us each")
        table.add(f"{name}: CPU of the store", [cost.store_us for cost in costs], "us each")
        table.add(f"{name}: script calls", [cost.scripts for cost in costs], "each")
        table.add(f"{name}: all commands", [cost.commands for cost in costs], "each")
        late = [sorted(cost.late_ms) for cost in costs]
        table.add(f"{name}: late, median", [statistics.median(ms) for ms in late], "ms")
        table.add(f"{name}: late, p99", [ms[int(len(ms) * 0.99)] for ms in late], "ms")
        table.add(f"{name}: late, max", [ms[-1] for ms in late], "ms")
        table.add(f"{name}: dispatched of due", [100 * cost.share for cost in costs], "%")
        table.add(f"{name}: memory of the beat", [cost.memory_mib for cost in costs], "MiB")
    for size, filled in stores.items():
        table.add(f"{size:,}: memory of the store", [filled.bytes_each], "bytes an entry")
    for below, above in zip(measured, list(measured)[1:], strict=False):
        _compare(table, (above, measured[above]), (below, measured[below]))
    return table


def _compare(table: Table, above: tuple[str, list[Cost]], below: tuple[str, list[Cost]]) -> None:
    for what, field in (
        ("CPU of the beat", "beat_us"),
        ("CPU of the store", "store_us"),
        ("all commands", "commands"),
        ("memory of the beat", "memory_mib"),
    ):
        pair = [[getattr(cost, field) for cost in costs] for _, costs in (above, below)]
        table.add(f"{above[0]} / {below[0]}, {what}", ratios(*pair), "times", FLAT)


def _measure(filled: Filled, seconds: int, jitter_s: int) -> Cost:
    filled.broker.wipe()
    spec = AppSpec(filled.broker.url, filled.store.url)
    with Fleet("ours", spec) as fleet, Bystander(filled.broker.url) as bystander:
        replica = fleet.start()
        if not bystander.wait_for(1, START_S):  # the one that is due every second
            raise ended_early(replica)
        awake = filled.wake(seconds, jitter_s)
        if time.time() > awake.from_s - BEFORE_S:
            raise NotMeasured("the entries were not stored before they were due")
        sleep_until(awake.from_s - BEFORE_S)
        was, cpu_s, seen = filled.store.usage(), cpu_seconds(replica.pid), bystander.count
        due = (awake.per_second + 1) * seconds
        bystander.wait_for(seen + due, seconds + LATEST_S)
        arrivals = bystander.arrivals()[seen:]
        used = filled.store.usage().since(was)
        cpu_s = cpu_seconds(replica.pid) - cpu_s
        memory_mib = resident_mib(replica.pid)
    count = len(arrivals)
    commands = {word: n for word, n in used.commands.items() if word not in OVERHEAD}
    return Cost(
        beat_us=cpu_s * 1e6 / count,
        store_us=used.cpu_s * 1e6 / count,
        scripts=sum(commands.get(word, 0) for word in SCRIPT_CALLS) / count,
        commands=sum(commands.values()) / count,
        late_ms=[a.late_ms - offset_ms(a.entry, jitter_s * 1000) for a in arrivals],
        memory_mib=memory_mib,
        share=min(count / due, 1.0),
    )


@contextmanager
def _filled(bench: Bench, sizes: tuple[int, ...]) -> Iterator[dict[int, Filled]]:
    """Yield a filled store of its own for each size."""
    with ExitStack() as stack:
        stores = {}
        for size in sizes:
            print(f"  storing {size:,} entries", file=sys.stderr)
            store = MeasuredServer(stack.enter_context(EmbeddedServer()))
            stores[size] = stack.enter_context(closing(Filled(bench, store, size)))
        yield stores


def sleep_until(moment_s: float) -> None:
    """Sleep until a moment by this host's clock."""
    time.sleep(max(0.0, moment_s - time.time()))
