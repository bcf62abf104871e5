"""A year of a mixed timetable, simulated without a clock, against a count made apart from it."""

from __future__ import annotations

import heapq
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import ephem
from celery.schedules import crontab, schedule, solar

from celery_singleton_beat.adapters.convert import recurrence_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_singleton_beat.protocol.recurrences.recurrence import Recurrence

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# A leap year.
FROM_MINUTE = int(datetime(2028, 1, 1, tzinfo=timezone.utc).timestamp()) // 60
UNTIL_MINUTE = int(datetime(2029, 1, 1, tzinfo=timezone.utc).timestamp()) // 60
MINUTE_MS = 60_000
FROM_MS, UNTIL_MS = FROM_MINUTE * MINUTE_MS, UNTIL_MINUTE * MINUTE_MS
EVERY_DAY = frozenset(range(1, 32))
EVERY_WEEKDAY = frozenset(range(7))
SOLAR_TOLERANCE_MS = 2000


class Times(NamedTuple):
    """What a crontab names, written out by hand."""

    minutes: frozenset[int]
    hours: frozenset[int]
    wild: bool
    weekdays: frozenset[int] = EVERY_WEEKDAY
    days: frozenset[int] = EVERY_DAY

    def name(self, reading: datetime) -> bool:
        return (
            reading.minute in self.minutes
            and reading.hour in self.hours
            and reading.isoweekday() % 7 in self.weekdays
            and reading.day in self.days
        )


def few(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)


ALL_HOURS = frozenset(range(24))
CRONTABS = {
    "quarter-hourly": (crontab(minute="*/15"), Times(few(0, 15, 30, 45), ALL_HOURS, wild=True)),
    "hourly at 20": (crontab(minute=20), Times(few(20), ALL_HOURS, wild=True)),
    "every other hour": (
        crontab(minute=30, hour="*/2"),
        Times(few(30), frozenset(range(0, 24, 2)), wild=True),
    ),
    "at night": (
        crontab(minute="0,10", hour="0-2"),
        Times(few(0, 10), few(0, 1, 2), wild=False),
    ),
    "late": (crontab(minute=30, hour=23), Times(few(30), few(23), wild=False)),
    "last sundays": (
        crontab(minute="*/30", hour="1-3", day_of_week="sun", day_of_month="25-31"),
        Times(few(0, 30), few(1, 2, 3), wild=False, weekdays=few(0), days=frozenset(range(25, 32))),
    ),
}
ZONES = [
    "Europe/Rome",
    "America/New_York",
    "America/Santiago",  # changes at midnight
    "Australia/Lord_Howe",  # by half an hour
    "Africa/Casablanca",  # by the moon
    "Asia/Kathmandu",  # never, at UTC+05:45
]
INTERVALS = {"every 90 s": 90, "every 7 min": timedelta(minutes=7), "twice a day": schedule(43_200)}
SUNS = {
    "sunset in Rome": solar("sunset", 41.9, 12.5),
    "sunrise in Tromsø": solar("sunrise", 69.65, 18.96),
    "dusk in Stockholm": solar("dusk_astronomical", 59.33, 18.07),
}


def _timetable() -> dict[str, Recurrence]:
    entries = {
        name: recurrence_of(given, "UTC", name) for name, given in (INTERVALS | SUNS).items()
    }
    for name, (given, _) in CRONTABS.items():
        for zone in ZONES:
            entries[f"{name} in {zone}"] = recurrence_of(given, zone, name)
    return entries


def _simulated(timetable: dict[str, Recurrence]) -> dict[str, list[int]]:
    """What a beat does for a year: what is due soonest runs, and is put back with its next time."""
    due = []
    for name, recurrence in timetable.items():
        if (first_ms := recurrence.next_after(FROM_MS)) is not None:
            due.append((first_ms, name))
    heapq.heapify(due)
    ran: dict[str, list[int]] = defaultdict(list)
    while due and due[0][0] <= UNTIL_MS:
        at_ms, name = due[0]
        ran[name].append(at_ms)
        next_ms = timetable[name].next_after(at_ms)
        assert next_ms is not None
        heapq.heapreplace(due, (next_ms, name))
    return ran


def _looked_at(zone: str) -> Iterator[tuple[int, datetime, list[datetime]]]:
    """Every minute of the year: what a clock shows, and what it has freshly shown or skipped."""
    tz = ZoneInfo(zone)
    minute_long = timedelta(minutes=1)
    highest = datetime.fromtimestamp(FROM_MINUTE * 60, tz).replace(tzinfo=None)
    for minute in range(FROM_MINUTE + 1, UNTIL_MINUTE + 1):
        shown = datetime.fromtimestamp(minute * 60, tz).replace(tzinfo=None)
        fresh = []
        while highest < shown:
            highest += minute_long
            fresh.append(highest)
        yield minute, shown, fresh


def _expected_in(zone: str) -> dict[str, list[int]]:
    """When each crontab is due in a zone, from the words of the rule alone."""
    found: dict[str, list[int]] = defaultdict(list)
    for minute, shown, fresh in _looked_at(zone):
        if shown.minute % 5 and len(fresh) == 1:
            continue  # no crontab here names such a minute
        leapt = shown - fresh[0] if fresh else timedelta(0)
        for name, (_, times) in CRONTABS.items():
            if times.wild:
                skipped = [past for past in fresh[:-1] if times.name(past)]
                due = times.name(shown) or any(not times.name(past + leapt) for past in skipped)
            else:
                due = any(times.name(past) for past in fresh)
            if due:
                found[f"{name} in {zone}"].append(minute * MINUTE_MS)
    return found


def _expected_of_the_sun(event: str, latitude: float, longitude: float) -> list[float]:
    """Events that ephem finds from any of eight instants a day, those that are one counted once."""
    celerys = solar(event, latitude, longitude)
    if event == "dusk_astronomical":
        celerys.cal.horizon = "-18"  # Celery 5.5 has it 18 degrees above the horizon
    options = {"use_center": True} if celerys.use_center else {}
    found: list[float] = []
    for from_ms in range(FROM_MS, UNTIL_MS, 3 * 60 * MINUTE_MS):
        try:
            start = ephem.Date(from_ms / 86_400_000 + 25567.5)
            at = getattr(celerys.cal, celerys.method)(ephem.Sun(), start=start, **options)
        except ephem.CircumpolarError:
            continue
        at_ms = (float(at) - 25567.5) * 86_400_000
        if FROM_MS < at_ms <= UNTIL_MS and (not found or at_ms - found[-1] > 60 * MINUTE_MS):
            found.append(at_ms)
    return found


def test_a_year_of_a_mixed_timetable_is_what_counting_minute_by_minute_gives() -> None:
    """S2-19."""
    timetable = _timetable()

    ran = _simulated(timetable)

    assert sum(map(len, ran.values())) > 600_000
    for zone in ZONES:
        for name, expected in _expected_in(zone).items():
            assert ran[name] == expected, name
    for name, every_s in {"every 90 s": 90, "every 7 min": 420, "twice a day": 43_200}.items():
        multiples = [
            s * 1000 for s in range(FROM_MS // 1000 + 1, UNTIL_MS // 1000 + 1) if s % every_s == 0
        ]
        assert ran[name] == multiples, name
    for name, sun in SUNS.items():
        expected_ms = _expected_of_the_sun(sun.event, sun.lat, sun.lon)
        assert len(ran[name]) == len(expected_ms) > 200, name
        pairs = zip(ran[name], expected_ms, strict=True)
        assert max(abs(ours - theirs) for ours, theirs in pairs) < SOLAR_TOLERANCE_MS, name
    assert len(ran) == len(timetable) == len(CRONTABS) * len(ZONES) + len(INTERVALS) + len(SUNS)
