"""An entry that is carried over from another scheduler, with the time of its last run.

Runs in: whatever process changes the timetable.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from celery.schedules import BaseSchedule, schedule

from celery_singleton_beat.adapters.convert import own_zone_name
from celery_singleton_beat.adapters.entry import Entry
from celery_singleton_beat.engine.reconcile import Row
from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.protocol.recurrences.wallclock import zone_name

if TYPE_CHECKING:
    from celery import Celery

_OF_CELERY: Final = "celery.backend_cleanup"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


def carried(
    app: Celery,
    fields: Mapping[str, Any],
    since: datetime | None,
    *,
    has_run: bool = True,
    may_be_configured: bool = False,
) -> Row:
    """Make a row of an entry's fields and of the time since which its scheduler owes runs.

    ``since`` is its last run, or if ``has_run`` is false whatever it counts
    from (None: as for a new entry). Its rule, if it is an object of Celery's, is
    in the zone of that object, or the app's.
    """
    name = str(fields["name"])
    if name == _OF_CELERY:
        return Row(name, None, "every beat adds it by itself")
    if not may_be_configured and name in (app.conf.beat_schedule or {}):
        return Row(
            name,
            None,
            "it is in beat_schedule, from where it is dispatched: to store it, take it out "
            "there and use import_beat_schedule",
        )
    try:
        entry = Entry(**_in_zone(app, fields))
    except EntryError as error:
        return Row(name, None, str(error))
    except (TypeError, ValueError, OverflowError) as error:
        return Row(name, None, f"entry {name!r} cannot be read: {error}")
    if since is None:
        return Row(name, entry)
    aware = since if since.tzinfo is not None else since.replace(tzinfo=timezone.utc)
    return Row(name, entry, since_ms=(aware - _EPOCH) // timedelta(milliseconds=1), has_run=has_run)


def relative(rule: Any) -> Any:
    """Make an interval relative, as an entry of Celery's says beside it."""
    if isinstance(rule, schedule) and type(rule) is schedule:
        rule = rule.run_every
    if isinstance(rule, int | float):
        rule = timedelta(seconds=rule)
    return schedule(rule, relative=True) if isinstance(rule, timedelta) else rule


def stored_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Make options of what JSON knows: times as text, durations as seconds."""
    return {name: _stored(value) for name, value in (options or {}).items() if value is not None}


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else value


def _in_zone(app: Celery, fields: Mapping[str, Any]) -> dict[str, Any]:
    rule = fields["recurrence"]
    if fields.get("timezone") is not None or not isinstance(rule, BaseSchedule):
        return dict(fields)
    return {**fields, "timezone": own_zone_name(rule) or zone_name(app.timezone)}
