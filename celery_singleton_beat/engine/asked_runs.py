"""What is asked for in a tick: runs now and backfills, beside the timetable.

Runs in: beat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.claiming import UNUSABLE_MS, Claiming
from celery_singleton_beat.engine.outbound import Outbound
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.engine.stored_entries import entry_of
from celery_singleton_beat.engine.work import Work
from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.protocol.asked import MOST_AT_ONCE
from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.store.asked_port import AskedAnswer, AskedClaim, AskedRequest


class AskedRuns(Claiming):
    """Claims, plans, publishes and settles what is asked for."""

    def __init__(
        self, replica: Replica, outbound: Outbound, timings: Mapping[str, Timing], digest: str
    ) -> None:
        super().__init__(replica, outbound, replica.store.settle_asked)
        self._timings = timings
        self._digest = digest

    @property
    def _limit(self) -> int:
        return min(self._pace.batch, MOST_AT_ONCE)

    def _claim(self, request_id: str) -> AskedAnswer:
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
        return replace(answer, unreadable=tuple(f"request {one}" for one in answer.unreadable))

    def _is_full(self, answer: AskedAnswer) -> bool:
        return sum(claim.portion for claim in answer.claims) >= self._limit

    def _works(self, answer: AskedAnswer) -> Iterator[Work]:
        for claim in answer.claims:
            if claim.card is None and claim.ask.entry not in self._timings:
                # The configuration that governs is this one, and it has no such entry any more.
                self._store.cancel_asked([claim.request], self._replica, dropped=True)
                continue
            try:
                entry, timing = self._read(claim)
            except EntryError as error:
                self._events.emit(happened.EntrySetAside.because(claim.ask.entry, error))
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
        entry = entry_of(name, claim.card)
        return entry, self._timing_of(entry)


def _left(claim: AskedClaim, now_ms: int) -> Settlement:
    slot = replace(claim.slot, due_ms=now_ms + UNUSABLE_MS)
    return Settlement(claim.ask.entry, claim.slot.fence, slot, request=claim.request)
