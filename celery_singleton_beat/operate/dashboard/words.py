"""Times, durations and numbers as a person reads them on a page."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from typing import Final

from celery_singleton_beat.operate.words import duration

SECOND_MS: Final = 1000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LARGEST_MS: Final = 253_402_300_799_000


def moment_of(at_ms: int) -> datetime:
    """A time as a datetime in UTC; one beyond the calendar as its end."""
    return _EPOCH + timedelta(milliseconds=max(0, min(at_ms, _LARGEST_MS - DAY_MS)))


def iso(at_ms: int) -> str:
    """A time for machines."""
    return moment_of(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at_ms: int, zone: tzinfo) -> str:
    """The time of the day."""
    return moment_of(at_ms).astimezone(zone).strftime("%H:%M:%S")


def date_and_clock(at_ms: int, now_ms: int, zone: tzinfo) -> str:
    """The time of the day, and the day unless it is today."""
    here, today = moment_of(at_ms).astimezone(zone), moment_of(now_ms).astimezone(zone)
    if here.date() == today.date():
        return here.strftime("%H:%M:%S")
    if here.year == today.year:
        return here.strftime("%d %b %H:%M:%S")
    return here.strftime("%Y-%m-%d %H:%M:%S")


def full(at_ms: int, zone: tzinfo) -> str:
    """A time in full, with milliseconds and its zone."""
    here = moment_of(at_ms).astimezone(zone)
    return f"{here:%Y-%m-%d %H:%M:%S}.{here.microsecond // 1000:03} {here:%Z}"


def relative(at_ms: int, now_ms: int) -> str:
    """How long ago, or in how long."""
    if abs(at_ms - now_ms) < SECOND_MS:
        return "now"
    if at_ms > now_ms:
        return f"in {duration(at_ms - now_ms)}"
    return f"{duration(now_ms - at_ms)} ago"


def number(value: int) -> str:
    """A number with its thousands marked."""
    return f"{value:,}"


def counted(count: int, one: str, many: str = "") -> str:
    """So many of something: ``1 run``, ``2 runs``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"
