"""A deployment where all is well, for checks to be made of it with one thing changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from celery_singleton_beat.operate.doctor.facts import Facts, HeldKey, Worker
from celery_singleton_beat.operate.entry_rows import EntryRow
from celery_singleton_beat.operate.fleet_view import FleetView, ReplicaRow
from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.protocol.statistics import Counts, Histogram
from celery_singleton_beat.settings import Settings
from celery_singleton_beat.store.server_port import Server

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
NOW_MS = round(NOW.timestamp() * 1000)
BROKER = "redis://broker:6379/0"
PREFIX = "{csb:shop}"
VERSIONS = {"python": "3.11", "celery-singleton-beat": "1", "celery": "5.7.0", "redis": "8.1.0"}
BEAT = About("web-1", 42, BROKER, VERSIONS, ahead_ms=3)

REPLICA = ReplicaRow(
    name="web-1:42:abcdef",
    configuration="digest",
    number=1,
    governs=True,
    is_alive=True,
    silent_ms=10,
    reports_for_ms=3_600_000,
    about=About(),
)
FLEET = FleetView(
    now=NOW,
    store="redis://store:6379/0",
    prefix=PREFIX,
    app="shop",
    schema=1,
    born_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
    is_reborn=False,
    replicas=(REPLICA,),
    governor="digest",
    adopted="digest",
    own="digest",
    is_paused=False,
    resumed_at=None,
    planned=1,
    stored=1,
    locks=1,
    tenants=1,
    requests=0,
    awaited=0,
    queued=0,
    crashable=0,
    late_ms=0,
)
SERVER = Server(
    product="Redis",
    version="7.2.4",
    role="master",
    policy="noeviction",
    used_memory=10 * 2**20,
    max_memory=100 * 2**20,
    evicted=0,
    clients=10,
    max_clients=1000,
    append_only=True,
    snapshots="",
    user="default",
    set_aside=0,
    listeners=1,
    neighbours=(),
)
ENTRY = EntryRow("nightly", "config", "shop.work", "daily at 00:00", "UTC", "on")
WORKER = Worker(
    name="celery@web-2",
    tasks=frozenset({"shop.work"}),
    about=About(versions=VERSIONS, ahead_ms=-5),
    app="shop",
    prefix=PREFIX,
    address="redis://store:6379/0",
    pool="celery.concurrency.prefork:TaskPool",
    lock_keys={"shop.work": "work"},
    lock_ttls={"shop.work": 30_000},
)
COUNTS = Counts(
    {"started": 100, "succeeded": 100},
    lag=Histogram(100, 1000, ((10, 99), (100, 1))),
    run_time=Histogram(100, 100_000, ((1000, 99), (60_000, 1))),
)
HELD = HeldKey(
    key="work",
    owner="celery@web-2",
    acquired_ms=NOW_MS - 5000,
    deadline_ms=NOW_MS + 25_000,
    usual_ms=1000,
)
WELL = Facts(
    command="celery -A shop singleton",
    celery="celery -A shop",
    app="shop",
    here=About("ops-1", 7, BROKER, VERSIONS, ahead_ms=0),
    address="redis://store:6379/0",
    prefix=PREFIX,
    settings=Settings(),
    scheduler="celery_singleton_beat:SingletonScheduler",
    round_trip_ms=0.4,
    server=SERVER,
    fleet=FLEET,
    replicas={"web-1:42:abcdef": BEAT},
    entries=(ENTRY,),
    locks=(HELD,),
    history=(),
    counts=COUNTS,
    by_key={"work": COUNTS},
    transport="redis",
    visibility_ms=3_600_000,
    workers=(WORKER,),
)


def changed(**changes: Any) -> Facts:
    """Take all that is well, with some facts replaced."""
    return replace(WELL, **changes)


def server(**changes: Any) -> Facts:
    """Replace what the server tells."""
    return changed(server=replace(SERVER, **changes))


def fleet(**changes: Any) -> Facts:
    """Replace what is known of the fleet."""
    return changed(fleet=replace(FLEET, **changes))


def worker(**changes: Any) -> Facts:
    """Replace what the worker tells."""
    return changed(workers=(replace(WORKER, **changes),))


def lock(**changes: Any) -> Facts:
    """Replace the key that is held."""
    return changed(locks=(replace(HELD, **changes),))


def counted(**facts: int) -> Facts:
    """Replace what was counted of all, and of the key."""
    counts = replace(COUNTS, facts=facts)
    return changed(counts=counts, by_key={"work": counts})


def settings(**given: Any) -> Facts:
    """Replace settings; durations in milliseconds."""
    return changed(settings=Settings(**given))
