"""Wall clocks: what the clocks of a time zone show at which instant.

Zone rules are asked in one direction only, from an instant to its local
reading, which is never ambiguous. What a local reading means (it may come
twice, or never) is decided by the rule that uses it, in sight of the stretches.
"""

from __future__ import annotations

import itertools
import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from celery_singleton_beat.errors import RecurrenceError

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

EARLIEST_MS = -62_000_000_000_000  # in the year 5
LATEST_MS = 250_000_000_000_000  # in the year 9892

# No zone's offset comes near this, so a local day lies inside its UTC day plus that.
_OFFSET_BOUND_MS = 26 * HOUR_MS
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)
_BLOCK_MS = 32 * DAY_MS
# No zone has changed its offset twice within this time.
_SAMPLE_MS = 6 * HOUR_MS


class Stretch(NamedTuple):
    """A stretch of time, end excluded, in which a wall clock keeps one offset to UTC."""

    start_ms: int
    end_ms: int
    offset_ms: int


class WallClock:
    """The wall clock of one time zone. Clocks of the same name are equal."""

    __slots__ = ("_hash", "name", "zone")

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self.name = zone_name(zone)
        self._hash = hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WallClock) and self.name == other.name

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"WallClock({self.name})"

    def offset_at(self, at_ms: int) -> int:
        """What is added to an instant to get the local reading."""
        for stretch in _block(self, at_ms // _BLOCK_MS):
            if at_ms < stretch.end_ms:
                return stretch.offset_ms
        raise AssertionError("a block covers all of its time")  # pragma: no cover

    def offset_asked(self, at_ms: int) -> int:
        """`offset_at`, asked of the zone: for looks far ahead, which need not be remembered."""
        return _ask(self, at_ms)

    def change_between(self, low_ms: int, high_ms: int) -> int:
        """When the offset changes, given two instants with one change between them."""
        return _change_between(self, low_ms, high_ms)

    def stretches(self, from_ms: int, until_ms: int) -> tuple[Stretch, ...]:
        """The stretches that cover ``[from_ms, until_ms)``, cut off at both ends."""
        joined: list[Stretch] = []
        for index in range(from_ms // _BLOCK_MS, (until_ms - 1) // _BLOCK_MS + 1):
            for stretch in _block(self, index):
                start = max(stretch.start_ms, from_ms)
                end = min(stretch.end_ms, until_ms)
                if start >= end:
                    continue
                if joined and joined[-1].offset_ms == stretch.offset_ms:
                    start = joined.pop().start_ms
                joined.append(Stretch(start, end, stretch.offset_ms))
        return tuple(joined)

    def around_day(self, day: int) -> tuple[Stretch, ...]:
        """The stretches in which any reading of the local day (days since 1970) can lie."""
        return self.stretches(
            day * DAY_MS - _OFFSET_BOUND_MS, (day + 1) * DAY_MS + _OFFSET_BOUND_MS
        )

    def steady_offset(self, day: int) -> int | None:
        """The one offset of a local day and both its neighbours; None if there is more than one."""
        return _steady_offset(self, day)

    def has_day(self, day: int, around: tuple[Stretch, ...]) -> bool:
        """Whether a local day has any instant at all."""
        midnight_ms = day * DAY_MS
        return any(
            stretch.start_ms + stretch.offset_ms < midnight_ms + DAY_MS
            and midnight_ms < stretch.end_ms + stretch.offset_ms
            for stretch in around
        )

    def shown_at(self, reading_ms: int, around: tuple[Stretch, ...]) -> list[int]:
        """The instants at which the clock shows a reading: one, two, or none in a gap."""
        instants = ((reading_ms - stretch.offset_ms, stretch) for stretch in around)
        return [at_ms for at_ms, stretch in instants if stretch.start_ms <= at_ms < stretch.end_ms]

    def gap_over(self, reading_ms: int, around: tuple[Stretch, ...]) -> tuple[int, int]:
        """The end (an instant) and the width of the gap that swallowed a reading."""
        for before, after in itertools.pairwise(around):
            end_ms = after.start_ms
            if end_ms + before.offset_ms <= reading_ms < end_ms + after.offset_ms:
                return end_ms, after.offset_ms - before.offset_ms
        raise AssertionError("a reading is shown or lies in a gap")  # pragma: no cover

    def first_reach(self, reading_ms: int) -> int:
        """The first instant at which the clock shows a reading, or the end of its gap."""
        around = self.around_day(reading_ms // DAY_MS)
        shown = self.shown_at(reading_ms, around)
        return shown[0] if shown else self.gap_over(reading_ms, around)[0]


def zone_name(zone: tzinfo) -> str:
    """The canonical name of a zone: its IANA key where it has one, the same on every host."""
    for attribute in ("key", "zone"):  # of zoneinfo, of pytz
        name = getattr(zone, attribute, None)
        if isinstance(name, str) and name:
            return name
    if isinstance(zone, timezone):
        offset = zone.utcoffset(None)
        return "UTC" if not offset else str(timezone(offset))
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(zone))


def wall_clock(zone: tzinfo | WallClock) -> WallClock:
    """The wall clock of a zone."""
    return zone if isinstance(zone, WallClock) else WallClock(_loaded(zone))


def _loaded(zone: tzinfo) -> tzinfo:
    """The zoneinfo zone that a zone object of another library stands for, if there is one."""
    name = getattr(zone, "zone", None)
    if isinstance(name, str) and not isinstance(zone, ZoneInfo):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            return zone
    return zone


@lru_cache(maxsize=4096)
def _block(clock: WallClock, index: int) -> tuple[Stretch, ...]:
    start_ms, end_ms = index * _BLOCK_MS, (index + 1) * _BLOCK_MS
    found: list[Stretch] = []
    since_ms, offset_ms = start_ms, _ask(clock, start_ms)
    for sample_ms in range(start_ms + _SAMPLE_MS, end_ms + 1, _SAMPLE_MS):
        # The last sample is the first instant of the next block: its offset counts only
        # if the change came before.
        if (now_ms := _ask(clock, sample_ms)) != offset_ms:
            change_ms = _change_between(clock, sample_ms - _SAMPLE_MS, sample_ms)
            if change_ms < end_ms:
                found.append(Stretch(since_ms, change_ms, offset_ms))
                since_ms, offset_ms = change_ms, now_ms
    found.append(Stretch(since_ms, end_ms, offset_ms))
    return tuple(found)


def _change_between(clock: WallClock, low_ms: int, high_ms: int) -> int:
    """The first whole second at which the offset of ``high_ms`` holds."""
    low, high = low_ms // SECOND_MS, high_ms // SECOND_MS
    before = _ask(clock, low_ms)
    while high - low > 1:
        middle = (low + high) // 2
        if _ask(clock, middle * SECOND_MS) == before:
            low = middle
        else:
            high = middle
    return high * SECOND_MS


def _ask(clock: WallClock, at_ms: int) -> int:
    bounded_ms = min(max(at_ms, EARLIEST_MS), LATEST_MS)
    offset = (_EPOCH + timedelta(milliseconds=bounded_ms)).astimezone(clock.zone).utcoffset()
    if offset is None:
        raise RecurrenceError(
            f"time zone {clock.name} does not say its offset to UTC; "
            "use an IANA name such as 'Europe/Rome'"
        )
    return offset // _MILLISECOND


@lru_cache(maxsize=8192)
def _steady_offset(clock: WallClock, day: int) -> int | None:
    around = clock.stretches(
        (day - 1) * DAY_MS - _OFFSET_BOUND_MS, (day + 2) * DAY_MS + _OFFSET_BOUND_MS
    )
    return around[0].offset_ms if len(around) == 1 else None
