"""Recurrence rules of iCalendar: text, read into numbers.

Source: RFC 5545, section 3.3.10. One ``RRULE`` and at most one ``DTSTART``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.setting_values import did_you_mean

WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
MOST_COUNTED: Final = 10_000

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  readings of a wall clock know no zone
_MILLISECOND = timedelta(milliseconds=1)
_LONGEST_INTERVAL = 1_000_000
_DAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_TIME = re.compile(r"(\d{8})T(\d{6})(Z?)")
_START = re.compile(r"DTSTART(?:;VALUE=DATE(?:-TIME)?|;TZID=([\w/+-]+))?:(\w+)", re.IGNORECASE)


class Frequency(IntEnum):
    """How long the periods of a rule are."""

    YEARLY = 0
    MONTHLY = 1
    WEEKLY = 2
    DAILY = 3
    HOURLY = 4
    MINUTELY = 5
    SECONDLY = 6


class RRuleParts(NamedTuple):
    """A rule in numbers. Times are local readings, in milliseconds; Monday is 0."""

    text: str
    frequency: Frequency
    start_ms: int | None = None
    start_zone: str | None = None
    interval: int = 1
    counted: int | None = None
    until_ms: int | None = None
    until_is_utc: bool = False
    week_start: int = 0
    set_positions: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    week_numbers: frozenset[int] = frozenset()
    weekdays: frozenset[tuple[int, int]] = frozenset()  # (weekday, which of them or 0)
    hours: frozenset[int] = frozenset()
    minutes: frozenset[int] = frozenset()
    seconds: frozenset[int] = frozenset()


# Part: (field of RRuleParts, lowest, highest, whether it counts from the end, too).
_NUMBERS: Final = {
    "BYSETPOS": ("set_positions", 1, 366, True),
    "BYMONTH": ("months", 1, 12, False),
    "BYMONTHDAY": ("month_days", 1, 31, True),
    "BYYEARDAY": ("year_days", 1, 366, True),
    "BYWEEKNO": ("week_numbers", 1, 53, True),
    "BYHOUR": ("hours", 0, 23, False),
    "BYMINUTE": ("minutes", 0, 59, False),
    "BYSECOND": ("seconds", 0, 59, False),
}
_PARTS: Final = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", *_NUMBERS, "BYDAY")


@lru_cache(maxsize=4096)
def read_rrule(text: str) -> RRuleParts:
    """Read a rule.

    Raises:
        RecurrenceError: the text names the part, what was given and what it may hold.
    """
    try:
        return _read(text)
    except RecurrenceError as error:
        raise RecurrenceError(f"rrule {text!r}: {error}") from error


def _read(text: str) -> RRuleParts:
    start, rule = _lines(text)
    given: dict[str, str] = {}
    for part in rule.strip(";").upper().split(";"):
        name, _, value = part.partition("=")
        if name not in _PARTS:
            raise RecurrenceError(f"there is no part {name!r}{did_you_mean(name, _PARTS)}")
        if not value or name in given:
            raise RecurrenceError(f"{name} must be given once, with a value")
        given[name] = value
    written = ";".join(f"{name}={given[name]}" for name in _PARTS if name in given)
    fields: dict[str, object] = {"text": f"RRULE:{written}"}
    if start:
        start_ms, zone = _start(start)
        tzid = f";TZID={zone}" if zone not in {None, "UTC"} else ""
        at = _EPOCH + start_ms * _MILLISECOND
        utc = "Z" if zone == "UTC" else ""
        fields["text"] = f"DTSTART{tzid}:{at:%Y%m%dT%H%M%S}{utc}\n{fields['text']}"
        fields |= {"start_ms": start_ms, "start_zone": zone}
    for name, value in given.items():
        if name in _NUMBERS:
            fields[_NUMBERS[name][0]] = _numbers(name, value)
        else:
            fields |= _READERS[name](value)
    if "FREQ" not in given:
        raise RecurrenceError(f"FREQ is missing: {_words(Frequency)}")
    parts = RRuleParts(**fields)  # type: ignore[arg-type]
    _check(parts)
    return parts


def _check(parts: RRuleParts) -> None:
    if parts.counted is not None and parts.until_ms is not None:
        raise RecurrenceError("COUNT and UNTIL exclude each other")
    if parts.counted is not None and parts.start_ms is None:
        raise RecurrenceError("COUNT needs a DTSTART to count from; or give the entry max_runs")
    if parts.set_positions and parts.frequency > Frequency.DAILY:
        raise RecurrenceError("BYSETPOS needs a FREQ of DAILY or longer")
    if any(which for _, which in parts.weekdays) and (
        parts.frequency > Frequency.MONTHLY or parts.week_numbers
    ):
        raise RecurrenceError(
            "BYDAY with a number, such as 2MO, needs FREQ=MONTHLY or YEARLY without BYWEEKNO"
        )


def _lines(text: str) -> tuple[str, str]:
    """The lines that hold the start (or nothing) and the rule."""
    start, rule = "", ""
    for line in text.strip().splitlines():
        written = line.strip()
        if written.upper().startswith("DTSTART") and not start:
            start = written
        elif written.upper().startswith(("RRULE:", "FREQ=")) and not rule:
            rule = re.sub("^RRULE:", "", written, flags=re.IGNORECASE)
        else:
            raise RecurrenceError(
                f"{written!r} cannot be used: give one RRULE, and before it a DTSTART or nothing"
            )
    if not rule:
        raise RecurrenceError("there is no RRULE in it")
    return start, rule


def _start(line: str) -> tuple[int, str | None]:
    match = _START.fullmatch(line)
    if match is None:
        raise RecurrenceError(f"{line!r}: write DTSTART:20260131T090000, in the entry's time zone")
    zone, at = match.groups()
    at_ms, is_utc = _moment("DTSTART", f"{at}T000000" if len(at) == 8 else at.upper())  # noqa: PLR2004
    if is_utc and zone:
        raise RecurrenceError(f"{line!r} names two time zones")
    return at_ms, "UTC" if is_utc else zone


def _moment(name: str, text: str) -> tuple[int, bool]:
    """A local reading, and whether it is of UTC's clock."""
    match = _TIME.fullmatch(text)
    try:
        if match is not None:
            at = datetime.strptime(match[1] + match[2], "%Y%m%d%H%M%S")  # noqa: DTZ007  a reading
            return (at - _EPOCH) // _MILLISECOND, bool(match[3])
    except ValueError:
        pass
    raise RecurrenceError(f"{name} {text!r}: write it as 20260131T090000, with Z if it is UTC")


def _numbers(name: str, text: str) -> frozenset[int]:
    _, lowest, highest, from_end = _NUMBERS[name]
    found: set[int] = set()
    for part in text.split(","):
        number = int(part) if re.fullmatch(r"[+-]?\d{1,3}", part, re.ASCII) else None
        if number is None or not (
            lowest <= number <= highest or (from_end and lowest <= -number <= highest)
        ):
            also = f" or -{highest} to -{lowest}" if from_end else ""
            raise RecurrenceError(f"{name} {text!r}: {lowest} to {highest}{also}, with commas")
        found.add(number)
    return frozenset(found)


def _frequency(text: str) -> dict[str, object]:
    if text not in Frequency.__members__:
        raise RecurrenceError(f"FREQ {text!r}: {_words(Frequency)}")
    return {"frequency": Frequency[text]}


def _whole(name: str, field: str, most: int) -> Callable[[str], dict[str, object]]:
    def read(text: str) -> dict[str, object]:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not 1 <= int(text) <= most:
            raise RecurrenceError(f"{name} {text!r}: a whole number from 1 to {most}")
        return {field: int(text)}

    return read


def _until(text: str) -> dict[str, object]:
    until_ms, is_utc = _moment("UNTIL", text)
    return {"until_ms": until_ms, "until_is_utc": is_utc}


def _week_start(text: str) -> dict[str, object]:
    if text not in WEEKDAYS:
        raise RecurrenceError(f"WKST {text!r}: {', '.join(WEEKDAYS)}")
    return {"week_start": WEEKDAYS.index(text)}


def _weekdays(text: str) -> dict[str, object]:
    found = set()
    for part in text.split(","):
        match = _DAY.fullmatch(part)
        if match is None or abs(int(match[1] or 1)) not in range(1, 54):
            raise RecurrenceError(
                f"BYDAY {text!r}: {', '.join(WEEKDAYS)}, with commas, "
                "and with a number (2MO, -1FR) for one of a month or year"
            )
        found.add((WEEKDAYS.index(match[2]), int(match[1] or 0)))
    return {"weekdays": frozenset(found)}


def _words(frequencies: type[Frequency]) -> str:
    return "one of " + ", ".join(frequencies.__members__)


_READERS: Final[dict[str, Callable[[str], dict[str, object]]]] = {
    "FREQ": _frequency,
    "INTERVAL": _whole("INTERVAL", "interval", _LONGEST_INTERVAL),
    "COUNT": _whole("COUNT", "counted", MOST_COUNTED),
    "UNTIL": _until,
    "WKST": _week_start,
    "BYDAY": _weekdays,
}
