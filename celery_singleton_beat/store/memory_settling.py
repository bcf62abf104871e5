"""What a store in memory notes of published occurrences, for any kind of entry."""

from __future__ import annotations

from collections.abc import Sequence

from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.history import Fact, Told
from celery_singleton_beat.store.memory_observed import MemoryObserved


class MemorySettling(MemoryObserved):
    """Notes what a settlement awaits and tells."""

    def note_once(self, entry: str, told: Sequence[Told], unsent: Sequence[str]) -> None:
        with self._guard:
            now_ms = self._enter()
            for run in unsent:
                self._state.queued.pop(run, None)
            for kind, scheduled_ms, run, by, note in told:
                self._note(Fact(now_ms, kind, entry, scheduled_ms, run, 0, by, note))

    def _note_settled(
        self, settlement: Settlement, now_ms: int, *, has_moved: bool, is_ours: bool
    ) -> None:
        if has_moved:
            self._await(settlement, now_ms)
            for run, for_ms in settlement.queued:
                self._state.queued[run] = now_ms + for_ms
        for kind, scheduled_ms, run, by, note in settlement.told:
            # What was published is so, whoever has the slot by now; a repeat tells nothing.
            if has_moved or (not is_ours and kind == "published"):
                self._note(Fact(now_ms, kind, settlement.entry, scheduled_ms, run, 0, by, note))

    def _await(self, settlement: Settlement, now_ms: int) -> None:
        """Wait for the runs of what was published to begin, unless they have already."""
        state, entry = self._state, settlement.entry
        for one in settlement.awaited:
            run = state.runs.get(one.run)
            if run is None or run.keep_until_ms <= now_ms:
                state.awaited[one.run] = now_ms + one.deadline_ms
                state.published[one.run] = one
            state.latest_ms[entry] = max(state.latest_ms.get(entry, 0), one.scheduled_ms)
