"""RedBeat's own keys, written by RedBeat, taken over with their last runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery
from celery.schedules import crontab, schedule
from redbeat import RedBeatSchedulerEntry
from redbeat.schedules import rrule

from celery_singleton_beat import Entry, StoreUnavailable, Timetable
from tests.integration.command_line import CommandLine
from tests.integration.importing import MINUTE, UTC, ago, app_on, due_now, dump

if TYPE_CHECKING:
    from collections.abc import Iterator

HOURLY = crontab(minute=MINUTE)


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = app_on(redis_url)
    yield app
    app.redbeat_redis.close()


def save(app: Celery, name: str, rule: Any, last_run: datetime | None = None, **fields: Any) -> Any:
    """Let RedBeat save an entry, and run it at a time."""
    entry = RedBeatSchedulerEntry(name, "reports.run", rule, app=app, **fields).save()
    if last_run is not None:
        entry._next_instance(last_run)  # noqa: SLF001  as its beat does at each dispatch
    return entry


def test_entries_of_redbeat_become_stored_entries(app: Celery) -> None:
    start = datetime(2026, 1, 1, 9, tzinfo=UTC)
    save(app, "cron", crontab(minute="*/15", hour="2,3", day_of_week="mon-fri"), args=[1, "x"])
    save(app, "every", schedule(90), kwargs={"a": None}, options={"queue": "slow", "expires": 60})
    save(app, "relative", schedule(3600, relative=True), enabled=False)
    save(app, "rule", rrule("WEEKLY", dtstart=start, byweekday=[0, 2], count=5))

    report = Timetable(app).import_redbeat()

    kept = {name: known.entry for name, known in dump(Timetable(app)).items()}
    assert (report.added, report.refused) == (4, 0)
    assert kept == {
        "cron": Entry(
            "cron",
            "reports.run",
            crontab(minute="*/15", hour="2,3", day_of_week="mon-fri"),
            args=[1, "x"],
            source="redbeat",
        ),
        "every": Entry(
            "every",
            "reports.run",
            90,
            kwargs={"a": None},
            options={"queue": "slow", "expires": 60},
            source="redbeat",
        ),
        "relative": Entry(
            "relative",
            "reports.run",
            schedule(3600, relative=True),
            enabled=False,
            source="redbeat",
        ),
        "rule": Entry(
            "rule",
            "reports.run",
            "DTSTART:20260101T090000Z\nRRULE:FREQ=WEEKLY;COUNT=5;BYDAY=MO,WE",
            source="redbeat",
        ),
    }


def test_a_crontab_stays_in_the_zone_of_the_app(redis_url: str) -> None:
    app = app_on(redis_url, timezone="Europe/Rome")
    save(app, "nightly", crontab(minute="0", hour="2"))

    Timetable(app).import_redbeat()

    assert Timetable(app).get("nightly").entry.timezone == "Europe/Rome"
    app.redbeat_redis.close()


def test_what_redbeat_ran_is_not_run_again_and_what_it_owes_is_due(app: Celery) -> None:
    """At the switch nothing runs twice, and nothing is left out."""
    save(app, "ran this hour", HOURLY, datetime.now(UTC))
    save(app, "owes an hour", HOURLY, ago(hours=1.5))
    save(app, "ran every", schedule(86_400), ago(hours=12))
    save(app, "owes every", schedule(3600), ago(hours=1.5))
    save(app, "never ran", schedule(86_400))
    save(app, "owes, stopped", HOURLY, ago(hours=9), enabled=False)

    Timetable(app).import_redbeat()

    kept = dump(Timetable(app))
    assert due_now(app) == ["owes an hour", "owes every"]
    assert kept["never ran"].last_at is None
    last_at = kept["owes an hour"].last_at
    assert last_at is not None
    assert (last_at.minute, last_at < ago(hours=1)) == (int(MINUTE), True)
    for name in ("ran this hour", "ran every"):
        assert kept[name].next_at > datetime.now(UTC) - timedelta(seconds=1)


def test_a_second_import_is_no_change(app: Celery) -> None:
    save(app, "a", HOURLY, ago(hours=2))
    timetable = Timetable(app)
    timetable.import_redbeat()
    due_now(app)
    kept_before = dump(timetable)

    report = timetable.import_redbeat()

    assert (report.added, report.changed, report.unchanged) == (0, 0, 1)
    assert kept_before == dump(timetable)


def test_a_dry_run_writes_nothing(app: Celery) -> None:
    save(app, "a", HOURLY)
    timetable = Timetable(app)

    report = timetable.import_redbeat(dry_run=True)

    assert (report.added, report.names["added"]) == (1, ["a"])
    assert dump(timetable) == {}


def test_entries_of_the_configuration_are_left_to_it(redis_url: str) -> None:
    """RedBeat copies beat_schedule into its keys."""
    conf = {"static": {"task": "reports.run", "schedule": 60}}
    app = app_on(redis_url, beat_schedule=conf)
    save(app, "static", schedule(60))
    save(app, "celery.backend_cleanup", crontab(minute="0", hour="4"))
    save(app, "own", schedule(60))

    report = Timetable(app).import_redbeat()

    assert (report.names["added"], report.refused) == (["own"], 2)
    assert "take it out there" in dict(report.refusals)["static"]
    app.redbeat_redis.close()


def test_keys_are_found_by_url_and_prefix_in_another_redis(redis_url: str, make_redis: Any) -> None:
    other = make_redis()
    old = app_on(other.url(0), redbeat_key_prefix="old:")
    for number in range(1100):
        save(old, f"e{number}", schedule(60))
    app = app_on(redis_url)

    by_url = Timetable(app).import_redbeat(other.url(0), key_prefix="old:")
    by_app = Timetable(app).import_redbeat(old)

    assert (by_url.added, by_app.unchanged) == (1100, 1100)
    old.redbeat_redis.close()


def test_what_cannot_be_read_is_told_and_the_others_come(app: Celery, redis_url: str) -> None:
    save(app, "good", schedule(60))
    for name in ("no json", "unknown", "gone"):
        save(app, name, schedule(60))
    with redis.Redis.from_url(redis_url) as client:
        client.hset("redbeat:no json", "definition", "{")
        client.hset(
            "redbeat:unknown",
            "definition",
            '{"name": "unknown", "task": "t", "schedule": {"__type__": "os.system"}}',
        )
        client.delete("redbeat:gone")

    report = Timetable(app).import_redbeat()

    reasons = dict(report.refusals)
    assert report.names["added"] == ["good"]
    assert "objects of type 'os.system' are not known" in reasons["unknown"]
    assert "cannot be read" in reasons["no json"]
    assert "no definition" in reasons["gone"]


def test_a_redis_that_is_not_there_is_told(app: Celery) -> None:
    save(app, "a", schedule(60))

    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/0"):
        Timetable(app).import_redbeat("redis://127.0.0.1:1/0")


def test_the_command_imports_and_tells_what_it_did(app: Celery, redis_url: str) -> None:
    save(app, "every", schedule(3600), ago(hours=3))
    line = CommandLine(app)

    dry = line.data("import", "redbeat", "--dry-run")
    is_empty = not dump(Timetable(app))
    told = line("import", "redbeat", "--by", "ann")
    again = line.data("import", "redbeat", "--url", redis_url, "--source", "redbeat")

    assert (dry["added"], dry["is_dry_run"], is_empty) == (1, True, True)
    assert "redbeat: 1 rows, 1 added" in told
    assert (again["added"], again["unchanged"]) == (0, 1)
    assert dump(Timetable(app))["every"].changed_by == "ann"
    assert due_now(app) == ["every"]
