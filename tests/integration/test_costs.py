"""What each operation takes: script calls, commands within them, and instructions of our own.

Each figure is a ratchet. If a change makes an operation dearer, or much cheaper, its line says so
and is set anew, on purpose, in the same change.
"""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import redis

from celery_singleton_beat.engine.board import Board
from celery_singleton_beat.engine.dispatcher import Dispatcher
from celery_singleton_beat.engine.heartbeat import Heartbeat
from celery_singleton_beat.engine.lock import HandLocks
from celery_singleton_beat.engine.pace import Pace
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.events import Events
from celery_singleton_beat.protocol.entry import Timing, configuration_digest
from celery_singleton_beat.protocol.recurrences.recurrence import Interval
from celery_singleton_beat.protocol.run import Attempt, Outcome
from celery_singleton_beat.store.port import Ending, Renewal
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import FakeClock, RecordingPublisher, StoreUnderTest
from tests.conftest import SHOWN
from tests.integration.stored import ClockedStore
from tests.rig.meter import Cost, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery_singleton_beat.demo.server import EmbeddedServer

MANY = 100
MEASURED_ON = (3, 11)

BUDGET = {
    "a tick with nothing due": Cost(1, 33, 1_660),
    "an occurrence of a hundred due": Cost(0.02, 7.53, 1_320),
    "a run, begun and finished": Cost(2, 31, 1_090),
    "a run of which nothing is kept": Cost(2, 17, 1_090),
    "a run that finds its key held": Cost(1, 15, 609),
    "a lease renewed, of a hundred": Cost(0.01, 6.02, 215),
    "an entry put": Cost(1, 19, 881),
    "a stored entry claimed, of a hundred": Cost(0.01, 0.23, 154),
    "a key locked and freed by hand": Cost(2, 26, 1_947),
    "a hundred locks listed": Cost(2, 4, 10_872),
    "the overview": Cost(1, 18, 1_039),
}


class Bench:
    """A store of its own, and those who use it."""

    def __init__(self, url: str) -> None:
        self.clock = FakeClock()
        self.client: Any = redis.Redis.from_url(url)
        self.wire = Wire(url)
        self.open()

    def open(self, **kept: int) -> None:
        """Use a store that keeps so much of what happens."""
        self.store = ClockedStore(self.wire, prefix="costs", app="app", now_ms=self.clock, **kept)
        self.it = StoreUnderTest(self.store, self.clock)

    def close(self) -> None:
        self.wire.close()
        self.client.close()

    def replica(self, count: int) -> Dispatcher:
        """A replica whose entries are planned, and that has nothing to do yet."""
        timings = {f"x{number}": Timing(f"x{number}", Interval(60_000)) for number in range(count)}
        replica = Replica(
            name="r1",
            store=self.store,
            publisher=RecordingPublisher(),
            events=Events(),
            pace=Pace(hold_ms=5000, poll_ms=1000, replica_timeout_ms=15_000),
            clock_ms=self.clock,
        )
        dispatcher = Dispatcher(replica, timings, configuration_digest(timings.values()))
        for _ in range(3):
            dispatcher.tick()
        return dispatcher

    def measure(self, operation: Callable[[], object], *, of: int = 1) -> Cost:
        return measure(self.client, operation).each(of)


@pytest.fixture
def bench(own_redis: EmbeddedServer) -> Iterator[Bench]:
    with closing(Bench(own_redis.url())) as made:
        yield made


def tick(bench: Bench) -> Cost:
    replica = bench.replica(3)
    bench.clock.advance(1)
    return bench.measure(replica.tick)


def dispatch(bench: Bench) -> Cost:
    replica = bench.replica(MANY)
    for _ in range(2):
        bench.clock.advance(60_000)
        cost = bench.measure(replica.tick, of=MANY)
    assert isinstance(replica, Dispatcher)
    return cost


def run(bench: Bench) -> Cost:
    def live(attempt: Attempt) -> None:
        bench.it.begin(attempt)
        bench.store.finish([Ending(attempt, Outcome.SUCCEEDED)])

    live(bench.it.attempt("earlier", "h0", entry="x", key="k"))
    return bench.measure(partial(live, bench.it.attempt("run", "h1", entry="x", key="k")))


def run_unseen(bench: Bench) -> Cost:
    bench.open(history=0, statistics=0)
    return run(bench)


def skip(bench: Bench) -> Cost:
    bench.it.begin(bench.it.attempt("run0", "h0", entry="x", key="k"))
    late, later = (bench.it.attempt(f"run{n}", f"h{n}", entry="x", key="k") for n in (1, 2))
    bench.it.begin(late, close_if_busy=True)
    return bench.measure(partial(bench.it.begin, later, close_if_busy=True))


def renew(bench: Bench) -> Cost:
    attempts = [
        bench.it.attempt(f"run{number}", f"h{number}", key=f"k{number}") for number in range(MANY)
    ]
    for attempt in attempts:
        bench.it.begin(attempt)
    renewals = [Renewal(attempt, 1) for attempt in attempts]
    bench.store.renew(renewals)
    return bench.measure(lambda: bench.store.renew(renewals), of=MANY)


def put(bench: Bench) -> Cost:
    bench.it.put("x1")
    return bench.measure(partial(bench.it.put, "x2"))


def claim_stored(bench: Bench) -> Cost:
    for number in range(MANY + 1):
        bench.it.put(f"x{number}")
    assert len(bench.it.taken(limit=1)) == 1
    claimed: list[str] = []
    cost = bench.measure(lambda: claimed.extend(bench.it.taken(limit=MANY)), of=MANY)
    assert len(claimed) == MANY
    return cost


def lock_by_hand(bench: Bench) -> Cost:
    heartbeat = Heartbeat(bench.store, Events(), Board(16))
    locks = HandLocks(bench.store, lambda: heartbeat, grace_ms=0)

    def hold() -> None:
        lease = locks.take("k", "owner", ttl_ms=30_000)
        assert lease
        assert locks.release(lease)

    hold()
    return bench.measure(hold)


def list_locks(bench: Bench) -> Cost:
    for number in range(MANY):
        bench.it.begin(bench.it.attempt(f"run{number}", f"h{number}", key=f"k{number}"))
    bench.store.locks(bench.store.lock_names(1))
    return bench.measure(lambda: bench.store.locks(bench.store.lock_names(MANY)), of=1)


def overview(bench: Bench) -> Cost:
    bench.replica(3)
    bench.store.overview()
    return bench.measure(bench.store.overview)


OPERATIONS: dict[str, Callable[[Bench], Cost]] = dict(
    zip(
        BUDGET,
        (
            *(tick, dispatch, run, run_unseen, skip, renew),
            *(put, claim_stored, lock_by_hand, list_locks, overview),
        ),
        strict=True,
    )
)


@pytest.mark.parametrize("name", BUDGET)
def test_an_operation_takes_what_it_took(
    bench: Bench, name: str, record_property: Callable[[str, object], None]
) -> None:
    expected = BUDGET[name]

    actual = OPERATIONS[name](bench)

    record_property(SHOWN, f"{name}: {actual}")
    assert (actual.scripts, actual.commands) == (expected.scripts, expected.commands)
    if sys.version_info[:2] == MEASURED_ON:
        assert actual.instructions == pytest.approx(expected.instructions, rel=0.03)
