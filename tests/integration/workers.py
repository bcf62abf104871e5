"""A shop with real workers: what the worker tests start, send, open and watch."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

import redis
from celery import Celery

from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.run import Lock, Run
from celery_singleton_beat.store.keys import Keys
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from tests.integration.worker_app import VARIABLE
from tests.rig.processes import CeleryRig, Circumstances, Proc, Processes

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable

    from celery.result import AsyncResult

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.skew import ClockSkew
    from tests.rig.witness import Tally

MODULE = "tests.integration.worker_app"
ENOUGH = 40.0
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
TTL_MS = 3000

# Restored two seconds after a message was not acknowledged, looked for every half second; a
# worker that was stopped just as it looked keeps the others from it for two seconds at most.
IMPATIENT = {
    "visibility_timeout": 2,
    "unacked_restore_interval": 0.5,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 2,
}


def forget_results(client: Celery) -> None:
    """Let a client wait for no more results, while its server is still there.

    Each of them takes leave when it is collected, and up to Celery 5.5 it asks the
    server then: one that has been stopped since would be complained of in another test.
    """
    with contextlib.suppress(Exception):
        backend = client.backend
        backend.result_consumer.stop()
        backend.result_consumer._pubsub = None  # noqa: SLF001  # no public way to forget it
        backend.client.close()


class Shop:
    """One application on one Redis of its own, and a client that knows tasks by name only."""

    def __init__(
        self,
        server: EmbeddedServer,
        processes: Processes,
        cwd: pathlib.Path,
        *,
        module: str = MODULE,
        **conf: Any,
    ) -> None:
        assert processes.witness is not None
        self.server, self.witness = server, processes.witness
        self.conf: dict[str, Any] = {
            "broker_url": server.url(0),
            "result_backend": server.url(1),
            "singleton_beat_redis_url": server.url(2),
            "singleton_beat_lock_ttl": TTL_MS / 1000,
            "worker_prefetch_multiplier": 1,
            "broker_connection_retry_on_startup": True,
            **conf,
        }
        self.keys = Keys(f"csb:{self.conf.get('main', 'shop')}")
        self._rig = CeleryRig(processes, module, {}, cwd)
        # Over a line of its own, if the workers' one can go wrong.
        on_redis = self.conf["broker_url"].startswith("redis")
        broker = server.url(0) if on_redis else self.conf["broker_url"]
        self.client = Celery("client", broker=broker, backend=server.url(1))
        self.client.conf.task_default_queue = self.conf.get("task_default_queue", "celery")
        self._gates: dict[str, int] = {}
        self.store = redis.Redis.from_url(server.url(2), decode_responses=True)
        self.broker = redis.Redis.from_url(server.url(0), decode_responses=True)

    def worker(
        self,
        pool: str = "prefork",
        concurrency: int = 2,
        *arguments: str,
        skew: ClockSkew | None = None,
        **conf: Any,
    ) -> Proc:
        """A worker that is ready; ``conf`` is added to the application's, ``skew`` is its clock."""
        where: Circumstances = {"env": self._env(conf)}
        if skew is not None:
            where["skew"] = skew
        return self._rig.worker(
            "--pool", pool, *QUIET, *arguments, concurrency=concurrency, **where
        )

    def run(self, *arguments: str, name: str, **conf: Any) -> Proc:
        """Any Celery command of the application."""
        return self._rig.run(*arguments, name=name, env=self._env(conf))

    def send(self, task: str, key: str, *steps: tuple[str, Any], **options: Any) -> AsyncResult:
        """A message for a task that this process does not have."""
        for verb, argument in steps:
            if verb.endswith("gate"):
                self.gate(argument)
        return self.client.send_task(f"shop.{task}", args=[key, list(steps)], **options)

    def gate(self, name: str) -> int:
        """A gate, shut."""
        if name not in self._gates:
            path = self.witness.directory / f"gate-{name}"
            os.mkfifo(path)
            self._gates[name] = os.open(path, os.O_RDWR)
        return self._gates[name]

    def let(self, name: str, count: int = 1) -> None:
        """Let so many bodies through a gate: those that wait, or those that come."""
        os.write(self.gate(name), b"x" * count)

    def began(self, key: str, times: int = 1) -> Tally:
        """The facts once so many bodies of that key have begun."""
        return self.witness.wait_until(lambda tally: tally.started(key) >= times, ENOUGH)

    def ended(self, key: str, times: int = 1) -> Tally:
        """The facts once so many bodies of that key have ended."""
        return self.witness.wait_until(lambda tally: tally.ended(key) >= times, ENOUGH)

    def told(self, kind: str, key: str, times: int = 1) -> dict[str, Any]:
        """The so-manieth thing of that kind that bodies of that key told."""

        def found() -> list[dict[str, Any]]:
            facts = self.witness.facts()
            return [fact for fact in facts if fact["kind"] == kind and fact.get("key") == key]

        self.witness.wait_until(lambda _: len(found()) >= times, ENOUGH)
        return found()[times - 1]

    def bodies(self, key: str) -> list[dict[str, Any]]:
        """What each body of that key told when it began, in the order of their beginnings."""
        facts = [f for f in self.witness.facts() if f["kind"] == "begin" and f["key"] == key]
        return sorted(facts, key=lambda fact: fact["at_ns"])

    def lock(self, key: str) -> Lock | None:
        """The store's record of a lock key."""
        text = self.store.get(self.keys.lock(key))
        return Lock.from_text(str(text)) if text else None

    def run_record(self, run: str) -> Run | None:
        """The store's record of a run."""
        text = self.store.get(self.keys.run(run))
        return Run.from_text(str(text)) if text else None

    def wait_lock(self, key: str, reached: Callable[[Lock | None], bool]) -> Lock | None:
        """The record of a lock key, once it is as wanted: the server tells of each change."""
        self._wait_change(self.keys.lock(key), lambda: reached(self.lock(key)))
        return self.lock(key)

    def wait_run(self, run: str, reached: Callable[[Run | None], bool]) -> Run | None:
        """The record of a run, once it is as wanted."""
        self._wait_change(self.keys.run(run), lambda: reached(self.run_record(run)))
        return self.run_record(run)

    def wait_done(self, run: str) -> None:
        """Wait until the store knows that a run has ended for good."""
        self.wait_run(run, lambda record: bool(record and record.state.value == "done"))

    def wait_free(self, key: str) -> None:
        """Wait until nobody holds a lock key."""
        self.wait_lock(key, lambda lock: lock is None)

    def wait_renewed(self, key: str, ttls: float, ttl_ms: int = TTL_MS) -> None:
        """Wait until one holder has had a lock key for so many times its TTL."""
        wanted_ms = int(ttls * ttl_ms)
        self.wait_lock(
            key, lambda lock: bool(lock and lock.deadline_ms - lock.acquired_ms >= wanted_ms)
        )

    def store_now_ms(self) -> int:
        """The time by the store's clock."""
        seconds, micros = self.store.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def wait_acknowledged(self, worker: Proc) -> None:
        """Wait until a worker that holds one message at a time has acknowledged the one it runs.

        It is given the next one then, and not before.
        """
        following = self.send("early", "what comes next")
        worker.wait_for(rf"\[{following.id}\] received", ENOUGH)

    def wait_accepted(self, run: AsyncResult) -> None:
        """Wait until a worker's main process has heard that its pool began a run."""
        inspect, deadline = self.client.control.inspect(timeout=1.0), time.monotonic() + ENOUGH
        while run.id not in {
            request["id"] for active in (inspect.active() or {}).values() for request in active
        }:
            if time.monotonic() > deadline:
                msg = f"no worker has accepted {run.id}"
                raise TimeoutError(msg)

    def wait_settled(self) -> None:
        """Wait until the broker, a Redis, has no message: none waits, and no worker has one."""
        queue = self.client.conf.task_default_queue

        def is_settled() -> bool:
            return not self.broker.llen(queue) and not self.broker.hlen("unacked")

        self._wait_change("unacked", is_settled, 0)

    def wait_reachable(self, worker: str = "worker1@rig") -> None:
        """Wait until a worker hears commands: that is some time after it says that it is ready."""
        deadline = time.monotonic() + ENOUGH
        while not self.client.control.ping(destination=[worker], timeout=1.0):
            if time.monotonic() > deadline:
                msg = f"{worker} does not answer"
                raise TimeoutError(msg)

    def history(self) -> list[Fact]:
        """What happened, the newest first."""
        wire = Wire(str(self.conf["singleton_beat_redis_url"]))
        store = RedisStore(wire, prefix=self.keys.prefix, app=self.conf.get("main", "shop"))
        facts = store.history(1000)
        store.close()
        return facts

    def wait_history(self, reached: Callable[[list[Fact]], bool]) -> list[Fact]:
        """What happened, the newest first, once it is as wanted."""
        found: list[Fact] = []

        def is_reached() -> bool:
            found[:] = self.history()
            return reached(found)

        self._wait_change(self.keys.history, is_reached)
        return found

    def wait_result(self, run: AsyncResult, wanted: str) -> Any:
        """The result of a run, once it is of that kind: a lost worker may have left another.

        Raises:
            Exception: the error that it is.
        """
        key = run.backend.get_key_for_task(run.id)
        self._wait_change(key, lambda: wanted in repr(run.backend.get_task_meta(run.id)), 1)
        return run.get(timeout=ENOUGH)

    def wait_past(self, moment_ms: int) -> None:
        """Wait until it is later than that by the store's clock."""
        self.store.set("until", "", pxat=moment_ms)
        self._wait_change("until", lambda: not self.store.exists("until"))

    def calls(self, script: str) -> int:
        """How often a script's own mark was seen: calls of EVALSHA by the server's count."""
        stats: Any = self.store.info("commandstats")
        return int(stats.get(f"cmdstat_{script}", {}).get("calls", 0))

    def close(self) -> None:
        """Let go of what this process holds."""
        for gate in self._gates.values():
            os.close(gate)
        forget_results(self.client)
        self.client.close()
        self.store.close()
        self.broker.close()

    def _env(self, conf: dict[str, Any]) -> dict[str, str]:
        return {VARIABLE: json.dumps({**self.conf, **conf})}

    def _wait_change(self, name: str, reached: Callable[[], bool], db: int = 2) -> None:
        deadline = time.monotonic() + ENOUGH
        self.store.config_set("notify-keyspace-events", "KA")
        with self.store.pubsub(ignore_subscribe_messages=True) as changes:  # type: ignore[no-untyped-call]
            changes.subscribe(f"__keyspace@{db}__:{name}")
            while not reached():
                left = deadline - time.monotonic()
                if left <= 0:
                    found = self.store.get(name) if self.store.type(name) == "string" else "…"
                    msg = f"{name} did not become so: {found!r}"
                    raise TimeoutError(msg)
                changes.get_message(timeout=min(left, 1.0))


def occurrence(
    entry: str = "nightly", scheduled_ms: int = 1_700_000_000_000, **fields: Any
) -> dict[str, Any]:
    """The headers of an occurrence's message."""
    header = {"entry": entry, "scheduled_ms": scheduled_ms, "cause": "", "previous_ms": None}
    return {"singleton_occurrence": {**header, "not_after_ms": 0, **fields}}
