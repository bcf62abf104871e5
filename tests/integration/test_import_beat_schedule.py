"""A beat_schedule, with what Celery's own beat remembers of it, as stored entries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from celery.beat import PersistentScheduler
from celery.schedules import crontab, schedule

from celery_singleton_beat import ConfigurationError, Entry, Timetable
from tests.integration.importing import MINUTE, UTC, ago, app_on, due_now, dump

if TYPE_CHECKING:
    import pathlib

HOURLY = crontab(minute=MINUTE)


def entry(rule: Any, **fields: Any) -> dict[str, Any]:
    return {"task": "reports.run", "schedule": rule, **fields}


def test_a_beat_schedule_becomes_stored_entries(redis_url: str) -> None:
    app = app_on(redis_url, timezone="Europe/Rome")
    given = {
        "cron": entry(HOURLY, args=(1,), options={"queue": "slow", "expires": timedelta(hours=1)}),
        "own zone": entry(HOURLY, timezone="Asia/Tokyo", jitter=30, catch_up="all"),
        "relative": entry(timedelta(hours=1), relative=True),
        "wrong": entry(HOURLY, jiter=3),
        "no rule": {"task": "reports.run"},
    }

    report = Timetable(app).import_beat_schedule(given)

    kept = {name: known.entry for name, known in dump(Timetable(app)).items()}
    fields: Any = {"task": "reports.run", "recurrence": HOURLY, "source": "beat_schedule"}
    assert (report.added, report.refused) == (3, 2)
    assert "did you mean jitter" in dict(report.refusals)["wrong"]
    assert kept == {
        "cron": Entry(
            "cron",
            timezone="Europe/Rome",
            args=[1],
            options={"queue": "slow", "expires": 3600.0},
            **fields,
        ),
        "own zone": Entry("own zone", timezone="Asia/Tokyo", jitter=30, catch_up="all", **fields),
        "relative": Entry(
            "relative",
            timezone="Europe/Rome",
            **{**fields, "recurrence": schedule(3600, relative=True)},
        ),
    }


def test_last_runs_can_be_given(redis_url: str) -> None:
    app = app_on(redis_url)
    given = {name: entry(HOURLY) for name in ("ran", "owes", "new")}

    last_runs = {"ran": datetime.now(UTC), "owes": ago(hours=1)}
    Timetable(app).import_beat_schedule(given, last_runs=last_runs)

    assert due_now(app) == ["owes"]


def test_last_runs_are_read_from_the_file_of_celerys_beat(
    redis_url: str, tmp_path: pathlib.Path
) -> None:
    app = app_on(redis_url)
    given = {name: entry(HOURLY) for name in ("ran", "owes")}
    app.conf.beat_schedule = given
    path = tmp_path / "celerybeat-schedule"
    beat = PersistentScheduler(app, schedule_filename=str(path))
    beat.schedule["ran"] = next(beat.schedule["ran"])
    beat.schedule["owes"].last_run_at = ago(hours=2)
    beat.close()
    timetable = Timetable(app)

    rehearsed = timetable.import_beat_schedule(given, last_runs=path, dry_run=True)
    untouched = dump(timetable)
    timetable.import_beat_schedule(given, last_runs=path)

    kept = dump(timetable)
    assert (rehearsed.added, untouched) == (2, {})
    assert due_now(app) == ["owes"]
    assert kept["ran"].last_at is not None
    assert kept["owes"].last_at is None


def test_a_file_that_is_not_there_is_told(redis_url: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read as the file of Celery's beat"):
        Timetable(app_on(redis_url)).import_beat_schedule(
            {"a": entry(HOURLY)}, last_runs=tmp_path / "nothing"
        )
