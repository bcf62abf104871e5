"""Timetables that come from elsewhere: a database, its events, another scheduler.

Runs in: whatever process changes the timetable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.adapters.importing.beat_schedule import rows_of_beat_schedule
from celery_singleton_beat.adapters.importing.django_tables import rows_of_django
from celery_singleton_beat.adapters.importing.redbeat import rows_of_redbeat
from celery_singleton_beat.adapters.progress import Progress, progress_of
from celery_singleton_beat.adapters.rows import rows_of, told_of
from celery_singleton_beat.engine.reconcile import Reconciliation, Row
from celery_singleton_beat.engine.report import Report
from celery_singleton_beat.engine.timetable import Change, TimetableEngine, refused
from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.protocol.limits import TenantLimits
from celery_singleton_beat.protocol.stored import Stored

if TYPE_CHECKING:
    from celery import Celery

DATABASE: Final = "database"
"""The source of rows and events whose source is not told."""


class Sources:
    """The part of a timetable that takes entries over from elsewhere."""

    _app: Celery

    def reconcile(
        self,
        rows: Any,
        source: str = DATABASE,
        *,
        defaults: Mapping[str, Any] | None = None,
        dry_run: bool = False,
        may_remove_all: bool = False,
        by: str = "",
        batch: int = 500,
        progress: Progress | bool | None = None,
    ) -> Report:
        """Make the entries of a source those that its rows say; tell what was done.

        ``rows`` is an iterable, or a callable that gives one, of entries or of
        mappings with their fields (`adapters.rows.entry_of` tells which names are
        known besides); ``defaults`` are fields for rows that leave them out. Rows
        are read as they come, each entry is written for itself, and only entries
        of this source are changed or removed. A row that cannot be an entry, or
        that a limit forbids, is told in the report, and an entry that is there
        for it stays as it is. It may be done again at any time, by several
        processes at once. With ``dry_run`` nothing is written.

        ``progress`` is called with the report after each batch; without it a
        terminal shows a line.

        Raises:
            ReconcileStopped: the rows broke off, or none is an entry and all of the
                source would be removed (``may_remove_all`` allows that). Nothing was removed.
        """
        shown = progress_of(progress)
        work = Reconciliation(
            self._store,
            self._default_limits.quota,
            source,
            dry_run=dry_run,
            by=by,
            batch=batch,
            progress=shown.tell,
        )
        try:
            work.put(rows_of(rows, source, defaults or {}))
            work.sweep(may_remove_all=may_remove_all)
        finally:
            shown.close()
        return work.report

    def on_event(
        self,
        event: object,
        source: str = DATABASE,
        *,
        defaults: Mapping[str, Any] | None = None,
        by: str = "",
    ) -> bool:
        """Follow an event about a row of a source; tell whether that changed anything.

        An event is a mapping, or its JSON: ``{"type": "created" | "updated",
        "schedule": {…}}`` or ``{"type": "deleted", "scheduleId": …}``, from any
        bus. The schedule is read as a row is by ``reconcile``, and must be given
        the same ``source`` and ``defaults``. An event that comes twice changes
        nothing the second time. Events count in the order in which they come
        here: one that is late or lost leaves an older state, until the next
        event or the next ``reconcile``.

        Raises:
            EntryError: it is no event, or no entry, or the entry is of another source.
            LimitExceeded: the entry's tenant may not have it.
        """
        name, entry = told_of(event, source, defaults or {})
        if entry is None:
            (removed,) = self._store.remove([name], source=source)
            if removed is Stored.FOREIGN:
                msg = f"entry {name!r} is not of the source {source!r}: it was not removed"
                raise EntryError(msg)
            return bool(removed is Stored.REMOVED)
        (answer,) = self._engine.put([entry], Change(by=by, mark=self._store.mark()))
        error = refused(entry, answer)
        if error is not None:
            raise error
        return answer.verdict is not Stored.UNCHANGED

    def import_beat_schedule(
        self,
        beat_schedule: Mapping[str, Any],
        *,
        last_runs: Mapping[str, datetime] | str | PathLike[str] | None = None,
        source: str = "beat_schedule",
        dry_run: bool = False,
        by: str = "",
    ) -> Report:
        """Make stored entries of a ``beat_schedule``; tell what was done.

        ``last_runs`` are the times of the last runs, by entry, or the file in which
        Celery's own beat kept them (``celerybeat-schedule``; it is a pickle, as it
        is for Celery: give only your own). Take the entries out of the configuration,
        or they are dispatched twice: from there, and from the store.
        """
        rows = rows_of_beat_schedule(self._app, beat_schedule, last_runs, source)
        return self._import(rows, source, dry_run=dry_run, by=by)

    def import_redbeat(
        self,
        app_or_url: Any = None,
        *,
        key_prefix: str | None = None,
        source: str = "redbeat",
        dry_run: bool = False,
        by: str = "",
        progress: Progress | bool | None = False,
    ) -> Report:
        """Make stored entries of those that RedBeat keeps in Redis; tell what was done.

        ``app_or_url`` is the app that RedBeat ran for (default: this timetable's),
        or the URL of its Redis. Entries that RedBeat copied from ``beat_schedule``
        are left out, for they are dispatched from there. ``progress`` is as for
        ``reconcile``; without it nothing is shown.
        """
        rows = rows_of_redbeat(self._app, app_or_url, key_prefix, source)
        return self._import(rows, source, dry_run=dry_run, by=by, progress=progress)

    def import_django_celery_beat(
        self,
        *,
        source: str = "django-celery-beat",
        dry_run: bool = False,
        by: str = "",
        progress: Progress | bool | None = False,
    ) -> Report:
        """Make stored entries of django-celery-beat's periodic tasks; tell what was done.

        Django must be set up. Entries that it copied from ``beat_schedule`` are left
        out, for they are dispatched from there. ``progress`` is as for ``import_redbeat``.
        """
        rows = rows_of_django(self._app, source)
        return self._import(rows, source, dry_run=dry_run, by=by, progress=progress)

    def _import(
        self,
        rows: Iterable[Row],
        source: str,
        *,
        dry_run: bool,
        by: str,
        progress: Progress | bool | None = False,
    ) -> Report:
        """Put entries with their last runs; nothing is removed."""
        quota, shown = self._default_limits.quota, progress_of(progress)
        work = Reconciliation(
            self._store, quota, source, dry_run=dry_run, by=by, progress=shown.tell
        )
        try:
            work.put(rows)
        finally:
            shown.close()
        return work.report

    @property
    def _store(self) -> Any:
        raise NotImplementedError

    @property
    def _engine(self) -> TimetableEngine:
        raise NotImplementedError

    @property
    def _default_limits(self) -> TenantLimits:
        raise NotImplementedError
