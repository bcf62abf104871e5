"""Requests for runs, as whoever asks sees them.

Runs in: any process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from celery_singleton_beat.errors import (
    BackfillTooLong,
    EntryError,
    EntryStopped,
    RecurrenceError,
    RequestConflict,
    SingletonBeatError,
    UnknownEntry,
)
from celery_singleton_beat.protocol.asked import MOST_AT_ONCE, Ask, AskAnswer, Asked, Asking
from celery_singleton_beat.protocol.claim import Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.entry import Overlap, Timing
from celery_singleton_beat.protocol.recurrences.bounds import datetime_of, instant_of
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences
from celery_singleton_beat.store.port import Store

_WHY: Final = {
    "disabled": "it is disabled",
    "paused": "it is paused",
    "tenant": "its tenant is paused",
    "all": "everything is paused",
}


@dataclass(frozen=True)
class RunRequest:
    """What is asked for of an entry, and how far it has come.

    A backfill is of ``count`` occurrences in all, scheduled from ``start`` to
    ``end``; what is to run now is one. ``done`` of them are published, those before
    ``next_at`` (None: all are). ``id`` is the cause of each. Times are in UTC.
    """

    id: str
    name: str
    is_backfill: bool
    start: datetime
    end: datetime
    count: int
    done: int = 0
    next_at: datetime | None = None
    asked_at: datetime | None = None
    asked_by: str = ""


def run_now(store: Store, name: str, request: str, by: str) -> int:
    """Ask for a run of an entry now; tell the time that it is scheduled for."""
    answer = store.ask(Asking(request, name, by=by))
    _raise_if_refused(answer, name, request)
    return answer.from_ms


def backfill(
    store: Store,
    timing: Timing,
    span: tuple[datetime, datetime],
    request: str,
    by: str,
    *,
    most: int,
) -> RunRequest:
    """Ask for the occurrences of an entry in a span of time; where there are none, for nothing."""
    asking = _backfill(timing, span, most, store.ping())._replace(request=request, by=by)
    if asking.total:
        _raise_if_refused(store.ask(asking), timing.name, request)
    return RunRequest(
        request,
        timing.name,
        is_backfill=True,
        start=datetime_of(asking.from_ms),
        end=datetime_of(asking.until_ms),
        count=asking.total,
        next_at=datetime_of(asking.from_ms) if asking.total else None,
        asked_by=by,
    )


def open_requests(store: Store) -> Iterator[RunRequest]:
    """Read what is not over, a page at a time, each once."""
    seen: set[str] = set()
    cursor = ""
    while True:
        page = store.open_requests(cursor)
        for request, asked, slot in page.requests:
            if request not in seen:
                seen.add(request)
                yield _told(request, asked, slot)
        cursor = page.cursor
        if not cursor:
            return


def _backfill(timing: Timing, span: tuple[datetime, datetime], most: int, now_ms: int) -> Asking:
    start_ms, end_ms = instant_of(span[0], "start"), instant_of(span[1], "end")
    if end_ms < start_ms:
        raise RecurrenceError(f"end ({span[1]}) is before start ({span[0]})")
    if end_ms > now_ms:
        raise EntryError(
            f"end ({span[1]}) is to come: a backfill is of times past, and what is due later the "
            "timetable dispatches by itself"
        )
    return Asking(
        "",
        timing.name,
        is_backfill=True,
        from_ms=start_ms,
        until_ms=end_ms,
        total=_count(timing, start_ms, end_ms, most),
        most=most,
        step=1 if timing.overlap is not Overlap.ALLOW else MOST_AT_ONCE,
    )


def _count(timing: Timing, start_ms: int, end_ms: int, most: int) -> int:
    walk = occurrences(timing.recurrence, start_ms - 1, end_ms)
    total = latest_ms = 0
    for total, latest_ms in enumerate(islice(walk, most + 1), 1):  # noqa: B007  # the last ones
        continue
    if total <= most:
        return total
    # Counting all of them could take longer than anybody waits for an error.
    about = total * (end_ms - start_ms) // max(latest_ms - start_ms, 1)
    raise BackfillTooLong(
        f"entry {timing.name!r} has about {about} occurrences from {datetime_of(start_ms)} to "
        f"{datetime_of(end_ms)}, and a backfill is of {most} at most: ask for less, or allow "
        "it with most=",
        about,
        most,
    )


def _raise_if_refused(answer: AskAnswer, name: str, request: str) -> None:
    error: SingletonBeatError
    match answer.verdict:
        case Asked.ASKED:
            return
        case Asked.UNKNOWN:
            error = UnknownEntry(
                f"there is no entry {name!r}, neither stored nor of the beats' configuration"
            )
        case Asked.STOPPED:
            error = EntryStopped(
                f"entry {name!r} does not run now: {_WHY[answer.stopped_by]}", answer.stopped_by
            )
        case Asked.CONFLICT:
            error = RequestConflict(
                f"request {request!r} was made before and asked for something else: "
                "give each a request_id of its own"
            )
    raise error


def _told(request: str, asked: Ask, slot: Slot) -> RunRequest:
    return RunRequest(
        request,
        asked.entry,
        asked.is_backfill,
        datetime_of(asked.from_ms),
        datetime_of(asked.until_ms),
        asked.total,
        slot.runs,
        None if slot.slot_ms == ABSENT else datetime_of(slot.slot_ms),
        datetime_of(asked.asked_ms),
        asked.by,
    )
