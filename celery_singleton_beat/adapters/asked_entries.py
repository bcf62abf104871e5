"""Runs that are asked for: an entry now, or its occurrences of times past.

Runs in: whatever process asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from celery_singleton_beat.adapters.entries import defaults_of, read_entry, timing_of
from celery_singleton_beat.adapters.entry import Entry
from celery_singleton_beat.engine.asking import RunRequest, backfill, open_requests, run_now
from celery_singleton_beat.errors import EntryError, UnknownEntry
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.protocol.entry_values import name_text
from celery_singleton_beat.protocol.occurrence import Occurrence

if TYPE_CHECKING:
    from celery import Celery

MOST: Final = 100_000
"""So many occurrences a backfill may have, unless it is said otherwise."""


class AskedEntries:
    """The part of a timetable that asks for runs besides it.

    Each request has an id, which is the *cause* of its occurrences: a task finds it
    in ``self.occurrence.cause``. With a ``request_id`` of one's own a call that is
    repeated within a day of the request's end asks once. The timetable goes on as if
    nothing had been asked for.
    """

    _app: Celery
    _extension: Any

    @property
    def _store(self) -> Any:
        raise NotImplementedError

    def run_now(self, name: str, *, by: str = "", request_id: str | None = None) -> str:
        """Let an entry run once, at once; tell the task id of the run.

        It may be an entry of ``beat_schedule``, too. It is scheduled for the time
        when it was asked for. If its tenant has used up its minute, it waits for
        the next.

        Raises:
            UnknownEntry: there is none of that name.
            EntryStopped: it is disabled, or it, its tenant or everything is paused.
            RequestConflict: ``request_id`` was given to another request.
        """
        request = _request_id(request_id)
        at_ms = run_now(self._store, name, request, by)
        return Occurrence(name, at_ms, request).task_id(self._extension.prefix)

    def backfill(
        self,
        name: str,
        start: datetime,
        end: datetime,
        *,
        most: int = MOST,
        by: str = "",
        request_id: str | None = None,
    ) -> RunRequest:
        """Let an entry run for all its occurrences from a start to an end, both included.

        They are published oldest first, whether or not the timetable dispatched them
        in their time; where the entry has an ``overlap`` other than ``"allow"``, each
        when the one before it is over. While the entry, its tenant or everything is
        paused, or the entry is disabled, it waits. An entry of ``beat_schedule`` must be
        known to this app, too.

        Raises:
            UnknownEntry: there is none of that name.
            BackfillTooLong: it has more than ``most`` occurrences.
            EntryError: the times are not times past, or the entry cannot be read here.
            RequestConflict: ``request_id`` was given to another request.
        """
        if most < 1:
            raise EntryError(f"most ({most}) must be at least 1")
        request, timing = _request_id(request_id), self._timing_asked(name)
        return backfill(self._store, timing, (start, end), request, by, most=most)

    def requests(self, name: str | None = None) -> Iterator[RunRequest]:
        """Read what is asked for and not published yet, of one entry or all, in no order."""
        for request in open_requests(self._store):
            if name is None or request.name == name:
                yield request

    def cancel(self, request_id: str, *, by: str = "") -> bool:
        """Publish nothing more for a request; tell whether there was anything left.

        What a beat is just publishing of it, and what is queued already, goes on.
        """
        return bool(self._store.cancel_asked([request_id], by)[0])

    def _timing_asked(self, name: str) -> Timing:
        settings = self._extension.settings
        (kept,) = self._store.kept([name])
        if kept is not None:
            return Entry.from_json(kept.card.definition).timing(defaults_of(self._app, settings))
        if name in (schedule := self._app.conf.beat_schedule):
            return timing_of(self._app, read_entry(self._app, name, schedule[name]), settings)
        msg = f"there is no entry {name!r}, neither stored nor in this app's beat_schedule"
        raise UnknownEntry(msg)


def _request_id(given: str | None) -> str:
    return uuid4().hex if given is None else name_text(given, "request_id")
