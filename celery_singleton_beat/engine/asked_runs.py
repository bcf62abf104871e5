"""What is asked for in a tick: runs now and backfills, beside the timetable.

Runs in: beat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from uuid import uuid4

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.outbound import Outbound, Settling
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.engine.stored_entries import UNUSABLE_MS
from celery_singleton_beat.engine.work import Work
from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.protocol.asked import MOST_AT_ONCE
from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.store.asked_port import AskedAnswer, AskedClaim, AskedRequest


class AskedRuns:
    """Claims, plans, publishes and settles what is asked for."""

    def __init__(
        self, replica: Replica, outbound: Outbound, timings: Mapping[str, Timing], digest: str
    ) -> None:
        self._store = replica.store
        self._events = replica.events
        self._replica = replica.name
        self._pace = replica.pace
        self._timing_of = replica.timing_of
        self._per_minute = replica.per_minute
        self._clock_ms = replica.clock_ms
        self._outbound = outbound
        self._timings = timings
        self._digest = digest
        self._settling = Settling(self._store.settle_asked, self._events)
        self._question: tuple[str, int] | None = None

    def settle(self) -> None:
        """Settle what is left of an earlier tick."""
        self._settling.settle()

    def dispatch(self) -> int:
        """Dispatch what is asked for; tell how many milliseconds to wait before looking again."""
        answer, first_asked_ms = self._claim()
        asked_ms = self._clock_ms()
        for request in answer.unreadable:
            self._events.emit(happened.EntrySetAside.unreadable(f"request {request}"))
        next_ms = self._outbound.dispatch(
            self._works(answer), answer.now_ms, first_asked_ms, self._settling
        )
        if sum(claim.portion for claim in answer.claims) >= self._limit:
            return 0
        known = [ms for ms in (next_ms, self._next_ms(answer)) if ms is not None]
        store_now_ms = answer.now_ms + self._clock_ms() - asked_ms
        return max(min(known, default=store_now_ms + self._pace.poll_ms) - store_now_ms, 0)

    @property
    def _limit(self) -> int:
        return min(self._pace.batch, MOST_AT_ONCE)

    def _claim(self) -> tuple[AskedAnswer, int]:
        """Claim; a question whose answer was lost is asked again, and its hold counts from then."""
        if self._question is None or self._outbound.is_over(self._question[1]):
            self._question = (uuid4().hex, self._clock_ms())
        request_id, first_asked_ms = self._question
        answer = self._store.claim_asked(
            AskedRequest(
                self._replica,
                self._digest,
                request_id,
                self._limit,
                self._pace.hold_ms,
                self._per_minute,
            )
        )
        self._question = None
        return answer, first_asked_ms

    def _works(self, answer: AskedAnswer) -> Iterator[Work]:
        """Plan the claims; what cannot be used here is left for a while, maybe to others."""
        for claim in answer.claims:
            if claim.card is None and claim.ask.entry not in self._timings:
                # The configuration that governs is this one, and it has no such entry any more.
                self._store.cancel_asked([claim.request], self._replica, dropped=True)
                continue
            try:
                entry, timing = self._read(claim)
            except EntryError as error:
                self._events.emit(happened.EntrySetAside(claim.ask.entry, str(error)))
                self._settling.settle([_left(claim, answer.now_ms)])
            else:
                yield Work.of_asked(claim, entry, timing, answer.now_ms)

    def _read(self, claim: AskedClaim) -> tuple[Entry | None, Timing]:
        name = claim.ask.entry
        if claim.card is None:
            return None, self._timings[name]
        if name in self._timings:
            msg = f"beat_schedule has an entry {name!r} too: give one of them another name"
            raise EntryError(msg)
        entry = Entry.from_json(claim.card.definition)
        return entry, self._timing_of(entry)

    def _next_ms(self, answer: AskedAnswer) -> int | None:
        """Tell when something is due, apart from what was ours to settle."""
        if answer.next_ms is None:
            return None
        is_ours = answer.claims and answer.next_ms >= answer.now_ms + self._pace.hold_ms
        return None if is_ours else answer.next_ms


def _left(claim: AskedClaim, now_ms: int) -> Settlement:
    slot = replace(claim.slot, due_ms=now_ms + UNUSABLE_MS)
    return Settlement(claim.ask.entry, claim.slot.fence, slot, request=claim.request)
