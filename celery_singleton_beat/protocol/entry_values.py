"""The values of an entry's fields: what is accepted, and what is kept of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from celery_singleton_beat.errors import (
    ConfigurationError,
    EntryError,
    EntryTooNew,
    UnreadableEntry,
)
from celery_singleton_beat.protocol.codec import SEPARATOR
from celery_singleton_beat.protocol.recurrences.bounds import datetime_of, instant_of
from celery_singleton_beat.setting_values import (
    DAY_MS,
    Bool,
    Int,
    Kind,
    Seconds,
    choice_of,
    did_you_mean,
    is_countable,
    shortened,
)

CatchUpWord = Literal["latest", "all", "none"]
OverlapWord = Literal["allow", "skip", "queue"]
DeliveryWord = Literal["at_least_once", "at_most_once"]

LONGEST_NAME: Final = 200
LONGEST_TEXT: Final = 2000
LARGEST_DEFINITION: Final = 1_000_000
_DEEPEST: Final = 100

KINDS: Final[dict[str, Kind]] = {
    "catch_up": choice_of(CatchUpWord),
    "catch_up_max": Int(1),
    "overlap": choice_of(OverlapWord),
    "delivery": choice_of(DeliveryWord),
    "max_runs": Int(1),
    "enabled": Bool(),
}

_NOT_OPTIONS: Final = frozenset(
    {
        *("task_id", "root_id", "parent_id", "group_id", "group_index", "chord", "retries"),
        *("producer", "publisher", "connection", "router", "route_name", "task_type"),
        *("reply_to", "correlation_id", "add_to_parent", "replaced_task_nesting"),
    }
)
_NOT_HEADERS: Final = frozenset(
    {
        *("lang", "task", "id", "root_id", "parent_id", "group", "group_index", "retries", "meth"),
        *("eta", "expires", "timelimit", "origin", "shadow", "ignore_result", "argsrepr"),
        *("kwargsrepr", "replaced_task_nesting", "stamps", "stamped_headers"),
    }
)

_SECONDS: Final = Seconds()
_LARGEST_NUMBER: Final = 10**4000
_SCALARS: Final = frozenset({str, int, bool, type(None)})


def name_text(given: object, what: str, *, may_be_empty: bool = False) -> str:
    """A name: printable, and at most 200 bytes of UTF-8."""
    if not isinstance(given, str):
        raise EntryError(
            f"{what} must be a text, not {shortened(repr(given))} ({type(given).__name__})"
        )
    if not given and not may_be_empty:
        raise EntryError(f"{what} is empty")
    if not given.isprintable():
        raise EntryError(
            f"{what} {shortened(repr(given))} must be printable: no line breaks, no control codes"
        )
    if len(given) * 4 > LONGEST_NAME and (size := len(given.encode())) > LONGEST_NAME:
        raise EntryError(f"{what} {given[:40]!r}… has {size} bytes; {LONGEST_NAME} at most")
    return given


def record_name(given: object, what: str) -> str:
    """A name that also stands inside a record, or none."""
    name = name_text(given, what, may_be_empty=True)
    if SEPARATOR in name:
        raise EntryError(f"{what} {name!r} may not have a {SEPARATOR!r} in it")
    return name


def free_text(given: object, what: str) -> str:
    """A text for people, of any characters that can be stored."""
    if not isinstance(given, str):
        raise EntryError(
            f"{what} must be a text, not {shortened(repr(given))} ({type(given).__name__})"
        )
    if len(given) > LONGEST_TEXT:
        raise EntryError(f"{what} of {len(given)} characters is too long: {LONGEST_TEXT} at most")
    if "\0" in given or not is_encodable(given):
        raise EntryError(f"{what} {given[:40]!r} holds characters that cannot be stored")
    return given


def is_encodable(text: str) -> bool:
    """Whether a text has a UTF-8 form: half a surrogate pair has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def duration(given: object, what: str, *, may_be_zero: bool = False) -> float | timedelta:
    """A duration in seconds, as it was given; above a day, a timedelta.

    Raises:
        EntryError: it is no duration, or a bare number of more than a day.
    """
    if may_be_zero and given in (0, timedelta(0)) and given is not False:
        return 0
    try:
        milliseconds = _SECONDS.check(given, what)
    except ConfigurationError as error:
        raise EntryError(str(error)) from error
    if milliseconds > DAY_MS:
        return timedelta(milliseconds=milliseconds)
    return seconds_number(milliseconds)


def seconds_number(milliseconds: int) -> float:
    """A number of seconds: whole if it is."""
    whole, rest = divmod(milliseconds, 1000)
    return milliseconds / 1000 if rest else whole


def duration_ms(seconds: float | timedelta) -> int:
    """A duration, in milliseconds."""
    if isinstance(seconds, timedelta):
        return seconds // timedelta(milliseconds=1)
    return round(seconds * 1000)


def read_version(data: Mapping[str, Any], known: int) -> dict[str, Any]:
    """The fields of a stored definition, if its version is the known one, or it tells none.

    Raises:
        EntryTooNew: it is of a later version.
        UnreadableEntry: it is of none.
    """
    given = dict(data)
    version = given.pop("version", known)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise UnreadableEntry(f"{_named(given)} has no known version: {shortened(version)}")
    if version > known:
        raise EntryTooNew(
            f"{_named(given)} is of version {shortened(version)}, and this release reads "
            f"{known}: update it"
        )
    return given


def check_fields(
    given: Mapping[str, Any], known: Mapping[str, Any], required: tuple[str, ...]
) -> None:
    """Let a definition have the fields that there are, and at least those it must have.

    Raises:
        UnreadableEntry: it has others, or too few.
    """
    what = _named(given)
    for name in given:
        if name not in known:
            hint = did_you_mean(str(name), known)
            raise UnreadableEntry(f"{what} has an unknown field {shortened(repr(name))}{hint}")
    for name in required:
        if given.get(name) is None:
            raise UnreadableEntry(f"{what} needs a {name!r}")


def _named(given: Mapping[str, Any]) -> str:
    return f"entry {shortened(repr(given.get('name')))}"


def read_duration(data: object, what: str) -> object:
    """A duration of a stored definition, which was checked when it was given."""
    if isinstance(data, int | float) and not isinstance(data, bool) and is_countable(data):
        with suppress(OverflowError):
            return timedelta(seconds=data) if abs(data) * 1000 > DAY_MS else data
    raise UnreadableEntry(f"{what} must be seconds, not {shortened(data)}")


def moment(given: object, what: str) -> datetime:
    """An aware datetime, in UTC and whole milliseconds."""
    return datetime_of(instant_of(given, what))


def read_moment(data: str, what: str) -> datetime:
    """A datetime of a stored definition."""
    try:
        return datetime.fromisoformat(data)
    except ValueError:
        raise UnreadableEntry(
            f"{what} must be written as 2026-01-31T09:00:00+00:00, not {shortened(repr(data))}"
        ) from None


def check_options(options: Mapping[str, Any]) -> None:
    """Let options say where and how a message is sent, and not that it is another one.

    A definition may come from a tenant: a message under the id of somebody else's run, in
    somebody else's chord or for another task than is shown would reach beyond its own entry.

    Raises:
        EntryError: the text names the option or the header.
    """
    for name in options:
        if name in _NOT_OPTIONS:
            raise EntryError(f"options may not hold {name!r}: it is set for each message by itself")
    headers = options.get("headers")
    if not headers:
        return
    if not isinstance(headers, Mapping):
        raise EntryError(f"options['headers'] must be a mapping, not {type(headers).__name__}")
    for name in headers:
        if name in _NOT_HEADERS or name.startswith("singleton_"):
            raise EntryError(
                f"options['headers'] may not hold {name!r}: it is set for each message by itself"
            )


class _TooDeep(Exception):
    """Deeper than any Python that we run on can read on a busy stack."""


def payload(value: Any, what: str) -> Any:
    """A copy of arguments or options, made of what JSON knows.

    Raises:
        EntryError: the text names the path to what JSON does not know.
    """
    try:
        return plain(value, what)
    except (RecursionError, _TooDeep):
        raise EntryError(f"{what} is nested too deeply to be stored") from None


def plain(value: Any, path: str, depth: int = 0) -> Any:
    """A copy of a value, made of what JSON knows: equal to what would be read back.

    Raises:
        EntryError: the text names the path to what JSON does not know.
    """
    kind = type(value)
    if kind is str and not value.isascii() and not is_encodable(value):
        raise EntryError(f"{path} holds characters that cannot be stored")
    if kind is int and abs(value) > _LARGEST_NUMBER:
        raise EntryError(f"{path} is a number of too many digits to be stored")
    if kind in _SCALARS:
        return value
    if kind is float and math.isfinite(value):
        return value
    if depth > _DEEPEST:
        raise _TooDeep
    if isinstance(value, list | tuple):
        return [plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _plain_mapping(value, path, depth)
    if isinstance(value, str | int):  # such as an enum of texts
        return json.loads(json.dumps(value))
    raise EntryError(
        f"{path} is {_shown(value)} ({kind.__name__}), which JSON does not know: "
        "give text, numbers, true, false, None, lists and mappings of these"
    )


def _plain_mapping(given: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
    for key in given:
        if type(key) is not str:
            raise EntryError(
                f"{path} has the key {key!r} ({type(key).__name__}): "
                "an entry is stored as JSON, where keys are texts"
            )
        plain(key, f"the key of {path}")
    return {key: plain(item, f"{path}[{key!r}]", depth + 1) for key, item in given.items()}


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}…"  # noqa: PLR2004
