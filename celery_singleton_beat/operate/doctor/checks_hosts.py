"""Checks of hosts: whether their clocks are right, and the same releases are installed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.operate.doctor.finding import (
    Check,
    Finding,
    ok,
    problem,
    some,
    unknown,
    warning,
)
from celery_singleton_beat.operate.words import duration

if TYPE_CHECKING:
    from celery_singleton_beat.operate.doctor.facts import Facts

WRONG_MS: Final = 1000
VERY_WRONG_MS: Final = 30_000

_OURS: Final = ("celery-singleton-beat", "celery", "redis")


def _clock_here(facts: Facts) -> Finding:
    if facts.here.ahead_ms is None:
        return unknown(facts.untold.get("round_trip_ms", "the store does not tell its time"))
    return _clock([f"this host ({facts.here.host})"], [facts.here.ahead_ms])


def _clock_elsewhere(facts: Facts) -> Finding:
    told = {name: about for name, about in facts.replicas.items() if about.ahead_ms is not None}
    told |= {w.name: w.about for w in facts.workers or () if w.about.ahead_ms is not None}
    if not told:
        return unknown("no beat and no worker told")
    names = [f"{name} on {about.host}" if about.host else name for name, about in told.items()]
    return _clock(names, [about.ahead_ms or 0 for about in told.values()])


def _same_versions(facts: Facts) -> Finding:
    processes = {**facts.replicas, **{w.name: w.about for w in facts.workers or ()}}
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, about in {**processes, "this process": facts.here}.items():
        for package, installed in about.versions.items():
            found[package][installed].append(name)
    different = {p: by for p, by in found.items() if len(by) > 1}
    lines = [
        f"{package} {installed}: {some(names)}"
        for package, by in sorted(different.items())
        for installed, names in sorted(by.items())
    ]
    if different.keys() & set(_OURS):
        return warning(
            f"processes differ in {', '.join(sorted(different))}",
            "install one set of versions everywhere; a rolling deploy ends this by itself",
            *lines,
        )
    if not any(about.versions for about in processes.values()):
        return unknown("no beat and no worker told")
    ours = ", ".join(f"{name} {facts.here.versions.get(name, '?')}" for name in _OURS)
    return ok(f"{ours} everywhere", *lines)


def _clock(names: list[str], ahead: list[int]) -> Finding:
    """Judge clocks against the store's, by the worst of them."""
    worst = max(map(abs, ahead))
    if worst <= WRONG_MS:
        return ok(f"within {worst} ms of the store's: {some(names)}")
    wrong = [
        f"{name}: {duration(abs(ms))} {'ahead' if ms > 0 else 'behind'}"
        for name, ms in zip(names, ahead, strict=True)
        if abs(ms) > WRONG_MS
    ]
    found = (
        f"{some(wrong)}. What is due is dispatched by the store's clock all the same; eta, "
        "countdown and expires of messages, and the times in logs, go by the host's"
    )
    cure = "timedatectl set-ntp true (or chronyd) on that host, or on the store's if all differ"
    return (problem if worst > VERY_WRONG_MS else warning)(found, cure)


_FLEET: Final = ("fleet",)

CHECKS: Final = (
    Check(
        "same-versions",
        "Beats, workers and this process have the same celery, redis-py and celery-singleton-beat.",
        "Install one set of versions everywhere.",
        _same_versions,
        _FLEET,
    ),
    Check(
        "clock-here",
        "This host's clock is the store's, within a second.",
        "`timedatectl set-ntp true`, or chronyd.",
        _clock_here,
    ),
    Check(
        "clock-elsewhere",
        "The clocks of the beats' and the workers' hosts are the store's, within a second.",
        "The same, on the host that is named.",
        _clock_elsewhere,
        _FLEET,
    ),
)
