"""``preview``: what will be due."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from celery_singleton_beat.operate.completion import complete_entry, complete_tenant
from celery_singleton_beat.operate.given import Span
from celery_singleton_beat.operate.given import moment as moment_given
from celery_singleton_beat.operate.output import (
    WRONG,
    Column,
    command,
    note,
    stop,
    table,
    the_reading,
)
from celery_singleton_beat.operate.words import moment

if TYPE_CHECKING:
    from celery_singleton_beat.operate.coming import Coming
    from celery_singleton_beat.operate.tables import Value


@command(
    "preview",
    examples="""
    preview --days 7
    preview acme:nightly --start 2026-03-28 --days 3
    preview --tenant acme --days 0.5 --json
    """,
)
@click.argument("names", nargs=-1, shell_complete=complete_entry)
@click.option("--tenant", shell_complete=complete_tenant, help="Only this tenant's entries.")
@click.option(
    "--days",
    type=Span(0, 3660, min_open=True),
    default=7.0,
    show_default=True,
    help="For so many days.",
)
@click.option("--start", type=moment_given, help="From this time on; now if left out.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    help="List so many at most.",
)
@click.option(
    "--most-entries",
    type=click.IntRange(1, 1_000_000),
    default=10_000,
    show_default=True,
    help="Refuse if there are more entries to look at.",
)
def preview(
    *,
    names: tuple[str, ...],
    tenant: str | None,
    days: float,
    start: datetime | None,
    limit: int,
    most_entries: int,
) -> None:
    """List what will be due in the next days.

    Of some entries, a tenant's, or the whole timetable, in their order. Entries
    that are paused, disabled or unusable have nothing to come.
    """
    if names and tenant is not None:
        stop("give names, or --tenant: not both", WRONG)
    reading = the_reading()
    begin = reading.now() if start is None else start
    try:
        end = begin + timedelta(days=days)
    except OverflowError:
        stop(f"no time is {days} days after {begin}: the last year is 9999", WRONG)
    entries = list(islice(reading.scheduled(names, tenant), most_entries + 1))
    if len(entries) > most_entries:
        stop(
            f"there are more than {most_entries} entries, and so many would be looked at at once: "
            "name some, or a --tenant, or allow it with --most-entries"
        )
    from celery_singleton_beat.operate.coming import coming  # noqa: PLC0415  not for --help

    found = list(islice(coming(entries, begin, end), limit + 1))
    if len(found) > limit:
        last = moment(found[limit - 1].scheduled)
        note(f"Only the first {limit}, until {last} UTC, are listed: --limit lists more.")
    columns = [
        Column("scheduled (UTC)"),
        Column("entry", may_fold=True),
        Column("task", may_fold=True),
        Column("dispatched (UTC)"),
    ]
    table(columns, found[:limit], _row, _data, empty="Nothing is due in that time.")


def _row(one: Coming) -> list[Value]:
    at = moment(one.due) if one.due != one.scheduled else ""
    return [moment(one.scheduled), one.name, one.task, at]


def _data(one: Coming) -> dict[str, Any]:
    return {
        "name": one.name,
        "task": one.task,
        "scheduled": one.scheduled.isoformat(),
        "due": one.due.isoformat(),
    }
