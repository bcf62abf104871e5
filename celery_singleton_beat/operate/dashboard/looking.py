"""What pages show, read from the store: each a few commands, and shared by all who look."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from celery_singleton_beat.adapters.entries import defaults_of
from celery_singleton_beat.adapters.entry import Entry
from celery_singleton_beat.adapters.lock_service import HeldLock, LockService
from celery_singleton_beat.adapters.timetable import Timetable
from celery_singleton_beat.engine.asking import RunRequest
from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.operate.dashboard.listing import Listing, read_listing
from celery_singleton_beat.operate.dashboard.shared import Shared
from celery_singleton_beat.operate.entry_rows import EntryDetail, EntryRow
from celery_singleton_beat.operate.fleet_view import FleetView
from celery_singleton_beat.operate.reading import Reading
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.limits import TenantLimits
from celery_singleton_beat.protocol.statistics import TOTAL, Counts, entry_subject
from celery_singleton_beat.protocol.tenant import MINUTE_MS, Tenant
from celery_singleton_beat.store.timetable_port import Kept

if TYPE_CHECKING:
    from celery import Celery

LATEST: Final = 200
OF_AN_ENTRY: Final = 200
MOST_FACTS: Final = 10_000
MOST_LOCKS: Final = 1000
MOST_SUBJECTS: Final = 1000
_MOST_PLANNED: Final = 60
_MOST_TENANTS: Final = 50_000
_MOST_REQUESTS: Final = 50


class Pulse(NamedTuple):
    """How everything stands now."""

    fleet: FleetView
    facts: list[Fact]
    counts: Counts

    @property
    def state(self) -> str:
        """Another text when something is otherwise, apart from the time."""
        fleet = self.fleet
        replicas = [(r.name, r.configuration, r.governs, r.is_alive) for r in fleet.replicas]
        numbers = (fleet.planned, fleet.stored, fleet.locks, fleet.requests, fleet.queued)
        newest = self.facts[0] if self.facts else None
        counts = sum(self.counts.facts.values())
        return json.dumps([replicas, fleet.governor, fleet.is_paused, numbers, newest, counts])


@dataclass(frozen=True)
class OneEntry:
    """All that is known of an entry."""

    detail: EntryDetail
    facts: list[Fact]
    counts: Counts
    requests: list[RunRequest]
    now_ms: int


class TenantRow(NamedTuple):
    """A tenant: what it has, what it may have, and whose limits these are."""

    name: str
    entries: int
    is_paused: bool
    used: int
    limits: TenantLimits
    has_own: bool


class Looking:
    """Reads for pages. Every method raises ``StoreError`` when the store cannot answer."""

    def __init__(self, app: Celery, *, fresh_ms: int) -> None:
        self._app = app
        self._shared = Shared(fresh_ms)
        self.reading = Reading(app)
        self.timetable = Timetable(app)
        self.locks_by_hand = LockService(app)

    @property
    def store(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        return self.reading.extension.store

    def forget(self) -> None:
        """Read anew: something was changed."""
        self._shared.forget()

    async def pulse(self) -> Pulse:
        """How everything stands: three commands."""
        return await self._shared.get("pulse", self._pulse)

    async def facts(self) -> list[Fact]:
        """The history, as far as it is kept, the newest first."""
        most = min(self.reading.extension.settings.history, MOST_FACTS)
        return await self._shared.get("facts", lambda: self.store.history(most) if most else [])

    async def listing(self) -> Listing:
        """All entries, to be searched."""
        return await self._shared.get("listing", partial(read_listing, self.reading))

    async def entries(self, names: Sequence[str]) -> list[EntryRow]:
        """The rows of some entries."""
        read = partial(self.reading.some_entries, list(names))
        return await self._shared.get(("entries", *names), read)

    async def entry(self, name: str) -> OneEntry:
        """One entry.

        Raises:
            UnknownEntry: there is none of that name.
        """
        return await self._shared.get(("entry", name), partial(self._entry, name))

    async def planned(self, names: Sequence[str], until_ms: int) -> Mapping[str, list[int]]:
        """The scheduled times to come of some entries, until a time: some commands in all."""
        # By the quarter of a minute, so that those who look at about the same time share it.
        until_ms += -until_ms % 15_000
        read = partial(self._planned, list(names), until_ms)
        return await self._shared.get(("planned", until_ms, *names), read)

    async def locks(self) -> list[HeldLock]:
        """The locks that are held, those that end last first: two commands."""
        return await self._shared.get("locks", partial(self.locks_by_hand.locks, MOST_LOCKS))

    async def tenant_names(self) -> list[str]:
        """All tenants by name."""
        return await self._shared.get(
            "tenants", lambda: sorted(islice(self.timetable.tenants(), _MOST_TENANTS))
        )

    async def tenants(self, names: Sequence[str]) -> list[TenantRow]:
        """The rows of some tenants."""
        return await self._shared.get(("tenants", *names), partial(self._tenants, list(names)))

    async def subjects(self) -> list[str]:
        """What is counted, those first to which something happened last."""
        return await self._shared.get("subjects", partial(self.store.counted, MOST_SUBJECTS))

    async def counts(self, subjects: Sequence[str]) -> list[Counts]:
        """What was counted of some subjects."""
        read = partial(self.store.counts, list(subjects))
        return await self._shared.get(("counts", *subjects), read)

    def _pulse(self) -> Pulse:
        fleet = self.reading.fleet()
        (counts,) = self.store.counts([TOTAL])
        return Pulse(fleet, self.store.history(LATEST), counts)

    def _entry(self, name: str) -> OneEntry:
        detail = self.reading.entry(name, count=12)
        facts = self.store.history(OF_AN_ENTRY, name)
        (counts,) = self.store.counts([entry_subject(name)])
        requests = list(islice(self.timetable.requests(name), _MOST_REQUESTS))
        return OneEntry(detail, facts, counts, requests, self.store.ping())

    def _planned(self, names: list[str], until_ms: int) -> dict[str, list[int]]:
        rows = {row.name: row for row in self.reading.some_entries(names) if row.is_on}
        stored = [name for name, row in rows.items() if row.kind == "stored"]
        kept = dict(zip(stored, self.store.kept(stored), strict=True)) if stored else {}
        planned = {}
        for name, row in rows.items():
            timing = self._timing(name, row, kept.get(name))
            if timing is not None and row.next_at is not None:
                planned[name] = _times(timing, round(row.next_at.timestamp() * 1000), until_ms)
        return planned

    def _timing(self, name: str, row: EntryRow, kept: Kept | None) -> Timing | None:
        if row.kind == "config":
            return self.reading.config.timings.get(name)
        if kept is None:
            return None
        try:
            entry = Entry.from_json(kept.card.definition)
        except EntryError:
            return None
        return entry.timing(defaults_of(self._app, self.reading.extension.settings))

    def _tenants(self, names: list[str]) -> list[TenantRow]:
        default = self.reading.extension.limits
        minute = self.store.ping() // MINUTE_MS
        found: Sequence[Tenant] = self.store.tenants(names) if names else []
        return [
            TenantRow(
                name,
                tenant.entries,
                tenant.is_paused,
                tenant.used if tenant.minute == minute else 0,
                default if tenant.quota is None else TenantLimits.of_quota(tenant.quota),
                tenant.quota is not None,
            )
            for name, tenant in zip(names, found, strict=True)
        ]


def _times(timing: Timing, next_ms: int, until_ms: int) -> list[int]:
    found: list[int] = []
    at_ms: int | None = next_ms
    while at_ms is not None and at_ms < until_ms and len(found) < _MOST_PLANNED:
        found.append(at_ms)
        at_ms = timing.recurrence.next_after(at_ms)
    return found
