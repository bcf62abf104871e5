"""Renewal: script calls of one worker process, however many runs it has open.

A worker begins N runs that do not end (threads, and prefork with its heartbeat in the main
process), each with a lock key of its own; from then on the store's own count of script calls is
read over ten times the renewal's period. Nothing else is going on.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tests.benchmarks.bench_app import GO, HELD, MARKS, AppSpec, make_app
from tests.benchmarks.burst_child import QUEUE
from tests.benchmarks.bursts import NotMeasured
from tests.benchmarks.protections import OURS
from tests.benchmarks.tables import Table, Target
from tests.benchmarks.worker_cost import OF_THE_BROKER, PATIENCE_S, start_worker

if TYPE_CHECKING:
    from celery_singleton_beat.demo.child import ChildProcess
    from tests.benchmarks.rounds import Bench

RENEW_EVERY_S = 0.5
BEATS = 10
ONE = Target(at_most=1.1)


def run(bench: Bench) -> list[Table]:
    """Measure a few open runs and many, in both pools."""
    table = Table(f"Renewal, every {RENEW_EVERY_S:g} s")
    for pool, counts in (("threads", (1, 20, 200)), ("prefork", (1, 8))):
        for open_runs in counts:
            calls: list[float] = []
            try:
                calls = [_per_beat(bench, pool, open_runs) for _ in range(bench.rounds)]
            except NotMeasured as error:
                table.notes.append(f"{pool}, {open_runs} open runs, left out: {error}")
            table.add(f"{pool}, {open_runs} open runs: script calls", calls, "per beat", ONE)
    return [table]


def _per_beat(bench: Bench, pool: str, open_runs: int) -> float:
    broker, store = bench.servers.broker.client, bench.servers.store
    conf = {
        "singleton_beat_lock_ttl": 6 * RENEW_EVERY_S,
        "singleton_beat_renew_every": RENEW_EVERY_S,
    }
    keys = [f"open-{number}" for number in range(open_runs)]
    worker = start_worker(bench, OURS, pool, open_runs, **conf)
    try:
        app = make_app(AppSpec(bench.servers.broker.url, store.url))
        for key in keys:
            app.send_task(HELD, args=(key,))
        app.close()
        _await_begun(bench, worker, set(keys))
        before, from_s = store.usage(), time.monotonic()
        time.sleep(BEATS * RENEW_EVERY_S)
        used, for_s = store.usage().since(before), time.monotonic() - from_s
        for key in keys:
            broker.lpush(f"{GO}:{key}", 1)
    finally:
        worker.stop()
        broker.delete(QUEUE, *OF_THE_BROKER, *(f"{GO}:{key}" for key in keys))
    return used.commands.get("evalsha", 0) / (for_s / RENEW_EVERY_S)


def _await_begun(bench: Bench, worker: ChildProcess, keys: set[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while keys and worker.running and time.monotonic() < deadline:
        if found := bench.servers.broker.client.brpop([MARKS], timeout=1):
            keys.discard(json.loads(found[1])["name"])
    if keys:
        raise NotMeasured(f"{len(keys)} runs did not begin: {(worker.lines or ['no output'])[-1]}")
