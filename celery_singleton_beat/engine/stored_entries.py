"""Stored entries in a tick: claimed by whichever replica asks, by the definition in the store.

Runs in: beat.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.claiming import UNUSABLE_MS, Claiming
from celery_singleton_beat.engine.outbound import Outbound
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.engine.work import Work
from celery_singleton_beat.errors import EntryError, UnreadableEntry
from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.stored import Card
from celery_singleton_beat.store.timetable_port import StoredAnswer, StoredClaim, StoredRequest


class StoredEntries(Claiming):
    """Claims, plans, publishes and settles stored entries; those whose names are ``taken``, not."""

    def __init__(self, replica: Replica, outbound: Outbound, taken: Container[str] = ()) -> None:
        super().__init__(replica, outbound, replica.store.settle_stored)
        self._taken = taken

    def known(self, names: Sequence[str]) -> dict[str, Entry | None]:
        """Read those stored entries that are there.

        One that this replica cannot use (a newer release wrote it) is None. What is
        stopped is read as well: what was published of it is still to be run.

        Raises:
            StoreError: the store did not answer.
        """
        if not names:
            return {}
        found: dict[str, Entry | None] = {}
        for name, kept in zip(names, self._store.kept(names), strict=True):
            if kept is not None:
                try:
                    found[name] = entry_of(name, kept.card)
                except EntryError as error:
                    found[name] = None
                    self._events.emit(happened.EntrySetAside.because(name, error))
        return found

    def _claim(self, request_id: str) -> StoredAnswer:
        answer = self._store.claim_stored(
            StoredRequest(
                self._replica, request_id, self._pace.batch, self._pace.hold_ms, self._per_minute
            )
        )
        if answer.found_again:
            self._events.emit(happened.EntriesFoundAgain(answer.found_again))
        for tenant in answer.foreign:
            self._events.emit(happened.EntrySetAside.all_of(tenant))
        return answer

    def _is_full(self, answer: StoredAnswer) -> bool:
        return len(answer.claims) >= self._pace.batch

    def _works(self, answer: StoredAnswer) -> Iterator[Work]:
        for claim in answer.claims:
            try:
                entry = self._read(claim)
                timing = self._timing_of(entry)
            except EntryError as error:
                self._events.emit(happened.EntrySetAside.because(claim.entry, error))
                self._settling.settle([_left(claim, answer.now_ms)])
            else:
                yield Work.of_stored(claim, entry, timing, answer.now_ms)

    def _read(self, claim: StoredClaim) -> Entry:
        if claim.entry in self._taken:
            # Occurrences are known by their entry's name: one of the two would pass for the other.
            msg = f"beat_schedule has an entry {claim.entry!r} too: give one of them another name"
            raise EntryError(msg)
        return entry_of(claim.entry, claim.card)


def entry_of(name: str, card: Card) -> Entry:
    """Read the definition on an entry's card.

    Raises:
        EntryError: it cannot be used, or is not of this entry and this tenant.
    """
    entry = Entry.from_json(card.definition)
    if (entry.name, entry.tenant) != (name, card.tenant):
        msg = f"its definition is of entry {entry.name!r} of tenant {entry.tenant!r}: put it again"
        raise UnreadableEntry(msg)
    return entry


def _left(claim: StoredClaim, now_ms: int) -> Settlement:
    slot = replace(claim.slot, due_ms=now_ms + UNUSABLE_MS)
    return Settlement(claim.entry, claim.slot.fence, slot, revision=claim.card.revision)
