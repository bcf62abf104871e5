"""History and statistics: what they cost the store, beside the same with both switched off.

Occurrences of a hundred entries are published a hundred at a time, and each is begun and finished,
by one process that calls the store's verbs directly. CPU is the server's, user + sys; memory is the
server's with the history full and every entry counted, beside the same without.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from celery_singleton_beat.protocol.claim import Claim, Settlement, Slot
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.protocol.run import Attempt, Outcome
from celery_singleton_beat.store.port import Adoption, ClaimRequest, Ending
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from tests.benchmarks.rounds import alternate, complete
from tests.benchmarks.tables import Table, ratios

if TYPE_CHECKING:
    from tests.benchmarks.rounds import Bench

# How many facts are kept, how many of one entry, how many entries and keys are counted.
SIDES = {
    "nothing": (0, 0, 0),
    "the last facts": (10_000, 0, 0),
    "and figures": (10_000, 0, 10_000),
    "and each entry's own facts": (10_000, 100, 10_000),
}
ENTRIES = 100
ENDLESS_MS = 10**9
DAY_MS = 86_400_000


def run(bench: Bench) -> list[Table]:
    """Measure each part of what is kept."""
    rounds = bench.scaled(200, 20)
    table = Table(f"History and statistics, {ENTRIES * rounds:,} occurrences of {ENTRIES} entries")
    sides = {name: partial(_lives, bench, kept, rounds) for name, kept in SIDES.items()}
    results = complete(alternate(sides, bench.rounds, table), bench.rounds)
    base = results["nothing"]
    for name, found in results.items():
        table.add(f"{name}: the store's CPU", [cpu for cpu, _ in found], "us each")
        table.add(f"{name}: memory", [memory for _, memory in found], "MiB")
        if name != "nothing":
            pair = ratios([cpu for cpu, _ in found], [cpu for cpu, _ in base])
            table.add(f"{name}: CPU beside nothing", pair, "x")
    return [table]


def _lives(bench: Bench, kept: tuple[int, int, int], rounds: int) -> tuple[float, float]:
    server = bench.servers.store
    server.wipe()
    empty = server.memory()
    with closing(Wire(server.url)) as wire:
        facts, own, counted = kept
        store = RedisStore(
            wire,
            prefix="figures",
            app="bench",
            history=facts,
            entry_history=own,
            statistics=counted,
        )
        now_ms = store.ping()
        names = [f"entry-{number:03}" for number in range(ENTRIES)]
        _claimed(store, "q")
        slot = Slot("rule", now_ms - DAY_MS, now_ms - DAY_MS)
        store.adopt("a", [Adoption(name, None, slot) for name in names], done=True)
        before = server.usage().cpu_s
        for number in range(rounds):
            _round(store, number)
        spent = server.usage().cpu_s - before
    return spent / (rounds * ENTRIES) * 1e6, (server.memory() - empty) / 2**20


def _claimed(store: RedisStore, request: str) -> tuple[Claim, ...]:
    return store.claim(ClaimRequest("r", "a", request, ENTRIES, ENDLESS_MS, DAY_MS)).claims


def _round(store: RedisStore, number: int) -> None:
    settlements, attempts = [], []
    for entry, slot in _claimed(store, f"q{number}"):
        run = f"{number:08}-0000-0000-0000-{entry:>12}"
        moved = Slot("rule", slot.slot_ms + 1000, slot.due_ms + 1000)
        told = (Told("published", slot.slot_ms, run, "beat"),)
        settlements.append(Settlement(entry, slot.fence, moved, told=told))
        attempts.append(
            Attempt(run, run, entry, 30_000, owner="w", entry=entry, scheduled_ms=slot.slot_ms)
        )
    store.settle("a", settlements)
    for attempt in attempts:
        store.begin(attempt, close_if_busy=True, grace_ms=0)
        store.finish([Ending(attempt, Outcome.SUCCEEDED)])
