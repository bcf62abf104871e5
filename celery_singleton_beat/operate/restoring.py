"""A timetable put back: what is to be done for it, and doing it in an order that fires nothing.

Paused first, then stored, then resumed: at no moment may something be dispatched that
neither the store nor the document would have dispatched. Each step may be repeated,
so a restore that broke off is finished by doing it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from celery_singleton_beat.engine.timetable import Change, TimetableEngine, refused
from celery_singleton_beat.operate.dumping import Dump, Wanted, WantedTenant
from celery_singleton_beat.protocol.codec import clean
from celery_singleton_beat.protocol.limits import TenantLimits
from celery_singleton_beat.protocol.tenant import Quota, Tenant

if TYPE_CHECKING:
    from celery_singleton_beat.operate.reading import Reading
    from celery_singleton_beat.protocol.definition import Entry
    from celery_singleton_beat.protocol.stored import Card

_BATCH: Final = 500
_MOST_NAMES: Final = 100
_ANY: Final = TenantLimits(None, None, None)
"""What was stored may be restored, though a limit is lower by now."""

_Item = TypeVar("_Item")
_Pair = tuple[WantedTenant, Tenant]
"""How a tenant shall be, and how it is."""


@dataclass
class Restored:
    """What was done, or would be. Entries that the document does not have are left alone."""

    is_dry_run: bool
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    paused: int = 0
    resumed: int = 0
    tenants: int = 0
    is_pause_changed: bool = False
    names: dict[str, list[str]] = field(default_factory=lambda: {"added": [], "changed": []})

    def __str__(self) -> str:
        would = "would be " if self.is_dry_run else ""
        what = [
            f"{self.added} added, {self.changed} changed, {self.unchanged} unchanged",
            f"{self.paused} paused, {self.resumed} resumed",
            f"{self.tenants} tenants changed",
        ]
        everything = ", and everything paused or resumed" if self.is_pause_changed else ""
        return f"{would}{', '.join(what)}{everything}"

    def to_data(self) -> dict[str, Any]:
        """The report for JSON."""
        return dict(vars(self))


class Restoring:
    """Puts a document's timetable into a store."""

    def __init__(self, reading: Reading, dump: Dump, *, by: str, dry_run: bool) -> None:
        self._store: Any = reading.extension.store
        self._reading = reading
        self._dump = dump
        self._by = by
        self.report = Restored(dry_run)

    def run(self) -> Restored:
        """Do it.

        Raises:
            StoreError: the store could not answer; some of it may be done, and doing it
                again does the rest.
        """
        is_paused = self._reading.fleet().is_paused
        self.report.is_pause_changed = self._dump.is_paused != is_paused
        if self._dump.is_paused and self._acts:
            self._store.pause_all(None, paused=True)
        tenants = self._tenants()
        self._stop(tenants)
        with self._lifted(tenants):
            for batch in _batches(self._dump.entries):
                self._put(batch)
        for name, (wanted, now) in tenants.items():
            if self._acts and now.is_paused and not wanted.is_paused:
                self._store.pause_all(name, paused=False)
        if self.report.is_pause_changed and is_paused and self._acts:
            self._store.pause_all(None, paused=False)
        return self.report

    @property
    def _acts(self) -> bool:
        return not self.report.is_dry_run

    def _tenants(self) -> dict[str, _Pair]:
        """Tell of all tenants how they shall be, and how they are: the same, if not said."""
        named = {tenant.name: tenant for tenant in self._dump.tenants}
        names = list(dict.fromkeys([*named, *(w.entry.tenant for w in self._dump.entries)]))
        names = [name for name in names if name]
        found = {}
        for name, now in zip(names, self._store.tenants(names) if names else [], strict=True):
            limits = None if now.quota is None else TenantLimits.of_quota(now.quota)
            found[name] = (named.get(name, WantedTenant(name, now.is_paused, limits)), now)
        return found

    def _stop(self, tenants: Mapping[str, _Pair]) -> None:
        """Count the tenants that change, and stop those that shall be stopped."""
        for name, (wanted, now) in tenants.items():
            self.report.tenants += (wanted.is_paused, _quota(wanted)) != (now.is_paused, now.quota)
            if self._acts and wanted.is_paused and not now.is_paused:
                self._store.pause_all(name, paused=True)

    @contextmanager
    def _lifted(self, tenants: Mapping[str, _Pair]) -> Iterator[None]:
        """Let no limit of a tenant be in the way meanwhile; afterwards they are as they shall be.

        What a tenant had is put back, though it may be more than its limits allow now.
        """
        if self._acts:
            for name in self._written() & set(tenants):
                if tenants[name][1].quota is not None:
                    self._store.allow(name, None)
        try:
            yield
        finally:
            if self._acts:
                for name, (wanted, now) in tenants.items():
                    if now.quota is not None or wanted.limits is not None:
                        self._store.allow(name, _quota(wanted))

    def _written(self) -> set[str]:
        """Name the tenants of which entries are to be written."""
        names = set()
        for batch in _batches(
            [wanted.entry for wanted in self._dump.entries if wanted.entry.tenant]
        ):
            kept = self._store.kept([entry.name for entry in batch])
            for entry, known in zip(batch, kept, strict=True):
                if known is None or known.card.definition != entry.to_json():
                    names.add(entry.tenant)
        return names

    def _put(self, batch: Sequence[Wanted]) -> None:
        kept = self._store.kept([wanted.entry.name for wanted in batch])
        pairs = [(wanted, known and known.card) for wanted, known in zip(batch, kept, strict=True)]
        for wanted, card in pairs:
            self._count(wanted, card)
        if not self._acts:
            return
        to_pause = [(w, card) for w, card in pairs if w.is_paused and not _is_so(w, card)]
        # Between being stored, or paused for another reason, and being paused as it shall be
        # an entry could become due.
        held_back = [w for w, card in to_pause if card is None or card.is_paused]
        self._store_all([replace(wanted.entry, enabled=False) for wanted in held_back])
        self._switch(
            [w.entry.name for w, card in to_pause if card and card.is_paused], paused=False
        )
        for note in {wanted.note for wanted, _ in to_pause}:
            names = [wanted.entry.name for wanted, _ in to_pause if wanted.note == note]
            self._switch(names, paused=True, note=note)
        self._store_all([wanted.entry for wanted in batch])
        to_resume = [w.entry.name for w, card in pairs if card and card.is_paused > w.is_paused]
        self._switch(to_resume, paused=False)

    def _count(self, wanted: Wanted, card: Card | None) -> None:
        report, name = self.report, wanted.entry.name
        if card is not None and card.definition == wanted.entry.to_json():
            report.unchanged += 1
        else:
            kind = "added" if card is None else "changed"
            setattr(report, kind, getattr(report, kind) + 1)
            if len(report.names[kind]) < _MOST_NAMES:
                report.names[kind].append(name)
        report.paused += wanted.is_paused and not _is_so(wanted, card)
        report.resumed += card is not None and card.is_paused > wanted.is_paused

    def _store_all(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        answers = TimetableEngine(self._store, _ANY).put(entries, Change(by=self._by))
        for entry, answer in zip(entries, answers, strict=True):
            error = refused(entry, answer)
            if error is not None:  # a limit that somebody set while this goes on
                raise error

    def _switch(self, names: Sequence[str], *, paused: bool, note: str = "") -> None:
        if names:
            self._store.pause(names, paused=paused, by=self._by, note=note)


def _quota(tenant: WantedTenant) -> Quota | None:
    return None if tenant.limits is None else tenant.limits.quota


def _is_so(wanted: Wanted, card: Card | None) -> bool:
    return card is not None and card.is_paused and card.note == clean(wanted.note)


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for at in range(0, len(items), _BATCH):
        yield items[at : at + _BATCH]
