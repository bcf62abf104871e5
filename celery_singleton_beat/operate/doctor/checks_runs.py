"""Checks of workers and runs: who answers, what they lock, and whether times fit."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.operate.doctor.facts import is_instance
from celery_singleton_beat.operate.doctor.finding import (
    Check,
    Finding,
    many,
    ok,
    problem,
    some,
    unknown,
    warning,
)
from celery_singleton_beat.operate.words import duration
from celery_singleton_beat.settings import declared_settings, key_of

if TYPE_CHECKING:
    from celery_singleton_beat.operate.doctor.facts import Facts, Worker

_LATELY_MS: Final = 300_000
_LONG_TTL_MS: Final = 600_000
_SHORT_TTL_MS: Final = 5_000
_SHORT_VISIBILITY_MS: Final = 60_000
_HELD_BACK: Final = ("redis", "rediss", "sentinel")
"""Where workers keep the messages of living runs from coming again."""
_ENOUGH: Final = 10
_SHARES_PROCESS: Final = ("solo", "thread", "gevent", "eventlet")
_SHOWN_ALONE: Final = ("instance_id",)


def _workers_answer(facts: Facts) -> Finding:
    workers = _workers(facts)
    if workers:
        return ok(f"{many(len(workers), 'worker')} answered: {some([one.name for one in workers])}")
    cure = (
        f"start one: {facts.celery} worker; does it use this broker "
        f"({facts.here.broker})? Give it longer with --timeout"
    )
    since = facts.now_ms - _LATELY_MS if facts.fleet else 0
    if any(
        fact.kind == "started" and fact.at_ms >= since and not is_instance(fact.by)
        for fact in facts.history or ()
    ):
        return warning("none answered, and runs began in the last five minutes: all busy?", cure)
    return problem("none answered", cure)


def _same_store(facts: Facts) -> Finding:
    told = [worker for worker in _workers(facts) if worker.prefix]
    if not told:
        return unknown("no worker told")
    mute = [f"{w.name}: {w.store_error}" for w in told if w.store_error]
    other = [f"{w.name}: {w.prefix}" for w in told if w.prefix != facts.prefix]
    if other:
        return problem(
            f"workers lock under another prefix than beats: {some(other)}",
            f"one singleton_beat_key_prefix for all; here it is {facts.prefix}",
        )
    if mute:
        return problem(
            f"workers cannot reach their store: {some(mute)}",
            "let them reach it: singleton_beat_redis_url, network, password",
        )
    elsewhere = [f"{w.name}: {w.address}" for w in told if w.address != facts.address]
    if elsewhere:
        return warning(
            f"workers name the store otherwise: {some(elsewhere)}; here it is {facts.address}",
            "see that it is the same server and database, under two names",
        )
    return ok(f"{many(len(told), 'worker')} on {facts.address} under {facts.prefix}")


def _settings_in_force(facts: Facts) -> Finding:
    ours = {
        declared.name: getattr(facts.settings, declared.name)
        for declared in fields(facts.settings)
        if declared.repr and declared.name not in _SHOWN_ALONE
    }
    names = {declared.name: key_of(declared) for declared in declared_settings()}
    lines = [
        f"{worker.name}: {names[name]} gives {worker.settings[name]}, here {value}"
        for worker in facts.workers or ()
        for name, value in ours.items()
        if name in worker.settings and name in names and worker.settings[name] != value
    ]
    if lines:
        return warning(
            "workers have other settings than this process",
            "one configuration and one environment for all; restart what has the old one",
            *lines,
        )
    changed = [
        f"{names[declared.name]} gives {ours[declared.name]}"
        for declared in declared_settings()
        if declared.name in ours and ours[declared.name] != declared.default
    ]
    if not changed:
        return ok("all settings have their defaults")
    return ok(f"{many(len(changed), 'setting')} other than by default", *changed)


def _outage_policy(facts: Facts) -> Finding:
    if facts.settings.on_store_outage == "run":
        return warning(
            "while the store is away tasks run unlocked, on every worker that gets a message",
            'singleton_beat_on_store_outage = "retry", unless this is wanted',
        )
    return ok(f"while the store is away runs do: {facts.settings.on_store_outage}")


def _lock_keys(facts: Facts) -> Finding:
    if facts.task_errors:
        cure = "correct the task's options by what is said"
        return problem(some(list(facts.task_errors)), cure, *facts.task_errors)
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for worker in facts.workers or ():
        for task, key in worker.lock_keys.items():
            owners[key].add(task)
    shared = {key: sorted(tasks) for key, tasks in owners.items() if len(tasks) > 1}
    if shared:
        return problem(
            f"tasks of different workers have one lock key: {some(sorted(shared))}",
            "give each task a lock_key of its own, or leave lock_key out",
            *(f"{key}: {', '.join(tasks)}" for key, tasks in sorted(shared.items())),
        )
    return ok("no two tasks have the same lock_key")


def _lock_ttl(facts: Facts) -> Finding:
    assert facts.counts is not None  # noqa: S101  # the check needs it
    counts, ttl_ms = facts.counts, facts.settings.lock_ttl_ms
    begun, lost = counts["started"], counts["lost"]
    longest = counts.run_time.percentile(1) or 0
    ttls = {"": ttl_ms}
    for worker in facts.workers or ():
        ttls.update(worker.lock_ttls)
    if lost:
        return _lost(facts, f"{lost} of {begun} runs lost their lease (TTL {duration(ttl_ms)})")
    long = [f"{task or 'the setting'}: {duration(ms)}" for task, ms in sorted(ttls.items())]
    if max(ttls.values()) > _LONG_TTL_MS:
        return warning(
            f"after a crash a key stays locked for its TTL: {some(long)}",
            "a lease is renewed while its task runs: 30 s is enough for a task of hours",
        )
    if min(ttls.values()) < _SHORT_TTL_MS:
        return warning(
            f"a pause of the process as long as its TTL loses the lease: {some(long)}",
            "singleton_beat_lock_ttl = 30",
        )
    if not counts.run_time.count:
        return ok(f"TTL {duration(ttl_ms)}, renewed while the task runs; no run was measured yet")
    return ok(
        f"TTL {duration(ttl_ms)}, renewed while the task runs; the longest run took "
        f"{duration(longest)}, and no lease was lost"
    )


def _lost(facts: Facts, found: str) -> Finding:
    by = sorted(((c["lost"], key) for key, c in facts.by_key.items() if c["lost"]), reverse=True)
    sharing = [w.name for w in facts.workers or () if _shares(w)]
    cure = (
        "raise singleton_beat_lock_ttl (or lock_ttl of the task) above the longest pause of a "
        "worker; see the store's connection"
    )
    if sharing:
        cure += (
            f"; {some(sharing)}: in this pool the task and the renewal share a process, so a body "
            "must give way within the TTL, or run in prefork"
        )
    return warning(found, cure, *(f"{key}: {lost} lost" for lost, key in by[:20]))


def _visibility(facts: Facts) -> Finding:
    if facts.visibility_ms is None:
        return ok(f"broker {facts.transport or 'unknown'} has no visibility timeout")
    limit = facts.visibility_ms
    found = f"messages come again after {duration(limit)}"
    cure = 'broker_transport_options = {"visibility_timeout": SECONDS}, above the longest run'
    longest = (facts.counts.run_time.percentile(1) or 0) if facts.counts else 0
    if limit < _SHORT_VISIBILITY_MS:
        return warning(f"{found}: what waits so long in a worker goes to another too", cure)
    if longest <= limit:
        return ok(f"{found}; the longest run took {duration(longest)}" if longest else found)
    if facts.transport in _HELD_BACK:
        return ok(
            f"{found}, and a run took {duration(longest)}: workers keep the message of a "
            "SingletonTask that runs from coming again; a plain task that takes so long runs twice"
        )
    return warning(
        f"{found}, and a run took {duration(longest)}: its message came again meanwhile", cure
    )


def _contention(facts: Facts) -> Finding:
    crowded = [
        f"{key}: {counts['skipped']} of {counts['skipped'] + counts['started']} runs gave way"
        for key, counts in facts.by_key.items()
        if counts["skipped"] + counts["started"] >= _ENOUGH
        and counts["skipped"] > counts["started"]
    ]
    if crowded:
        return warning(
            f"most runs find their key held: {some(crowded)}",
            'let them run less often or at other times; on_locked = "retry" with lock_retries '
            "lets them wait; a finer lock_key lets them run side by side",
            *crowded[:20],
        )
    return ok("no key turns most of its runs away")


def _crashes(facts: Facts) -> Finding:
    assert facts.counts is not None  # noqa: S101  # the check needs it
    died, given_up = facts.counts["rerun"], facts.counts["given up"]
    if given_up:
        return problem(
            f"{many(given_up, 'run')} given up: their workers died each time",
            "look into the workers' logs (out of memory? a hard time limit?); the history names "
            "them",
        )
    if died:
        return warning(
            f"{many(died, 'run')} published again because workers died",
            "look into the workers' logs: out of memory?",
        )
    return ok("no run was published again because its worker died")


def _shares(worker: Worker) -> bool:
    return any(name in worker.pool for name in _SHARES_PROCESS)


def _workers(facts: Facts) -> tuple[Worker, ...]:
    assert facts.workers is not None  # noqa: S101  # the check needs it
    return facts.workers


_WORKERS: Final = ("workers",)
_APP: Final = ("has_app",)

CHECKS: Final = (
    Check(
        "workers-answer",
        "At least one worker answers Celery's remote control.",
        "Start one, on the same broker. A solo worker that is busy cannot answer.",
        _workers_answer,
        _WORKERS,
    ),
    Check(
        "workers-store",
        "Workers use the same store and prefix as beats, and reach it.",
        "One `singleton_beat_redis_url` and `singleton_beat_key_prefix` for all.",
        _same_store,
        _WORKERS,
    ),
    Check(
        "settings",
        "The settings in force that are not defaults; workers have the same as this process.",
        "One configuration for all processes.",
        _settings_in_force,
        _APP,
    ),
    Check(
        "store-outage",
        "What runs do while the store is away: not run unlocked.",
        '`singleton_beat_on_store_outage = "retry"`',
        _outage_policy,
        _APP,
    ),
    Check(
        "lock-keys",
        "No two tasks have the same `lock_key`, in this app and in what workers tell.",
        "A `lock_key` for each, or none.",
        _lock_keys,
        _APP,
    ),
    Check(
        "lock-ttl",
        "No lease was lost; no TTL is so long that a crash blocks its key, nor so short that a "
        "pause loses it. A TTL need not cover a run: it is renewed.",
        "`singleton_beat_lock_ttl = 30`, or more where a worker pauses for longer.",
        _lock_ttl,
        ("has_app", "counts"),
    ),
    Check(
        "visibility-timeout",
        "Broker and visibility timeout against the longest run. On Redis workers hold back the "
        "messages of SingletonTasks that run.",
        '`broker_transport_options = {"visibility_timeout": …}`',
        _visibility,
        _APP,
    ),
    Check(
        "contention",
        "No lock key turns most of its runs away.",
        'Other times, `on_locked = "retry"`, a finer `lock_key`.',
        _contention,
        ("counts",),
    ),
    Check(
        "crashes",
        "No run was begun again, or given up, because its worker died.",
        "The workers' logs.",
        _crashes,
        ("counts",),
    ),
)
