"""Solar rules: real events of the sun, each once, wherever they are asked from."""

from __future__ import annotations

import itertools
import sys
from datetime import datetime

import ephem
import pytest
from celery.schedules import solar as celery_solar

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.recurrence import latest_until, occurrences
from celery_singleton_beat.protocol.recurrences.solar import Solar

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
EVENTS = [
    "dawn_astronomical",
    "dawn_nautical",
    "dawn_civil",
    "sunrise",
    "solar_noon",
    "sunset",
    "dusk_civil",
    "dusk_nautical",
    "dusk_astronomical",
]
ALTITUDES = {"astronomical": -18.0, "nautical": -12.0, "civil": -6.0}


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


NEW_YEAR_MS = ms("2026-01-01T00:00+00:00")


def _year(event: str, latitude: float, longitude: float) -> list[int]:
    rule = Solar(event, latitude, longitude)
    return list(occurrences(rule, NEW_YEAR_MS, NEW_YEAR_MS + 365 * DAY_MS))


def _crossings(event: str, latitude: float, longitude: float) -> list[float]:
    """When the sun crosses an event's altitude in 2026, by looking at it every ten minutes.

    A pair of crossings that are both between two looks is not seen.
    """
    place = ephem.Observer()
    place.lat, place.lon, place.pressure = str(latitude), str(longitude), 0
    sun = ephem.Sun()
    rising = event.startswith("dawn") or event == "sunrise"

    def height(at_ms: float) -> float:
        place.date = ephem.Date(25567.5 + at_ms / DAY_MS)
        sun.compute(place)
        degrees = float(sun.alt) * 57.29577951308232
        if "_" in event:
            return degrees - ALTITUDES[event.partition("_")[2]]
        return degrees + float(sun.radius) * 57.29577951308232 + 34 / 60

    looks = range(NEW_YEAR_MS, NEW_YEAR_MS + 365 * DAY_MS, 600_000)
    heights = [height(at_ms) for at_ms in looks]
    found = []
    for index, (before, after) in enumerate(itertools.pairwise(heights)):
        if (before < 0 <= after) if rising else (before >= 0 > after):
            low, high = float(looks[index]), float(looks[index + 1])
            while high - low > 100:
                middle = (low + high) / 2
                low, high = (
                    (middle, high) if (height(middle) < 0) == (before < 0) else (low, middle)
                )
            found.append(high)
    return found


@pytest.mark.parametrize("event", EVENTS)
def test_at_ordinary_latitudes_it_is_what_celery_finds_within_two_seconds(event: str) -> None:
    rome = celery_solar(event, 41.9, 12.5)
    at = ephem.Date(25567.5 + NEW_YEAR_MS / DAY_MS)
    if event == "dusk_astronomical":
        rome.cal.horizon = "-18"  # Celery 5.5 has it 18 degrees above the horizon
    search = {"use_center": True} if rome.use_center else {}
    expected = []
    for _ in range(365):
        at = getattr(rome.cal, rome.method)(ephem.Sun(), start=at + ephem.minute, **search)
        expected.append((float(at) - 25567.5) * DAY_MS)

    found = _year(event, 41.9, 12.5)

    assert len(found) == 365
    assert max(abs(ours - theirs) for ours, theirs in zip(found, expected, strict=True)) < 2000


@pytest.mark.parametrize(
    ("event", "latitude", "longitude"),
    [
        ("sunrise", 69.65, 18.96),  # Tromsø: polar night and midnight sun
        ("sunset", 69.65, 18.96),
        ("sunrise", 78.22, 15.65),  # Longyearbyen
        ("sunset", -77.85, 166.67),  # McMurdo, near the date line
        ("dusk_astronomical", 59.33, 18.07),  # Stockholm: bright summer nights
        ("dawn_nautical", 64.15, -21.94),  # Reykjavík
        ("sunrise", 88.0, -150.0),
    ],
)
def test_events_that_come_and_go_with_the_seasons_are_the_suns_real_crossings(
    event: str, latitude: float, longitude: float
) -> None:
    """Within half a minute, but for the first and last before and after a pause.

    There the sun glides along the horizon, and may cross it for minutes only.
    """
    expected = _crossings(event, latitude, longitude)

    found = _year(event, latitude, longitude)

    matched = [min(abs(ours - theirs) for ours in found) for theirs in expected]
    unmatched = [ours for ours in found if min(abs(ours - theirs) for theirs in expected) > 30_000]
    assert sum(distance > 30_000 for distance in matched) <= 2
    assert len(unmatched) <= 2
    assert all(later - at > 2 * HOUR_MS for at, later in itertools.pairwise(found))


@pytest.mark.parametrize("event", ["sunrise", "solar_noon", "sunset", "dusk_astronomical"])
@pytest.mark.parametrize("place", [(41.9, 12.5), (69.65, 18.96), (-77.85, 166.67), (0.0, 45.0)])
def test_an_event_is_the_same_whenever_it_is_asked_for_and_comes_once(
    event: str, place: tuple[float, float]
) -> None:
    found = _year(event, *place)
    again = Solar(event, *place)

    for before, at, after in zip(found, found[1:], found[2:], strict=False):
        assert at % 1000 == 0
        for asked_ms in (before, before + 1, (before + at) // 2, at - 1001, at - 1):
            assert again.find_next(asked_ms) == at
        assert again.find_next(at) == after


def test_in_the_polar_night_the_next_sunrise_is_the_first_real_one() -> None:
    tromso = Solar("sunrise", 69.65, 18.96)

    next_ms = tromso.next_after(ms("2026-11-29T00:00+00:00"))

    assert next_ms is not None
    assert ms("2027-01-12T00:00+00:00") < next_ms < ms("2027-01-18T00:00+00:00")


def test_after_the_polar_night_the_latest_sunset_is_the_last_of_autumn() -> None:
    tromso = Solar("sunset", 69.65, 18.96)
    until_ms = ms("2027-01-10T00:00+00:00")

    latest_ms = latest_until(tromso, until_ms, ms("2026-06-01T00:00+00:00"))

    assert latest_ms is not None
    assert ms("2026-11-24T00:00+00:00") < latest_ms < ms("2026-12-01T00:00+00:00")
    following_ms = tromso.next_after(latest_ms)
    assert following_ms is not None
    assert following_ms > until_ms


def test_an_event_that_never_happens_at_a_place_is_never_due() -> None:
    assert Solar("sunrise", 90, 0).next_after(NEW_YEAR_MS) is None


@pytest.mark.parametrize(
    ("event", "latitude", "longitude", "complaint"),
    [
        ("moonrise", 0, 0, "unknown solar event 'moonrise'; use one of dawn_astronomical"),
        ("sunrise", 91, 0, "latitude 91 must be from -90 to 90"),
        ("sunrise", float("nan"), 0, "latitude nan"),
        ("sunrise", 0, -181, "longitude -181 must be from -180 to 180"),
    ],
)
def test_an_unknown_event_or_place_is_refused(
    event: str, latitude: float, longitude: float, complaint: str
) -> None:
    with pytest.raises(RecurrenceError, match=complaint):
        Solar(event, latitude, longitude)


def test_without_ephem_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ephem", None)

    with pytest.raises(RecurrenceError, match=r"pip install celery-singleton-beat\[solar\]"):
        Solar("sunset", 41.9, 12.5)


def test_the_rule_tells_event_and_place() -> None:
    rule = Solar("sunset", 41, 12.5)

    assert rule.rule == "solar sunset 41.0 12.5"
    assert rule == Solar("sunset", 41.0, 12.5)
