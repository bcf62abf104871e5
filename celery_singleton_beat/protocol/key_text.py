"""Texts of lock keys: one text for all values that are equal.

A value counts as its text, so that it is the same whether the caller wrote an
object or a serializer left a text of it: a UUID and its string; a datetime, date
or time and its ISO string, aware ones in UTC; bytes and what they say in UTF-8;
an Enum and its value. Numbers that are equal in Python have one text (``True``,
``1``, ``1.0`` and ``Decimal("1.00")`` are ``1``). Collections are written as JSON
of such texts: mappings by their keys, which count as JSON writes them, sets in
order, tuples as lists. A number and the text of it are one value, too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

LONGEST: Final = 200
"""How many bytes of UTF-8 a key may have; of a longer one a part is kept, and a digest."""

_DIGEST: Final = 32
_MOST_DIGITS: Final = 400
_A_DAY: Final = date(2000, 1, 2)
_UUID_TEXT: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE_TEXT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT_TEXT: Final = re.compile(
    r"(?:([0-9]{4}-[0-9]{2}-[0-9]{2})[T ])?"
    r"([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:[.,]([0-9]{1,9}))?"
    r"(?:([Zz])|([+-][0-9]{2}):?([0-9]{2})?)?"
)


def text_of(value: object) -> str:
    """Write a value: equal values, and what serializers make of them, have one text.

    Raises:
        TypeError: it has no text that another process would write, too.
    """
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write(value)
    text = str(value)
    if " at 0x" in text:
        msg = f"a {type(value).__name__} has no text of its own: name one of its attributes"
        raise TypeError(msg)
    return text


def bounded(key: str) -> str:
    """Shorten a key that is too long for a store; two different ones stay different."""
    # A text of JSON may hold half a surrogate pair, which UTF-8 cannot.
    raw = key.encode("utf-8", "backslashreplace")
    if len(raw) > LONGEST:
        digest = hashlib.sha256(raw).hexdigest()[:_DIGEST]
        return f"{raw[: LONGEST - 1 - _DIGEST].decode('utf-8', 'ignore')}#{digest}"
    return raw.decode()


def moment_of(text: str) -> datetime | date | time | None:
    """Read an ISO text of a moment; None if it is none."""
    try:
        if _DATE_TEXT.fullmatch(text):
            return date.fromisoformat(text)
        found = _MOMENT_TEXT.fullmatch(text)
        if found is None:
            return None
        day, minutes, seconds, fraction, is_utc, hours, rest = found.groups()
        # Written anew, because fromisoformat reads little else before Python 3.11.
        clock = f"{minutes}{seconds or ':00'}.{(fraction or '')[:6]:0<6}"
        if is_utc:
            clock += "+00:00"
        elif hours:
            clock += f"{hours}:{rest or '00'}"
        return datetime.fromisoformat(f"{day}T{clock}") if day else time.fromisoformat(clock)
    except ValueError:
        return None


def _enum(member: Enum) -> str:
    return text_of(member.value)


def _text(text: str) -> str:
    text = str.__str__(text)  # a subclass may write itself otherwise
    if _UUID_TEXT.fullmatch(text):
        return text.lower()
    # Cheaper than the whole pattern for what is no moment.
    if text[2:3] == ":" or text[4:5] == "-":
        moment = moment_of(text)
        if isinstance(moment, datetime | time):
            return _moment(moment)
    return text


def _moment(moment: datetime | time) -> str:
    if moment.utcoffset() is None:
        return moment.isoformat()
    try:
        if isinstance(moment, datetime):
            return moment.astimezone(timezone.utc).isoformat()
        return datetime.combine(_A_DAY, moment).astimezone(timezone.utc).timetz().isoformat()
    except OverflowError:  # in the first or the last hours that a datetime can say
        return moment.isoformat()


def _int(number: int) -> str:
    return f"{number:d}"


def _float(number: float) -> str:
    # Zero is added because of -0.0.
    return f"{number + 0.0:.0f}" if number.is_integer() else float.__repr__(number)


def _decimal(number: Decimal) -> str:
    if number.is_nan():
        return "nan"
    nearest = float(number)
    if nearest == number:
        return _float(nearest)
    if abs(number.adjusted()) > _MOST_DIGITS:
        return str(number)
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _bytes(given: bytes | bytearray | memoryview) -> str:
    raw = bytes(given)
    try:
        return _text(raw.decode())
    except UnicodeDecodeError:
        return raw.hex()


def _mapping(given: Mapping[Any, object]) -> str:
    members = (f"{_quoted(_name(key))}:{_member(value)}" for key, value in given.items())
    return "{" + ",".join(sorted(members)) + "}"


def _set(given: AbstractSet[Any]) -> str:
    return "[" + ",".join(sorted(map(_member, given))) + "]"


def _sequence(given: Iterable[object]) -> str:
    return "[" + ",".join(map(_member, given)) + "]"


def _member(value: object) -> str:
    return text_of(value) if isinstance(value, _COLLECTIONS) else _quoted(text_of(value))


def _name(key: object) -> str:
    """Write the key of a mapping as JSON does, which makes it a text."""
    if key is None or isinstance(key, bool | float):
        return json.dumps(key)
    return text_of(key)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_COLLECTIONS: Final = (Mapping, AbstractSet, list, tuple, deque)
# In this order: a member of an IntEnum is a number too, and a datetime is a date.
_WRITERS: Final[tuple[tuple[Any, Callable[[Any], str]], ...]] = (
    (Enum, _enum),
    (str, _text),
    (int, _int),
    (float, _float),
    (Decimal, _decimal),
    (UUID, str),
    ((datetime, time), _moment),
    ((bytes, bytearray, memoryview), _bytes),
    (Mapping, _mapping),
    (AbstractSet, _set),
    ((list, tuple, deque), _sequence),
)
