"""Bursts: one process meets N entries due at one moment, and a bystander takes the time.

The due moment T is a whole second a little ahead, and the entries' interval is a number of
seconds (15 minutes to 2 hours) that divides T: intervals are anchored at the Unix epoch, so all
entries fall due at T and not again while we look. Bursts of a small N repeat each second instead.
Peers know no anchor: theirs are made overdue and started at T. Wall time runs from T to the
moment when the last message is in the broker's queue, seen from outside; CPU is user + sys of
the dispatching process from about a second before T (idle ticks included).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery_singleton_beat.demo.child import ChildProcess
from tests.benchmarks.bench_app import AppSpec, Timetable
from tests.benchmarks.burst_child import BEFORE_DUE_S, QUEUE, Orders

if TYPE_CHECKING:
    from tests.benchmarks.servers import MeasuredServer, Servers, Usage

ROOT = Path(__file__).parents[2]
SHORTEST_S, LONGEST_S = 900, 7200
LEADS = (1.0, 2.0, 4.0)
GIVE_UP_S = 120.0


class NotMeasured(Exception):
    """A side that could not be measured, with the reason."""


class NotReadyInTime(NotMeasured):
    """A side that needs a longer start."""


@dataclass(frozen=True)
class Burst:
    """Which side, and how many entries; `sample` ends the burst after that many of them."""

    side: str
    entries: int
    bursts: int = 1
    sample: int | None = None
    result_backend: bool = False
    python: str = sys.executable
    lead_s: float = 6.0

    @property
    def per_burst(self) -> int:
        """Return the number of messages awaited in each burst."""
        return self.sample or self.entries


@dataclass(frozen=True)
class Cost:
    """What the bursts of one process cost, for all their messages together."""

    messages: int
    walls_s: list[float]
    cpu_s: float
    dispatched: int
    broker: Usage
    store: Usage
    message_bytes: int
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Dispatches per second of wall time."""
        return self.messages / sum(self.walls_s)

    @property
    def cpu_us(self) -> float:
        """Microseconds of the dispatching process's CPU per dispatch."""
        return self.cpu_s * 1e6 / self.dispatched


def measure(burst: Burst, servers: Servers) -> Cost:
    """Run one burst in a fresh process; give it a longer start when it was not ready in time.

    Raises:
        NotMeasured: it failed, or was never ready in time.
    """
    for factor in LEADS[:-1]:
        servers.wipe()
        with contextlib.suppress(NotReadyInTime):
            return _attempt(burst, servers, lead_s=burst.lead_s * factor)
    servers.wipe()
    return _attempt(burst, servers, lead_s=burst.lead_s * LEADS[-1])


def _attempt(burst: Burst, servers: Servers, lead_s: float) -> Cost:
    every_s, due_s = _rule(burst, lead_s)
    orders = Orders(burst.side, due_s, burst.bursts, every_s, burst.per_burst, GIVE_UP_S)
    child = ChildProcess(
        [burst.python, "-m", "tests.benchmarks.burst_child", json.dumps(asdict(orders))],
        env=_spec(burst, servers, every_s, due_s).environment(PYTHONPATH=os.fspath(ROOT)),
        cwd=ROOT,
        name=burst.side,
    )
    try:
        with contextlib.suppress(TimeoutError):  # an early end is no time to wait for
            child.wait_ended(max(0.0, due_s - BEFORE_DUE_S - time.time()))
        was = servers.broker.usage(), servers.store.usage()
        walls_s = _walls(burst, orders, servers.broker, child)
        said = _report(child)
    finally:
        child.kill()
    if said["ready_at"] > due_s:
        raise NotReadyInTime(f"ready {said['ready_at'] - due_s:.1f} s after the due moment")
    if len(walls_s) < burst.bursts or not said["dispatched"]:
        last_words = child.lines[-2] if len(child.lines) > 1 else "it said nothing"
        raise NotReadyInTime(f"{said['dispatched']} dispatched: {last_words}")
    return Cost(
        messages=burst.bursts * burst.per_burst,
        walls_s=walls_s,
        cpu_s=said["cpu_s"],
        dispatched=said["dispatched"],
        broker=servers.broker.usage().since(was[0]),
        store=servers.store.usage().since(was[1]),
        message_bytes=len(servers.broker.client.lindex(QUEUE, 0)),
        versions=said["versions"],
    )


def _report(child: ChildProcess) -> dict[str, Any]:
    try:
        child.wait_ended(GIVE_UP_S)
        return dict(json.loads(child.lines[-1]))
    except (TimeoutError, IndexError, ValueError) as error:
        raise NotMeasured((child.lines or ["no output"])[-1]) from error


def _rule(burst: Burst, lead_s: float) -> tuple[int, int]:
    """Return an interval and a moment at which it falls due."""
    due_s = int(time.time() + lead_s) + 1
    if burst.bursts > 1:
        return 1, due_s
    while True:
        for every_s in range(SHORTEST_S, LONGEST_S):
            if due_s % every_s == 0:
                return every_s, due_s
        due_s += 1


def _spec(burst: Burst, servers: Servers, every_s: int, due_s: int) -> AppSpec:
    timetables = [Timetable("due", burst.entries, every_s)]
    if burst.side in {"ours", "stored"} and burst.bursts == 1:
        # One entry that is due two seconds earlier: it opens the connections.
        warm_s = next(n for n in range(LONGEST_S, 0, -1) if (due_s - 2) % n == 0 and n != every_s)
        timetables.append(Timetable("warm", 1, warm_s))
    return AppSpec(
        servers.broker.url,
        servers.store.url,
        tuple(timetables),
        result_backend=servers.store.second_url if burst.result_backend else None,
    )


def _walls(
    burst: Burst,
    orders: Orders,
    broker: MeasuredServer,
    child: ChildProcess,
) -> list[float]:
    """Watch the queue; return the seconds from each due moment to its burst's last message."""
    glance_s = 0.001 if burst.per_burst <= 1000 else 0.005
    walls_s: list[float] = []
    start = int(broker.client.llen(QUEUE))
    while len(walls_s) < burst.bursts:
        length = int(broker.client.llen(QUEUE))
        now = time.time()
        if length >= start + (len(walls_s) + 1) * burst.per_burst:
            walls_s.append(now - orders.due_s - len(walls_s) * orders.gap_s)
        elif now > orders.due_s + GIVE_UP_S or not child.running:
            break
        time.sleep(glance_s)
    return walls_s
