"""What will be due: the occurrences of a timetable to come, those of ``beat_schedule`` included."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.protocol.recurrences.bounds import datetime_of, instant_of
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences


class Scheduled(NamedTuple):
    """An entry that will be dispatched: when, and how often it was until now."""

    name: str
    task: str
    timing: Timing
    runs: int = 0


class Coming(NamedTuple):
    """One occurrence to come; ``due`` is later than ``scheduled`` by the jitter."""

    name: str
    task: str
    scheduled: datetime
    due: datetime


def coming(entries: Iterable[Scheduled], start: datetime, end: datetime) -> Iterator[Coming]:
    """All occurrences that are scheduled from a start to an end, both included, in order."""
    start_ms, end_ms = instant_of(start, "start"), instant_of(end, "end")
    streams = (_of(entry, start_ms, end_ms) for entry in entries)
    return (one for _, _, one in heapq.merge(*streams, key=lambda found: found[:2]))


def _of(entry: Scheduled, start_ms: int, end_ms: int) -> Iterator[tuple[int, str, Coming]]:
    timing = entry.timing
    left = None if timing.max_runs is None else max(timing.max_runs - entry.runs, 0)
    for at_ms in islice(occurrences(timing.recurrence, start_ms - 1, end_ms), left):
        due = datetime_of(at_ms + timing.offset_ms)
        yield at_ms, entry.name, Coming(entry.name, entry.task, datetime_of(at_ms), due)
