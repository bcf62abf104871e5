"""Time zones by name, as entries and settings give them."""

from __future__ import annotations

import difflib
from datetime import tzinfo
from zoneinfo import ZoneInfo, available_timezones

from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.setting_values import shortened

_LONGEST_TYPO = 100


def zone_of(zone: object, entry_name: str) -> tzinfo:
    """The time zone of a name of the IANA database; a zone object is its own.

    Raises:
        EntryError: there is no such zone; the text offers names that are near.

    """
    if isinstance(zone, tzinfo):
        return zone
    if not isinstance(zone, str):
        raise EntryError(
            f"entry {entry_name!r}: timezone {shortened(repr(zone))} is of type "
            f"{type(zone).__name__}; give a name such as 'Europe/Rome' or a tzinfo object"
        )
    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as exc:
        raise EntryError(
            f"entry {entry_name!r}: unknown time zone {shortened(repr(zone))}; {_way_out(zone)}"
        ) from exc


def _way_out(zone: str) -> str:
    names = sorted(available_timezones())
    if len(zone) > _LONGEST_TYPO:
        return f"a name has {_LONGEST_TYPO} characters at most"
    if not names:
        return "this host has no time zone database: pip install tzdata"
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.rpartition("/")[2].casefold(), name)
    folded |= {name.casefold(): name for name in names}
    wanted = zone.strip().casefold().replace(" ", "_")
    near = dict.fromkeys(folded[key] for key in difflib.get_close_matches(wanted, folded, n=3))
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return "give a name of the IANA database such as 'Europe/Rome' or 'UTC'"
