"""The read model: what an app's beats and entries are now, as the CLI and the dashboard show it.

Everything here reads; nothing is changed in the store. Each answer is data of its
own, with ``to_data()`` for JSON. Times are aware datetimes in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.adapters.entries import defaults_of
from celery_singleton_beat.adapters.extension import Extension, extension_of
from celery_singleton_beat.adapters.timetable import Timetable
from celery_singleton_beat.engine.asking import RunRequest
from celery_singleton_beat.engine.timetable import TimetableEngine
from celery_singleton_beat.errors import EntryError, UnknownEntry
from celery_singleton_beat.operate.coming import Scheduled
from celery_singleton_beat.operate.config_entries import ConfigEntries
from celery_singleton_beat.operate.entry_rows import (
    EntryDetail,
    EntryRow,
    Times,
    config_row,
    stored_row,
)
from celery_singleton_beat.operate.figures import Figures, SubjectKind, named, subject_of
from celery_singleton_beat.operate.fleet_view import FleetView, fleet_view
from celery_singleton_beat.operate.tenant_rows import TenantRow, tenant_row
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.jitter import offset_ms
from celery_singleton_beat.protocol.plan import first_plan
from celery_singleton_beat.protocol.preview import upcoming
from celery_singleton_beat.protocol.recurrences.bounds import datetime_of
from celery_singleton_beat.protocol.tenant import Tenant

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.store.timetable_port import Kept

_NEXT: Final = 10
_MOST_COUNTED: Final = 100_000
_NOTHING: Final[list[int]] = []


class Reading:
    """Reads what the beats of an app do, and what is in its timetable.

    Entries of the configuration are those of this process's ``beat_schedule``: whether
    they are the ones that govern, ``fleet`` tells. Every method raises
    ``StoreError`` when the store cannot answer, and ``ConfigurationError`` when
    there is none to ask.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    @cached_property
    def extension(self) -> Extension:
        return extension_of(self._app)

    @cached_property
    def config(self) -> ConfigEntries:
        """The entries of this process's ``beat_schedule``, read."""
        return ConfigEntries(self._app)

    def now(self) -> datetime:
        """Tell the store's time."""
        return datetime_of(self._store.ping())

    def fleet(self) -> FleetView:
        """Read which replicas live, which configuration governs, and how the store is."""
        return fleet_view(self.extension, self._store.overview(), self.config.digest)

    def entries(
        self, *, tenant: str | None = None, source: str | None = None
    ) -> Iterator[EntryRow]:
        """Read all entries: those of ``beat_schedule`` first, then stored ones, in no order.

        With a tenant or a source only theirs, which are stored ones. They are read
        page by page, as they are asked for; what cannot be read is a row that says why.
        """
        times = self._times()
        if tenant is None and source is None:
            yield from self._config_rows(times)
        for row in self.stored_entries(tenant, times):
            if source is None or row.source == source:
                yield row

    def stored_entries(
        self, tenant: str | None = None, times: Times | None = None
    ) -> Iterator[EntryRow]:
        """Read stored entries alone, of a tenant or all, in no order."""
        seen = self._times() if times is None else times
        for names in self._engine.names(tenant):
            yield from self._stored_rows(names, seen)

    def config_entries(self) -> list[EntryRow]:
        """Read the entries of ``beat_schedule`` alone."""
        return list(self._config_rows(self._times()))

    def entry_names(self, tenant: str | None = None) -> Iterator[str]:
        """Name all entries without reading them, those of ``beat_schedule`` first."""
        if tenant is None:
            yield from self.config.names
        for names in self._engine.names(tenant):
            yield from names

    def some_entries(self, names: list[str]) -> list[EntryRow]:
        """Read entries by their names, as `entries` does; those that are not there are left out."""
        times = self._times()
        rows = {row.name: row for row in self._stored_rows(names, times)}
        wanted = [name for name in names if name in self.config.names]
        rows |= {row.name: row for row in self._config_rows(times, wanted)}
        return [rows[name] for name in dict.fromkeys(names) if name in rows]

    def entry(self, name: str, *, count: int = _NEXT) -> EntryDetail:
        """Read all of one entry, and its next ``count`` scheduled times.

        Raises:
            UnknownEntry: there is none of that name.
        """
        times = self._times()
        if name in self.config.names:
            return self._config_detail(name, times, count)
        for _, kept in self._engine.kept([name]):
            return self._stored_detail(name, kept, times, count)
        raise _unknown(name)

    def scheduled(
        self, names: Sequence[str] = (), tenant: str | None = None
    ) -> Iterator[Scheduled]:
        """Read the entries that will be dispatched: these, a tenant's, or all.

        Raises:
            UnknownEntry: there is none of such a name.
        """
        defaults = defaults_of(self._app, self.extension.settings)
        for name in names:
            if name not in self.config.names and not list(self._engine.kept([name])):
                raise _unknown(name)
        rows = self.some_entries(list(names)) if names else self.entries(tenant=tenant)
        for row in rows:
            if not row.is_to_come:
                continue
            timing = self.config.timings.get(row.name) if row.entry is None else None
            if row.entry is not None:
                timing = row.entry.timing(defaults)
            if timing is not None:
                yield Scheduled(row.name, row.task, timing, row.runs)

    def requests(self, name: str | None = None) -> Iterator[RunRequest]:
        """Read what is asked for and not published yet, of one entry or all, in no order."""
        return Timetable(self._app).requests(name)

    def lock_names(self, limit: int = 1000) -> list[str]:
        """Name lock keys that are held, those whose leases end last first."""
        names: list[str] = self._store.lock_names(limit)
        return names

    def history(self, limit: int, entry: str = "") -> list[Fact]:
        """Read the last facts, the newest first; of an entry, its own."""
        facts: list[Fact] = self._store.history(limit, entry)
        return facts

    def figures(self, subjects: Sequence[tuple[SubjectKind, str]]) -> list[Figures]:
        """Read what was counted of subjects, in their order."""
        counts = self._store.counts([subject_of(kind, name) for kind, name in subjects])
        return [
            Figures(kind, name, counted)
            for (kind, name), counted in zip(subjects, counts, strict=True)
        ]

    def all_figures(self, kind: SubjectKind, limit: int) -> list[Figures]:
        """Read what was counted of everything, then of ``limit`` entries or lock keys.

        Those come first to which something happened last.
        """
        found = [named(subject) for subject in self._store.counted(_MOST_COUNTED)]
        wanted = [subject for subject in found if subject[0] == kind][:limit]
        return self.figures([("all", ""), *wanted])

    def tenant_names(self) -> Iterator[str]:
        """Name the tenants that have something, in no order."""
        for names in self._engine.tenants():
            yield from (name for name in names if name)

    def tenants(self) -> Iterator[TenantRow]:
        """Read the tenants that have something, in no order."""
        for names in self._engine.tenants():
            yield from self.some_tenants([name for name in names if name])

    def some_tenants(self, names: list[str]) -> list[TenantRow]:
        """Read tenants by their names; of one that has nothing, that it has nothing."""
        now_ms = self._store.ping()
        found = self._store.tenants(names) if names else []
        return [
            tenant_row(name, tenant, self.extension.limits, now_ms)
            for name, tenant in zip(names, found, strict=True)
        ]

    def _config_detail(self, name: str, times: Times, count: int) -> EntryDetail:
        (row,) = self._config_rows(times, [name])
        (slot,) = self._store.slots([name], set_aside=False).slots
        timing, found = self.config.timings.get(name), iter(_NOTHING)
        if timing is not None and row.is_to_come:
            seen = first_plan(timing, slot, now_ms=times.now_ms) or slot
            assert seen is not None  # noqa: S101  # what has no slot gets its first
            found = upcoming(
                timing, seen, now_ms=times.now_ms, changed_ms=0, resumed_ms=times.resumed_ms
            )
        offset = 0 if timing is None else timing.offset_ms
        dues = _dues(list(islice(found, count)), offset)
        return EntryDetail(row, self.config.definition(name), dues)

    def _stored_detail(self, name: str, kept: Kept, times: Times, count: int) -> EntryDetail:
        (row,) = self._stored_rows([name], times)
        try:
            entry = Entry.from_json(kept.card.definition)
        except EntryError:
            return EntryDetail(row, {}, ())
        found: list[int] = []
        if row.is_on:
            timing = entry.timing(defaults_of(self._app, self.extension.settings))
            found = self._engine.upcoming(kept, timing, count)
        return EntryDetail(row, entry.to_data(), _dues(found, offset_ms(name, entry.jitter_ms)))

    def _config_rows(self, times: Times, names: list[str] | None = None) -> Iterator[EntryRow]:
        wanted = list(self.config.names) if names is None else names
        answer = self._store.slots(wanted, set_aside=False)
        for name, slot in zip(wanted, answer.slots, strict=True):
            is_damaged = name in answer.unreadable
            yield config_row(self.config, name, slot, times, is_damaged=is_damaged)

    def _stored_rows(self, names: list[str], times: Times) -> Iterator[EntryRow]:
        found = list(self._engine.kept(names))
        asked = list({kept.card.tenant for _, kept in found if kept.card.tenant})
        tenants = dict(zip(asked, self._store.tenants(asked), strict=True)) if asked else {}
        for name, kept in found:
            is_taken = name in self.config.names
            tenant = tenants.get(kept.card.tenant, Tenant())
            yield stored_row(name, kept, tenant, times, is_taken=is_taken)

    def _times(self) -> Times:
        overview = self._store.overview()
        return Times(overview.now_ms, is_paused=overview.is_paused, resumed_ms=overview.resumed_ms)

    @property
    def _store(self) -> Any:
        return self.extension.store

    @cached_property
    def _engine(self) -> TimetableEngine:
        return TimetableEngine(self._store, self.extension.limits)


def _dues(scheduled: list[int], offset: int) -> tuple[tuple[datetime, datetime], ...]:
    return tuple((datetime_of(at_ms), datetime_of(at_ms + offset)) for at_ms in scheduled)


def _unknown(name: str) -> UnknownEntry:
    return UnknownEntry(
        f"there is no entry {name!r}, neither stored nor in this app's beat_schedule"
    )
