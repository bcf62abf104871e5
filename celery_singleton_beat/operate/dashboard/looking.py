"""What pages show, read from the store: each a few commands, and shared by all who look."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from celery_singleton_beat.adapters.entries import defaults_of
from celery_singleton_beat.adapters.lock_service import HeldLock, LockService
from celery_singleton_beat.adapters.timetable import Timetable
from celery_singleton_beat.engine.asking import RunRequest
from celery_singleton_beat.operate.dashboard.listing import Listing, read_listing
from celery_singleton_beat.operate.dashboard.shared import Shared
from celery_singleton_beat.operate.doctor.checks import diagnose
from celery_singleton_beat.operate.doctor.finding import Diagnosis, Verdict
from celery_singleton_beat.operate.doctor.gathering import gather
from celery_singleton_beat.operate.entry_rows import EntryDetail, EntryRow
from celery_singleton_beat.operate.figures import Figures, SubjectKind, named
from celery_singleton_beat.operate.fleet_view import FleetView
from celery_singleton_beat.operate.reading import Reading
from celery_singleton_beat.operate.tenant_rows import TenantRow
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.protocol.history import Fact

if TYPE_CHECKING:
    from celery import Celery

Subject = tuple[SubjectKind, str]

ALL: Final[Subject] = ("all", "")
LATEST: Final = 200
OF_AN_ENTRY: Final = 200
MOST_FACTS: Final = 10_000
MOST_LOCKS: Final = 1000
MOST_SUBJECTS: Final = 1000
_MOST_PLANNED: Final = 60
_MOST_TENANTS: Final = 50_000
_MOST_REQUESTS: Final = 50
_DOCTOR_SECONDS: Final = 15
_WORKERS_SECONDS: Final = 1.0
_CELERY: Final = "celery -A APP"


class Pulse(NamedTuple):
    """How everything stands now."""

    fleet: FleetView
    facts: list[Fact]
    figures: Figures

    @property
    def state(self) -> str:
        """Another text when something is otherwise, apart from the time."""
        fleet = self.fleet
        replicas = [(r.name, r.configuration, r.governs, r.is_alive) for r in fleet.replicas]
        numbers = (fleet.planned, fleet.stored, fleet.locks, fleet.requests, fleet.queued)
        newest = self.facts[0] if self.facts else None
        counts = sum(self.figures.facts.values())
        return json.dumps([replicas, fleet.governor, fleet.is_paused, numbers, newest, counts])


@dataclass(frozen=True)
class OneEntry:
    """All that is known of an entry."""

    detail: EntryDetail
    facts: list[Fact]
    figures: Figures
    requests: list[RunRequest]
    now_ms: int


class Looking:
    """Reads for pages. Every method raises ``StoreError`` when the store cannot answer."""

    def __init__(self, app: Celery, *, fresh_ms: int, has_app: bool = True) -> None:
        self._app = app
        self._has_app = has_app
        self._shared = Shared(fresh_ms)
        self.reading = Reading(app)
        self.timetable = Timetable(app)
        self.locks_by_hand = LockService(app)

    def forget(self) -> None:
        """Read anew: something was changed."""
        self._shared.forget()

    async def pulse(self) -> Pulse:
        """How everything stands: three commands."""
        return await self._shared.get("pulse", self._pulse)

    async def facts(self) -> list[Fact]:
        """The history, as far as it is kept, the newest first."""
        most = min(self.reading.extension.settings.history, MOST_FACTS)
        return await self._shared.get("facts", lambda: self.reading.history(most) if most else [])

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
            "tenants", lambda: sorted(islice(self.reading.tenant_names(), _MOST_TENANTS))
        )

    async def tenants(self, names: Sequence[str]) -> list[TenantRow]:
        """The rows of some tenants."""
        return await self._shared.get(
            ("tenants", *names), partial(self.reading.some_tenants, list(names))
        )

    async def diagnoses(self) -> tuple[Sequence[Diagnosis], float]:
        """What the doctor finds, the worst first, and when it was asked; it takes its time."""
        return await self._shared.get("doctor", self._diagnoses, for_seconds=_DOCTOR_SECONDS)

    async def subjects(self) -> list[Subject]:
        """What is counted, those first to which something happened last."""
        return await self._shared.get("subjects", self._subjects)

    async def figures(self, subjects: Sequence[Subject]) -> list[Figures]:
        """What was counted of some subjects."""
        read = partial(self.reading.figures, list(subjects))
        return await self._shared.get(("figures", *subjects), read)

    def _diagnoses(self) -> tuple[Sequence[Diagnosis], float]:
        facts = gather(
            self._app,
            command=f"{_CELERY} singleton",
            celery=_CELERY,
            has_app=self._has_app,
            timeout_seconds=_WORKERS_SECONDS,
        )
        order = list(Verdict)
        found = sorted(diagnose(facts), key=lambda one: order.index(one.finding.verdict))
        return found, time.time()

    def _subjects(self) -> list[Subject]:
        return [named(subject) for subject in self.reading.extension.store.counted(MOST_SUBJECTS)]

    def _pulse(self) -> Pulse:
        (figures,) = self.reading.figures([ALL])
        return Pulse(self.reading.fleet(), self.reading.history(LATEST), figures)

    def _entry(self, name: str) -> OneEntry:
        reading = self.reading
        detail = reading.entry(name, count=12)
        (figures,) = reading.figures([("entry", name)])
        requests = list(islice(reading.requests(name), _MOST_REQUESTS))
        now_ms = round(reading.now().timestamp() * 1000)
        return OneEntry(detail, reading.history(OF_AN_ENTRY, name), figures, requests, now_ms)

    def _planned(self, names: list[str], until_ms: int) -> dict[str, list[int]]:
        planned = {}
        for row in self.reading.some_entries(names):
            timing = self._timing(row)
            if row.is_on and timing is not None and row.next_at is not None:
                next_ms = round(row.next_at.timestamp() * 1000)
                planned[row.name] = _times(timing, next_ms, until_ms)
        return planned

    def _timing(self, row: EntryRow) -> Timing | None:
        if row.entry is None:
            return self.reading.config.timings.get(row.name)
        return row.entry.timing(defaults_of(self._app, self.reading.extension.settings))


def _times(timing: Timing, next_ms: int, until_ms: int) -> list[int]:
    found: list[int] = []
    at_ms: int | None = next_ms
    while at_ms is not None and at_ms < until_ms and len(found) < _MOST_PLANNED:
        found.append(at_ms)
        at_ms = timing.recurrence.next_after(at_ms)
    return found
