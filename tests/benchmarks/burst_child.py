"""One measured process: a bare loop, ours, stock beat or RedBeat, meeting entries due at once.

Run by `bursts.py`, never by hand. It gets ready, waits for the due moment, dispatches until the
agreed number of messages is in the broker's queue, and prints what it cost as one JSON line.
"""

from __future__ import annotations

import importlib
import json
import logging
import resource
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import redis
from celery.beat import PersistentScheduler

from tests.benchmarks.bench_app import NOOP, make_app, spec_from_environment

if TYPE_CHECKING:
    from celery import Celery

BEFORE_DUE_S = 0.3
LONGEST_TICK_S = 1.3
QUEUE = "celery"
BATCH = 100


@dataclass(frozen=True)
class Orders:
    """What the measuring process asks for."""

    side: str
    due_s: int
    bursts: int
    gap_s: int
    per_burst: int
    give_up_s: float


class Side(ABC):
    """One way to dispatch; `ready` may take as long as it likes, `run` is measured."""

    def __init__(self, app: Celery, orders: Orders) -> None:
        self.app = app
        self.orders = orders
        self.queue: Any = redis.Redis.from_url(app.conf.broker_url)

    @abstractmethod
    def ready(self) -> None:
        """Build, connect and dispatch once, so that the burst meets a warm process."""

    @abstractmethod
    def run(self) -> None:
        """Dispatch everything that falls due at the agreed moments."""

    def leave(self) -> None:
        """Remove what `ready` left on this machine; most leave nothing."""
        self.queue.close()

    def published(self) -> int:
        """Return how many messages are in the queue."""
        return int(self.queue.llen(QUEUE))

    def until(self, moment_s: float) -> None:
        """Wait for `moment_s`, doing nothing."""
        time.sleep(max(0.0, moment_s - time.time()))

    def expired(self) -> bool:
        """Say whether the measuring process has given up."""
        return time.time() > self.orders.due_s + self.orders.give_up_s


class BareLoop(Side):
    """`task.apply_async` in a loop, on one producer, with the headers that stock beat sends."""

    def ready(self) -> None:
        connection = self.app.connection_for_write()
        self.producer: Any = self.app.amqp.Producer(connection, auto_declare=False)
        self.task: Any = self.app.tasks[NOOP]
        self._publish("warm")

    def run(self) -> None:
        names = [f"due-{number:05d}" for number in range(self.orders.per_burst)]
        for burst in range(self.orders.bursts):
            self.until(self.orders.due_s + burst * self.orders.gap_s)
            for name in names:
                self._publish(name)

    def _publish(self, name: str) -> None:
        headers = {"celery_beat_task": True, "periodic_task_name": name}
        self.task.apply_async((), {}, producer=self.producer, headers=headers)


class BatchedLoop(BareLoop):
    """The bare loop with kombu's batches of 100: what dispatching costs with nothing remembered."""

    def run(self) -> None:
        names = [f"due-{number:05d}" for number in range(self.orders.per_burst)]
        for burst in range(self.orders.bursts):
            self.until(self.orders.due_s + burst * self.orders.gap_s)
            for start in range(0, len(names), BATCH):
                with self.producer.batch(max_size=10 * BATCH):
                    for name in names[start : start + BATCH]:
                        self._publish(name)


class Ours(Side):
    """`SingletonScheduler`, ticked and slept between ticks as Celery's beat service does."""

    def ready(self) -> None:
        from celery_singleton_beat import SingletonScheduler  # noqa: PLC0415 (peers do without)

        self.scheduler: Any = SingletonScheduler(app=self.app)
        # A tick may wait for a second: begun later, the last one could miss the due moment.
        while time.time() < self.orders.due_s - LONGEST_TICK_S:
            self._tick()

    def run(self) -> None:
        enough = self.published() + self.orders.per_burst
        while not self._done(enough) and not self.expired():
            self._tick()

    def _done(self, enough: int) -> bool:
        if self.orders.bursts == 1:
            return self.published() >= enough
        last_s = self.orders.due_s + (self.orders.bursts - 1) * self.orders.gap_s
        return time.time() > last_s + BEFORE_DUE_S and self.published() % self.orders.per_burst == 0

    def _tick(self) -> None:
        pause = self.scheduler.tick()
        if pause and pause > 0:
            time.sleep(pause)


class Stored(Ours):
    """The same with all of its entries in the store, and none in the configuration."""

    def ready(self) -> None:
        from celery_singleton_beat import Timetable  # noqa: PLC0415 (peers do without)

        given, self.app.conf.beat_schedule = self.app.conf.beat_schedule, {}
        Timetable(self.app).reconcile(
            {"name": name, "task": fields["task"], "recurrence": fields["schedule"]}
            for name, fields in given.items()
        )
        super().ready()


class StockBeat(Side):
    """Celery's `PersistentScheduler`, one due entry a tick, all entries long overdue."""

    def ready(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="benchmark-beat-")
        shelf = Path(self.folder.name) / "schedule"
        self.scheduler: Any = PersistentScheduler(self.app, schedule_filename=str(shelf))
        for entry in self.scheduler.schedule.values():
            entry.last_run_at -= timedelta(days=1)
        while not self.published():
            self.scheduler.tick()

    def run(self) -> None:
        self.until(self.orders.due_s)
        for _ in range(self.orders.per_burst):
            self.scheduler.tick()

    def leave(self) -> None:
        super().leave()
        self.scheduler.close()
        self.folder.cleanup()


class RedBeat(Side):
    """`RedBeatScheduler` holding its lock, all entries saved and long overdue."""

    def ready(self) -> None:
        schedulers = importlib.import_module("redbeat.schedulers")

        every = self.app.conf.beat_schedule
        self.app.conf.beat_schedule = {}
        self.scheduler: Any = schedulers.RedBeatScheduler(self.app)
        schedulers.acquire_distributed_beat_lock(sender=SimpleNamespace(scheduler=self.scheduler))
        self._make_overdue({"warm": next(iter(every.values()))})
        self.scheduler.tick()
        self._make_overdue(every)

    def run(self) -> None:
        self.until(self.orders.due_s)
        self.scheduler.tick()

    def _make_overdue(self, entries: dict[str, Any]) -> None:
        yesterday = self.app.now() - timedelta(days=1)
        for name, definition in entries.items():
            entry = self.scheduler.Entry(**definition, name=name, app=self.app)
            entry.save().reschedule(last_run_at=yesterday)


SIDES: dict[str, type[Side]] = {
    "bare": BareLoop,
    "batched": BatchedLoop,
    "ours": Ours,
    "stored": Stored,
    "stock": StockBeat,
    "redbeat": RedBeat,
}


def main() -> None:
    """Carry out the orders in `sys.argv[1]`."""
    logging.basicConfig(level=logging.WARNING)
    orders = Orders(**json.loads(sys.argv[1]))
    side = SIDES[orders.side](make_app(spec_from_environment()), orders)
    side.ready()
    ready_at, published = time.time(), side.published()
    before = _cpu_seconds()
    if published:
        side.run()
    cpu_s = _cpu_seconds() - before
    versions = {name: version(name) for name in ("celery", "kombu", "redis")}
    dispatched = side.published() - published
    side.leave()
    report = {"ready_at": ready_at, "cpu_s": cpu_s, "dispatched": dispatched, "versions": versions}
    print(json.dumps(report))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
