"""What a timetable will do: its occurrences between two times, as data, without a store."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.claim import Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.protocol.jitter import offset_ms
from celery_singleton_beat.protocol.plan import plan
from celery_singleton_beat.protocol.recurrences.bounds import datetime_of, instant_of
from celery_singleton_beat.protocol.recurrences.recurrence import is_due_at, occurrences


class Due(NamedTuple):
    """One occurrence to come: what it is called (``scheduled``), and when it is dispatched.

    ``due`` is later by the entry's jitter. Both are in UTC.
    """

    entry: Entry
    scheduled: datetime
    due: datetime


def preview(entries: Iterable[Entry], start: datetime, end: datetime) -> Iterator[Due]:
    """All occurrences that are scheduled from a start up to an end, both included, in order.

    They are computed while they are asked for. Entries that are not enabled
    have none. With ``max_runs`` those runs are counted from the start given
    here: what ran before is not known without a store.

    Raises:
        RecurrenceError: a time has no time zone, or the end is before the start.
    """
    start_ms, end_ms = instant_of(start, "start"), instant_of(end, "end")
    if end_ms < start_ms:
        raise RecurrenceError(f"end ({end}) is before start ({start})")
    streams = (_of(entry, start_ms, end_ms) for entry in entries if entry.enabled)
    return (due for *_, due in heapq.merge(*streams, key=_order))


def next_runs(entry: Entry, after: datetime, count: int) -> list[Due]:
    """The next occurrences of an entry that are scheduled after a time; fewer if it ends."""
    after_ms = instant_of(after, "after")
    most = count if entry.max_runs is None else min(count, entry.max_runs)
    found: list[Due] = []
    at_ms = entry.when.next_after(after_ms)
    while at_ms is not None and len(found) < most:
        found.append(_due(entry, at_ms))
        at_ms = entry.when.next_after(at_ms)
    return found


def upcoming(
    timing: Timing, slot: Slot, *, now_ms: int, changed_ms: int, resumed_ms: int
) -> Iterator[int]:
    """Scheduled times of a stored entry: what would be dispatched now, and all that follows.

    It is planned as whoever claims it would: by the rule that counts now, and
    without what was due before it was resumed.
    """
    planned = plan(timing, slot, now_ms=now_ms, changed_ms=changed_ms, resumed_ms=resumed_ms)
    yield from (occurrence.scheduled_ms for occurrence in planned.publish)
    runs, at_ms = planned.slot.runs, planned.slot.slot_ms
    following: int | None = None if at_ms == ABSENT else at_ms
    while following is not None and not timing.has_run(runs):
        yield following
        runs, following = runs + 1, timing.recurrence.next_after(following)


def _of(entry: Entry, start_ms: int, end_ms: int) -> Iterator[tuple[int, str, Due]]:
    for at_ms in islice(_times(entry, start_ms, end_ms), entry.max_runs):
        yield at_ms, entry.name, _due(entry, at_ms)


def _times(entry: Entry, start_ms: int, end_ms: int) -> Iterator[int]:
    if is_due_at(entry.when, start_ms):
        yield start_ms
    yield from occurrences(entry.when, start_ms, end_ms)


def _order(row: tuple[int, str, Due]) -> tuple[int, str]:
    return row[:2]


def _due(entry: Entry, at_ms: int) -> Due:
    delay_ms = offset_ms(entry.name, entry.jitter_ms)
    return Due(entry, datetime_of(at_ms), datetime_of(at_ms + delay_ms))
