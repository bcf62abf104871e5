"""What a store in memory notes and counts, and what people read of it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.statistics import (
    TOTAL,
    Counts,
    entry_subject,
    increments,
    is_end,
    key_subject,
)
from celery_singleton_beat.store.memory_state import ENTRY_HISTORY, STATISTICS, MemoryCore
from celery_singleton_beat.store.observed_port import Overview
from celery_singleton_beat.store.port import SCHEMA


class MemoryObserved(MemoryCore):
    """Implements the verbs of those who look, and notes what they see."""

    def history(self, limit: int, entry: str = "") -> list[Fact]:
        with self._guard:
            self._enter()
            state = self._state
            facts = state.history_of.get(entry_subject(entry), ()) if entry else state.history
            return list(facts)[::-1][:limit]

    def counts(self, subjects: Sequence[str]) -> list[Counts]:
        with self._guard:
            self._enter()
            return [Counts.of(self._state.counts.get(subject, {})) for subject in subjects]

    def counted(self, limit: int) -> list[str]:
        with self._guard:
            self._enter()
            found = sorted((at, name.encode()) for name, at in self._state.counted.items())
            return [name.decode() for _, name in found[::-1][:limit]]

    def overview(self) -> Overview:
        with self._guard:
            now_ms, state = self._enter(), self._state
            assert state.epoch is not None  # noqa: S101  # _enter sees to it
            slots = (*state.due.values(), *state.held.values())
            asked = (*state.asked.values(), *state.asked_config.values())
            return Overview(
                now_ms=now_ms,
                app=self._app,
                schema=SCHEMA,
                born_ms=state.epoch.born_ms,
                is_reborn=state.epoch.reborn,
                fleet=state.fleet,
                governor=state.governor,
                adopted=state.adopted,
                is_paused=state.is_paused,
                resumed_ms=state.resumed_ms,
                planned=len(state.slots),
                stored=len(state.cards),
                locks=sum(lock.deadline_ms > now_ms for lock in state.locks.values()),
                tenants=len(state.tenants),
                requests=len(asked),
                awaited=len(state.awaited),
                queued=sum(until_ms > now_ms for until_ms in state.queued.values()),
                crashable=len(state.crashable),
                due_ms=min(slots, default=None),
                stored_due_ms=min(state.turns.values(), default=None),
                asked_due_ms=min(asked, default=None),
            )

    def _note(self, fact: Fact | None, key: str = "") -> None:
        """Keep a fact, if there is one, and count it; ``key`` is the lock key it is about."""
        if fact is None:
            return
        self._state.history.append(fact)
        if fact.entry:
            own = self._state.history_of.setdefault(
                entry_subject(fact.entry), deque(maxlen=ENTRY_HISTORY)
            )
            own.append(fact)
        self._grow(fact.at_ms, fact.entry, key, increments(fact), goes_on=is_end(fact))

    def _grow(
        self,
        now_ms: int,
        entry: str,
        key: str,
        numbers: Iterable[tuple[str, int]],
        *,
        goes_on: bool = False,
    ) -> None:
        """Let numbers of all there is, of an entry and of a lock key grow.

        Unless it ``goes_on`` with something counted a moment before, something
        happened to them now.
        """
        state, grown = self._state, dict(numbers)
        own = [*([entry_subject(entry)] if entry else []), *([key_subject(key)] if key else [])]
        for subject in (TOTAL, *own):
            state.counts.setdefault(subject, Counter()).update(grown)
        if not goes_on:
            state.counted.update(dict.fromkeys(own, now_ms))
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        state = self._state
        found = sorted((at, name.encode(), name) for name, at in state.counted.items())
        for _, _, oldest in found[: max(len(found) - STATISTICS, 0)]:
            for kept in (state.counted, state.counts, state.history_of):
                kept.pop(oldest, None)
