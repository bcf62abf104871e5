"""``add``, ``update`` and ``remove``: stored entries made and changed."""

from __future__ import annotations

import difflib
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import click

from celery_singleton_beat.errors import RevisionConflict
from celery_singleton_beat.operate.completion import complete_entry
from celery_singleton_beat.operate.given import (
    FIELD_NAMES,
    field_options,
    given_fields,
    recurrence_of,
)
from celery_singleton_beat.operate.output import (
    NOT_DONE,
    WRONG,
    command,
    confirm,
    done,
    note,
    stop,
    the_app,
    the_timetable,
    who_option,
    yes_option,
)
from celery_singleton_beat.operate.stored_names import see_that_it_is_stored

if TYPE_CHECKING:
    from celery_singleton_beat.adapters.entry import Entry

_queued = click.option(
    "--cancel-queued", is_flag=True, help="Let nothing begin that is queued by its earlier state."
)


@command(
    "add",
    examples="""
    add acme:nightly reports.run '0 2 * * *' --timezone America/New_York --tenant acme
    add sync shop.sync 30 --jitter 5 --overlap skip
    add migrate shop.migrate 2026-12-31T22:00+01:00 --kwargs '{"step": 3}'
    """,
)
@click.argument("name")
@click.argument("task")
@click.argument("when")
@field_options
@click.option("--disabled", is_flag=True, help="Store it without dispatching it.")
@click.option("--replace", is_flag=True, help="Also if there is one of that name already.")
@_queued
@who_option
def add(
    *,
    name: str,
    task: str,
    when: str,
    disabled: bool,
    replace: bool,
    cancel_queued: bool,
    by: str,
    **options: Any,
) -> None:
    """Store a new entry.

    WHEN is a number of seconds, a cron expression, an RRULE, or a time (once). The
    entry is due from now on; storing it fires nothing. Beats hear of it at once.
    """
    from celery_singleton_beat.adapters.entry import Entry  # noqa: PLC0415  not for --help

    given = given_fields(options)
    entry = Entry(name, task, recurrence_of(when), enabled=not disabled, **given)
    _see_that_it_is_free(name)
    revision = None if replace else 0
    try:
        stored = the_timetable().put(
            entry, if_revision=revision, by=by, cancel_queued=cancel_queued
        )
    except RevisionConflict:
        stop(f"there is an entry {name!r} already: `update` changes it, --replace replaces it")
    _warn_if_nobody_knows(entry)
    _tell(name, stored)


@command(
    "update",
    examples="""
    update acme:nightly --when '30 3 * * *' --jitter 60
    update acme:nightly --kwargs '{"customer": "acme"}' --cancel-queued
    update acme:nightly --clear end --clear max-runs
    """,
)
@click.argument("name", shell_complete=complete_entry)
@click.option("--task", help="The task.")
@click.option("--when", help="Seconds, a cron expression, an RRULE, or a time (once).")
@field_options
@click.option(
    "--clear",
    multiple=True,
    type=click.Choice([name.replace("_", "-") for name in FIELD_NAMES]),
    metavar="FIELD",
    help="Let a field be as by default again; repeatable.",
)
@_queued
@who_option
def update(
    *,
    name: str,
    task: str | None,
    when: str | None,
    clear: tuple[str, ...],
    cancel_queued: bool,
    by: str,
    **options: Any,
) -> None:
    """Change some fields of a stored entry.

    What is not given stays as it is, whatever others change meanwhile. A changed
    rule counts from now on, and fires nothing.
    """
    changes = _defaults(clear) | given_fields(options)
    changes |= {} if task is None else {"task": task}
    changes |= {} if when is None else {"recurrence": recurrence_of(when)}
    if not changes:
        stop("nothing is to be changed: give what shall be different, as --jitter 60", WRONG)
    see_that_it_is_stored(name)
    revision = the_timetable().update(name, by=by, cancel_queued=cancel_queued, **changes)
    _tell(name, revision)


@command("remove", examples="remove acme:nightly\nremove acme:nightly acme:hourly --yes")
@click.argument("names", nargs=-1, required=True, shell_complete=complete_entry)
@_queued
@yes_option
def remove(*, names: tuple[str, ...], cancel_queued: bool, yes: bool) -> None:
    """Remove a stored entry.

    Or several. What is queued of it still runs, unless --cancel-queued says otherwise.
    """
    for name in names:
        see_that_it_is_stored(name)
    confirm(f"Remove {_listed(names)} for good?", yes=yes)
    timetable = the_timetable()
    removed = [name for name in names if timetable.remove(name, cancel_queued=cancel_queued)]
    missing = [name for name in names if name not in removed]
    if removed:
        done(f"Removed: {_listed(removed)}.", {"removed": removed, "missing": missing})
    if missing:
        stop(f"there was no stored entry {_listed(missing)}", NOT_DONE)


def _tell(name: str, revision: int) -> None:
    done(f"Entry {name!r} has revision {revision}.", {"name": name, "revision": revision})


def _defaults(clear: tuple[str, ...]) -> dict[str, Any]:
    from celery_singleton_beat.adapters.entry import Entry  # noqa: PLC0415  as above

    cleared = {name.replace("-", "_") for name in clear}
    return {
        field.name: {} if field.default is MISSING else field.default
        for field in fields(Entry)
        if field.name in cleared
    }


def _see_that_it_is_free(name: str) -> None:
    if name in (the_app().conf.beat_schedule or {}):
        stop(f"{name!r} is an entry of beat_schedule: give this one another name", WRONG)


def _warn_if_nobody_knows(entry: Entry) -> None:
    app = the_app()
    app.loader.import_default_modules()
    known = [task for task in app.tasks if not task.startswith("celery.")]
    if known and entry.task not in app.tasks:
        near = difflib.get_close_matches(entry.task, known, 1)
        meant = f" Is {near[0]!r} meant?" if near else ""
        note(f"Warning: this app knows no task {entry.task!r}.{meant}")


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(map(repr, names))
