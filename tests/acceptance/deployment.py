"""Beats and workers of one deployment under test, and the facts about them as they come in."""

from __future__ import annotations

import collections
import json
import time
from typing import TYPE_CHECKING, Any

import redis

from celery_singleton_beat.protocol.claim import Slot
from tests.rig.witness import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from typing_extensions import Unpack

    from tests.rig.processes import CeleryRig, Circumstances, Proc
    from tests.rig.witness import Tally, Witness

MODULE = "tests.acceptance.app"
ENOUGH = 60.0

# Quick versions of everything that takes its time when a process or a message was lost.
CONF: dict[str, Any] = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_ignore_result": True,
    "worker_prefetch_multiplier": 1,
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {
        "visibility_timeout": 4,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 2,
    },
    "singleton_beat_claim_hold": 2,
    "singleton_beat_lock_ttl": 3,
    "singleton_beat_on_locked": "retry",
    "singleton_beat_lock_retry_delay": 0.3,
    "singleton_beat_replica_timeout": 3,
    "singleton_beat_connect_timeout": 1,
    "singleton_beat_socket_timeout": 1,
}


def told(
    store_url: str,
    schedule: Mapping[str, Any],
    *,
    broker_url: str | None = None,
    **conf: object,
) -> str:
    """What the application is told in its environment: where it is, and what is different."""
    whole = {**CONF, "singleton_beat_redis_url": store_url, **conf}
    return json.dumps(
        {"broker": broker_url or store_url, "conf": whole, "schedule": dict(schedule)}
    )


class Deployment:
    """Replicas and workers that share a store, started one by one."""

    def __init__(
        self,
        make_celery: Callable[..., CeleryRig],
        witness: Witness,
        store_url: str,
        schedule: Mapping[str, Any],
        **conf: Any,
    ) -> None:
        self.witness = witness
        self.store = redis.Redis.from_url(store_url, socket_timeout=ENOUGH)
        self.rig = make_celery(MODULE, {"ACCEPTANCE": told(store_url, schedule, **conf)})
        self.facts = Facts(witness)

    def beat(self, *arguments: str, **more: Unpack[Circumstances]) -> Proc:
        """A replica, not awaited."""
        return self.rig.beat("-S", SCHEDULER, *arguments, **more)

    def worker(self, concurrency: int = 2, **more: Unpack[Circumstances]) -> Proc:
        """A worker that is ready."""
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        return self.rig.worker(*quiet, concurrency=concurrency, ready_within_seconds=ENOUGH, **more)

    def now_ms(self) -> int:
        """The store's time, which is the one that counts."""
        seconds, micros = self.store.time()
        return seconds * 1000 + micros // 1000

    def holds(self) -> dict[str, int]:
        """The entries that somebody has claimed, and until when."""
        return holds_of(self.store)


def holds_of(store: redis.Redis) -> dict[str, int]:
    """The entries in a store that somebody has claimed, and until when."""
    index: Any = store.zrange("{csb:acceptance}:held", 0, -1, withscores=True)
    slots: Any = store.hgetall("{csb:acceptance}:stored")
    stored = ((name, Slot.from_text(text.decode())) for name, text in slots.items())
    held = [*index, *((name, slot.hold_until_ms) for name, slot in stored if slot.is_held)]
    return {name.decode(): int(until_ms) for name, until_ms in held}


def claimed_with(entries: Collection[str], holds: Mapping[str, int]) -> int:
    """How many entries are held by the claim that has these: a claim's holds end together."""
    ends = {holds[entry] for entry in entries if entry in holds}
    return sum(until_ms in ends for until_ms in holds.values())


SCHEDULER = "celery_singleton_beat:SingletonScheduler"
GOVERNS = "standing='GOVERNS'"
STANDS_BY = "standing='STANDS_BY'"


class Facts:
    """The facts of a witness, followed as they come in; each is looked at once."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._seen = 0
        self.begun: collections.Counter[str] = collections.Counter()
        self.ended: collections.Counter[str] = collections.Counter()
        self.published: collections.Counter[str] = collections.Counter()
        self.published_ns: dict[str, int] = {}
        self.late_ms: dict[str, int] = {}
        self.events: collections.Counter[str] = collections.Counter()
        self.postponed: collections.Counter[str] = collections.Counter()
        self.missed: list[dict[str, Any]] = []
        self.latest_ms = 0

    def wait_until(self, reached: Callable[[Facts], bool], timeout_seconds: float = ENOUGH) -> None:
        """Return when it has come to that; woken by facts.

        Raises:
            TimeoutError: it did not come to that.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            self.read()
            if reached(self):
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {timeout_seconds:g} s: {self}")
            self._witness.hear(left)

    def wait_ended(self, due: set[str], timeout_seconds: float = ENOUGH) -> None:
        """Return when every one of these has ended once."""
        self.wait_until(lambda facts: due <= facts.ended.keys(), timeout_seconds)

    def wait_accounted(self, due: set[str]) -> None:
        """Return when every one of these has ended, and the beats have told that they sent it.

        A worker may be done with a message before its beat comes to tell of it.
        """
        self.wait_until(lambda facts: due <= facts.ended.keys() & facts.published.keys())

    def wait_past(self, moment_ms: int, timeout_seconds: float = ENOUGH) -> None:
        """Return when an occurrence of that time, or of a later one, has begun."""
        self.wait_until(lambda facts: facts.latest_ms >= moment_ms, timeout_seconds)

    def superseded(self, periods_ms: Mapping[str, int]) -> dict[str, str]:
        """What was recorded as left out, and the later occurrence that stands for each."""
        return {
            key_of(missed["entry"], at_ms): key_of(missed["entry"], missed["by_ms"])
            for missed in self.missed
            if missed["by_ms"] is not None
            for at_ms in range(
                missed["first_ms"], missed["last_ms"] + 1, periods_ms[missed["entry"]]
            )
        }

    def read(self) -> None:
        """Look at what is new."""
        facts = self._witness.facts()
        for fact in facts[self._seen :]:
            self._take(fact)
        self._seen = len(facts)

    def _take(self, fact: dict[str, Any]) -> None:
        match fact["kind"]:
            case "begin":
                self.begun[fact["key"]] += 1
                moment = fact["key"].rpartition("@")[2]
                if moment.isdigit():
                    self.latest_ms = max(self.latest_ms, int(moment))
            case "end":
                self.ended[fact["key"]] += 1
            case "OccurrencePublished":
                told = fact["told"]
                key = key_of(told["entry"], told["scheduled_ms"], told["cause"])
                self.published[key] += 1
                self.published_ns.setdefault(key, fact["at_ns"])
                self.late_ms.setdefault(key, told["late_ms"])
            case "RunPostponed":
                self.postponed[fact["told"]["reason"]] += 1
            case "OccurrencesMissed":
                self.missed.append(fact["told"])
            case kind:
                self.events[kind] += 1

    def __repr__(self) -> str:
        return (
            f"{len(self.begun)} begun, {len(self.ended)} ended, {len(self.published)} published, "
            f"{dict(self.events)}"
        )


def account(
    tally: Tally,
    facts: Facts,
    due: set[str],
    superseded: Collection[str] = (),
    may: set[str] | None = None,
) -> dict[str, int]:
    """The ledger to print: of what is due, and of what may run besides (before and after)."""
    ledger = tally.ledger(due, superseded)
    return {
        "due": len(due),
        "dispatched": len(due & facts.published.keys()),
        "executed": sum(tally.ended(key) > 0 for key in due),
        "rerun": ledger["rerun"],
        "killed before the end was recorded": tally.cut_off(),
        "duplicates": ledger["duplicates"],
        "lost": ledger["lost"],
        "unexpected": len(tally.unexpected(due if may is None else may)),
    }
