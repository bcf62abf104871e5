"""Checks of the timetable: entries that cannot be used, and how dispatching goes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

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
from celery_singleton_beat.protocol.history import LeftOut

if TYPE_CHECKING:
    from celery_singleton_beat.operate.doctor.facts import Facts
    from celery_singleton_beat.operate.entry_rows import EntryRow
    from celery_singleton_beat.protocol.history import Fact

_LATELY_MS: Final = 3_600_000


def _usable(facts: Facts) -> Finding:
    rows = _entries(facts)
    broken = [row for row in rows if row.state == "unusable"]
    if broken:
        names = some([row.name for row in broken])
        return problem(
            f"{many(len(broken), 'entry', 'entries')} cannot be used: {names}",
            f"correct what is said of each, in beat_schedule or with {facts.command} update NAME",
            *(f"{row.name}: {row.problem}" for row in broken[:20]),
        )
    more = f", of which {len(rows)} were looked at" if facts.has_more_entries else ""
    total = (facts.fleet.stored if facts.fleet else 0) if more else len(rows)
    return ok(f"{many(total, 'entry', 'entries')}{more}; all can be used")


def _set_aside(facts: Facts) -> Finding:
    assert facts.server is not None  # noqa: S101  # the check needs it
    count = facts.server.set_aside
    if count is None:
        return (
            ok("memory:// keeps none")
            if facts.is_in_memory
            else unknown("the server does not tell")
        )
    if not count:
        return ok("none")
    return warning(
        f"{many(count, 'record')} could not be read and stand aside: something else writes under "
        f"{facts.prefix}, or a newer release did",
        f"look at them (HGETALL {facts.prefix}:aside), then remove them (DEL {facts.prefix}:aside)",
    )


def _known_tasks(facts: Facts) -> Finding:
    tasks: defaultdict[str, list[str]] = defaultdict(list)
    for row in _entries(facts):
        # What is Celery's own every worker has, and it does not say so.
        if row.state not in ("unusable", "disabled", "ended") and not row.task.startswith(
            "celery."
        ):
            tasks[row.task].append(row.name)
    assert facts.workers is not None  # noqa: S101  # the check needs it
    if not facts.workers:
        return unknown("no worker answered")
    known = frozenset[str]().union(*(worker.tasks for worker in facts.workers))
    missing = sorted(tasks.keys() - known)
    if missing:
        return problem(
            f"no worker knows the tasks {some(missing)}",
            "import their modules in the workers (the app's imports or include, "
            "autodiscover_tasks), correct the name in the entry, or start the workers that have "
            "them",
            *(f"{task}: entries {some(tasks[task])}" for task in missing[:20]),
        )
    return ok(f"{many(len(tasks), 'task')} of entries, and a worker knows each")


def _broker(facts: Facts) -> Finding:
    if facts.broker_error:
        return problem(
            f"{facts.here.broker} does not answer: {facts.broker_error}",
            "let it run and be reached from here, with the right password; broker_url says "
            "where it is",
        )
    return ok(f"{facts.here.broker} answers")


def _dispatch_errors(facts: Facts) -> Finding:
    since = facts.now_ms - _LATELY_MS
    failed = [
        fact
        for fact in facts.history or ()
        if fact.kind in ("dispatch_failed", "dropped") and fact.at_ms >= since
    ]
    if failed:
        return warning(
            f"{many(len(failed), 'occurrence')} could not be sent in the last hour",
            f"correct the entry by what is said of it ({facts.command} show NAME)",
            *(f"{fact.entry}: {fact.note or fact.kind}" for fact in failed[:20]),
        )
    if not facts.settings.history:
        return unknown("singleton_beat_history is 0: nothing is remembered")
    return ok("none in the last hour")


def _superseded(facts: Facts) -> Finding:
    since = facts.now_ms - _LATELY_MS
    left_out = [
        fact for fact in facts.history or () if fact.kind == "superseded" and fact.at_ms >= since
    ]
    lost = sorted({fact.entry for fact in left_out if not _stands(fact)})
    if lost:
        return warning(
            f"nothing ran in the last hour for occurrences that came too late, of {some(lost)}",
            "something stood still then: see lag, broker and the beats' logs. "
            'singleton_beat_catch_up = "latest" or "all" and a longer '
            "singleton_beat_catch_up_window run what was missed",
        )
    if left_out:
        names = sorted({fact.entry for fact in left_out})
        return ok(f"in the last hour later ones stood for those left out, of {some(names)}")
    return ok("none in the last hour")


def _stands(fact: Fact) -> bool:
    """Tell whether a later occurrence stands for what was left out, or there is a reason."""
    return bool(LeftOut.from_note(fact.note).by)


def _lateness(facts: Facts) -> Finding:
    assert facts.counts is not None  # noqa: S101  # the check needs it
    lag = facts.counts.lag
    if not lag.count:
        return unknown("nothing was dispatched yet, or singleton_beat_statistics is 0")
    p50, p99 = lag.percentile(0.5) or 0, lag.percentile(0.99) or 0
    found = f"of {lag.count} occurrences half were published within {duration(p50)}"
    found += f", 99 % within {duration(p99)} (jitter included)"
    if p50 > _LATE_MS and lag.count >= _ENOUGH:
        return warning(
            found,
            "start more beats or move them nearer to the store; spread entries that are due in "
            "the same second with jitter",
        )
    return ok(found)


_LATE_MS: Final = 5000
_ENOUGH: Final = 20
"""Of fewer occurrences nothing is concluded: the first ones wait for whatever is just starting."""


def _entries(facts: Facts) -> tuple[EntryRow, ...]:
    assert facts.entries is not None  # noqa: S101  # the check needs it
    return facts.entries


CHECKS: Final = (
    Check(
        "broker",
        "The broker answers.",
        "Start it, correct `broker_url`.",
        _broker,
        ("has_app",),
    ),
    Check(
        "entries-usable",
        "Every entry can be read: cron expressions, time zones, intervals, limits.",
        "Correct what is said of it.",
        _usable,
        ("entries",),
    ),
    Check(
        "records-aside",
        "No record in the store was unreadable and set aside.",
        "Look at `{prefix}:aside`; find who else writes there.",
        _set_aside,
        ("server",),
    ),
    Check(
        "tasks-known",
        "Every task of an entry is registered with a worker that answers.",
        "Import its module in the workers, or correct the name.",
        _known_tasks,
        ("entries", "workers"),
    ),
    Check(
        "dispatch-errors",
        "No occurrence failed to be sent in the last hour.",
        "Correct the entry: its arguments cannot be serialized, its queue does not exist.",
        _dispatch_errors,
        ("fleet", "history"),
    ),
    Check(
        "left-out",
        "No occurrence was missed in the last hour without a later one in its place.",
        "See what stood still; `singleton_beat_catch_up` and its window say what is made good.",
        _superseded,
        ("fleet", "history"),
    ),
    Check(
        "lateness",
        "Half of all occurrences (if twenty or more) were published within 5 seconds.",
        "More beats, a nearer store, jitter.",
        _lateness,
        ("counts",),
    ),
)
