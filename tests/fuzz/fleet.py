"""A whole deployment on a real Redis, in one process and by one clock: what is fuzzed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import count
from typing import Any, Final

import redis

from celery_singleton_beat import Entry
from celery_singleton_beat.engine.dispatcher import Dispatcher
from celery_singleton_beat.engine.pace import Pace
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.errors import StoreError
from celery_singleton_beat.events import Event, Events
from celery_singleton_beat.events import of_beats as happened
from celery_singleton_beat.protocol.asked import Asking
from celery_singleton_beat.protocol.entry import Timing, configuration_digest
from celery_singleton_beat.protocol.recurrences.recurrence import Interval
from celery_singleton_beat.protocol.run import Attempt, Outcome
from celery_singleton_beat.protocol.stored import Put
from celery_singleton_beat.protocol.tenant import Quota
from celery_singleton_beat.store.port import Ending, Renewal
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import FakeClock, RecordingPublisher

APP: Final = "fuzzed"
PACE: Final = Pace(hold_ms=5000, poll_ms=1000, replica_timeout_ms=15_000)
CONFIG: Final = ("c1", "c2")
STORED: Final = {"a1": "a", "a2": "a", "b1": "b", "n1": ""}
ENTRIES: Final = (*CONFIG, *STORED)
TTL_MS: Final = 30_000
FAR_MS: Final = 1 << 40

_numbers = count()


class Fleet:
    """A beat, two workers that renew their leases, two tenants' entries, an open backfill."""

    def __init__(self, url: str, client: Any) -> None:
        self.client = client
        self.prefix = f"{{fuzz-{next(_numbers)}}}"
        self.clock = FakeClock()
        self.wire = Wire(url)
        self.store = RedisStore(self.wire, prefix=self.prefix, app=APP, now_ms=self.clock)
        self.broker = RecordingPublisher()
        self.told: list[Event] = []
        self.attempts = [Attempt(f"run-{n}", f"h{n}", f"key-{n}", TTL_MS) for n in (1, 2)]
        self.beat = self._beat()
        self._settle_in()

    def close(self) -> None:
        self.wire.close()

    def run(self, seconds: int) -> Counter[str]:
        """Let time pass; count what was dispatched of each entry meanwhile."""
        before = len(self.broker.sent)
        for _ in range(seconds):
            self.clock.advance(1000)
            self.beat.tick()
        return Counter(one.entry for one in self.broker.sent[before:])

    def work(self) -> None:
        """Do what workers do: renew what is held, run a message from begin to end."""
        attempt = Attempt(f"run-{next(_numbers)}", "h", "key-3", TTL_MS, entry="a1", once_ms=1)
        for step in (
            lambda: self.store.renew([Renewal(one, 1) for one in self.attempts]),
            lambda: self.store.begin(attempt, close_if_busy=True, grace_ms=TTL_MS),
            lambda: self.store.finish([Ending(attempt, Outcome.SUCCEEDED)]),
        ):
            try:
                step()
            except StoreError as error:
                self.told.append(happened.StoreLost(str(error)))

    def look(self) -> None:
        """Read all that people read."""
        store = self.store
        for step in (
            store.overview,
            lambda: store.history(100),
            lambda: [store.history(100, name) for name in ENTRIES],
            lambda: store.counts(["", *store.counted(100)]),
            lambda: store.locks(store.lock_names(100)),
            lambda: store.kept(store.entry_names(None).names),
            lambda: store.kept(store.entry_names("a").names),
            lambda: store.tenants(store.tenant_names().names),
            lambda: store.slots(CONFIG),
            store.open_requests,
        ):
            try:
                step()
            except StoreError as error:
                self.told.append(happened.StoreLost(str(error)))

    def reports(self) -> list[Event]:
        """What operators were told of trouble."""
        return [one for one in self.told if type(one) in _TROUBLES]

    def put(self, *names: str) -> None:
        """Store entries, whatever was there."""
        self.store.put([put_of(name, STORED[name]) for name in names], Quota())

    def all_keys(self) -> list[bytes]:
        """All keys there are; of what is kept of each entry by itself, those of one."""
        found = self.client.scan_iter(f"{self.prefix}:*", count=1000)
        return sorted(key for key in found if b":e:" not in key or key.endswith(b":a1"))

    def name_of(self, key: bytes) -> str:
        """A key without its prefix."""
        return key.decode("utf-8", "replace").removeprefix(f"{self.prefix}:")

    def _beat(self) -> Dispatcher:
        events = Events()
        events.subscribe(self.told.append)
        timings = {name: Timing(name, Interval(1000), start_deadline_ms=4000) for name in CONFIG}
        replica = Replica(
            name="r1",
            store=self.store,
            publisher=self.broker,
            events=events,
            pace=PACE,
            clock_ms=self.clock,
        )
        return Dispatcher(replica, timings, configuration_digest(timings.values()))

    def _settle_in(self) -> None:
        self.put(*STORED)
        self.run(3)
        for attempt in self.attempts:
            self.store.begin(replace(attempt, message="{}"), close_if_busy=True, grace_ms=TTL_MS)
        for entry in ("n1", "c1"):
            backfill = Asking(f"q-{entry}", entry, True, 0, FAR_MS, 1000, 1000, 1, "me")
            self.store.ask(backfill)
        assert set(self.run(3)) == set(ENTRIES)


def put_of(name: str, tenant: str) -> Put:
    """An entry that is due each second."""
    entry = Entry(name, "some.task", 1, tenant=tenant)
    at_ms = 1_700_000_000_000
    return Put(name, entry.to_json(), entry.when.rule, at_ms, at_ms, tenant, mark=0)


_TROUBLES: Final = {happened.StoreLost, happened.EntrySetAside, happened.EntriesFoundAgain}


def client_of(url: str) -> Any:
    """A client that reads bytes."""
    return redis.Redis.from_url(url)
