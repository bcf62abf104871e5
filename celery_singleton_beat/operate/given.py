"""What is typed on a command line, read: times, entries' fields, JSON files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import Any, Final, TextIO, TypeVar, cast

import click

from celery_singleton_beat.operate.completion import complete_tenant

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Span(click.FloatRange):
    """A number in a range, which also "nan" is not in, though it is on neither side of one."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


def moment(text: str) -> datetime:
    """Read a time in ISO 8601; one without a zone is in UTC, as all times that are shown."""
    if text == "now":
        return datetime.now(timezone.utc)
    try:
        # Python 3.10 reads no Z.
        at = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        msg = f"{text!r} is no time: write it as 2026-01-31T09:00, or with +01:00"
        raise click.BadParameter(msg) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)


def seconds(text: str) -> float:
    """Read a number of seconds: whole where it is."""
    try:
        number = float(text)
        timedelta(seconds=number)
    except (ValueError, OverflowError):  # the second: no such length of time can be
        msg = f"{text!r} is no number of seconds"
        raise click.BadParameter(msg) from None
    return int(number) if number.is_integer() else number


def json_list(text: str) -> list[Any]:
    """Read a list of JSON."""
    return cast("list[Any]", _json(text, list, "list"))


def json_object(text: str) -> dict[str, Any]:
    """Read an object of JSON."""
    return cast("dict[str, Any]", _json(text, dict, "object"))


def _json(text: str, kind: type, name: str) -> Any:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{text!r} is no JSON: {error}"
        raise click.BadParameter(msg) from None
    if not isinstance(data, kind):
        msg = f"{text!r} is no JSON {name}"
        raise click.BadParameter(msg)
    return data


_FIELDS: Final[tuple[tuple[str, Any, str], ...]] = (
    ("timezone", str, "IANA name of the zone of WHEN; UTC if left out."),
    ("args", json_list, "Arguments, as a JSON list."),
    ("kwargs", json_object, "Keyword arguments, as a JSON object."),
    ("options", json_object, "How it is sent (queue, priority, expires …), as a JSON object."),
    ("tenant", str, "Whose it is."),
    ("jitter", seconds, "Up to so many seconds later, always the same for a name."),
    ("catch-up", click.Choice(["latest", "all", "none"]), "What of missed occurrences to run."),
    ("catch-up-max", int, 'How many missed ones "all" runs at most.'),
    ("catch-up-window", seconds, "How many seconds late is too late."),
    ("dedupe-window", seconds, "How long a finished run is remembered."),
    ("start-deadline", seconds, "How long a message may wait to begin; then one more is sent."),
    ("overlap", click.Choice(["allow", "skip", "queue"]), "While the run before is not over."),
    ("overlap-limit", seconds, "How long a run that nobody begins is in the way."),
    ("delivery", click.Choice(["at_least_once", "at_most_once"]), "What a failed send means."),
    ("start", moment, "From when it is due."),
    ("end", moment, "Until when it is due."),
    ("max-runs", int, "How often it runs at most."),
    ("description", str, "A text for people."),
)

FIELD_NAMES: Final = tuple(name.replace("-", "_") for name, _, _ in _FIELDS)


def field_options(function: _Function) -> _Function:
    """Give a command an option for each field of an entry; None: not given."""
    for name, kind, told in reversed(_FIELDS):
        complete = complete_tenant if name == "tenant" else None
        function = click.option(f"--{name}", type=kind, help=told, shell_complete=complete)(
            function
        )
    return function


def given_fields(options: dict[str, Any]) -> dict[str, Any]:
    """Take the fields that were given out of a command's options."""
    return {name: options[name] for name in FIELD_NAMES if options.get(name) is not None}


def recurrence_of(text: str) -> Any:
    """Read when an entry is due: seconds, a time (once), a cron expression or an RRULE."""
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        return int(number) if number.is_integer() else number
    try:
        return moment(text)
    except click.UsageError:
        return text


def rows_of_file(file: TextIO) -> Iterator[Any]:
    """Read rows of JSON: one list, or an object in each line.

    Raises:
        ValueError: it is neither; the text says where.
    """
    first = ""
    for line in file:
        first = line
        if first.strip():
            break
    if first.lstrip().startswith("["):
        try:
            yield from json.loads(first + file.read())
        except ValueError as error:
            msg = f"{file.name}: no JSON: {error}"
            raise ValueError(msg) from error
        return
    for number, line in enumerate(chain([first], file), 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except ValueError as error:
            msg = f"{file.name}: line {number} is no JSON: {error}"
            raise ValueError(msg) from error
