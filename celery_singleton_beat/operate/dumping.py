"""The stored timetable as one document: written, checked, and put back.

The document holds the definitions of stored entries, what is paused and why, and the
limits of tenants. It does not hold what a store finds out by itself: revisions,
times of runs, how often an entry ran. An entry that is put back where it is not is
planned from then on, as one that is new.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.adapters.entry import Entry
from celery_singleton_beat.errors import ConfigurationError, EntryError
from celery_singleton_beat.protocol.entry_values import record_name
from celery_singleton_beat.protocol.limits import TenantLimits
from celery_singleton_beat.setting_values import did_you_mean

if TYPE_CHECKING:
    from celery_singleton_beat.operate.reading import Reading

FORMAT: Final = "celery-singleton-beat timetable"
VERSION: Final = 1

_HEAD: Final = ("format", "version", "app", "exported_at", "paused", "tenants", "entries")
_OF_ENTRY: Final = ("definition", "paused", "note", "changed_by")
_OF_TENANT: Final = ("name", "paused", "limits")
_MOST_ERRORS: Final = 20


@dataclass(frozen=True)
class Wanted:
    """How one entry shall be."""

    entry: Entry
    is_paused: bool = False
    note: str = ""


@dataclass(frozen=True)
class WantedTenant:
    """How one tenant shall be; ``limits`` None: the default."""

    name: str
    is_paused: bool = False
    limits: TenantLimits | None = None


@dataclass
class Dump:
    """A document, read: everything in it is usable."""

    is_paused: bool = False
    tenants: list[WantedTenant] = field(default_factory=list)
    entries: list[Wanted] = field(default_factory=list)


def head_of(reading: Reading) -> dict[str, Any]:
    """Write all of a document but its entries."""
    fleet = reading.fleet()
    return {
        "format": FORMAT,
        "version": VERSION,
        "app": fleet.app,
        "exported_at": fleet.now.isoformat(),
        "paused": fleet.is_paused,
        "tenants": [
            {
                "name": tenant.name,
                "paused": tenant.is_paused,
                "limits": tenant.to_data()["limits"] if tenant.has_own_limits else None,
            }
            for tenant in sorted(reading.tenants(), key=lambda tenant: tenant.name)
        ],
    }


def entries_of(reading: Reading, unreadable: list[str]) -> Iterator[dict[str, Any]]:
    """Write the entries of a document, page by page; those that cannot be read are named."""
    for row in reading.stored_entries():
        if row.entry is None:
            unreadable.append(row.name)
        else:
            yield {
                "definition": row.entry.to_data(),
                "paused": row.paused,
                "note": row.note,
                "changed_by": row.changed_by,
            }


def read_dump(data: object) -> Dump:
    """Read a document, all of it.

    Raises:
        EntryError: it is none, or something in it cannot be used; the text says what.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise EntryError(f"this is no document that `export` wrote: its 'format' is not {FORMAT!r}")
    if data.get("version") != VERSION:
        raise EntryError(
            f"the document has version {data.get('version')!r}, and this release reads {VERSION}: "
            "restore it with the release that wrote it, or a newer one"
        )
    errors: list[str] = []
    dump = Dump(_flag(data, "paused", "the document", errors))
    _check_fields(data, _HEAD, "the document", errors)
    for number, given in _items(data, "tenants", errors):
        tenant = _tenant(given, f"tenant {number}", errors)
        if tenant is not None:
            dump.tenants.append(tenant)
    for number, given in _items(data, "entries", errors):
        wanted = _wanted(given, f"entry {number}", errors)
        if wanted is not None:
            dump.entries.append(wanted)
    _check_once("tenant", [tenant.name for tenant in dump.tenants], errors)
    _check_once("entry", [wanted.entry.name for wanted in dump.entries], errors)
    if errors:
        more = f" (and {len(errors) - _MOST_ERRORS} more)" if len(errors) > _MOST_ERRORS else ""
        raise EntryError("nothing was restored: " + "; ".join(errors[:_MOST_ERRORS]) + more)
    return dump


def _wanted(given: object, what: str, errors: list[str]) -> Wanted | None:
    if not isinstance(given, dict) or not isinstance(given.get("definition"), Mapping):
        errors.append(f"{what} must be an object with a 'definition'")
        return None
    _check_fields(given, _OF_ENTRY, what, errors)
    try:
        entry = Entry.from_data(given["definition"])
    except (ConfigurationError, TypeError) as error:
        errors.append(f"{what}: {error}")
        return None
    what = f"entry {entry.name!r}"
    note = _text(given, "note", what, errors)
    return Wanted(entry, _flag(given, "paused", what, errors), note)


def _tenant(given: object, what: str, errors: list[str]) -> WantedTenant | None:
    if not isinstance(given, dict) or not given.get("name"):
        errors.append(f"{what} must be an object with a 'name'")
        return None
    _check_fields(given, _OF_TENANT, what, errors)
    name = _text(given, "name", what, errors)
    limits = given.get("limits")
    try:
        record_name(name, "name")
        read = None if limits is None else TenantLimits.from_json(json.dumps(limits))
    except (ConfigurationError, TypeError) as error:
        errors.append(f"tenant {name!r}: {error}")
        return None
    return WantedTenant(name, _flag(given, "paused", f"tenant {name!r}", errors), read)


def _items(data: Mapping[str, Any], name: str, errors: list[str]) -> Iterator[tuple[int, Any]]:
    found = data.get(name, [])
    if not isinstance(found, list):
        errors.append(f"{name!r} must be a list")
        return
    yield from enumerate(found, 1)


def _flag(data: Mapping[str, Any], name: str, what: str, errors: list[str]) -> bool:
    value = data.get(name, False)
    if not isinstance(value, bool):
        errors.append(f"{name!r} of {what} must be true or false, not {value!r}")
    return value is True


def _text(data: Mapping[str, Any], name: str, what: str, errors: list[str]) -> str:
    value = data.get(name, "")
    if not isinstance(value, str):
        errors.append(f"{name!r} of {what} must be a text, not {value!r}")
        return ""
    return value


def _check_fields(
    data: Mapping[str, Any], known: tuple[str, ...], what: str, errors: list[str]
) -> None:
    errors.extend(
        f"{what} has an unknown field {name!r}{did_you_mean(str(name), known)}"
        for name in data
        if name not in known
    )


def _check_once(what: str, names: list[str], errors: list[str]) -> None:
    twice = [name for name, many in Counter(names).items() if many > 1]
    errors.extend(f"{what} {name!r} is there twice" for name in sorted(twice))
