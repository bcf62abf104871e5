"""A real worker that meets a queue which is full already, and what it spends on each task.

Two marker tasks in the queue, after 500 tasks and at the end, read the CPU (user + sys) of all
processes of the worker, so its start does not count. Store calls are the store server's own
counts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_singleton_beat.demo.child import ChildProcess
from tests.benchmarks.bench_app import MARK, MARKS, AppSpec, make_app
from tests.benchmarks.burst_child import QUEUE
from tests.benchmarks.bursts import ROOT, NotMeasured

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.benchmarks.rounds import Bench
    from tests.benchmarks.servers import Usage

WARM = 500
SAVED = "benchmark:saved-queue"
PATIENCE_S = 180.0
OF_THE_BROKER = ("unacked", "unacked_index", "unacked_mutex")
OVERHEAD = ("info", "script|load", "hello", "client|setinfo", "client|setname", "select")


@dataclass(frozen=True)
class WorkerCost:
    """What one worker spent on each task."""

    cpu_us: float
    wall_us: float
    scripts: float
    commands: float
    store_cpu_us: float


def fill(bench: Bench, messages: Iterable[dict[str, Any]]) -> None:
    """Publish, with a mark after the warm-up and one at the end; keep a copy of the queue."""
    app = make_app(AppSpec(bench.servers.broker.url, bench.servers.store.url))
    with app.producer_pool.acquire(block=True) as producer:
        for number, message in enumerate(messages):
            if number == WARM:
                app.send_task(MARK, args=("begin",), producer=producer)
            app.send_task(**message, producer=producer)
        app.send_task(MARK, args=("end",), producer=producer)
    bench.servers.broker.client.rename(QUEUE, SAVED)
    app.close()


def start_worker(
    bench: Bench, protection: str, pool: str, concurrency: int, **conf: Any
) -> ChildProcess:
    """A worker of the benchmark's application, with nothing in the store."""
    broker, store = bench.servers.broker, bench.servers.store
    store.wipe()
    broker.client.delete(MARKS)
    spec = AppSpec(broker.url, store.url, protection=protection, conf=conf)
    command = [sys.executable, "-m", "celery", "-A", "tests.benchmarks.bench_app", "worker"]
    command += ["--pool", pool, "--concurrency", str(concurrency), "--loglevel", "WARNING"]
    environment = spec.environment(PYTHONPATH=os.fspath(ROOT))
    return ChildProcess(command, environment, name=f"{pool}-{protection}")


def measure(
    bench: Bench, pool: str, tasks: int, protection: str, concurrency: int = 1
) -> WorkerCost:
    """Let a worker empty the queue."""
    broker = bench.servers.broker
    broker.client.copy(SAVED, QUEUE, replace=True)
    worker = start_worker(bench, protection, pool, concurrency)
    try:
        first, used_before = next_mark(bench, worker)
        last, used_after = next_mark(bench, worker)
        left = broker.client.llen(QUEUE)
    finally:
        worker.stop()
        broker.client.delete(QUEUE, *OF_THE_BROKER)
    if left:
        raise NotMeasured(f"{left} messages were put back into the queue")
    used = used_after.since(used_before)
    counted = {word: count for word, count in used.commands.items() if word not in OVERHEAD}
    return WorkerCost(
        cpu_us=(last["cpu_s"] - first["cpu_s"]) * 1e6 / tasks,
        wall_us=(last["at_s"] - first["at_s"]) * 1e6 / tasks,
        scripts=sum(counted.get(word, 0) for word in ("evalsha", "eval")) / tasks,
        commands=sum(counted.values()) / tasks,
        store_cpu_us=used.cpu_s * 1e6 / tasks,
    )


def next_mark(bench: Bench, worker: ChildProcess) -> tuple[dict[str, float], Usage]:
    """Wait for the next mark; read the store's counts as soon as it is there."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and worker.running:
        found = bench.servers.broker.client.brpop([MARKS], timeout=1)
        if found is not None:
            return json.loads(found[1]), bench.servers.store.usage()
    raise NotMeasured(f"no mark from {worker.name}: {(worker.lines or ['no output'])[-1]}")
