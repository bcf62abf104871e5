"""Celery's schedule objects as recurrences, and as specs that can be stored.

Runs in: beat, and whatever process changes the timetable.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from celery.schedules import BaseSchedule, crontab, schedule, solar

from celery_singleton_beat.adapters.custom_schedule import CustomRecurrence
from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.cron_text import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    HOUR,
    MINUTE,
    MONTH,
    field_text,
)
from celery_singleton_beat.protocol.recurrences.crontab import Crontab
from celery_singleton_beat.protocol.recurrences.recurrence import Interval, Recurrence
from celery_singleton_beat.protocol.recurrences.relative import RelativeInterval
from celery_singleton_beat.protocol.recurrences.solar import Solar
from celery_singleton_beat.protocol.recurrences.spec import Spec, spec_of
from celery_singleton_beat.protocol.recurrences.spec_kinds import (
    CrontabSpec,
    SolarSpec,
    interval_spec,
)
from celery_singleton_beat.protocol.recurrences.wallclock import WallClock, wall_clock, zone_name
from celery_singleton_beat.protocol.recurrences.zones import zone_of

_MILLISECOND = timedelta(milliseconds=1)
_WAY_OUT = "give seconds, a timedelta, or one of Celery's schedule, crontab and solar objects"


def recurrence_of(
    schedule_or_number: object,
    zone: tzinfo | str,
    entry_name: str,
    *,
    zone_is_explicit: bool = False,
) -> Recurrence:
    """The recurrence that an entry's ``schedule`` stands for.

    Equal rules give one shared object, so a timetable of ten thousand entries
    holds only as many as it has different rules.

    Celery's own `schedule`, `crontab` and `solar` are computed by this
    package: intervals from the Unix epoch, crontabs with this package's rule
    for days on which clocks change. Any other class, also one that derives
    from these and overrides when it is due, is asked through its own
    ``remaining_estimate``. A `nowfun` of a schedule object is not used.

    Which zone counts: the entry's own (`zone_is_explicit`); else the one the
    schedule object was given (``.tz``, as in crontab subclasses with a zone);
    else `zone`, the application's.

    Raises:
        RecurrenceError: the rule cannot be read or can never be due.
        EntryError: the zone is unknown, or a custom schedule class fails.
            Both name the entry.

    """
    given = _schedule_object(schedule_or_number, entry_name)
    own_zone = None if zone_is_explicit else _own_zone(given)
    clock = wall_clock(zone_of(zone if own_zone is None else own_zone, entry_name))
    try:
        return _recurrence(given, clock, entry_name)
    except RecurrenceError as exc:
        raise RecurrenceError(f"entry {entry_name!r}: {exc}") from exc


def spec_of_schedule(given: object, entry_name: str) -> Spec:
    """The spec of a schedule object, of a rule of dateutil's, or of whatever else may be given.

    Raises:
        RecurrenceError: it cannot be read, or it is of a class whose rule is code.
            The text names the entry.

    """
    try:
        if isinstance(given, BaseSchedule):
            return _spec(given)
        if type(given).__module__ == "dateutil.rrule":
            return spec_of(_rrule_text(given))
        return spec_of(given)
    except RecurrenceError as exc:
        raise RecurrenceError(f"entry {entry_name!r}: {exc}") from exc


def own_zone_name(given: object) -> str | None:
    """The name of the zone that a schedule object of a class with zones was given, if any."""
    zone = _own_zone(given) if isinstance(given, BaseSchedule) else None
    return zone_name(zone) if isinstance(zone, tzinfo) else zone if isinstance(zone, str) else None


def _spec(given: BaseSchedule) -> Spec:
    if _is_due_as(given, crontab, "remaining_delta"):
        hours = given._orig_hour  # noqa: SLF001  only there is it told whether they are wild
        return CrontabSpec(
            minute=field_text(frozenset(given.minute), MINUTE),
            hour=hours if _hours_are_wild(hours) else field_text(frozenset(given.hour), HOUR),
            day_of_week=field_text(frozenset(given.day_of_week), DAY_OF_WEEK),
            day_of_month=field_text(frozenset(given.day_of_month), DAY_OF_MONTH),
            month_of_year=field_text(frozenset(given.month_of_year), MONTH),
        )
    if _is_due_as(given, solar, "_next_event"):
        return SolarSpec(given.event, float(given.lat), float(given.lon))
    if _is_due_as(given, schedule):
        every_ms = _whole_ms(given.run_every)
        return interval_spec(timedelta(milliseconds=every_ms), relative=bool(given.relative))
    raise RecurrenceError(
        f"schedule class {type(given).__module__}.{type(given).__qualname__} decides by code when "
        "it is due, and a stored entry is data: keep it in beat_schedule, or write its rule as a "
        "cron expression, an interval or an RRULE"
    )


def _rrule_text(given: Any) -> str:
    """The text of a rule of dateutil's, which leaves out the zones of its start and end."""
    start = getattr(given, "_dtstart", None)
    if not isinstance(start, datetime):
        raise RecurrenceError(
            f"a {type(given).__name__} of dateutil's cannot be stored: give one rrule"
        )
    if start.tzinfo is None:
        return str(given)
    until = getattr(given, "_until", None)
    text = str(given if until is None else given.replace(until=until.astimezone(start.tzinfo)))
    zone = zone_name(start.tzinfo)
    start_text = f"{start:%Y%m%dT%H%M%S}"
    in_zone = "Z" if zone in {"UTC", "tzutc()"} else ""
    tzid = "" if in_zone else f";TZID={zone}"
    return text.replace(f"DTSTART:{start_text}", f"DTSTART{tzid}:{start_text}{in_zone}")


def _schedule_object(given: object, entry_name: str) -> BaseSchedule:
    if isinstance(given, BaseSchedule):
        return given
    if isinstance(given, timedelta):
        return schedule(given)
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        if not math.isfinite(given):
            raise RecurrenceError(
                f"entry {entry_name!r}: an interval of {given} seconds is never over; "
                "give a finite number"
            )
        try:
            return schedule(timedelta(seconds=given))
        except OverflowError as exc:
            raise RecurrenceError(
                f"entry {entry_name!r}: an interval of {given} seconds is too long to be computed"
            ) from exc
    raise RecurrenceError(
        f"entry {entry_name!r}: schedule {given!r} is of type {type(given).__name__}; {_WAY_OUT}"
    )


def _recurrence(given: BaseSchedule, clock: WallClock, entry_name: str) -> Recurrence:
    if _is_due_as(given, crontab, "remaining_delta"):
        return _crontab(
            frozenset(given.minute),
            frozenset(given.hour),
            frozenset(given.day_of_week),
            frozenset(given.day_of_month),
            frozenset(given.month_of_year),
            clock,
            _hours_are_wild(given._orig_hour),  # noqa: SLF001  only there is it told
        )
    if _is_due_as(given, solar, "_next_event"):
        return _solar(given.event, float(given.lat), float(given.lon))
    if _is_due_as(given, schedule):
        return (
            _relative(_whole_ms(given.run_every), clock)
            if given.relative
            else _interval(_whole_ms(given.run_every))
        )
    return CustomRecurrence(given, clock, entry_name)


def _is_due_as(given: BaseSchedule, celerys: type[BaseSchedule], *inner: str) -> bool:
    """Whether a schedule leaves the question when it is due to one of Celery's classes."""
    if not isinstance(given, celerys):
        return False
    methods = ("remaining_estimate", "is_due", *inner)
    return all(
        getattr(type(given), method, None) is getattr(celerys, method, None) for method in methods
    )


def _own_zone(given: BaseSchedule) -> object:
    """The zone that an object of a schedule class with zones was given, if it was given one."""
    if type(given) in {schedule, crontab, solar}:
        # Celery's own classes keep the application's zone there, and maybe an outdated one.
        return None
    if "tz" in vars(given):
        return given.tz
    return None if type(given).tz is BaseSchedule.tz else given.tz


def _hours_are_wild(hours: object) -> bool:
    """Whether hours were written as ``*`` or ``*/n``."""
    return isinstance(hours, str) and all(part.startswith("*") for part in hours.split(","))


def _whole_ms(interval: object) -> int:
    if not isinstance(interval, timedelta):
        raise RecurrenceError(f"an interval of {interval!r} cannot be read; {_WAY_OUT}")
    if interval < _MILLISECOND:
        raise RecurrenceError(
            f"an interval of {interval.total_seconds():g} seconds is too short; "
            "give at least 0.001 seconds"
        )
    return round(interval / _MILLISECOND)


@lru_cache(maxsize=4096)
def _crontab(  # noqa: PLR0917  as below
    minutes: frozenset[int],
    hours: frozenset[int],
    days_of_week: frozenset[int],
    days_of_month: frozenset[int],
    months: frozenset[int],
    clock: WallClock,
    hours_are_wild: bool,
) -> Crontab:
    return Crontab(
        minutes,
        hours,
        days_of_week,
        days_of_month,
        months,
        zone=clock,
        hours_are_wild=hours_are_wild,
    )


_interval = lru_cache(maxsize=4096)(Interval)
_relative = lru_cache(maxsize=4096)(RelativeInterval)
_solar = lru_cache(maxsize=4096)(Solar)
