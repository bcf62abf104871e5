"""Deployments whose store is watched, beside what the capacity model says of them.

Real beats and workers, a broker apart, and a store with an append-only file: what it spends in
fifteen seconds, less what it idles when all of them are gone, and how many scripts are called. The
tasks do nothing; entries are of the configuration, or stored.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.demo.child import ChildProcess
from tests.benchmarks.bench_app import AppSpec, Timetable, make_app
from tests.benchmarks.bursts import ROOT, NotMeasured
from tests.benchmarks.capacity_model import Load
from tests.benchmarks.capacity_units import idle_us, lasting_server
from tests.benchmarks.protections import OURS
from tests.benchmarks.replicas import Fleet
from tests.benchmarks.timetable_fill import Awake, Filler

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.rounds import Bench
    from tests.benchmarks.servers import MeasuredServer

START_S, WARM_S, WATCHED_S, IDLE_S = 90.0, 4.0, 15.0, 4.0
PACE = 0.9
SPREAD_S = 0.99


@dataclass(frozen=True)
class Site:
    """So many beats, and entries that are due once a second: at any moment of it, or together."""

    beats: int
    entries: int
    spread: bool = True
    stored: bool = False
    workers: int = 2

    def __str__(self) -> str:
        kind = "stored, " if self.stored else ""
        when = "spread" if self.spread else "at once"
        return f"{self.beats} beats, {self.entries} a second, {kind}{when}"

    @property
    def load(self) -> Load:
        """What it does in a second."""
        moments = self.entries if self.spread else 1
        return Load(self.beats, moments, self.entries, stored=self.stored)


@dataclass(frozen=True)
class Seen:
    """What a store did in a second, beyond its idling."""

    cpu_us: float
    calls: float


def watched(bench: Bench, site: Site) -> Seen:
    """Let a deployment run, and watch its store.

    Raises:
        NotMeasured: it did not start, or did not keep pace with what was due.
    """
    bench.servers.broker.wipe()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(lasting_server())
        timetable = Timetable("due", site.entries, 1, SPREAD_S if site.spread else 0.0)
        configured = () if site.stored else (timetable,)
        spec = AppSpec(
            *(bench.servers.broker.url, server.url, configured),
            protection=OURS,
            conf={"task_ignore_result": True, "worker_prefetch_multiplier": 1},
        )
        app = make_app(spec)
        stack.callback(app.close)
        store = extension_of(app).store
        stack.callback(store.close)

        def done() -> int:
            return store.counts([""])[0]["succeeded"]

        def is_complete() -> bool:
            return len(store.overview().fleet.members) == site.beats

        workers = [_worker(stack, spec, number) for number in range(site.workers)]
        fleet = stack.enter_context(Fleet("ours", spec))
        for number in range(site.beats):
            fleet.start(f"beat-{number}")
        if site.stored:
            _store_entries(stack, bench, server, site)
        _wait_until(lambda: is_complete() and done() >= 2 * site.entries)
        time.sleep(WARM_S)
        seen = _watch(server, site, done)
        for process in (*fleet.running, *workers):
            process.kill()
        return Seen(seen.cpu_us - idle_us(server, IDLE_S), seen.calls)


def _watch(server: MeasuredServer, site: Site, done: Callable[[], int]) -> Seen:
    done_before, before, from_s = done(), server.usage(), time.monotonic()
    time.sleep(WATCHED_S)
    used, for_s = server.usage().since(before), time.monotonic() - from_s
    pace = (done() - done_before) / for_s / site.entries
    if pace < PACE:
        raise NotMeasured(f"only {pace:.0%} of what was due was done")
    return Seen(used.cpu_s * 1e6 / for_s, used.commands.get("evalsha", 0) / for_s)


def _worker(stack: contextlib.ExitStack, spec: AppSpec, number: int) -> ChildProcess:
    command = [sys.executable, "-m", "celery", "-A", "tests.benchmarks.bench_app", "worker"]
    command += ["--concurrency", "2", "--loglevel", "WARNING", "-n", f"worker-{number}@bench"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    worker = ChildProcess(command, spec.environment(PYTHONPATH=os.fspath(ROOT)), name="worker")
    stack.callback(worker.stop)
    return worker


def _store_entries(
    stack: contextlib.ExitStack, bench: Bench, server: MeasuredServer, site: Site
) -> None:
    filler = stack.enter_context(contextlib.closing(Filler(bench.servers.broker, server)))
    filler.wake(
        Awake(
            range(site.entries),
            from_s=int(time.time()),
            per_second=site.entries,
            every_second=True,
            jitter_s=int(site.spread),
        )
    )


def _wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not reached():
        if time.monotonic() > deadline:
            raise NotMeasured(f"not everybody was at work within {START_S:g} s")
        time.sleep(0.5)
