"""Solar rules: sunrise, sunset, noon and the twilights at a place.

The astronomy is the ``ephem`` library's, an optional dependency that is
imported when the first solar rule is made.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import TYPE_CHECKING

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.recurrence import KnownByRule
from celery_singleton_beat.protocol.recurrences.wallclock import (
    DAY_MS,
    EARLIEST_MS,
    HOUR_MS,
    LATEST_MS,
    MINUTE_MS,
    SECOND_MS,
)

if TYPE_CHECKING:
    from types import ModuleType

_POLE = 90
_DATE_LINE = 180

# Event: (ephem's search, the sun's altitude (degrees:minutes), whether of its centre).
_EVENTS = {
    "dawn_astronomical": ("next_rising", "-18", True),
    "dawn_nautical": ("next_rising", "-12", True),
    "dawn_civil": ("next_rising", "-6", True),
    "sunrise": ("next_rising", "-0:34", False),
    "solar_noon": ("next_transit", "0", False),
    "sunset": ("next_setting", "-0:34", False),
    "dusk_civil": ("next_setting", "-6", True),
    "dusk_nautical": ("next_setting", "-12", True),
    "dusk_astronomical": ("next_setting", "-18", True),
}
_EPHEM_DAY_OF_EPOCH = 25567.5  # ephem counts days from noon of 31 December 1899

# The sky is searched from fixed instants, twice a day: two events of one kind are
# never that close. They lie at 3 and 15 h of local mean time, where few events do.
_WINDOW_MS = 12 * HOUR_MS
_FIRST_WINDOW_MS = 3 * HOUR_MS
# An event this near to the edge of a window may be found from both sides of it.
_EDGE_MS = 30 * MINUTE_MS
_SAME_EVENT_MS = 2 * HOUR_MS
# The sun repeats itself every year: what did not happen in two never will.
_SEARCH_WINDOWS = 2 * 2 * 366


class Solar(KnownByRule):
    """One event of the sun at a latitude and longitude (degrees, north and east positive).

    Occurrences are rounded up to the next whole second. Where an event does
    not happen for weeks (polar night, midnight sun, bright summer nights) the
    next one is the next that really happens. Each is computed from a fixed
    starting point, so it does not depend on when or by whom it is asked for,
    and no event comes twice. Hosts with different releases of ``ephem`` may
    differ by a second.

    Raises:
        RecurrenceError: ``ephem`` is not installed, the event is unknown, or
            the place is not on Earth.

    """

    __slots__ = ("_event", "_latitude", "_longitude")

    def __init__(self, event: str, latitude: float, longitude: float) -> None:
        if event not in _EVENTS:
            raise RecurrenceError(f"unknown solar event {event!r}; use one of {', '.join(_EVENTS)}")
        if not abs(latitude) <= _POLE:
            raise RecurrenceError(f"latitude {latitude} must be from -90 to 90 degrees")
        if not abs(longitude) <= _DATE_LINE:
            raise RecurrenceError(f"longitude {longitude} must be from -180 to 180 degrees")
        _ephem()
        self._event = event
        self._latitude = float(latitude)
        self._longitude = float(longitude)
        self.rule = f"solar {event} {self._latitude!r} {self._longitude!r}"

    def next_after(self, after_ms: int) -> int | None:
        """The first event strictly after an instant; None if it never happens."""
        return _remembered_next(self, after_ms)

    def find_next(self, after_ms: int) -> int | None:
        """`next_after` without its memory."""
        if after_ms >= LATEST_MS:
            return None
        first = (max(after_ms, EARLIEST_MS) - self._window_start(0)) // _WINDOW_MS - 1
        for window in range(first, first + _SEARCH_WINDOWS):
            event_ms = self._event_of(window)
            if event_ms is not None and event_ms > after_ms:
                return event_ms
        return None

    def search(self, window: int) -> float | None:
        """The event found from the start of a window, if it is in the window or at its edges."""
        ephem = _ephem()
        method, altitude, of_centre = _EVENTS[self._event]
        place = ephem.Observer()
        place.lat, place.lon = str(self._latitude), str(self._longitude)
        place.elev, place.pressure, place.horizon = 0, 0, altitude
        start_ms = self._window_start(window)
        options = {"use_center": True} if of_centre else {}
        try:
            found = getattr(place, method)(
                ephem.Sun(), start=start_ms / DAY_MS + _EPHEM_DAY_OF_EPOCH, **options
            )
        except ephem.CircumpolarError:
            return None
        event_ms = (float(found) - _EPHEM_DAY_OF_EPOCH) * DAY_MS
        return event_ms if -_EDGE_MS <= event_ms - start_ms < _WINDOW_MS + _EDGE_MS else None

    def _window_start(self, window: int) -> int:
        local_mean_ms = round(self._longitude * DAY_MS / 360)
        return window * _WINDOW_MS + _FIRST_WINDOW_MS - local_mean_ms

    def _event_of(self, window: int) -> int | None:
        """The event of a window, in whole seconds; found from two, it is the earlier one's."""
        event_ms = _remembered_search(self, window)
        if event_ms is None:
            return None
        before_ms = _remembered_search(self, window - 1)
        if before_ms is not None and event_ms - before_ms < _SAME_EVENT_MS:
            return None
        return -int(-event_ms // SECOND_MS) * SECOND_MS


def _ephem() -> ModuleType:
    try:
        return importlib.import_module("ephem")
    except ImportError as exc:
        raise RecurrenceError(
            "solar schedules need the ephem library: pip install celery-singleton-beat[solar]"
        ) from exc


_remembered_next = lru_cache(maxsize=4096)(Solar.find_next)
_remembered_search = lru_cache(maxsize=16384)(Solar.search)
