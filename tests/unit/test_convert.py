"""Celery's schedule objects, and users' own, as recurrences."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone, tzinfo
from typing import cast
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import BaseSchedule, crontab, schedule, solar

from celery_singleton_beat.adapters.convert import recurrence_of
from celery_singleton_beat.errors import EntryError, RecurrenceError
from celery_singleton_beat.protocol.recurrences.recurrence import (
    is_due_at,
    latest_until,
    occurrences,
)

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)
UTC = ZoneInfo("UTC")
ROME = ZoneInfo("Europe/Rome")
NEW_YORK = ZoneInfo("America/New_York")
START_MS = 1_790_000_000_000


def ms(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // MILLISECOND


class WithZone(crontab):
    """A crontab with a zone of its own."""

    def __init__(self, minute: object, hour: object, tz: tzinfo | None = None) -> None:
        super().__init__(minute, hour)
        if tz is not None:
            self.tz = tz


class Quarterly(BaseSchedule):
    """Every quarter of an hour, at fixed times."""

    def __init__(self, past: int = 0) -> None:
        super().__init__()
        self.past = past

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        since_epoch = last_run_at - EPOCH - timedelta(minutes=self.past)
        ahead = timedelta(minutes=15) - since_epoch % timedelta(minutes=15)
        return last_run_at + ahead - cast("datetime", self.now())


class Doubling(schedule):
    """Twice its interval after the last run."""

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        return cast("timedelta", last_run_at + 2 * self.run_every - self.now())


class Weekdays(crontab):
    """A crontab that decides for itself when it is due."""

    def is_due(self, last_run_at: datetime) -> tuple[bool, datetime]:
        return cast("tuple[bool, datetime]", super().is_due(last_run_at))


class Answering(BaseSchedule):
    """What follows is always the same answer."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        del last_run_at
        if isinstance(self.answer, Exception):
            raise self.answer
        return cast("timedelta", self.answer)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (30, "every 30000ms"),
        (0.25, "every 250ms"),
        (timedelta(minutes=5), "every 300000ms"),
        (schedule(10.0), "every 10000ms"),
        (schedule(timedelta(hours=1), relative=True), "relative every 3600000ms Europe/Rome"),
        (crontab(), "crontab * * * * * Europe/Rome"),
        (crontab(minute="*/30", hour="9-10"), "crontab 0,30 9,10 * * * Europe/Rome"),
        (crontab(0, "*/12"), "crontab 0 0,12 * * * Europe/Rome wild-hours"),
        (crontab(0, "*/12,*/6"), "crontab 0 0,6,12,18 * * * Europe/Rome wild-hours"),
        (crontab(0, "0,12"), "crontab 0 0,12 * * * Europe/Rome"),
        (crontab(0, "*/12,5"), "crontab 0 0,5,12 * * * Europe/Rome"),
        (crontab(0, range(24)), "crontab 0 * * * * Europe/Rome"),
        (crontab(0, 9, day_of_week="mon"), "crontab 0 9 * * 1 Europe/Rome"),
        (crontab(0, 9, day_of_month="1", month_of_year="*/6"), "crontab 0 9 1 1,7 * Europe/Rome"),
        (WithZone(0, 9), "crontab 0 9 * * * Europe/Rome"),
        (solar("sunset", 41.9, 12.5), "solar sunset 41.9 12.5"),
    ],
)
def test_celerys_schedules_become_rules(given: object, rule: str) -> None:
    assert recurrence_of(given, "Europe/Rome", "report").rule == rule


def test_equal_rules_of_ten_thousand_entries_are_one_object() -> None:
    rules = {id(recurrence_of(crontab(minute=7), "Europe/Rome", f"e{n}")) for n in range(100)}
    intervals = {id(recurrence_of(n % 3 + 1, "UTC", f"e{n}")) for n in range(100)}

    assert len(rules) == 1
    assert len(intervals) == 3


def test_an_interval_is_rounded_to_whole_milliseconds() -> None:
    assert recurrence_of(1 / 3, "UTC", "third").rule == "every 333ms"


@pytest.mark.parametrize(
    "given",
    [0, -1, 0.0004, float("nan"), float("inf"), 1e300, timedelta(0), timedelta(microseconds=999)],
)
def test_an_interval_that_cannot_be_is_refused_with_its_entry(given: object) -> None:
    with pytest.raises(RecurrenceError, match=r"entry 'tick': an interval of .* seconds is .*"):
        recurrence_of(given, "UTC", "tick")


@pytest.mark.parametrize("given", ["*/5 * * * *", None, True, object()])
def test_what_is_no_schedule_is_refused_with_what_to_give(given: object) -> None:
    with pytest.raises(RecurrenceError, match=r"entry 'tick': .* give seconds, a timedelta"):
        recurrence_of(given, "UTC", "tick")


@pytest.mark.parametrize(
    ("zone", "complaint"),
    [
        ("Europe/Rom", "did you mean 'Europe/Rome'"),
        ("europe/rome", "did you mean 'Europe/Rome'"),
        ("New York", "did you mean 'America/New_York'"),
        ("", "IANA"),
        ("../../etc/passwd", "unknown time zone"),
        (3, "is of type int"),
    ],
)
def test_an_unknown_zone_is_refused_with_names_that_are_near(zone: str, complaint: str) -> None:
    """S2-19."""
    with pytest.raises(EntryError, match=complaint) as caught:
        recurrence_of(crontab(), zone, "report")

    assert "entry 'report'" in str(caught.value)


def test_the_entrys_zone_goes_before_the_schedules_and_that_before_the_applications() -> None:
    """S2-19."""
    own = WithZone(0, 9, tz=NEW_YORK)

    by_default = recurrence_of(own, UTC, "report")
    explicit = recurrence_of(own, "Europe/Rome", "report", zone_is_explicit=True)
    without = recurrence_of(WithZone(0, 9), UTC, "report")

    assert by_default.next_after(START_MS) == ms("2026-09-22T09:00-04:00")
    assert by_default.rule.endswith("America/New_York")
    assert explicit.rule.endswith("Europe/Rome")
    assert without.rule.endswith("UTC")


def test_a_zone_that_celery_cached_in_its_own_crontab_does_not_count() -> None:
    cached = crontab(0, 9)
    cached.tz = NEW_YORK

    assert recurrence_of(cached, ROME, "report").rule.endswith("Europe/Rome")


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        (timezone.utc, "UTC"),
        (timezone(timedelta(hours=2)), "UTC+02:00"),
        (timezone(timedelta(hours=-3, minutes=-30), "NST"), "UTC-03:30"),
        (ROME, "Europe/Rome"),
    ],
)
def test_zone_objects_have_names(zone: tzinfo, name: str) -> None:
    rule = recurrence_of(crontab(0, 9), zone, "report")

    nine_ms = rule.next_after(START_MS)

    assert rule.rule == f"crontab 0 9 * * * {name}"
    assert nine_ms is not None
    assert f"{(EPOCH + nine_ms * MILLISECOND).astimezone(zone):%H:%M}" == "09:00"


def test_a_custom_class_is_asked_what_follows_each_instant() -> None:
    rule = recurrence_of(Quarterly(), UTC, "custom")

    found = list(occurrences(rule, 0, 3_600_000))

    assert found == [900_000, 1_800_000, 2_700_000, 3_600_000]
    assert is_due_at(rule, 900_000)
    assert not is_due_at(rule, 900_001)
    assert latest_until(rule, START_MS, START_MS - 10**10) == START_MS // 900_000 * 900_000
    assert latest_until(rule, 899_999, 1) is None


def test_a_class_that_counts_from_the_last_run_is_followed_from_there() -> None:
    rule = recurrence_of(Doubling(timedelta(seconds=5)), UTC, "doubling")

    assert rule.next_after(START_MS + 3) == START_MS + 10_003
    assert is_due_at(rule, START_MS + 3)
    assert latest_until(rule, START_MS + 65_000, START_MS + 3) == START_MS + 60_003
    assert latest_until(rule, START_MS + 2, START_MS + 3) is None


def test_after_a_long_absence_the_chain_of_a_custom_class_goes_on_from_about_now() -> None:
    rule = recurrence_of(Doubling(timedelta(seconds=5)), UTC, "doubling")

    latest_ms = latest_until(rule, START_MS + 400 * 86_400_000, START_MS)

    assert latest_ms is not None
    assert 0 <= START_MS + 400 * 86_400_000 - latest_ms < 10_000


def test_a_subclass_that_decides_itself_is_custom_and_one_that_does_not_is_celerys() -> None:
    decides = recurrence_of(Weekdays(0, 9), ROME, "report")
    plain = recurrence_of(WithZone(0, 9), ROME, "report")

    assert decides.rule.startswith("custom ")
    assert "Weekdays" in decides.rule
    assert plain.rule.startswith("crontab ")
    assert decides.next_after(START_MS) == plain.next_after(START_MS)


def test_asking_leaves_the_users_schedule_as_it_was() -> None:
    given = Doubling(timedelta(seconds=5))
    before = dict(vars(given))

    recurrence_of(given, ROME, "doubling").next_after(START_MS)

    assert vars(given) == before


@pytest.mark.parametrize(
    "answer", [timedelta(0), timedelta(seconds=-1), 5, None, ValueError("out of range")]
)
def test_a_custom_class_that_does_not_go_on_is_refused_with_entry_and_class(answer: object) -> None:
    rule = recurrence_of(Answering(answer), UTC, "odd")

    with pytest.raises(EntryError, match=r"entry 'odd': schedule class .*Answering"):
        rule.next_after(START_MS)


def test_a_remaining_time_below_a_millisecond_still_goes_on() -> None:
    rule = recurrence_of(Answering(timedelta(microseconds=1)), UTC, "tiny")

    assert rule.next_after(START_MS) == START_MS + 1


def test_custom_rules_tell_their_parameters() -> None:
    texts = {
        recurrence_of(given, UTC, "custom").rule
        for given in [
            Quarterly(0),
            Quarterly(5),
            Doubling(timedelta(seconds=5)),
            Doubling(timedelta(seconds=6)),
            Weekdays(0, 9),
            Weekdays(0, 10),
            Answering({"b", "a"}),
            Answering(object()),
            Answering(ms),
        ]
    }

    assert len(texts) == 9
    assert not any("0x" in text for text in texts)
    assert recurrence_of(Quarterly(5), UTC, "other").rule in texts


def test_rules_have_the_same_text_with_every_hash_seed() -> None:
    """F1: replicas on other hosts compute the same rule."""
    program = (
        "from celery.schedules import crontab, schedule\n"
        "from celery_singleton_beat.adapters.convert import recurrence_of\n"
        "class Own(schedule):\n"
        "    def is_due(self, at): return super().is_due(at)\n"
        "    def __reduce__(self): return Own, (self.run_every, {'x', 'y', 'z'}, ms)\n"
        "def ms(): pass\n"
        "for given in [crontab('1-50/7', '*/5', 'mon-fri', '1-9', '2,4'), Own(5)]:\n"
        "    print(recurrence_of(given, 'Europe/Rome', 'e').rule)\n"
    )

    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(texts) == 1
    assert "{'x', 'y', 'z'}" in texts.pop()
