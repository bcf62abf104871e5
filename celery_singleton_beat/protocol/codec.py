"""Records as text: how a slot, a run, a lock and a replica are written down.

A record is one string: a version, then its fields, joined by ``|``. Lua reads
it with one pattern, a person reads it with ``HGET``, and compare-and-set on a
record is compare-and-set on a string. Integers are decimal, an absent one is
``-1``. The last field of a record may hold any text.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "1"
SEPARATOR: Final = "|"
ABSENT: Final = -1


class Unreadable(ValueError):
    """A record that no release of ours wrote, or a newer one did."""


def join(*fields: str | int) -> str:
    """Write a record."""
    return SEPARATOR.join((VERSION, *map(str, fields)))


def split(text: str, count: int) -> list[str]:
    """Read a record of ``count`` fields.

    Raises:
        Unreadable: another version, or another number of fields.
    """
    version, *fields = text.split(SEPARATOR, count)
    if version != VERSION or len(fields) != count:
        msg = f"not a record of version {VERSION} with {count} fields: {text[:80]!r}"
        raise Unreadable(msg)
    return fields


def clean(text: str) -> str:
    """Make free text safe to stand in a record and in a log line."""
    return "".join(c if c.isprintable() and c != SEPARATOR else "?" for c in text)[:200]
