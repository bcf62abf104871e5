"""``entries`` and ``show``: the timetable as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, get_args

import click

from celery_singleton_beat.operate.completion import complete_entry, complete_tenant
from celery_singleton_beat.operate.entry_rows import State
from celery_singleton_beat.operate.output import (
    Cell,
    Column,
    command,
    note,
    record,
    table,
    the_reading,
)
from celery_singleton_beat.operate.words import duration, moment

if TYPE_CHECKING:
    from celery_singleton_beat.operate.entry_rows import EntryDetail, EntryRow
    from celery_singleton_beat.operate.reading import Reading
    from celery_singleton_beat.operate.tables import Tone, Value

_TONES: dict[str, Tone] = {
    "on": "good",
    "unusable": "bad",
    "not planned": "warning",
    "disabled": "dim",
    "ended": "dim",
}
_COLUMNS = [
    Column("name", may_fold=True),
    Column("task", may_fold=True),
    Column("when", may_fold=True),
    Column("state"),
    Column("next (UTC)"),
    Column("last (UTC)"),
    Column("runs", is_number=True),
    Column("tenant"),
]


@command(
    "entries",
    examples="entries\nentries --tenant acme --state paused\nentries --overdue --json",
)
@click.option("--tenant", shell_complete=complete_tenant, help="Only this tenant's.")
@click.option("--source", help="Only those of this source.")
@click.option("--config", "kind", flag_value="config", help="Only those of beat_schedule.")
@click.option("--stored", "kind", flag_value="stored", help="Only stored ones.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(get_args(State)),
    help="Only those in this state; repeatable.",
)
@click.option("--overdue", is_flag=True, help="Only those that should have run already.")
@click.option("--task", help="Only those of this task.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000_000),
    default=1000,
    show_default=True,
    help="At most so many.",
)
def entries(
    *,
    tenant: str | None,
    source: str | None,
    kind: str | None,
    states: tuple[str, ...],
    overdue: bool,
    task: str | None,
    limit: int,
) -> None:
    """List the entries of the timetable.

    Those of beat_schedule are as this app has them. A state is on, paused,
    "tenant paused", "all paused", disabled, ended (nothing is to come), "not planned" (no
    beat knows it yet) or unusable (`show` says why).
    """
    reading = the_reading()

    def found() -> Iterator[EntryRow]:
        for entry in reading.entries(tenant=tenant, source=source):
            if kind not in (None, entry.kind) or (states and entry.state not in states):
                continue
            if (overdue and not entry.is_overdue) or task not in (None, entry.task):
                continue
            yield entry

    rows = list(islice(found(), limit + 1))
    if len(rows) > limit:
        note(f"There are more than {limit}: --limit shows more, and filters find what is meant.")
    if tenant is None and source is None and kind != "stored":
        _tell_of_others(reading)
    rows = sorted(rows[:limit], key=lambda entry: entry.name)
    table(_COLUMNS, rows, _row, lambda entry: entry.to_data(), empty="No entry is so.")


@command("show", examples="show acme:nightly\nshow acme:nightly --next 3 --json")
@click.argument("name", shell_complete=complete_entry)
@click.option(
    "--next",
    "count",
    type=click.IntRange(0, 1000),
    default=5,
    show_default=True,
    help="How many runs to come.",
)
def show(name: str, count: int) -> None:
    """Show all of one entry, and its next runs."""
    detail = the_reading().entry(name, count=count)
    record(_pairs(detail), detail.to_data())


def _tell_of_others(reading: Reading) -> None:
    fleet = reading.fleet()
    if fleet.governor not in (None, fleet.own):
        note(
            "The beats have another beat_schedule than this app here: what is listed of it is "
            "what this app knows."
        )


def _row(entry: EntryRow) -> list[Value]:
    return [
        entry.name,
        entry.task,
        entry.recurrence + ("" if entry.timezone in ("", "UTC") else f" {entry.timezone}"),
        _state(entry),
        moment(entry.next_at),
        moment(entry.last_at),
        entry.runs,
        entry.tenant,
    ]


def _state(entry: EntryRow) -> Cell:
    if entry.is_overdue:
        return Cell(f"late {duration(entry.late_ms)}", "bad")
    return Cell(entry.state, _TONES.get(entry.state, "warning"))


def _pairs(detail: EntryDetail) -> Iterator[tuple[str, Value]]:
    entry = detail.row
    yield "name", entry.name
    yield "description", entry.description
    yield "kind", "of beat_schedule" if entry.kind == "config" else "stored"
    yield "state", _state(entry)
    yield "problem", Cell(entry.problem, "bad") if entry.problem else None
    yield "note", entry.note
    yield "task", entry.task
    yield "when", f"{entry.recurrence}, {entry.timezone}" if entry.recurrence else None
    told = ("name", "task", "recurrence", "timezone", "version", "description")
    for field, value in detail.definition.items():
        if field not in told:
            yield field.replace("_", " "), value if isinstance(value, str) else json.dumps(value)
    yield "last run (UTC)", moment(entry.last_at)
    yield "runs", entry.runs
    for number, (scheduled, due) in enumerate(detail.next_runs):
        jitter = "" if due == scheduled else f", dispatched {moment(due)}"
        yield "" if number else "next runs (UTC)", moment(scheduled) + jitter
    if entry.revision:
        by = f" by {entry.changed_by}" if entry.changed_by else ""
        yield "revision", f"{entry.revision}, changed {moment(entry.changed_at)} UTC{by}"
