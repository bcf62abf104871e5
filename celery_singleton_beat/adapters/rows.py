"""Rows of other people's databases, and events about them, read as entries.

Runs in: whatever process changes the timetable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from celery_singleton_beat.adapters.entry import Entry
from celery_singleton_beat.engine.reconcile import Row
from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.protocol import definition

_OTHER_NAMES: Final = {
    "id": "name",
    "scheduleId": "name",
    "schedule_id": "name",
    "tenantId": "tenant",
    "tenant_id": "tenant",
    "customerId": "tenant",
    "customer_id": "tenant",
    "cron": "recurrence",
    "cronExpression": "recurrence",
    "cron_expression": "recurrence",
    "tz": "timezone",
}
_LEFT_OUT: Final = ("created_at", "createdAt", "updated_at", "updatedAt")
_IDENTITIES: Final = ("id", "scheduleId", "schedule_id", "name")
_TRANSLATED: Final = frozenset({*_OTHER_NAMES, *_LEFT_OUT, "payload"})


class Told(NamedTuple):
    """An event, read: the entry as it is now, or the name of one that was removed."""

    name: str
    entry: definition.Entry | None


def entry_of(row: object, source: str, defaults: Mapping[str, Any]) -> definition.Entry:
    """Read a row: an Entry, or a mapping with the fields of one.

    What a row leaves out or has as None comes from ``defaults``. These other
    names are known: ``id`` (then it is the entry's name, and ``name`` its
    description), ``tenantId``, ``customerId``, ``cron``, ``cronExpression``,
    ``tz`` and ``payload`` (a mapping: the task's kwargs; else its one
    argument), most of them with underscores too. ``created_at`` and
    ``updated_at`` are left out.

    Raises:
        EntryError: it is no entry; the text says why.
    """
    if isinstance(row, definition.Entry):
        return row.of_source(source)
    given = _mapping(row)
    fields = given if _TRANSLATED.isdisjoint(given) else _translated(given)
    return Entry.from_data({**defaults, **_given(fields), "source": source})


def rows_of(rows: Any, source: str, defaults: Mapping[str, Any]) -> Iterator[Row]:
    """Read rows, or what a callable returns; those that are no entry say why."""
    found: Iterable[object] = rows() if callable(rows) else rows
    for row in found:
        try:
            entry = entry_of(row, source, defaults)
        except EntryError as error:
            yield Row(name_of(row), None, str(error))
        else:
            yield Row(entry.name, entry)


def name_of(row: object) -> str:
    """Name a row, as far as it can be named."""
    if isinstance(row, definition.Entry):
        return row.name
    if isinstance(row, Mapping):
        for field in _IDENTITIES:
            if row.get(field) not in (None, ""):
                return str(row[field])
    return ""


def told_of(event: object, source: str, defaults: Mapping[str, Any]) -> Told:
    """Read an event, or its JSON: of type created, updated or deleted.

    Raises:
        EntryError: it is none, or its schedule is no entry; the text says why.
    """
    if isinstance(event, str | bytes | bytearray):
        try:
            event = json.loads(event)
        except ValueError as error:
            msg = f"an event must be JSON, not {str(event)[:80]!r}"
            raise EntryError(msg) from error
    if not isinstance(event, Mapping):
        msg = f"an event must be a mapping with a 'type', not {event!r}"
        raise EntryError(msg)
    kind, schedule = event.get("type"), event.get("schedule")
    if kind not in {"created", "updated", "deleted"}:
        msg = f"an event's 'type' must be 'created', 'updated' or 'deleted', not {kind!r}"
        raise EntryError(msg)
    if kind == "deleted":
        name = (
            name_of(event) or name_of(schedule) or (schedule if isinstance(schedule, str) else "")
        )
        if not name:
            msg = "an event of type 'deleted' needs a 'scheduleId', or a 'schedule' with an 'id'"
            raise EntryError(msg)
        return Told(name, None)
    if schedule is None:
        msg = f"an event of type {kind!r} needs a 'schedule'"
        raise EntryError(msg)
    entry = entry_of(schedule, source, defaults)
    return Told(entry.name, entry)


def _mapping(row: object) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    named = getattr(row, "_mapping", None)  # a row of SQLAlchemy's
    if isinstance(named, Mapping):
        return named
    msg = f"a row must be an Entry or a mapping with its fields, not {type(row).__name__}: {row!r}"
    raise EntryError(msg[:300])


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _translated(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give a row's fields our names."""
    fields: dict[str, Any] = {}
    origin: dict[str, str] = {}
    own_names = dict(_OTHER_NAMES)
    if any(row.get(field) is not None for field in _IDENTITIES[:3]):
        own_names["name"] = "description"
    for key, given in row.items():
        is_spoken_for = key == "name" and row.get("description") is not None and "name" in own_names
        if key in _LEFT_OUT or given is None or is_spoken_for:
            continue
        to, value = _field(own_names.get(key, key), given)
        if to in fields:
            msg = f"row {name_of(row)!r} has both {origin[to]!r} and {key!r}: give one of them"
            raise EntryError(msg)
        fields[to], origin[to] = value, key
    return fields


def _field(to: str, given: Any) -> tuple[str, Any]:
    if to == "payload":
        return ("kwargs", given) if isinstance(given, Mapping) else ("args", [given])
    if to in {"name", "tenant"} and isinstance(given, int | UUID):
        return to, str(given)
    return to, given
