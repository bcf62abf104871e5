"""A ``beat_schedule``, and what Celery's own beat remembers of it.

Runs in: whatever process changes the timetable.
"""

from __future__ import annotations

import shelve
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, NamedTuple

from celery.beat import ScheduleEntry

from celery_singleton_beat.adapters.entries import OUR_FIELDS, STOCK_FIELDS, read_entry
from celery_singleton_beat.adapters.importing.carried import carried, relative, stored_options
from celery_singleton_beat.engine.reconcile import Row
from celery_singleton_beat.errors import ConfigurationError, EntryError

if TYPE_CHECKING:
    from celery import Celery

    LastRuns = Mapping[str, datetime] | str | PathLike[str] | None


class Since(NamedTuple):
    """Since when an entry's runs are owed, and whether it ran then."""

    at: datetime | None
    has_run: bool = True


def rows_of_beat_schedule(
    app: Celery, beat_schedule: Mapping[str, Any], last_runs: LastRuns, source: str
) -> Iterator[Row]:
    """Read the entries of a ``beat_schedule``.

    Raises:
        ConfigurationError: the file of the last runs cannot be read.
    """
    known = _known(last_runs)
    for name, given in beat_schedule.items():
        try:
            read_entry(app, name, given)
        except EntryError as error:
            yield Row(str(name), None, str(error))
            continue
        since, has_run = known.get(name, Since(None))
        fields = _fields(name, given, source)
        yield carried(app, fields, since, has_run=has_run, may_be_configured=True)


def _known(last_runs: LastRuns) -> dict[str, Since]:
    if last_runs is None:
        return {}
    if isinstance(last_runs, Mapping):
        return {name: Since(at) for name, at in last_runs.items()}
    path = fspath(last_runs)
    try:
        # Celery's beat reads this file in the same way; whoever could write into it has beat.
        with closing(shelve.open(path, flag="r")) as kept:  # noqa: S301
            entries = dict(kept.get("entries") or {})
    except Exception as error:
        msg = f"{path!r} cannot be read as the file of Celery's beat: {error}"
        raise ConfigurationError(msg) from error
    return {
        name: Since(entry.last_run_at, bool(entry.total_run_count))
        for name, entry in entries.items()
    }


def _fields(name: str, given: Any, source: str) -> dict[str, Any]:
    if isinstance(given, ScheduleEntry):
        given = {field: getattr(given, field) for field in STOCK_FIELDS[:5]}
    rule = given["schedule"]
    ours = {field: given[field] for field in OUR_FIELDS if given.get(field) is not None}
    return {
        "name": name,
        "task": given["task"],
        "recurrence": relative(rule) if given.get("relative") else rule,
        "args": list(given.get("args") or ()),
        "kwargs": dict(given.get("kwargs") or {}),
        "options": stored_options(given.get("options")),
        "source": source,
        **ours,
    }
