"""``run-now``, ``backfill``, ``requests`` and ``cancel``: runs that are asked for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from celery_singleton_beat.operate.completion import complete_entry, complete_request
from celery_singleton_beat.operate.given import moment as moment_given
from celery_singleton_beat.operate.output import (
    Column,
    command,
    done,
    stop,
    table,
    the_reading,
    the_timetable,
    who_option,
)
from celery_singleton_beat.operate.words import moment

if TYPE_CHECKING:
    from celery_singleton_beat.engine.asking import RunRequest
    from celery_singleton_beat.operate.tables import Value

_request_id = click.option(
    "--request-id", help="An id of your own: with the same one it is asked for once."
)


@command("run-now", examples="run-now acme:nightly\nrun-now cleanup --request-id ticket-4711")
@click.argument("name", shell_complete=complete_entry)
@_request_id
@who_option
def run_now(*, name: str, request_id: str | None, by: str) -> None:
    """Let an entry run once, at once.

    Beside the timetable, which goes on as if nothing had been asked for. Entries of
    beat_schedule can be run, too.
    """
    task_id = the_timetable().run_now(name, by=by, request_id=request_id)
    done(f"Entry {name!r} runs as task {task_id}.", {"name": name, "task_id": task_id})


@command(
    "backfill",
    examples="""
    backfill acme:daily 2026-01-01 2026-01-31
    backfill acme:daily 2026-01-01T00:00+01:00 now --most 500000 --request-id ticket-4711
    """,
)
@click.argument("name", shell_complete=complete_entry)
@click.argument("start", type=moment_given)
@click.argument("end", type=moment_given)
@click.option(
    "--most",
    type=click.IntRange(1, 1_000_000_000),
    default=100_000,
    show_default=True,
    help="Refuse if there are more occurrences.",
)
@_request_id
@who_option
def backfill(
    *, name: str, start: datetime, end: datetime, most: int, request_id: str | None, by: str
) -> None:
    """Let an entry run for all its occurrences of a time past.

    From START to END, both included; a time without a zone is in UTC, a date is its
    midnight. They are published oldest first. `requests` tells how far it is.
    """
    request = the_timetable().backfill(name, start, end, most=most, by=by, request_id=request_id)
    text = f"Entry {name!r} will run {request.count} times (request {request.id})."
    if not request.count:
        text = f"Entry {name!r} has no occurrence in that time: nothing was asked for."
    done(text, _data(request))


@command("requests", examples="requests\nrequests acme:daily --json")
@click.argument("name", required=False, shell_complete=complete_entry)
def requests(*, name: str | None) -> None:
    """List the runs that are asked for and not published yet."""
    found = sorted(the_reading().requests(name), key=lambda one: str(one.asked_at))
    columns = [
        Column("request", may_fold=True),
        Column("entry", may_fold=True),
        Column("what"),
        Column("done", is_number=True),
        Column("of", is_number=True),
        Column("next (UTC)"),
        Column("asked (UTC)"),
        Column("by"),
    ]
    table(columns, found, _row, _data, empty="Nothing is asked for.")


@command("cancel", examples="cancel ticket-4711")
@click.argument("request_id", shell_complete=complete_request)
@who_option
def cancel(*, request_id: str, by: str) -> None:
    """Publish nothing more of a request.

    What is queued already still runs.
    """
    if not the_timetable().cancel(request_id, by=by):
        stop(f"there is no open request {request_id!r}: it is over, or was never made")
    done(f"Request {request_id!r} is cancelled.", {"request": request_id, "cancelled": True})


def _row(request: RunRequest) -> list[Value]:
    return [
        request.id,
        request.name,
        "backfill" if request.is_backfill else "run now",
        request.done,
        request.count,
        moment(request.next_at),
        moment(request.asked_at),
        request.asked_by,
    ]


def _data(request: RunRequest) -> dict[str, Any]:
    return {
        "request": request.id,
        "name": request.name,
        "kind": "backfill" if request.is_backfill else "run now",
        "start": request.start.isoformat(),
        "end": request.end.isoformat(),
        "count": request.count,
        "done": request.done,
        "next_at": request.next_at and request.next_at.isoformat(),
        "asked_at": request.asked_at and request.asked_at.isoformat(),
        "asked_by": request.asked_by,
    }
