"""Checks of beats: whether they live, dispatch, and share a store and a timetable."""

from __future__ import annotations

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
from celery_singleton_beat.operate.entry_rows import OVERDUE_MS
from celery_singleton_beat.operate.words import duration

if TYPE_CHECKING:
    from celery_singleton_beat.operate.doctor.facts import Facts
    from celery_singleton_beat.operate.fleet_view import FleetView
    from celery_singleton_beat.protocol.about import About
    from celery_singleton_beat.store.server_port import Neighbour

_SCHEDULERS: Final = ("singleton", "celery_singleton_beat")


def _beat_alive(facts: Facts) -> Finding:
    fleet = _fleet(facts)
    names = [replica.name for replica in fleet.alive]
    if names:
        return ok(f"{len(names)} alive: {some(names)}")
    silent = [f"{r.name}, silent since {duration(r.silent_ms)}" for r in fleet.replicas]
    start = f"{facts.celery} beat"
    if not _is_ours(facts.scheduler):
        start += " -S singleton"
    elsewhere = [one.prefix for one in _same_app(facts)]
    if elsewhere:
        start = (
            f"beats of this app run under {some(elsewhere)}: give them and this process the "
            f"same singleton_beat_key_prefix; else start one: {start}"
        )
    return problem("none: nothing is dispatched", start, *silent)


def _scheduler(facts: Facts) -> Finding:
    if facts.settings.dry_run:
        return warning(
            "beats with these settings are dry runs: they claim and send nothing",
            "singleton_beat_dry_run = False",
        )
    if _is_ours(facts.scheduler):
        return ok(f"beat_scheduler is {facts.scheduler}")
    found = f"beat_scheduler is {facts.scheduler}: a beat started without -S singleton runs alone"
    return warning(found, 'beat_scheduler = "celery_singleton_beat:SingletonScheduler"')


def _same_prefix(facts: Facts) -> Finding:
    assert facts.server is not None  # noqa: S101  # the check needs it
    if facts.server.neighbours is None:
        return unknown(f"the server does not tell: {facts.server.untold.get('PUBSUB', '')}")
    others = _same_app(facts)
    cure = (
        f"one singleton_beat_key_prefix ({facts.prefix}) for all beats, workers and clients of "
        "an environment, and another broker for another environment"
    )
    rivals = [one for one in others if _publishes_here(facts, one)]
    if rivals:
        return problem(
            f"beats of app {facts.app!r} run under {_listed(rivals)} too, and publish to the "
            "same broker: its timetable is dispatched once under each",
            cure,
            *_lines(rivals),
        )
    strangers = [one for one in others if not any(about.broker for about in one.replicas)]
    if strangers:
        return warning(
            f"beats of app {facts.app!r} run under {_listed(strangers)} too, and do not tell "
            "where they publish",
            cure,
            *_lines(strangers),
        )
    if not facts.server.neighbours:
        return ok(f"{facts.prefix}, and no beat listens under another on this server")
    return ok(
        f"{facts.prefix}; other beats on this server are other apps', or publish elsewhere",
        *_lines(list(facts.server.neighbours)),
    )


def _same_database(facts: Facts) -> Finding:
    assert facts.server is not None  # noqa: S101  # the check needs it
    alive, listeners = len(_fleet(facts).alive), facts.server.listeners
    if listeners is None:
        return unknown(f"the server does not tell: {facts.server.untold.get('PUBSUB', '')}")
    if listeners > alive:
        return problem(
            f"{listeners} beats listen under {facts.prefix} on this server, and {alive} report "
            "here: the others use another database number, hang, or have just started",
            f"one singleton_beat_redis_url for all ({facts.address}); look again in a minute, and "
            "restart what hangs",
        )
    return ok(f"no beat listens under {facts.prefix} that does not report here")


def _same_configuration(facts: Facts) -> Finding:
    fleet = _fleet(facts)
    if not fleet.alive:
        return unknown("no beat is alive")
    if fleet.configurations > 1:
        behind = [f"{r.name} stands by" for r in fleet.alive if not r.governs]
        return warning(
            f"live beats have {fleet.configurations} different timetables; those of one of them "
            "dispatch",
            "a deploy that goes on ends this by itself; else restart the beats of the old "
            "release (replicas tells which)",
            *behind,
        )
    if facts.has_app and fleet.governor != fleet.own:
        return warning(
            "the beats have another beat_schedule than this app here",
            "restart the beats with this release, or run this command with theirs",
        )
    return ok(f"all beats{', and this app here,' if facts.has_app else ''} have the same timetable")


def _lag(facts: Facts) -> Finding:
    fleet = _fleet(facts)
    if fleet.is_paused:
        return ok("all is paused, so nothing is due")
    if fleet.late_ms <= OVERDUE_MS:
        return ok("nothing is overdue")
    found = f"something is due since {duration(fleet.late_ms)} and not dispatched"
    if not fleet.alive:
        return problem(found, "start a beat: see beat-alive")
    return problem(
        found,
        "look into the beats' logs: they reach the broker? (broker) an entry that fails? "
        f"(dispatch-errors); {facts.command} entries --overdue tells which",
    )


def _paused(facts: Facts) -> Finding:
    fleet = _fleet(facts)
    if fleet.is_paused:
        return warning("everything is paused", f"{facts.command} resume --all")
    stopped = [row.name for row in facts.entries or () if row.state == "paused"]
    if facts.paused_tenants:
        names = some(list(facts.paused_tenants))
        resume = f"{facts.command} resume --all --tenant {facts.paused_tenants[0]}"
        return warning(f"tenants are paused: {names}", resume)
    if stopped:
        return warning(f"entries are paused: {some(stopped)}", f"{facts.command} resume NAME")
    return ok("nothing is paused")


def _same_app(facts: Facts) -> list[Neighbour]:
    neighbours = facts.server.neighbours if facts.server else None
    return [one for one in neighbours or () if one.app == facts.app]


def _publishes_here(facts: Facts, one: Neighbour) -> bool:
    return any(about.broker == facts.here.broker for about in one.replicas)


def _listed(neighbours: list[Neighbour]) -> str:
    return some([one.prefix for one in neighbours])


def _lines(neighbours: list[Neighbour]) -> list[str]:
    def told(about: About) -> str:
        return f"{about.host} process {about.pid} to {about.broker}" if about.host else "untold"

    return [
        f"{one.prefix}: app {one.app or 'unknown'}, {one.listeners} listening; "
        + some([told(about) for about in one.replicas] or ["nothing told"])
        for one in neighbours
    ]


def _is_ours(name: str) -> bool:
    return name.startswith(_SCHEDULERS)


def _fleet(facts: Facts) -> FleetView:
    assert facts.fleet is not None  # noqa: S101  # the check needs it
    return facts.fleet


_FLEET: Final = ("fleet",)

CHECKS: Final = (
    Check(
        "beat-alive",
        "At least one beat reports.",
        "Start one, with the same store and prefix.",
        _beat_alive,
        _FLEET,
    ),
    Check(
        "beat-scheduler",
        "`beat_scheduler` is ours, so that no beat runs on its own; and no dry run.",
        '`beat_scheduler = "celery_singleton_beat:SingletonScheduler"`',
        _scheduler,
        ("has_app",),
    ),
    Check(
        "lag",
        "Nothing is due that was not dispatched.",
        "The beats' logs; `entries --overdue`.",
        _lag,
        _FLEET,
    ),
    Check(
        "paused",
        "Nothing is paused: all, a tenant, an entry.",
        "`singleton resume`",
        _paused,
        _FLEET,
    ),
    Check(
        "same-prefix",
        "No beats of this app run under another prefix of the same server and publish to the "
        "same broker. They are found by the channel that every beat listens to.",
        "One `singleton_beat_key_prefix` for all processes of an environment.",
        _same_prefix,
        ("server",),
    ),
    Check(
        "same-database",
        "No more beats listen than report: the others would be on another database number.",
        "One `singleton_beat_redis_url` for all.",
        _same_database,
        ("server", "fleet"),
    ),
    Check(
        "same-configuration",
        "All live beats have the same `beat_schedule`, and this app here too.",
        "Finish the deploy: restart what has the old one.",
        _same_configuration,
        _FLEET,
    ),
)
