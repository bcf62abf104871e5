"""The unit costs of the capacity model, each measured by itself.

One process calls the store's verbs, as beats and workers do; the server has an append-only file,
flushed every second, and history and statistics are on, as by default. CPU is the server's, user +
sys, less what it idles. What belongs to a dispatch and what to each of its occurrences follows from
dispatches of one and of a hundred; what each replica adds to a tick, from a fleet of one and of
fifty. A visit is a run after a pause of 15 ms; how quickly caches get cold, one after 2 ms tells.
"""

from __future__ import annotations

import math
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from celery_singleton_beat import Entry
from celery_singleton_beat.demo.server import EmbeddedServer
from celery_singleton_beat.engine.timetable import Change, put_of
from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.protocol.claim import Settlement, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.protocol.run import Attempt, Outcome
from celery_singleton_beat.protocol.tenant import Quota
from celery_singleton_beat.store.port import Adoption, ClaimRequest, Ending, Renewal
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.store.timetable_port import StoredRequest
from tests.benchmarks.capacity_model import Units
from tests.benchmarks.servers import MeasuredServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENTRIES = 100
FLEET = 50
DAY_MS = 86_400_000
HOLD_MS = 10**9
LONG_S, SHORT_S = 0.015, 0.002
IDLE_S = 1.5
ABOUT = About("beat-7c9f6d5b8-x2x4q", 7, "redis://broker:6379/0", {"celery": "5.7.0"}, 0)
KEPT = ("--appendfsync", "everysec")


@contextmanager
def lasting_server() -> Iterator[MeasuredServer]:
    """Yield a server that keeps what it is told, as a store should."""
    with EmbeddedServer().start(appendonly=True, extra=KEPT) as server:
        yield MeasuredServer(server)


def idle_us(server: MeasuredServer, seconds: float = IDLE_S) -> float:
    """Tell what a server spends in a second in which nobody calls."""
    before, from_s = server.usage().cpu_s, time.monotonic()
    time.sleep(seconds)
    return (server.usage().cpu_s - before) * 1e6 / (time.monotonic() - from_s)


def measured(count: int) -> Units:
    """Measure all units; `count` is how often what is quickest is done."""
    with lasting_server() as server, closing(Wire(server.url)) as wire:
        caller = Caller(RedisStore(wire, prefix="capacity", app="bench"))
        gauge = Gauge(server)
        caller.plan(overdue=False)
        tick = gauge(caller.tick, count)
        fleet = _fleet(gauge, caller, count)
        run = gauge(caller.run, count)
        renewal = gauge(caller.renew, count // ENTRIES) / ENTRIES
        late = gauge(caller.run, count // 12, LONG_S) - run
        soon = gauge(caller.run, count // 3, SHORT_S) - run
        caller.plan(overdue=True)
        one, many = _sizes(gauge, caller.dispatch, count)
        caller.put_entries()
        stored_one, stored_many = _sizes(gauge, caller.dispatch_stored, count)
    replica = (fleet - tick) / (FLEET - 1)
    return Units(
        tick=tick - replica,
        replica=replica,
        dispatch=one - many,
        occurrence=many,
        stored_dispatch=stored_one - stored_many,
        stored_occurrence=stored_many,
        run=run,
        renewal=renewal,
        visit=late,
        cooling=_cooling_us(soon / late),
    )


def _cooling_us(share: float) -> float:
    """Tell how quickly caches get cold, by what part of the price of a visit a short pause has."""
    lost = min(max(share, 0.1), 0.9)  # what is beyond was a disturbance
    return -SHORT_S * 1e6 / math.log(1 - lost)


def _fleet(gauge: Gauge, caller: Caller, count: int) -> float:
    for number in range(FLEET):
        caller.tick(f"replica-{number}")
    cost = gauge(caller.tick, count)
    for number in range(FLEET):
        caller.store.leave(f"replica-{number}")
    return cost


def _sizes(gauge: Gauge, dispatch: Callable[[int], None], count: int) -> tuple[float, float]:
    """Tell the cost of a dispatch of one, and that of each of a hundred beyond the first."""
    one = gauge(lambda: dispatch(1), count // 2)
    many = gauge(lambda: dispatch(ENTRIES), count // ENTRIES)
    return one, (many - one) / (ENTRIES - 1)


class Gauge:
    """Tells what a server spends on each time that something is done."""

    def __init__(self, server: MeasuredServer) -> None:
        self._server = server
        self._idle_us = idle_us(server)

    def __call__(self, act: Callable[[], None], times: int, pause_s: float = 0.0) -> float:
        """Return microseconds of CPU, each."""
        act()  # scripts are loaded
        before, from_s = self._server.usage().cpu_s, time.monotonic()
        for _ in range(times):
            act()
            if pause_s:
                time.sleep(pause_s)
        spent_us = (self._server.usage().cpu_s - before) * 1e6
        for_s = time.monotonic() - from_s
        return (spent_us - self._idle_us * for_s) / times


class Caller:
    """Calls the verbs with what beats and workers would tell."""

    def __init__(self, store: RedisStore, first: int = 0) -> None:
        self.store = store
        self._number = first
        # Of each caller its own: runs of one key would meet.
        self._names = [f"entry-{first}-{number:03}" for number in range(ENTRIES)]
        self._held: list[Attempt] = []

    def plan(self, *, overdue: bool) -> None:
        """Give all entries slots that are due for ever, or not for a day."""
        self.tick()
        due_ms = self.store.ping() + (-10 if overdue else 1) * DAY_MS
        slots = self.store.slots(self._names).slots
        planned = Slot("rule", due_ms, due_ms)
        adoptions = [
            Adoption(name, slot, planned) for name, slot in zip(self._names, slots, strict=True)
        ]
        self.store.adopt("a", adoptions, done=True)

    def tick(self, replica: str = "replica") -> None:
        """Ask, and get nothing."""
        self.store.claim(self._question(replica, ENTRIES))

    def dispatch(self, count: int) -> None:
        """Claim so many occurrences of the configuration, and settle them as published."""
        claims = self.store.claim(self._question("replica", count)).claims
        if len(claims) != count:
            raise AssertionError(f"{len(claims)} of {count} entries are due")
        self.store.settle("a", [_published(entry, slot) for entry, slot in claims])

    def put_entries(self) -> None:
        """Store entries that are due for ever; those of the configuration are due no more."""
        self.plan(overdue=False)
        past_ms = self.store.ping() - 10 * DAY_MS
        entries = [Entry(f"stored-{number:03}", "shop.sync", 1.0) for number in range(ENTRIES)]
        quota = Quota(ABSENT, 0, ABSENT)
        self.store.put([put_of(entry, Change(), past_ms) for entry in entries], quota)
        past = Slot("rule", past_ms, past_ms)
        request = StoredRequest("replica", self._next(), ENTRIES, HOLD_MS)
        self.store.settle_stored(
            [
                Settlement(claim.entry, claim.slot.fence, past, revision=claim.card.revision)
                for claim in self.store.claim_stored(request).claims
            ]
        )

    def dispatch_stored(self, count: int) -> None:
        """Do the same with stored entries: ask, claim and settle."""
        self.tick()
        request = StoredRequest("replica", self._next(), count, HOLD_MS)
        claims = self.store.claim_stored(request).claims
        if len(claims) != count:
            raise AssertionError(f"{len(claims)} of {count} stored entries are due")
        settlements = [
            _published(claim.entry, claim.slot)._replace(revision=claim.card.revision)
            for claim in claims
        ]
        self.store.settle_stored(settlements)

    def run(self) -> None:
        """Begin a run, and finish it."""
        attempt = self._attempt()
        self.store.begin(attempt, close_if_busy=True, grace_ms=30_000)
        self.store.finish([Ending(attempt, Outcome.SUCCEEDED)])

    def renew(self) -> None:
        """Renew a hundred leases at once."""
        if not self._held:
            self._held = [self._attempt("held-") for _ in range(ENTRIES)]
            for attempt in self._held:
                self.store.begin(attempt, close_if_busy=False, grace_ms=30_000)
        self.store.renew([Renewal(attempt, 1) for attempt in self._held])

    def _question(self, replica: str, limit: int) -> ClaimRequest:
        about = ABOUT.to_text()
        return ClaimRequest(replica, "a", self._next(), limit, HOLD_MS, DAY_MS, about)

    def _attempt(self, key: str = "") -> Attempt:
        run, now_ms = self._next(), time.time_ns() // 1_000_000
        entry = self._names[self._number % ENTRIES]
        return Attempt(
            *(run, run, f"{key}{entry}", 30_000),
            not_after_ms=now_ms + DAY_MS,
            owner="celery@worker-5d4f8b7c9-k8s2v",
            entry=entry,
            scheduled_ms=now_ms,
        )

    def _next(self) -> str:
        self._number += 1
        return f"00000000-0000-0000-0000-{self._number:012}"


def _published(entry: str, slot: Slot) -> Settlement:
    moved = Slot(slot.rule, slot.slot_ms + 1000, slot.due_ms + 1000)
    run = f"{slot.slot_ms}-0000-0000-0000-{entry:>12}"
    told = (Told("published", slot.slot_ms, run, "beat-7c9f6d5b8-x2x4q"),)
    return Settlement(entry, slot.fence, moved, told=told)
