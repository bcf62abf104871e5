"""Schedules as other tools want to see them: Celery's own objects, in their entry's zone.

Runs in: beat.

Monitors that hook into beat (Sentry Crons among them) ask an entry for its
``schedule``, and the schedule for its ``tz``, to know when to expect a run.
Nothing here decides when an entry is due.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from celery.schedules import BaseSchedule, crontab, schedule, solar

from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.protocol.recurrences.cron_text import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    HOUR,
    MINUTE,
    MONTH,
    cron_fields,
    field_text,
)
from celery_singleton_beat.protocol.recurrences.spec_kinds import (
    CRONTAB_FIELDS,
    CronSpec,
    CrontabSpec,
    IntervalSpec,
    SolarSpec,
)
from celery_singleton_beat.protocol.recurrences.zones import zone_of

if TYPE_CHECKING:
    from celery import Celery

_ON_THE_MINUTE: Final = frozenset({0})


def in_zone(given: Any, zone: object, entry_name: str) -> Any:
    """A copy of a schedule object that tells a zone; the object itself may serve other entries."""
    if not isinstance(given, BaseSchedule):
        return given
    shown = object.__new__(type(given))
    shown.__dict__.update(given.__dict__)
    # An unknown zone is reported where the entry's times are read; a class may insist on its own.
    with contextlib.suppress(EntryError, AttributeError):
        shown.tz = zone_of(zone, entry_name)
    return shown


def schedule_of(app: Celery, spec: object, zone: str, entry_name: str) -> BaseSchedule | None:
    """The object of Celery's that says what a spec says; None: Celery has none for it.

    A day that must be in either field of days is in none of Celery's objects:
    its text is shown, which whoever reads it as cron does reads rightly.
    """
    match spec:
        case IntervalSpec():
            every = timedelta(milliseconds=spec.every_ms)
            given: Any = schedule(every, relative=spec.relative, app=app)
        case CrontabSpec():
            fields = {name: getattr(spec, name) for name in CRONTAB_FIELDS}
            given = crontab(**fields, app=app)
        case CronSpec() if (numbers := cron_fields(spec.expression)).seconds == _ON_THE_MINUTE:
            given = crontab(
                minute=field_text(numbers.minutes, MINUTE),
                hour=field_text(numbers.hours, HOUR),
                day_of_month=field_text(numbers.days_of_month, DAY_OF_MONTH),
                month_of_year=field_text(numbers.months, MONTH),
                day_of_week=field_text(numbers.days_of_week, DAY_OF_WEEK),
                app=app,
            )
        case SolarSpec():
            given = solar(spec.event, spec.latitude, spec.longitude, app=app)
        case _:
            return None
    return in_zone(given, zone, entry_name)
