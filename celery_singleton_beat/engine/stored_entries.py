"""Stored entries in a tick: claimed by whichever replica asks, by the definition in the store.

Runs in: beat.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from typing import Final
from uuid import uuid4

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.outbound import Outbound, Settling
from celery_singleton_beat.engine.pace import Pace
from celery_singleton_beat.engine.work import Work
from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.events import Events
from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.store.port import Store
from celery_singleton_beat.store.timetable_port import StoredAnswer, StoredClaim, StoredRequest

UNUSABLE_MS: Final = 60_000
"""After so long an entry that this replica could not use is looked at again."""

GATHER_MS: Final = 10
"""After a dispatch it is so long at least to the next: a tick for one costs as much as for ten."""


class StoredEntries:
    """Claims, plans, publishes and settles stored entries."""

    def __init__(
        self,
        *,
        store: Store,
        events: Events,
        replica: str,
        pace: Pace,
        outbound: Outbound,
        timing_of: Callable[[Entry], Timing],
        per_minute: int,
        clock_ms: Callable[[], int],
        taken: Container[str] = (),
    ) -> None:
        self._store = store
        self._events = events
        self._replica = replica
        self._pace = pace
        self._outbound = outbound
        self._timing_of = timing_of
        self._per_minute = per_minute
        self._clock_ms = clock_ms
        self._taken = taken
        self._settling = Settling(store.settle_stored, events)
        self._question: tuple[str, int] | None = None

    def settle(self) -> None:
        """Settle what is left of an earlier tick."""
        self._settling.settle()

    def dispatch(self) -> int:
        """Dispatch what is due; tell how many milliseconds to wait before looking again."""
        answer, first_asked_ms = self._claim()
        asked_ms = self._clock_ms()
        for name in answer.unreadable:
            self._events.emit(happened.EntrySetAside.unreadable(name))
        if answer.found_again:
            self._events.emit(happened.EntriesFoundAgain(answer.found_again))
        next_ms = self._outbound.dispatch(
            self._works(answer), answer.now_ms, first_asked_ms, self._settling
        )
        if len(answer.claims) >= self._pace.batch:
            return 0
        known = [ms for ms in (next_ms, self._next_ms(answer)) if ms is not None]
        store_now_ms = answer.now_ms + self._clock_ms() - asked_ms
        until_ms = min(known, default=store_now_ms + self._pace.poll_ms) - store_now_ms
        return max(until_ms, GATHER_MS if answer.claims else 0)

    def known(self, names: Sequence[str]) -> dict[str, tuple[Entry, int]]:
        """Read stored entries and their revisions; what is not there, stopped or not usable, not.

        Raises:
            StoreError: the store did not answer.
        """
        if not names:
            return {}
        found = {}
        for name, kept in zip(names, self._store.kept(names), strict=True):
            if kept is not None and kept.card.is_on:
                try:
                    found[name] = Entry.from_json(kept.card.definition), kept.card.revision
                except EntryError as error:
                    self._events.emit(happened.EntrySetAside(name, str(error)))
        return found

    def _claim(self) -> tuple[StoredAnswer, int]:
        """Claim; a question whose answer was lost is asked again, and its hold counts from then."""
        if self._question is None or self._outbound.is_over(self._question[1]):
            self._question = (uuid4().hex, self._clock_ms())
        request_id, first_asked_ms = self._question
        answer = self._store.claim_stored(
            StoredRequest(
                self._replica, request_id, self._pace.batch, self._pace.hold_ms, self._per_minute
            )
        )
        self._question = None
        return answer, first_asked_ms

    def _works(self, answer: StoredAnswer) -> Iterator[Work]:
        """Plan the claims; what cannot be used here is left for a while, maybe to others."""
        for claim in answer.claims:
            try:
                entry = self._read(claim)
                timing = self._timing_of(entry)
            except EntryError as error:
                self._events.emit(happened.EntrySetAside(claim.entry, str(error)))
                self._settling.settle([_left(claim, answer.now_ms)])
            else:
                yield Work.of_stored(claim, entry, timing, answer.now_ms)

    def _read(self, claim: StoredClaim) -> Entry:
        if claim.entry in self._taken:
            # Occurrences are known by their entry's name: one of the two would pass for the other.
            msg = f"beat_schedule has an entry {claim.entry!r} too: give one of them another name"
            raise EntryError(msg)
        return Entry.from_json(claim.card.definition)

    def _next_ms(self, answer: StoredAnswer) -> int | None:
        """Tell when something is due, apart from what was ours to settle."""
        if answer.next_ms is None:
            return None
        is_ours = answer.claims and answer.next_ms >= answer.now_ms + self._pace.hold_ms
        return None if is_ours else answer.next_ms


def _left(claim: StoredClaim, now_ms: int) -> Settlement:
    slot = replace(claim.slot, due_ms=now_ms + UNUSABLE_MS)
    return Settlement(claim.entry, claim.slot.fence, slot, revision=claim.card.revision)
