"""django-celery-beat's own tables, in SQLite, taken over with their last runs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import django
import pytest
from celery.schedules import crontab
from django.conf import settings
from django.core.management import call_command

from celery_singleton_beat import Entry, Timetable
from tests.integration.command_line import CommandLine
from tests.integration.importing import MINUTE, UTC, ago, app_on, due_now, dump

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The models of django-celery-beat, with their tables in a file of SQLite's."""
    if not settings.configured:
        path = tmp_path_factory.mktemp("django") / "db.sqlite3"
        settings.configure(
            INSTALLED_APPS=["django.contrib.contenttypes", "django_celery_beat"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}},
            USE_TZ=True,
            DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        )
        django.setup()
    call_command("migrate", verbosity=0)
    from django_celery_beat import models  # noqa: PLC0415  Django must be set up first

    return models


@pytest.fixture
def models(tables: Any) -> Iterator[Any]:
    """The same, with no rows in them."""
    from django.db import connection  # noqa: PLC0415  as above

    tables.PeriodicTask.objects.all().delete()
    yield tables
    connection.close()


def save(models: Any, name: str, *, last_run: datetime | None = None, **fields: Any) -> None:
    """Save a task as Django's admin does, and let it have run at a time."""
    task = models.PeriodicTask(name=name, task="reports.run", **fields)
    task.save()
    if last_run is not None:
        rows = models.PeriodicTask.objects.filter(name=name)
        rows.update(last_run_at=last_run, total_run_count=1)


def hourly(models: Any, zone: str = "UTC") -> Any:
    return models.CrontabSchedule.objects.get_or_create(minute=MINUTE, timezone=zone)[0]


def every(models: Any, number: int, period: str = "hours") -> Any:
    return models.IntervalSchedule.objects.get_or_create(every=number, period=period)[0]


def test_periodic_tasks_become_stored_entries(redis_url: str, models: Any) -> None:
    app = app_on(redis_url, timezone="Asia/Tokyo")
    at = datetime(2030, 1, 1, 9, tzinfo=UTC)
    clocked = models.ClockedSchedule.objects.create(clocked_time=at)
    solar = models.SolarSchedule.objects.create(event="sunset", latitude=41.9, longitude=12.5)
    save(models, "cron", crontab=hourly(models, "Europe/Rome"), args="[1]", kwargs='{"a": "é"}')
    save(models, "every", interval=every(models, 2), queue="slow", priority=3, expire_seconds=60)
    save(models, "sun", solar=solar, start_time=at, expires=at + timedelta(days=9))
    save(models, "once", clocked=clocked, one_off=True, headers=json.dumps({"h": 1}))
    save(models, "off", interval=every(models, 2), enabled=False, description="why")

    report = Timetable(app).import_django_celery_beat()

    kept = {name: known.entry for name, known in dump(Timetable(app)).items()}
    same: Any = {"task": "reports.run", "source": "django-celery-beat"}
    hours = timedelta(hours=2)
    assert (report.added, report.refused) == (5, 0)
    assert kept == {
        "cron": Entry(
            name="cron",
            recurrence=crontab(minute=MINUTE),
            timezone="Europe/Rome",
            args=[1],
            kwargs={"a": "é"},
            **same,
        ),
        "every": Entry(
            name="every",
            recurrence=hours,
            options={"queue": "slow", "priority": 3, "expires": 60},
            **same,
        ),
        "sun": Entry(
            name="sun",
            recurrence={"type": "solar", "event": "sunset", "latitude": 41.9, "longitude": 12.5},
            start=at,
            end=at + timedelta(days=9),
            **same,
        ),
        "once": Entry(
            name="once", recurrence=at, max_runs=1, options={"headers": {"h": 1}}, **same
        ),
        "off": Entry(name="off", recurrence=hours, enabled=False, description="why", **same),
    }


def test_what_it_ran_is_not_run_again_and_what_it_owes_is_due(redis_url: str, models: Any) -> None:
    """At the switch nothing runs twice, and nothing is left out."""
    app = app_on(redis_url)
    missed = models.ClockedSchedule.objects.create(clocked_time=ago(hours=1))
    save(models, "ran this hour", crontab=hourly(models), last_run=datetime.now(UTC))
    save(models, "owes an hour", crontab=hourly(models), last_run=ago(hours=1))
    save(models, "ran every", interval=every(models, 24), last_run=ago(hours=12))
    save(models, "owes every", interval=every(models, 1), last_run=ago(hours=2))
    save(models, "never ran", interval=every(models, 24))
    save(models, "missed once", clocked=missed, one_off=True)
    save(models, "ran once", clocked=missed, one_off=True, last_run=ago(minutes=59))
    save(models, "saved long ago", crontab=hourly(models))
    models.PeriodicTask.objects.filter(name="saved long ago").update(date_changed=ago(hours=2))

    Timetable(app).import_django_celery_beat()

    kept = dump(Timetable(app))
    assert due_now(app) == ["missed once", "owes an hour", "owes every", "saved long ago"]
    assert kept["never ran"].last_at is None
    assert kept["ran once"].entry.enabled is False


def test_a_dry_run_writes_nothing_and_a_second_import_changes_nothing(
    redis_url: str, models: Any
) -> None:
    timetable = Timetable(app_on(redis_url))
    save(models, "a", interval=every(models, 2))

    rehearsed = timetable.import_django_celery_beat(dry_run=True)
    untouched = dump(timetable)
    timetable.import_django_celery_beat()
    again = timetable.import_django_celery_beat()

    assert (rehearsed.added, untouched, again.unchanged) == (1, {}, 1)


def test_what_cannot_be_an_entry_is_told_and_the_others_come(redis_url: str, models: Any) -> None:
    conf = {"static": {"task": "reports.run", "schedule": 60}}
    app = app_on(redis_url, beat_schedule=conf)
    save(models, "good", interval=every(models, 2))
    save(models, "static", interval=every(models, 2))
    save(models, "too short", interval=every(models, 10, "microseconds"))
    save(models, "bad args", interval=every(models, 2), args="nonsense")

    report = Timetable(app).import_django_celery_beat()

    reasons = dict(report.refusals)
    assert report.names["added"] == ["good"]
    assert set(reasons) == {"static", "too short", "bad args"}
    assert "out of range" in reasons["too short"]
    assert "cannot be read" in reasons["bad args"]


def test_rules_are_those_that_django_celery_beat_has(models: Any) -> None:
    fields = {"minute": "5,10", "hour": "*/2", "day_of_week": "mon-fri", "day_of_month": "1-15"}
    kept = models.CrontabSchedule.objects.create(**fields, timezone="UTC")
    theirs = kept.schedule

    ours = crontab(**fields)

    assert (theirs.minute, theirs.hour, theirs.day_of_week) == (
        ours.minute,
        ours.hour,
        ours.day_of_week,
    )


def test_the_command_imports_and_tells_what_was_refused(redis_url: str, models: Any) -> None:
    app = app_on(redis_url, beat_schedule={"both": {"task": "reports.run", "schedule": 60}})
    save(models, "hourly", crontab=hourly(models))
    save(models, "both", interval=every(models, 1))
    line = CommandLine(app)

    told = line.refused("import", "django-celery-beat")
    refused = line.refused("import", "django-celery-beat", "--url", redis_url, code=2)

    assert "both: it is in beat_schedule" in told
    assert "1 rows were refused" in told
    assert sorted(dump(Timetable(app))) == ["hourly"]
    assert "RedBeat's" in refused
