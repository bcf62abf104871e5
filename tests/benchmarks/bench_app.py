"""The Celery app under measurement, described by one JSON document in the environment.

`celery -A tests.benchmarks.bench_app ...` and the measured child processes build the same app.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import redis
from celery import Celery, Task
from celery.beat import PersistentScheduler

from tests.benchmarks import protections

VARIABLE = "SINGLETON_BENCHMARK_APP"
NOOP = "benchmark.noop"
KEYED = "benchmark.keyed"
HELD = "benchmark.held"
MARK = "benchmark.mark"
MARKS = "benchmark:marks"
GO = "benchmark:go"
HELD_AT_MOST_S = 120
STOCK_DUE_HEADER = "benchmark_due_ms"


@dataclass(frozen=True)
class Timetable:
    """`count` config entries that share one interval, due together unless there is a jitter."""

    prefix: str
    count: int
    every_s: int
    jitter_s: float = 0.0

    def names(self) -> list[str]:
        """Return the entries' names, in order."""
        return [f"{self.prefix}-{number:05d}" for number in range(self.count)]


@dataclass(frozen=True)
class AppSpec:
    """All that two processes must share to be one app."""

    broker_url: str
    store_url: str
    timetables: tuple[Timetable, ...] = ()
    result_backend: str | None = None
    protection: str = protections.PLAIN
    named: bool = False  # messages tell their entry whichever scheduler sends them
    conf: dict[str, Any] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        """Return this process's environment with the app's description in it."""
        return {**os.environ, VARIABLE: json.dumps(asdict(self)), **more}


class MarkingScheduler(PersistentScheduler):
    """Stock beat that writes into each message when its entry was due: last run plus interval."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Mark, then send as stock beat does."""
        due_s = entry.last_run_at.timestamp() + entry.schedule.run_every.total_seconds()
        marks = {STOCK_DUE_HEADER: int(due_s * 1000), "periodic_task_name": entry.name}
        entry.options["headers"] = marks
        super().apply_entry(entry, producer=producer)


def make_app(spec: AppSpec) -> Celery:
    """Build the app; every scheduler reads the same entries from it."""
    app = Celery("benchmark", broker=spec.broker_url, backend=spec.result_backend)
    app.conf.update(
        beat_schedule={
            name: {
                "task": NOOP,
                "schedule": float(timetable.every_s),
                "options": {"headers": {"periodic_task_name": name}} if spec.named else {},
                **({"jitter": timetable.jitter_s} if timetable.jitter_s else {}),
            }
            for timetable in spec.timetables
            for name in timetable.names()
        },
        singleton_beat_redis_url=spec.store_url,
        redbeat_redis_url=spec.store_url,
        broker_connection_retry_on_startup=True,
        result_expires=None,
        worker_hijack_root_logger=False,
        **spec.conf,
    )
    protection, store_url = spec.protection, spec.store_url
    protections.add_task(app, _noop, NOOP, protection, store_url)
    protections.add_task(app, _keyed, KEYED, protection, store_url, lock_key="keyed:{key}")
    protections.add_task(app, _held, HELD, protection, store_url, lock_key="held:{key}")
    app.task(_mark, name=MARK, bind=True)
    return app


def spec_from_environment() -> AppSpec:
    """Read the description that the measuring process left for us."""
    raw = json.loads(os.environ[VARIABLE])
    raw["timetables"] = tuple(Timetable(**timetable) for timetable in raw["timetables"])
    return AppSpec(**raw)


def _noop() -> None:
    """Do nothing: what remains is the cost of dispatching and running."""


def _keyed(key: str) -> None:
    """Do nothing, one at a time for each key."""


def _held(key: str) -> None:
    """Tell that it has begun, and hold the key for as long as the measuring takes."""
    given = spec_from_environment()
    with redis.Redis.from_url(given.broker_url, socket_timeout=HELD_AT_MOST_S + 5) as client:
        client.lpush(MARKS, json.dumps({"name": key}))
        client.blpop([f"{GO}:{key}"], timeout=HELD_AT_MOST_S)


def _mark(self: Task, name: str) -> None:
    """Tell the CPU time of all processes of this worker so far, and the time."""
    seen = {"cpu_s": _group_cpu_s(os.getpgrp()), "at_s": time.time()}
    with redis.Redis.from_url(self.app.conf.broker_url) as client:
        client.lpush(MARKS, json.dumps({"name": name, **seen}))


def _group_cpu_s(group: int) -> float:
    """Add up user and system time of a process group, from /proc (Linux)."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The command's name, in parentheses, may hold blanks: count from behind it.
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if VARIABLE in os.environ:
    app = make_app(spec_from_environment())
