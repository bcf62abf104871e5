"""Capacity: what one Redis carries, from unit costs, and those held against a real deployment.

Unit costs are the server's CPU (user + sys) of calls of the store's verbs, many in a row: a tick
with nothing due, an occurrence dispatched in a batch of a hundred, a run begun and finished, a
lease renewed. From them the CPU of a deployment is predicted, so many replicas and occurrences a
second, and held against what the store of real beats and workers took in twenty seconds. History
and statistics are on, as by default.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from celery_singleton_beat.protocol.claim import Claim, Settlement, Slot
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.protocol.run import Attempt, Outcome
from celery_singleton_beat.store.port import Adoption, ClaimRequest, Ending, Renewal
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from tests.benchmarks.rounds import alternate
from tests.benchmarks.tables import Table
from tests.scenarios.site import ENTRIES, OURS, Site, Size

if TYPE_CHECKING:
    from tests.benchmarks.rounds import Bench

BATCH = 100
DAY_MS = 86_400_000
HOLD_MS = 10**9
SHARE = 0.7
WATCHED_S = 20.0


def run(bench: Bench) -> list[Table]:
    """Measure unit costs, and what they predict."""
    table = Table("Capacity of one Redis")
    count = bench.scaled(20_000, 4_000)
    units: dict[str, Callable[[], float]] = {
        name: lambda act=act: _unit(bench, act, count)  # type: ignore[misc]
        for name, act in (
            ("tick", _ticks),
            ("dispatch", _dispatches),
            ("run", _runs),
            ("renewal", _renewals),
        )
    }
    found = alternate(units, bench.rounds, table)
    for name, values in found.items():
        table.add(f"{name}: the store's CPU", values, "us")
    least = {name: min(values) for name, values in found.items()}
    per_second = SHARE * 1e6 / (least["dispatch"] + least["run"])
    table.add(
        f"occurrences at {SHARE:.0%} of a core, by the best of these", [per_second], "a second"
    )
    ratios = [_predicted_by_measured(least) for _ in range(bench.rounds)]
    table.add("predicted CPU beside a deployment's", ratios, "x")
    return [table]


def _unit(bench: Bench, act: Callable[[RedisStore, int], int], count: int) -> float:
    server = bench.servers.store
    server.wipe()
    with closing(Wire(server.url)) as wire:
        store = RedisStore(wire, prefix="capacity", app="bench")
        act(store, BATCH)  # scripts are loaded, and what is planned once is planned
        before = server.usage().cpu_s
        done = act(store, count)
        return (server.usage().cpu_s - before) / done * 1e6


def _claim(store: RedisStore, request: str) -> tuple[Claim, ...]:
    return store.claim(ClaimRequest("r", "a", request, BATCH, HOLD_MS, DAY_MS)).claims


def _plan(store: RedisStore, due_ms: int) -> None:
    if store.slots(["entry-000"]).slots[0] is not None:
        return
    _claim(store, "plan")
    slot = Slot("rule", due_ms, due_ms)
    adoptions = [Adoption(f"entry-{number:03}", None, slot) for number in range(BATCH)]
    store.adopt("a", adoptions, done=True)


def _ticks(store: RedisStore, count: int) -> int:
    _plan(store, store.ping() + DAY_MS)
    for number in range(count):
        _claim(store, f"q{number}")
    return count


def _dispatches(store: RedisStore, count: int) -> int:
    _plan(store, store.ping() - DAY_MS)
    done = 0
    while done < count:
        settlements = []
        for entry, slot in _claim(store, f"d{count}-{done}"):
            moved = Slot("rule", slot.slot_ms + 1000, slot.due_ms + 1000)
            run = f"{slot.slot_ms}-0000-0000-0000-{entry:>12}"
            told = (Told("published", slot.slot_ms, run, "beat"),)
            settlements.append(Settlement(entry, slot.fence, moved, told=told))
        store.settle("a", settlements)
        done += len(settlements)
    return done


def _attempt(number: int, count: int) -> Attempt:
    run = f"{count:08}-0000-0000-0000-{number:012}"
    entry = f"entry-{number % BATCH:03}"
    return Attempt(run, run, entry, 30_000, owner="worker", entry=entry, scheduled_ms=number)


def _runs(store: RedisStore, count: int) -> int:
    for number in range(count):
        attempt = _attempt(number, count)
        store.begin(attempt, close_if_busy=True, grace_ms=0)
        store.finish([Ending(attempt, Outcome.SUCCEEDED)])
    return count


def _renewals(store: RedisStore, count: int) -> int:
    attempts = [_attempt(number, count) for number in range(BATCH)]
    for attempt in attempts:
        store.begin(attempt, close_if_busy=False, grace_ms=0)
    for _ in range(count // BATCH):
        store.renew([Renewal(attempt, 1) for attempt in attempts])
    return count // BATCH * BATCH


UNITS: dict[str, Callable[[RedisStore, int], int]] = {
    "tick": _ticks,
    "dispatch": _dispatches,
    "run": _runs,
    "renewal": _renewals,
}


def _predicted_by_measured(units: dict[str, float]) -> float:
    """Hold the prediction for a deployment against what its store took beyond what it idles."""
    size = Size(beats=4, workers=2)
    with Site(OURS, 1, size=size) as site:
        before, from_s = _cpu(site), time.monotonic()
        time.sleep(WATCHED_S)
        measured, for_s = (_cpu(site) - before) * 1e6, time.monotonic() - from_s
        for process in (*site.beats, *site.workers):
            process.kill()
        before, idle_from_s = _cpu(site), time.monotonic()
        time.sleep(WATCHED_S / 4)
        idle = (_cpu(site) - before) * 1e6 / (time.monotonic() - idle_from_s)
    measured -= idle * for_s
    occurrences = sum(1000 / entry.period_ms for entry in ENTRIES) * for_s
    # Each replica looks once a second and once for what is due: here in every second.
    ticks = 2 * size.beats * for_s
    predicted = ticks * units["tick"] + occurrences * (units["dispatch"] + units["run"])
    return predicted / measured


def _cpu(site: Site) -> float:
    info = site.plain.client.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])
