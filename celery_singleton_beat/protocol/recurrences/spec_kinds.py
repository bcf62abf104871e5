"""Specs: recurrences as they are written, kept and shown.

A spec says what was asked for, without the zone of the entry; the recurrence
that it stands for in a zone is the arithmetic. Equal specs share their
recurrences, so a million entries hold a few hundred of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Protocol

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.bounds import Bounded, Once, datetime_of, instant_of
from celery_singleton_beat.protocol.recurrences.calendar_rule import CalendarRule
from celery_singleton_beat.protocol.recurrences.cron_text import (
    CronFields,
    cron_fields,
    crontab_fields,
)
from celery_singleton_beat.protocol.recurrences.crontab import Crontab
from celery_singleton_beat.protocol.recurrences.recurrence import Interval, Recurrence
from celery_singleton_beat.protocol.recurrences.relative import RelativeInterval
from celery_singleton_beat.protocol.recurrences.rrule_text import RRuleParts, read_rrule
from celery_singleton_beat.protocol.recurrences.solar import Solar
from celery_singleton_beat.protocol.recurrences.wallclock import WallClock, wall_clock
from celery_singleton_beat.protocol.recurrences.zones import zone_of
from celery_singleton_beat.setting_values import is_countable, shortened

LONGEST_MS: Final = 100 * 366 * 86_400_000


class Spec(Protocol):
    """A recurrence as it was written: an immutable value, equal to its like."""

    def __hash__(self) -> int: ...

    def to_json(self) -> dict[str, Any]:
        """The spec as data that `spec_from_json` reads."""

    def recurrence(self, zone: str) -> Recurrence:
        """The arithmetic, in the zone of an IANA name.

        Raises:
            RecurrenceError: it cannot be computed there.
        """


@dataclass(frozen=True, slots=True)
class IntervalSpec:
    """Every so many milliseconds; ``relative`` as in Celery's ``schedule``."""

    every_ms: int
    relative: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.every_ms <= LONGEST_MS:
            raise RecurrenceError(
                f"an interval of {self.every_ms / 1000:g} seconds is out of range: "
                "give 0.001 seconds to 100 years"
            )

    def to_json(self) -> dict[str, Any]:
        whole, rest = divmod(self.every_ms, 1000)
        data = {"type": "interval", "seconds": self.every_ms / 1000 if rest else whole}
        return data | {"relative": True} if self.relative else data

    def recurrence(self, zone: str) -> Recurrence:
        if self.relative:
            return _relative(self.every_ms, _clock(zone))
        return _interval(self.every_ms)


@dataclass(frozen=True, slots=True)
class CronSpec:
    """A cron expression of five fields, or six with seconds first, or a nickname."""

    expression: str

    def __post_init__(self) -> None:
        _check_text(self.expression, "cron expression")
        cron_fields(self.expression)

    def to_json(self) -> dict[str, Any]:
        return {"type": "cron", "expression": self.expression}

    def recurrence(self, zone: str) -> Recurrence:
        return _crontab(cron_fields(self.expression), _clock(zone))


@dataclass(frozen=True, slots=True)
class CrontabSpec:
    """The fields of Celery's ``crontab``: a day must be in both of its fields of days."""

    minute: str = "*"
    hour: str = "*"
    day_of_week: str = "*"
    day_of_month: str = "*"
    month_of_year: str = "*"
    _fields: CronFields = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in CRONTAB_FIELDS:
            _check_text(getattr(self, name), f"{name} of a crontab")
        fields = crontab_fields(
            "0",
            self.minute,
            self.hour,
            self.day_of_month,
            self.month_of_year,
            self.day_of_week,
            either_day=False,
        )
        object.__setattr__(self, "_fields", fields)

    def to_json(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in CRONTAB_FIELDS}
        return {"type": "crontab"} | {name: text for name, text in fields.items() if text != "*"}

    def recurrence(self, zone: str) -> Recurrence:
        return _crontab(self._fields, _clock(zone))


@dataclass(frozen=True, slots=True)
class SolarSpec:
    """An event of the sun at a place; it knows no zone."""

    event: str
    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        _check_text(self.event, "solar event")
        for name in ("latitude", "longitude"):
            given = getattr(self, name)
            if isinstance(given, bool) or not isinstance(given, int | float):
                raise RecurrenceError(f"{name} {given!r} must be a number of degrees")
            object.__setattr__(self, name, float(given))
        _solar(self.event, self.latitude, self.longitude)

    def to_json(self) -> dict[str, Any]:
        return {
            "type": "solar",
            "event": self.event,
            "latitude": self.latitude,
            "longitude": self.longitude,
        }

    def recurrence(self, zone: str) -> Recurrence:  # noqa: ARG002  the sun knows no zone
        return _solar(self.event, self.latitude, self.longitude)


@dataclass(frozen=True, slots=True)
class RRuleSpec:
    """A recurrence rule of iCalendar (RFC 5545): one ``RRULE``, and a ``DTSTART`` if it matters."""

    text: str
    _parts: RRuleParts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_text(self.text, "rrule")
        parts = read_rrule(self.text)
        object.__setattr__(self, "text", parts.text)
        object.__setattr__(self, "_parts", parts)

    def to_json(self) -> dict[str, Any]:
        return {"type": "rrule", "text": self.text}

    def recurrence(self, zone: str) -> Recurrence:
        return _calendar_rule(self._parts, _clock(zone))


@dataclass(frozen=True, slots=True)
class OnceSpec:
    """One occurrence, at an instant."""

    at_ms: int

    def to_json(self) -> dict[str, Any]:
        return {"type": "once", "at": datetime_of(self.at_ms).isoformat()}

    def recurrence(self, zone: str) -> Recurrence:  # noqa: ARG002  an instant is one everywhere
        return _once(self.at_ms)


CRONTAB_FIELDS: Final = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
SPECS: Final = (IntervalSpec, CronSpec, CrontabSpec, SolarSpec, RRuleSpec, OnceSpec)


def interval_spec(seconds: object, *, relative: bool = False) -> IntervalSpec:
    """An interval of seconds or of a timedelta.

    Raises:
        RecurrenceError: it is no number, or out of range.
    """
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise RecurrenceError(f"an interval must be seconds or a timedelta, not {seconds!r}")
    if not is_countable(seconds) or abs(seconds) > LONGEST_MS:
        raise RecurrenceError(
            f"an interval of {shortened(seconds)} seconds is too long to be computed"
        )
    return _interval_spec(round(seconds * 1000), relative)


def once_spec(at: datetime) -> OnceSpec:
    """Once, at an aware datetime."""
    return OnceSpec(instant_of(at, "a recurrence once at"))


def in_bounds(
    recurrence: Recurrence, start_ms: int | None = None, end_ms: int | None = None
) -> Recurrence:
    """A recurrence without its occurrences before a start and after an end."""
    if start_ms is None and end_ms is None:
        return recurrence
    return Bounded(recurrence, start_ms, end_ms)


def clock_of(zone: str, entry_name: str) -> WallClock:
    """The wall clock of an IANA name.

    Raises:
        EntryError: there is no such zone; the text offers names that are near.
    """
    try:
        return _clock(zone)
    except (TypeError, ValueError):
        return wall_clock(zone_of(zone, entry_name))


def _check_text(given: object, what: str) -> None:
    if not isinstance(given, str):
        raise RecurrenceError(f"{what} must be a text, not {given!r}")
    if len(given) > 1000:  # noqa: PLR2004
        raise RecurrenceError(f"{what} of {len(given)} characters is too long: 1000 at most")


@lru_cache(maxsize=1024)
def _clock(zone: str) -> WallClock:
    return wall_clock(zone_of(zone, ""))


@lru_cache(maxsize=4096)
def _crontab(fields: CronFields, clock: WallClock) -> Crontab:
    return Crontab(
        fields.minutes,
        fields.hours,
        fields.days_of_week,
        fields.days_of_month,
        fields.months,
        zone=clock,
        hours_are_wild=fields.hours_are_wild,
        seconds=fields.seconds,
        either_day=fields.either_day,
    )


_interval = lru_cache(maxsize=4096)(Interval)
_interval_spec = lru_cache(maxsize=4096)(IntervalSpec)
_once = lru_cache(maxsize=4096)(Once)
_relative = lru_cache(maxsize=4096)(RelativeInterval)
_solar = lru_cache(maxsize=4096)(Solar)
_calendar_rule = lru_cache(maxsize=4096)(CalendarRule)
