"""``status`` and ``replicas``: how a deployment stands."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from celery_singleton_beat.operate.output import (
    Cell,
    Column,
    command,
    note,
    record,
    table,
    the_reading,
)
from celery_singleton_beat.operate.words import duration, moment, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_singleton_beat.operate.fleet_view import FleetView, ReplicaRow
    from celery_singleton_beat.operate.tables import Value

_LATE_MS = 10_000
_OFF_MS = 1000
_SHORT = 8


@command("status", examples="status\nstatus --json")
def status() -> None:
    """Tell how the deployment stands: replicas, timetable, store.

    The most overdue entry tells the lag: a beat that lives dispatches within a
    second. `replicas` lists the beats, `doctor` looks for causes.
    """
    reading = the_reading()
    fleet = reading.fleet()
    if reading.extension.is_in_memory:
        note("The store is memory://, which each process has for itself: this is an empty one.")
    pairs = list(_pairs(fleet, len(reading.config.timings)))
    record(pairs, fleet.to_data())
    if any(isinstance(value, Cell) and value.tone in {"bad", "warning"} for _, value in pairs):
        note("`singleton doctor` looks for the cause, and says what to do.")


@command("replicas", examples="replicas\nreplicas --json")
def replicas() -> None:
    """List the beats and the configurations that they have.

    While a deploy is under way there are two configurations, and only beats of
    the one that governs dispatch the entries of beat_schedule. Stored entries are
    dispatched by all. Clocks are those of the beats' hosts, by the store's.
    """
    fleet = the_reading().fleet()
    columns = [
        Column("replica", may_fold=True),
        Column("state"),
        Column("configuration"),
        Column("heard of"),
        Column("reports for"),
        Column("clock"),
        Column("versions", may_fold=True),
    ]

    def row(replica: ReplicaRow) -> list[Value]:
        ours = ", this app's" if replica.configuration == fleet.own else ""
        return [
            replica.name,
            Cell("alive", "good") if replica.is_alive else Cell("silent", "bad"),
            Cell(f"{replica.configuration[:_SHORT]}, governs{ours}")
            if replica.governs
            else Cell(f"{replica.configuration[:_SHORT]}, stands by{ours}", "warning"),
            f"{duration(replica.silent_ms)} ago",
            duration(replica.reports_for_ms),
            _clock(replica.about.ahead_ms),
            ", ".join(f"{name} {version}" for name, version in replica.about.versions.items()),
        ]

    empty = "No beat was heard of: start one, with the same store and prefix."
    table(columns, fleet.replicas, row, asdict, empty=empty)


def _clock(ahead_ms: int | None) -> Cell:
    """Tell how far a host's clock is off: nothing rests on it, but people read its logs."""
    if ahead_ms is None or abs(ahead_ms) < _OFF_MS:
        return Cell("" if ahead_ms is None else "right")
    side = "ahead" if ahead_ms > 0 else "behind"
    return Cell(f"{duration(abs(ahead_ms))} {side}", "warning")


def _pairs(fleet: FleetView, own: int) -> Iterator[tuple[str, Value]]:
    yield "store", f"{fleet.store} prefix {fleet.prefix} app {fleet.app}"
    yield "time there", f"{moment(fleet.now)} UTC"
    yield "replicas", _replicas(fleet)
    yield "governs", _governs(fleet, has_own=own > 0)
    yield "dispatching", _dispatching(fleet)
    # What was taken out of a configuration keeps its record, in case it comes back.
    configured = own if fleet.governor == fleet.own else fleet.planned
    stored = f"{configured} of beat_schedule, {fleet.stored} stored"
    yield "entries", stored + (f" of {fleet.tenants} tenants" if fleet.tenants else "")
    yield (
        "runs",
        ", ".join(
            f"{count} {what}"
            for count, what in (
                (fleet.queued, "queued"),
                (fleet.locks, "lock keys held"),
                (fleet.awaited, "awaited to begin"),
                (fleet.crashable, "to be rerun if their workers die"),
                (fleet.requests, "requests open"),
            )
        ),
    )
    if fleet.is_reborn:
        since = moment(fleet.born_at)
        yield "memory", Cell(f"the store came back empty at {since} UTC: is it kept?", "warning")


def _replicas(fleet: FleetView) -> Cell:
    alive, all_known = len(fleet.alive), len(fleet.replicas)
    if not alive:
        return Cell("none alive: nothing is dispatched", "bad")
    silent = f", {all_known - alive} silent" if all_known > alive else ""
    return Cell(f"{alive} alive{silent}", "warning" if silent else "good")


def _governs(fleet: FleetView, *, has_own: bool) -> Cell:
    if fleet.governor is None:
        return Cell("no configuration yet", "warning")
    text = shown(fleet.governor[:_SHORT])
    if not has_own:
        return Cell(text)
    if fleet.governor != fleet.own:
        return Cell(f"{text}, which is not the beat_schedule of this app here", "warning")
    if fleet.configurations > 1:
        return Cell(f"{text}, that of this app; other replicas have another", "warning")
    return Cell(f"{text}, that of this app")


def _dispatching(fleet: FleetView) -> Cell:
    if fleet.is_paused:
        return Cell("everything is paused (resume --all)", "warning")
    if fleet.late_ms > _LATE_MS:
        return Cell(f"late: something is due since {duration(fleet.late_ms)}", "bad")
    return Cell("in time", "good")
