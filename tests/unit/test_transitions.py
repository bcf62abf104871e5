"""Crontabs across every change of every zone's clocks, 2024 to 2030.

The changes are found here, by asking zoneinfo for the offset every twelve hours;
what is expected follows from the offsets before and after each, minute by minute.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from celery_singleton_beat.protocol.recurrences.crontab import Crontab
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences

DAY = 1440
MINUTE_MS = 60_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
FIRST = int(datetime(2024, 1, 1, tzinfo=timezone.utc).timestamp()) // 60
LAST = int(datetime(2031, 1, 1, tzinfo=timezone.utc).timestamp()) // 60
# The fields of a crontab that runs every day.
ALL_DAYS = (range(7), range(1, 32), range(1, 13))


class Change(NamedTuple):
    """One change of one zone's clocks; all in minutes."""

    at: int
    before: int
    after: int

    def reading(self, minute: int) -> int:
        return minute + (self.before if minute < self.at else self.after)

    def minutes_around(self, days: float) -> range:
        return range(int(self.at - days * DAY), int(self.at + days * DAY) + 1)


def _offset(zone: ZoneInfo, minute: int) -> int:
    offset = (EPOCH + timedelta(minutes=minute)).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(minutes=1)


def _changes_of(zone: ZoneInfo) -> tuple[Change, ...]:
    found = []
    before = _offset(zone, FIRST)
    for sample in range(FIRST + DAY // 2, LAST + 1, DAY // 2):
        after = _offset(zone, sample)
        if after == before:
            continue
        low, high = sample - DAY // 2, sample
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
        found.append(Change(high, before, after))
        before = after
    return tuple(found)


@cache
def changing_zones() -> dict[tuple[Change, ...], list[str]]:
    """Every zone whose clocks change, by its changes: zones that share them are tried once."""
    grouped: dict[tuple[Change, ...], list[str]] = {}
    for name in sorted(available_timezones()):
        grouped.setdefault(_changes_of(ZoneInfo(name)), []).append(name)
    grouped.pop((), None)
    return grouped


def whole_hour_changes() -> list[tuple[str, Change]]:
    return [
        (names[0], change)
        for changes, names in changing_zones().items()
        for change in changes
        if (change.after - change.before) % 60 == 0
    ]


def _crontab(zone: str, minutes: set[int], hours: set[int] | None = None) -> Crontab:
    return Crontab(
        minutes, hours or range(24), *ALL_DAYS, zone=ZoneInfo(zone), hours_are_wild=hours is None
    )


def _due(crontab: Crontab, around: range) -> list[int]:
    """The minutes of a range, its first excluded, at which a crontab is due."""
    found = occurrences(crontab, around[0] * MINUTE_MS, around[-1] * MINUTE_MS)
    return [at_ms // MINUTE_MS for at_ms in found if at_ms % MINUTE_MS == 0]


def _first_reaching(change: Change, around: range, times: set[int]) -> dict[int, list[int]]:
    """The minutes at which the clock first shows each time of day, or has leapt over it."""
    due: dict[int, list[int]] = {time_of_day: [] for time_of_day in times}
    highest = change.reading(around[0])
    for minute in around[1:]:
        reading = change.reading(minute)
        if reading > highest:
            for skipped_or_shown in range(highest + 1, reading + 1):
                if skipped_or_shown % DAY in times:
                    due[skipped_or_shown % DAY].append(minute)
            highest = reading
    return due


def _readings(minutes: list[int], zone: str) -> list[str]:
    local = ((EPOCH + timedelta(minutes=minute)).astimezone(ZoneInfo(zone)) for minute in minutes)
    return [f"{at:%H:%M%z}" for at in local]


def test_the_years_2024_to_2030_have_hundreds_of_changes_to_try() -> None:
    changes = whole_hour_changes()

    names = [name for group in changing_zones().values() for name in group]

    assert len(changes) > 300
    assert {"Europe/Rome", "America/New_York", "Africa/Casablanca", "Antarctica/Troll"} <= set(
        names
    )


def test_an_hourly_crontab_runs_every_sixty_minutes_through_every_whole_hour_change() -> None:
    """S2-19."""
    wrong = []

    for zone, change in whole_hour_changes():
        around = change.minutes_around(days=1.5)
        for past in (0, 30):
            due = _due(_crontab(zone, {past}), around)
            shown = [at for at in around[1:] if change.reading(at) % 60 == past]
            pauses = {later - at for at, later in pairwise(due)}
            if due != shown or pauses != {60}:
                wrong.append((zone, change, past))

    assert wrong == []


def test_a_quarter_hourly_crontab_never_pauses_longer_than_fifteen_minutes() -> None:
    """S2-19."""
    wrong = []

    for zone, change in whole_hour_changes():
        around = change.minutes_around(days=1.5)
        due = _due(_crontab(zone, {0, 15, 30, 45}), around)
        shown = [at for at in around[1:] if change.reading(at) % 15 == 0]
        pauses = {later - at for at, later in pairwise(due)}
        if due != shown or pauses != {15}:
            wrong.append((zone, change))

    assert wrong == []


def test_a_daily_crontab_runs_once_per_local_day_at_the_first_pass_or_the_end_of_the_gap() -> None:
    """S2-19."""
    wrong = []

    for zone, change in whole_hour_changes():
        around = change.minutes_around(days=3.5)
        earlier, later = sorted((change.at + change.before, change.at + change.after))
        inside = (earlier + later) // 2 % DAY
        times = {inside, earlier % DAY, later % DAY, (later - 1) % DAY, 150, 0, 23 * 60 + 59}
        for time_of_day, expected in _first_reaching(change, around, times).items():
            hour, minute = divmod(time_of_day, 60)
            due = _due(_crontab(zone, {minute}, {hour}), around)
            first_day, last_day = (change.reading(end) // DAY for end in (around[0], around[-1]))
            whole_days = last_day - first_day - 1
            pauses = {later - at for at, later in pairwise(due)}
            if (
                due != expected
                or not whole_days <= len(due) <= whole_days + 2
                or max(pauses) > DAY + abs(change.after - change.before)
            ):
                wrong.append((zone, change, time_of_day))

    assert wrong == []


def test_only_lord_howe_changes_its_clocks_by_less_than_an_hour() -> None:
    odd = {
        name
        for changes, names in changing_zones().items()
        for change in changes
        for name in names
        if (change.after - change.before) % 60
    }

    assert odd == {"Australia/Lord_Howe", "Australia/LHI"}


def test_lord_howe_sets_its_clocks_back_by_half_an_hour() -> None:
    """S2-19."""
    zone = "Australia/Lord_Howe"
    for change in _changes_of(ZoneInfo(zone)):
        if change.after > change.before:
            continue
        around = range(change.at - 89, change.at + 121)

        hourly = _due(_crontab(zone, {0}), around)
        quarterly = _due(_crontab(zone, {0, 15, 30, 45}), range(change.at - 31, change.at + 46))
        daily = _due(_crontab(zone, {45}, {1}), change.minutes_around(days=1))

        assert _readings(hourly, zone) == [
            "01:00+1100",
            "02:00+1030",
            "03:00+1030",
        ]
        assert _readings(quarterly, zone) == [
            "01:30+1100",
            "01:45+1100",
            "01:30+1030",
            "01:45+1030",
            "02:00+1030",
            "02:15+1030",
        ]
        assert _readings(daily, zone) == ["01:45+1100"]


def test_lord_howe_sets_its_clocks_forward_by_half_an_hour() -> None:
    """S2-19."""
    zone = "Australia/Lord_Howe"
    for change in _changes_of(ZoneInfo(zone)):
        if change.after < change.before:
            continue
        around = range(change.at - 89, change.at + 121)

        hourly = _due(_crontab(zone, {0}), around)
        half_past = _due(_crontab(zone, {30}), around)
        quarterly = _due(_crontab(zone, {0, 15, 30, 45}), range(change.at - 31, change.at + 46))
        daily = _due(_crontab(zone, {15}, {2}), change.minutes_around(days=1.2))

        assert _readings(hourly, zone) == [
            "01:00+1030",
            "02:30+1100",  # for 02:00, which the clocks leap over
            "03:00+1100",
            "04:00+1100",
        ]
        assert _readings(half_past, zone) == [
            "01:30+1030",
            "02:30+1100",
            "03:30+1100",
            "04:30+1100",
        ]
        assert _readings(quarterly, zone) == [
            "01:30+1030",
            "01:45+1030",
            "02:30+1100",
            "02:45+1100",
            "03:00+1100",
            "03:15+1100",
        ]
        assert _readings(daily, zone) == ["02:15+1030", "02:30+1100", "02:15+1100"]
