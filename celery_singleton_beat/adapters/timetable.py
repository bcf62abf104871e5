"""The timetable at run time: entries put, changed, paused and removed while beats run.

Runs in: any process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.adapters.asked_entries import AskedEntries
from celery_singleton_beat.adapters.entries import defaults_of
from celery_singleton_beat.adapters.entry import Entry
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.sources import Sources
from celery_singleton_beat.engine.timetable import Change, TimetableEngine, refused
from celery_singleton_beat.errors import EntryError, RevisionConflict, UnknownEntry
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.limits import TenantLimits
from celery_singleton_beat.protocol.stored import Stored

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.store.timetable_port import Kept

_ATTEMPTS: Final = 10
"""How often a change of what was read is tried while others change the entry as well."""


@dataclass(frozen=True)
class StoredEntry:
    """An entry as it stands in the store: what it is, and what was done to it.

    ``revision`` grows with every change. ``next_at`` is the occurrence that beats look
    at next (None: none, or no beat has planned it since its rule changed), ``last_at``
    the last one that was dispatched, of ``runs`` in all. Times are in UTC.
    """

    entry: Entry
    revision: int
    changed_at: datetime
    changed_by: str
    is_paused: bool
    note: str
    next_at: datetime | None
    last_at: datetime | None
    runs: int

    @property
    def name(self) -> str:
        return self.entry.name


class Timetable(Sources, AskedEntries):
    """The entries that are kept in the store, for every beat of this app.

    Every method is one step or a few that any number of processes may take at
    the same time; beats act on a change at once. Saving, enabling and resuming
    an entry never fires it, and what was missed while it was paused is not
    caught up. No occurrence that is claimed after a change returned shows the
    state before it.

    ``limits`` are for tenants that were given none of their own (default: the
    setting ``singleton_beat_tenant_limits``); entries without a tenant have none.
    Every method raises ``StoreError`` when the store cannot answer; what was
    asked for may then have been done, and may be asked for again.
    """

    def __init__(self, app: Celery, *, limits: TenantLimits | None = None) -> None:
        self._app = app
        self._extension = extension_of(app)
        self._limits = limits

    @property
    def _store(self) -> Any:
        return self._extension.store

    @property
    def _engine(self) -> TimetableEngine:
        engine: TimetableEngine | None = vars(self).get("_made")
        if engine is None:
            engine = vars(self)["_made"] = TimetableEngine(self._store, self._default_limits)
        return engine

    @property
    def _default_limits(self) -> TenantLimits:
        return self._extension.limits if self._limits is None else self._limits

    def put(
        self,
        entry: Entry,
        *,
        if_revision: int | None = None,
        by: str = "",
        cancel_queued: bool = False,
    ) -> int:
        """Store an entry, new or changed; tell its revision.

        An entry that is so already is left alone and keeps its revision. With
        ``if_revision`` it is stored only if it has that revision (0: if it is not there).
        With ``cancel_queued`` no message of an earlier revision that is still queued
        will run (of a ``SingletonTask``).

        Raises:
            RevisionConflict: it has another revision.
            LimitExceeded: its tenant may not have it.
        """
        (answer,) = self._engine.put([entry], Change(if_revision, by))
        error = refused(entry, answer)
        if error is not None:
            raise error
        if cancel_queued:
            self._engine.cancel_queued(entry.name, answer.revision)
        return answer.revision

    def update(
        self, name: str, *, by: str = "", cancel_queued: bool = False, **changes: Any
    ) -> int:
        """Change some fields of an entry, whatever others change meanwhile; tell its revision.

        Raises:
            UnknownEntry: there is none of that name.
            EntryError: it cannot be so; nothing is changed.
        """
        for _ in range(_ATTEMPTS):
            known = self.get(name)
            try:
                return self.put(
                    _changed(known.entry, changes),
                    if_revision=known.revision,
                    by=by,
                    cancel_queued=cancel_queued,
                )
            except RevisionConflict as error:
                conflict = error
        raise conflict

    def enable(self, name: str, *, by: str = "") -> int:
        """Let an entry be dispatched: from now on."""
        return self.update(name, by=by, enabled=True)

    def disable(self, name: str, *, by: str = "", cancel_queued: bool = False) -> int:
        """Keep an entry that is not dispatched; with ``cancel_queued`` as in `put`."""
        return self.update(name, by=by, cancel_queued=cancel_queued, enabled=False)

    def remove(
        self, name: str, *, if_revision: int | None = None, cancel_queued: bool = False
    ) -> bool:
        """Remove an entry; tell whether there was one. With ``cancel_queued`` as in `put`.

        Raises:
            RevisionConflict: it does not have the revision ``if_revision``.
        """
        (verdict,) = self._store.remove([name], if_revision=if_revision)
        if verdict is Stored.CONFLICT:
            msg = f"entry {name!r} does not have revision {if_revision}: read it again"
            raise RevisionConflict(msg)
        if cancel_queued:
            self._engine.cancel_queued(name, self._store.mark())
        return verdict is Stored.REMOVED

    def pause(
        self, name: str, *, note: str = "", by: str = "", cancel_queued: bool = False
    ) -> bool:
        """Dispatch an entry no more until it is resumed; False if it is paused already.

        With ``cancel_queued`` as in `put`.

        Raises:
            UnknownEntry: there is none of that name.
        """
        is_change = self._pause(name, paused=True, note=note, by=by)
        if cancel_queued:
            self._engine.cancel_queued(name, self.get(name).revision)
        return is_change

    def resume(self, name: str, *, by: str = "") -> bool:
        """Dispatch an entry again, from now on; False if it is not paused.

        Raises:
            UnknownEntry: there is none of that name.
        """
        return self._pause(name, paused=False, note="", by=by)

    def pause_all(self, *, tenant: str | None = None) -> bool:
        """Dispatch nothing of a tenant, or nothing at all, entries of ``beat_schedule`` included.

        What is queued or runs already goes on. Tells whether that is a change.
        """
        return bool(self._store.pause_all(tenant, paused=True))

    def resume_all(self, *, tenant: str | None = None) -> bool:
        """Dispatch again what ``pause_all`` stopped, from now on."""
        return bool(self._store.pause_all(tenant, paused=False))

    def get(self, name: str) -> StoredEntry:
        """Read an entry.

        Raises:
            UnknownEntry: there is none of that name.
            EntryError: it cannot be read here.
        """
        for _, kept in self._engine.kept([name]):
            return _stored(kept)
        raise _unknown(name)

    def entries(
        self, *, tenant: str | None = None, source: str | None = None
    ) -> Iterator[StoredEntry]:
        """Read all entries, or those of a tenant or a source, a page at a time, in no order.

        One that is changed meanwhile comes as it was or as it is. What cannot be
        read here is left out; beats report it.
        """
        for page in self._engine.names(tenant):
            for _, kept in self._engine.kept(page):
                if source is None or kept.card.source == source:
                    try:
                        yield _stored(kept)
                    except EntryError:
                        continue

    def next_runs(self, name: str, count: int = 1) -> list[datetime]:
        """Tell the next scheduled times of an entry, in UTC, what is to be caught up included.

        None while it is disabled, or it or its tenant is paused.

        Raises:
            UnknownEntry: there is none of that name.
            EntryError: it cannot be read here.
        """
        for _, kept in self._engine.kept([name]):
            entry = Entry.from_json(kept.card.definition)
            timing = entry.timing(defaults_of(self._app, self._extension.settings))
            return [_moment(at_ms) for at_ms in self._engine.upcoming(kept, timing, count)]
        raise _unknown(name)

    def set_limits(self, tenant: str, limits: TenantLimits | None) -> None:
        """Give a tenant limits of its own; None: the default again. What it has stays."""
        self._store.allow(tenant, None if limits is None else limits.quota)

    def limits(self, tenant: str) -> TenantLimits:
        """Tell what a tenant may have."""
        quota = self._store.tenants([tenant])[0].quota
        if quota is not None:
            return TenantLimits.of_quota(quota)
        return self._default_limits

    def tenants(self) -> Iterator[str]:
        """Name the tenants that have something, in no order."""
        for page in self._engine.tenants():
            yield from (name for name in page if name)

    def _pause(self, name: str, *, paused: bool, note: str, by: str) -> bool:
        (verdict,) = self._store.pause([name], paused=paused, by=by, note=note)
        if verdict is Stored.MISSING:
            raise _unknown(name)
        return verdict is Stored.CHANGED


def _changed(entry: Entry, changes: dict[str, Any]) -> Entry:
    try:
        return replace(entry, **changes)
    except TypeError as error:
        msg = f"entry {entry.name!r}: {error}"
        raise EntryError(msg) from error


def _stored(kept: Kept) -> StoredEntry:
    card, slot = kept
    entry = Entry.from_json(card.definition)
    is_planned = slot.rule == entry.timing().rule
    return StoredEntry(
        entry,
        card.revision,
        _moment(card.changed_ms),
        card.by,
        card.is_paused,
        card.note,
        _moment(slot.slot_ms) if is_planned and slot.slot_ms != ABSENT else None,
        _moment(slot.last_ms) if slot.last_ms != ABSENT else None,
        slot.runs,
    )


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc)


def _unknown(name: str) -> UnknownEntry:
    return UnknownEntry(f"there is no stored entry {name!r}")
