"""Recurrences, moments and durations in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

_UNITS: Final = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000))
_SHORT: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))
_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_NICKNAMES: Final = {"@midnight": "daily at 00:00", "@daily": "daily at 00:00"}
_LONGEST: Final = 2000
_MINUTE, _HOUR, _DAY_OF_MONTH, _MONTH, _DAY_OF_WEEK = range(5)
_FIELDS: Final = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def recurrence_words(data: Mapping[str, Any]) -> str:
    """Write the data of a spec (``Spec.to_json``) as one short line.

    What is simple is said in words, all else as it was written.
    """
    match data["type"]:
        case "interval":
            return f"every {span_words(round(data['seconds'] * 1000))}"
        case "cron":
            return cron_words(data["expression"])
        case "crontab":
            return cron_words(" ".join(data.get(field, "*") for field in _FIELDS))
        case "once":
            return f"once at {data['at'].replace('T', ' ').replace('+00:00', ' UTC')}"
        case "solar":
            return f"{data['event']} at {data['latitude']:g}, {data['longitude']:g}"
        case _:
            return shown(" ".join(str(data.get("text", data["type"])).split()))


def cron_words(expression: str) -> str:
    """Write a cron expression in words if it is a plain one, else as it is."""
    fields = expression.split()
    if len(fields) != len(_FIELDS) or fields[_DAY_OF_MONTH] != "*" or fields[_MONTH] != "*":
        return _NICKNAMES.get(expression) or shown(expression)
    minute, hour, days = fields[_MINUTE], fields[_HOUR], fields[_DAY_OF_WEEK]
    words = ""
    if minute.isdecimal() and hour.isdecimal():
        words = _of_days(days, f"at {int(hour):02}:{int(minute):02}")
    elif hour == days == "*":
        words = _of_minutes(minute)
    return words or shown(expression)


def _of_days(days: str, at: str) -> str:
    if days == "*":
        return f"daily {at}"
    return f"{_DAYS[int(days) % 7]}s {at}" if days.isdecimal() else ""


def _of_minutes(minute: str) -> str:
    if minute.isdecimal():
        return f"hourly at :{int(minute):02}"
    step = "1" if minute == "*" else minute.removeprefix("*/")
    if step != minute and step.isdecimal() and int(step) and 60 % int(step) == 0:
        return f"every {span_words(int(step) * 60_000)}"
    return ""


def span_words(span_ms: int) -> str:
    """Write a duration in its largest whole unit: ``minute``, ``90 seconds``, ``1.5 seconds``."""
    for unit, unit_ms in _UNITS:
        count, rest = divmod(span_ms, unit_ms)
        if count and not rest:
            return unit if count == 1 else f"{count} {unit}s"
    return f"{span_ms / 1000:g} seconds"


def duration(span_ms: int) -> str:
    """Write a duration shortly, about: ``40 ms``, ``1.2 s``, ``3 min 20 s``, ``2 d 4 h``."""
    if span_ms < 0:
        return f"-{duration(-span_ms)}"
    if span_ms < 1000:  # noqa: PLR2004
        return f"{span_ms} ms"
    if span_ms < 10_000:  # noqa: PLR2004
        return f"{span_ms / 1000:.3g} s"
    for (unit, unit_ms), (lesser, lesser_ms) in zip(_SHORT, (*_SHORT[1:], ("", 1)), strict=True):
        if span_ms >= unit_ms:
            rest = span_ms % unit_ms // lesser_ms if lesser else 0
            return f"{span_ms // unit_ms} {unit}" + (f" {rest} {lesser}" if rest else "")
    return f"{span_ms} ms"


def moment(at: datetime | None) -> str:
    """Write a time in UTC, to the second; nothing for None."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def shown(text: object) -> str:
    """Write a text that somebody else chose so that it cannot steer a terminal or forge a line."""
    written = str(text)
    if written.isprintable():
        return written
    return "".join(one if one.isprintable() else _escaped(one) for one in written)


def told(text: object) -> str:
    """Write the text of an error so, and no longer than somebody reads."""
    written = shown(text)
    return written if len(written) <= _LONGEST else f"{written[: _LONGEST - 1]}…"


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
