"""Every check of the doctor, where all is well and where it is not: verdict, reason and cure."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from celery_singleton_beat.operate.doctor.checks import CHECKS, diagnose
from celery_singleton_beat.operate.doctor.facts import Facts
from celery_singleton_beat.operate.doctor.finding import Finding, Verdict
from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.statistics import Histogram
from celery_singleton_beat.store.server_port import Neighbour, Server
from tests.unit.doctor_facts import (
    BEAT,
    BROKER,
    COUNTS,
    ENTRY,
    FLEET,
    NOW_MS,
    REPLICA,
    SERVER,
    VERSIONS,
    WELL,
    WORKER,
    changed,
    counted,
    fleet,
    lock,
    server,
    settings,
    worker,
)

OK, WARNING, PROBLEM, UNKNOWN = Verdict.OK, Verdict.WARNING, Verdict.PROBLEM, Verdict.UNKNOWN
HOUR_MS = 3_600_000
SILENT = replace(REPLICA, is_alive=False, silent_ms=HOUR_MS)
STANDBY = replace(REPLICA, name="web-2", configuration="other", governs=False)
OLD = {**VERSIONS, "celery": "5.5.0"}
LONG = Histogram(1, 2 * HOUR_MS, ((2 * HOUR_MS, 1),))
NEIGHBOUR = Neighbour(prefix="{csb:wrong}", listeners=1, app="shop", replicas=(BEAT,))
FULL = {"used_memory": 95 * 2**20}
DENIED = "ERR The user executing the script can't run this command"
HAND = "ops-1:4242:abcdef"


class Case(NamedTuple):
    """Facts, what a check says of them, and what must stand in the reason and in the cure."""

    check: str
    facts: Facts
    verdict: Verdict
    found: str = ""
    cure: str = ""


CASES = [
    Case(
        "store-reachable",
        changed(round_trip_ms=None, untold={"round_trip_ms": "Connection refused"}),
        PROBLEM,
        "Connection refused",
        "singleton_beat_redis_url",
    ),
    Case("store-reachable", changed(round_trip_ms=25.0), WARNING, "25 ms", "nearer"),
    Case("store-reachable", changed(round_trip_ms=1200.0), PROBLEM, "gives up", "SLOWLOG"),
    Case("store-shared", changed(is_in_memory=True), WARNING, "memory://", "redis_url"),
    Case(
        "store-ours",
        changed(refusal="the store belongs to the app 'warehouse'", fleet=None),
        PROBLEM,
        "warehouse",
        "key_prefix",
    ),
    Case("store-role", server(role="slave"), PROBLEM, "replica", "primary"),
    Case("store-version", server(version="6.0.16"), PROBLEM, "6.0.16", "6.2"),
    Case("store-version", server(product="Valkey", version="7.2.5"), PROBLEM, "Valkey", "8.0"),
    Case("store-version", server(product="Valkey", version="9.1.0"), OK, "Valkey 9.1.0"),
    Case("store-eviction", server(policy="allkeys-lru"), PROBLEM, "allkeys-lru", "noeviction"),
    Case(
        "store-eviction",
        server(policy="allkeys-lfu", max_memory=0),
        WARNING,
        "as soon as maxmemory is set",
        "noeviction",
    ),
    Case("store-eviction", server(policy="volatile-ttl"), WARNING, "locks", "noeviction"),
    Case("store-eviction", server(policy="volatile-ttl", max_memory=0), OK, "no maxmemory"),
    Case(
        "store-eviction",
        server(policy="allkeys-random", evicted=7),
        PROBLEM,
        "7 keys were evicted",
    ),
    Case(
        "store-eviction",
        server(policy=None, untold={"CONFIG GET maxmemory-policy": "no permissions"}),
        UNKNOWN,
        "no permissions",
    ),
    Case("store-persistence", server(append_only=False), PROBLEM, "1 stored", "appendonly yes"),
    Case(
        "store-persistence",
        changed(server=replace(SERVER, append_only=False), fleet=replace(FLEET, stored=0)),
        WARNING,
        "history",
        "appendonly yes",
    ),
    Case("store-persistence", server(append_only=False, snapshots="900 1"), OK, "snapshots"),
    Case("store-persistence", server(append_only=False, snapshots=None), UNKNOWN, "does not tell"),
    Case(
        "store-persistence",
        server(write_errors=("rdb_last_bgsave_status:err",)),
        PROBLEM,
        "rdb_last_bgsave_status",
        "disk",
    ),
    Case("store-forgotten", fleet(is_reborn=True), WARNING, "2026-01-01", "restore"),
    Case("store-memory", server(**FULL), PROBLEM, "95 MB of 100 MB", "maxmemory"),
    Case("store-memory", server(used_memory=80 * 2**20), WARNING, "80%", "maxmemory"),
    Case("store-memory", server(max_memory=0), OK, "host"),
    Case("store-connections", server(clients=950), PROBLEM, "950 of 1000", "maxclients"),
    Case("store-connections", server(clients=800), WARNING, "800 of 1000", "CLIENT LIST"),
    Case("store-connections", server(max_clients=None), UNKNOWN, "does not tell"),
    Case("store-rights", server(refused={"ZADD": DENIED}), PROBLEM, "ZADD", "+zadd"),
    Case("store-rights", server(refused={"PUBLISH": DENIED}), WARNING, "PUBLISH", "+publish"),
    Case("store-rights", server(refused={"DEL": "READONLY …"}), OK, "default"),
    Case("store-rights", server(untold={"INFO": "no permissions"}), OK, "not needed"),
    Case("beat-alive", fleet(replicas=()), PROBLEM, "nothing is dispatched", "celery -A shop beat"),
    Case("beat-alive", fleet(replicas=(SILENT,)), PROBLEM, "none", "beat"),
    Case(
        "beat-alive",
        changed(fleet=replace(FLEET, replicas=()), scheduler="celery.beat:PersistentScheduler"),
        PROBLEM,
        "none",
        "-S singleton",
    ),
    Case(
        "beat-alive",
        changed(fleet=replace(FLEET, replicas=()), server=replace(SERVER, neighbours=(NEIGHBOUR,))),
        PROBLEM,
        "none",
        "{csb:wrong}",
    ),
    Case(
        "beat-scheduler",
        changed(scheduler="celery.beat:PersistentScheduler"),
        WARNING,
        "PersistentScheduler",
        "SingletonScheduler",
    ),
    Case("beat-scheduler", settings(dry_run=True), WARNING, "send nothing", "dry_run = False"),
    Case("lag", fleet(late_ms=HOUR_MS), PROBLEM, "1 h", "entries --overdue"),
    Case("lag", fleet(late_ms=HOUR_MS, replicas=()), PROBLEM, "1 h", "start a beat"),
    Case("lag", fleet(late_ms=0, is_paused=True), OK, "paused"),
    Case("paused", fleet(is_paused=True), WARNING, "everything", "resume --all"),
    Case("paused", changed(paused_tenants=("acme",)), WARNING, "acme", "--tenant acme"),
    Case("paused", changed(entries=(replace(ENTRY, state="paused"),)), WARNING, "nightly"),
    Case("same-prefix", server(neighbours=(NEIGHBOUR,)), PROBLEM, "{csb:wrong}", "{csb:shop}"),
    Case(
        "same-prefix",
        server(neighbours=(replace(NEIGHBOUR, replicas=(replace(BEAT, broker="amqp://x"),)),)),
        OK,
        "elsewhere",
    ),
    Case(
        "same-prefix",
        server(neighbours=(replace(NEIGHBOUR, replicas=()),)),
        WARNING,
        "do not tell",
        "key_prefix",
    ),
    Case("same-prefix", server(neighbours=(replace(NEIGHBOUR, app="other"),)), OK, "other apps"),
    Case("same-prefix", server(neighbours=None), UNKNOWN, "does not tell"),
    Case("same-database", server(listeners=2), PROBLEM, "another database", "redis_url"),
    Case("same-database", server(listeners=None), UNKNOWN, "does not tell"),
    Case(
        "same-configuration",
        fleet(replicas=(REPLICA, STANDBY)),
        WARNING,
        "2 different",
        "restart",
    ),
    Case("same-configuration", fleet(own="another"), WARNING, "this app here", "restart"),
    Case("same-configuration", fleet(replicas=()), UNKNOWN, "no beat"),
    Case(
        "same-versions",
        changed(replicas={"old": replace(BEAT, versions=OLD)}),
        WARNING,
        "celery",
        "everywhere",
    ),
    Case("same-versions", worker(about=About(versions=OLD)), WARNING, "celery", "everywhere"),
    Case(
        "same-versions",
        worker(about=About(versions={**VERSIONS, "python": "3.12"})),
        OK,
        "celery 5.7.0",
    ),
    Case("same-versions", changed(replicas={}, workers=()), UNKNOWN, "no beat and no worker"),
    Case(
        "clock-here",
        changed(here=replace(WELL.here, ahead_ms=-HOUR_MS)),
        PROBLEM,
        "ops-1): 1 h behind",
        "set-ntp",
    ),
    Case("clock-here", changed(here=replace(WELL.here, ahead_ms=2000)), WARNING, "2 s ahead"),
    Case("clock-here", changed(here=replace(WELL.here, ahead_ms=None)), UNKNOWN),
    Case(
        "clock-elsewhere",
        changed(replicas={"web-1:42": replace(BEAT, ahead_ms=HOUR_MS)}),
        PROBLEM,
        "web-1:42 on web-1: 1 h ahead",
        "set-ntp",
    ),
    Case("clock-elsewhere", worker(about=About(ahead_ms=-5000)), WARNING, "celery@web-2"),
    Case("clock-elsewhere", changed(replicas={}, workers=()), UNKNOWN, "no beat and no worker"),
    Case("broker", changed(broker_error="refused"), PROBLEM, "refused", "broker_url"),
    Case(
        "entries-usable",
        changed(entries=(replace(ENTRY, state="unusable", problem="no such minute"),)),
        PROBLEM,
        "nightly",
        "update",
    ),
    Case("records-aside", server(set_aside=2), WARNING, "2 records", "HGETALL {csb:shop}:aside"),
    Case("records-aside", server(set_aside=None), UNKNOWN),
    Case(
        "tasks-known",
        changed(entries=(replace(ENTRY, task="shop.ghost"),)),
        PROBLEM,
        "shop.ghost",
        "import",
    ),
    Case("tasks-known", changed(entries=(replace(ENTRY, task="celery.backend_cleanup"),)), OK),
    Case(
        "tasks-known",
        changed(entries=(replace(ENTRY, task="shop.ghost", state="disabled"),)),
        OK,
    ),
    Case("tasks-known", changed(workers=()), UNKNOWN, "no worker"),
    Case(
        "dispatch-errors",
        changed(history=(Fact(NOW_MS - 1, "dispatch_failed", "nightly", note="no queue"),)),
        WARNING,
        "1 occurrence",
        "show",
    ),
    Case("dispatch-errors", changed(history=(Fact(NOW_MS - 2 * HOUR_MS, "dispatch_failed"),)), OK),
    Case("dispatch-errors", settings(history=0), UNKNOWN, "singleton_beat_history"),
    Case(
        "left-out",
        changed(history=(Fact(NOW_MS - 1, "superseded", "nightly", note="5||1"),)),
        WARNING,
        "nightly",
        "catch_up",
    ),
    Case(
        "left-out",
        changed(history=(Fact(NOW_MS - 1, "superseded", "nightly", note="5|9|1"),)),
        OK,
        "nightly",
    ),
    Case(
        "lateness",
        changed(counts=replace(COUNTS, lag=Histogram(20, 120_000, ((6000, 20),)))),
        WARNING,
        "6 s",
        "jitter",
    ),
    Case(
        "lateness", changed(counts=replace(COUNTS, lag=Histogram(19, 114_000, ((6000, 19),)))), OK
    ),
    Case("lateness", changed(counts=replace(COUNTS, lag=Histogram())), UNKNOWN),
    Case("workers-answer", changed(workers=()), PROBLEM, "none answered", "worker"),
    Case(
        "workers-answer",
        changed(workers=(), history=(Fact(NOW_MS - 1000, "started"),)),
        WARNING,
        "busy",
        "--timeout",
    ),
    Case(
        "workers-answer",
        changed(workers=(), history=(Fact(NOW_MS - 1000, "started", by=HAND),)),
        PROBLEM,
        "none answered",
    ),
    Case("workers-store", worker(prefix="{csb:wrong}"), PROBLEM, "{csb:wrong}", "{csb:shop}"),
    Case("workers-store", worker(store_error="refused"), PROBLEM, "refused", "reach"),
    Case("workers-store", worker(address="redis://other:1/0"), WARNING, "redis://other", "same"),
    Case("workers-store", changed(workers=()), UNKNOWN),
    Case("settings", worker(settings={"lock_ttl_ms": 10_000}), WARNING, "other", "one config"),
    Case("settings", settings(lock_ttl_ms=20_000), OK, "1 setting"),
    Case("store-outage", settings(on_store_outage="run"), WARNING, "unlocked", '"retry"'),
    Case(
        "lock-keys",
        worker(lock_keys={"shop.a": "one", "shop.b": "one"}),
        PROBLEM,
        "one",
        "of its own",
    ),
    Case("lock-keys", changed(task_errors=("tasks a and b …",)), PROBLEM, "tasks a and b"),
    Case("lock-ttl", counted(started=100, lost=3), WARNING, "3 of 100", "lock_ttl"),
    Case(
        "lock-ttl",
        changed(
            counts=replace(COUNTS, facts={"lost": 1}),
            workers=(replace(WORKER, pool="celery.concurrency.gevent:TaskPool"),),
        ),
        WARNING,
        "lost",
        "prefork",
    ),
    Case("lock-ttl", worker(lock_ttls={"shop.work": HOUR_MS}), WARNING, "shop.work: 1 h", "30 s"),
    Case("lock-ttl", settings(lock_ttl_ms=2000), WARNING, "2 s", "30"),
    Case("lock-ttl", changed(counts=replace(COUNTS, run_time=Histogram())), OK, "no run"),
    Case(
        "visibility-timeout",
        changed(counts=replace(COUNTS, run_time=LONG)),
        OK,
        "2 h: workers keep",
    ),
    Case(
        "visibility-timeout",
        changed(counts=replace(COUNTS, run_time=LONG), transport="sqs"),
        WARNING,
        "2 h",
        "visibility_timeout",
    ),
    Case("visibility-timeout", changed(visibility_ms=2000, counts=None), WARNING, "2 s"),
    Case("visibility-timeout", changed(visibility_ms=None, transport="amqp"), OK, "amqp"),
    Case("contention", counted(started=4, skipped=10), WARNING, "work: 10 of 14", "retry"),
    Case("contention", counted(started=1, skipped=2), OK),
    Case("crashes", counted(rerun=1), WARNING, "1 ", "memory"),
    Case("crashes", counted(**{"given up": 1}), PROBLEM, "given up", "logs"),
    Case("stuck-keys", lock(acquired_ms=NOW_MS - 61_000), PROBLEM, "work", "unlock work"),
    Case("stuck-keys", lock(acquired_ms=NOW_MS - 59_000), OK),
    Case("stuck-keys", lock(acquired_ms=NOW_MS - 59 * 60_000, usual_ms=None), OK),
    Case("stuck-keys", lock(acquired_ms=NOW_MS - 61 * 60_000, usual_ms=None), PROBLEM, "1 h"),
    Case(
        "stuck-keys", lock(deadline_ms=NOW_MS + 24 * HOUR_MS, owner=HAND), WARNING, "1 d", "unlock"
    ),
    Case(
        "stuck-keys",
        lock(deadline_ms=NOW_MS + 24 * HOUR_MS, owner=HAND, is_gone=True),
        PROBLEM,
        "1 d",
        "unlock",
    ),
    Case("stuck-keys", lock(acquired_ms=0, deadline_ms=NOW_MS - 1), OK),
    Case("lock-holders", lock(owner=HAND, is_gone=True), PROBLEM, HAND, "unlock work"),
    Case("lock-holders", lock(owner="celery@gone"), WARNING, "celery@gone", "free in 25 s"),
    Case("lock-holders", lock(owner=HAND), OK),
    Case("lock-holders", changed(workers=()), OK, "no worker answered"),
]


def finding(check: str, facts: Facts) -> Finding:
    (found,) = [one.finding for one in diagnose(facts) if one.check == check]
    return found


@pytest.mark.parametrize("name", [check.name for check in CHECKS])
def test_where_all_is_well_a_check_says_so(name: str) -> None:
    """S0-42..44."""
    found = finding(name, WELL)

    assert (found.verdict, found.cure) == (OK, ""), found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.check}-{case.verdict.value}")
def test_what_is_wrong_is_named_with_its_cure(case: Case) -> None:
    """S0-42..44."""
    found = finding(case.check, case.facts)

    assert found.verdict is case.verdict, found
    assert case.found in found.found
    assert case.cure in found.cure
    assert bool(found.cure) == (case.verdict in (PROBLEM, WARNING))


def test_every_check_can_find_fault() -> None:
    faulty = {case.check for case in CASES if case.verdict in (PROBLEM, WARNING)}

    assert faulty == {check.name for check in CHECKS}


@pytest.mark.parametrize("name", sorted({name for check in CHECKS for name in check.needs}))
def test_what_could_not_be_asked_is_unknown_and_no_error(name: str) -> None:
    facts = replace(WELL, **{name: None}, untold={name: "nobody answered"})  # type: ignore[arg-type]

    found = {one.check: one.finding for one in diagnose(facts)}

    needing = [check.name for check in CHECKS if name in check.needs]
    assert {(found[one].verdict, found[one].found) for one in needing} == {
        (UNKNOWN, "nobody answered")
    }


def test_a_store_in_memory_is_examined_without_an_error() -> None:
    facts = changed(server=Server(product="memory"), is_in_memory=True)

    verdicts = {one.check: one.finding.verdict for one in diagnose(facts)}

    assert verdicts["store-shared"] is WARNING
    assert PROBLEM not in verdicts.values()


def test_nothing_is_known_of_the_fleet_of_a_release_that_told_nothing() -> None:
    facts = changed(replicas={"old": About()}, workers=())

    verdicts = {one.check: one.finding.verdict for one in diagnose(facts)}

    assert verdicts["same-versions"] is verdicts["clock-elsewhere"] is UNKNOWN


def test_names_stand_once() -> None:
    names = [check.name for check in CHECKS]

    assert len(set(names)) == len(names)
    assert BROKER in finding("broker", WELL).found
