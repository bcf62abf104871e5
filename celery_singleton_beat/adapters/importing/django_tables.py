"""The periodic tasks of django-celery-beat, read from Django's database.

Runs in: whatever process changes the timetable; Django must be set up in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from celery.schedules import crontab

from celery_singleton_beat.adapters.importing.carried import carried
from celery_singleton_beat.engine.reconcile import Row
from celery_singleton_beat.errors import ConfigurationError

if TYPE_CHECKING:
    from celery import Celery

_OPTIONS: Final = ("queue", "exchange", "routing_key", "priority")
_KINDS: Final = ("interval", "crontab", "solar", "clocked")
_FIELDS_OF_CRONTAB: Final = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
_LONG_AGO: Final = timedelta(days=365 * 30)
_JUST_BEFORE: Final = timedelta(milliseconds=1)


def rows_of_django(app: Celery, source: str) -> Iterator[Row]:
    """Read the periodic tasks.

    Raises:
        ConfigurationError: django-celery-beat is not installed, or Django not set up.
    """
    try:
        from django_celery_beat.models import PeriodicTask  # noqa: PLC0415  an extra of the user's
    except Exception as error:
        msg = (
            "django-celery-beat's tables cannot be read: install it, name it in INSTALLED_APPS, "
            f"and call django.setup() first ({type(error).__name__}: {error})"
        )
        raise ConfigurationError(msg) from error
    for task in PeriodicTask.objects.select_related(*_KINDS).order_by("pk").iterator(500):
        yield _row(app, task, source)


def _row(app: Celery, task: Any, source: str) -> Row:
    try:
        fields = _fields(task, source)
    except (ValueError, TypeError, KeyError) as error:
        return Row(task.name, None, f"periodic task {task.name!r} cannot be read: {error}")
    since, has_run = _since(task)
    return carried(app, fields, since, has_run=has_run)


def _fields(task: Any, source: str) -> dict[str, Any]:
    options = {name: value for name in _OPTIONS if (value := getattr(task, name)) is not None}
    if headers := json.loads(task.headers or "{}"):
        options["headers"] = headers
    if task.expire_seconds is not None:
        options["expires"] = task.expire_seconds
    has_ended = task.one_off and task.total_run_count > 0
    return {
        "name": task.name,
        "task": task.task,
        **_rule(task),
        "args": json.loads(task.args or "[]"),
        "kwargs": json.loads(task.kwargs or "{}"),
        "options": options,
        "start": task.start_time,
        "end": task.expires,
        "max_runs": 1 if task.one_off else None,
        "enabled": task.enabled and not has_ended,
        "description": task.description or "",
        "source": source,
    }


def _rule(task: Any) -> dict[str, Any]:
    if task.interval is not None:
        return {"recurrence": timedelta(**{task.interval.period: task.interval.every})}
    if task.crontab is not None:
        fields = {name: getattr(task.crontab, name) for name in _FIELDS_OF_CRONTAB}
        return {"recurrence": crontab(**fields), "timezone": task.crontab.timezone}
    if task.solar is not None:
        place = (float(task.solar.latitude), float(task.solar.longitude))
        names = ("type", "event", "latitude", "longitude")
        return {"recurrence": dict(zip(names, ("solar", task.solar.event, *place), strict=True))}
    if task.clocked is not None:
        return {"recurrence": task.clocked.clocked_time}
    msg = "it has no schedule"
    raise ValueError(msg)


def _since(task: Any) -> tuple[datetime | None, bool]:
    """Tell what its scheduler counts from, and whether that was a run."""
    if task.last_run_at is not None:
        return task.last_run_at, True
    if task.clocked is not None:
        return task.clocked.clocked_time - _JUST_BEFORE, False
    if task.date_changed is not None and task.start_time is not None:
        return task.date_changed - _LONG_AGO, False
    return task.date_changed, False
