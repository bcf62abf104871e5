"""The half of a store in memory that beats use: slots, the fleet, what is awaited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from celery_singleton_beat.protocol.awaited import Awaited, Postponed, is_lost
from celery_singleton_beat.protocol.claim import (
    MOST_CLAIMS,
    Adopted,
    Claim,
    Settled,
    Settlement,
    Slot,
    adopt,
    is_in_place,
    settle,
    take,
)
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.fleet import governor, leave, report
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.overlap import is_busy
from celery_singleton_beat.store.memory_settling import MemorySettling
from celery_singleton_beat.store.memory_state import first_due
from celery_singleton_beat.store.port import (
    Adoption,
    ClaimAnswer,
    ClaimRequest,
    SlotsAnswer,
    Standing,
)


class MemorySlots(MemorySettling):
    """Implements the verbs of beats."""

    def claim(self, request: ClaimRequest) -> ClaimAnswer:
        with self._guard:
            now_ms, state = self._enter(), self._state
            state.fleet = report(
                state.fleet,
                request.replica,
                request.digest,
                now_ms=now_ms,
                timeout_ms=request.timeout_ms,
                info=request.info,
            )
            state.governor = governor(state.fleet, timeout_ms=request.timeout_ms)
            standing = Standing.GOVERNS
            if state.governor != request.digest:
                standing = Standing.STANDS_BY
            elif state.adopted != request.digest:
                standing = Standing.ADOPTS
            governs = standing is Standing.GOVERNS
            asked = (*state.asked.values(), *(state.asked_config.values() if governs else ()))
            return ClaimAnswer(
                now_ms,
                standing,
                is_paused=state.is_paused,
                resumed_ms=state.resumed_ms,
                stored_ms=min(state.turns.values(), default=None),
                asked_ms=min(asked, default=None),
                **(self._give(request, now_ms) if governs and not state.is_paused else {}),
            )

    def settle(self, digest: str, settlements: Sequence[Settlement]) -> list[Settled]:
        if not settlements:
            return []
        with self._guard:
            now_ms, state = self._enter(), self._state
            verdicts = []
            for settlement in settlements:
                name = settlement.entry
                before = state.slots.get(name)
                after, verdict = settle(
                    before, settlement, now_ms=now_ms, governs=state.adopted == digest
                )
                has_moved = after is not None and after is not before
                if after is not None and has_moved:
                    self._put(name, after)
                is_ours = before is not None and before.fence == settlement.fence
                self._note_settled(settlement, now_ms, has_moved=has_moved, is_ours=is_ours)
                verdicts.append(verdict)
            return verdicts

    def recall(self, *, limit: int, hold_ms: int) -> list[Awaited]:
        with self._guard:
            now_ms, state, recalled = self._enter(), self._state, []
            if state.is_paused:
                return []
            for run in first_due(state.awaited, now_ms, limit):
                one = state.published[run]
                begun_ms = state.begun_ms.get(one.entry, 0)
                latest_ms = state.latest_ms.get(one.entry, 0)
                if is_lost(one.scheduled_ms, begun_ms=begun_ms, latest_ms=latest_ms):
                    state.awaited[run] = now_ms + hold_ms
                    recalled.append(one)
                else:
                    state.awaited[run] = now_ms + one.deadline_ms
            return recalled

    def dismiss(self, runs: Sequence[str]) -> None:
        if not runs:
            return
        with self._guard:
            self._enter()
            for run in runs:
                self._state.await_no_more(run)

    def await_again(self, runs: Sequence[str], published_by: str) -> None:
        if not runs:
            return
        with self._guard:
            now_ms, state = self._enter(), self._state
            for one in filter(None, [state.published.get(run) for run in runs]):
                if longer := one.again():
                    state.published[one.run] = longer
                    state.awaited[one.run] = now_ms + longer.deadline_ms
                else:
                    state.await_no_more(one.run)
                fact = Fact(now_ms, "published_again", one.entry, one.scheduled_ms, one.run)
                self._note(fact._replace(by=published_by))

    def postpone(self, postponed: Sequence[Postponed], by: str) -> None:
        if not postponed:
            return
        with self._guard:
            now_ms, state = self._enter(), self._state
            for run, for_ms, attempt, error in postponed:
                known = state.published.get(run)
                if known is None or attempt not in (0, known.failures + 1):
                    continue
                if for_ms == ABSENT:
                    state.await_no_more(run)
                else:
                    failures = max(attempt, known.failures)
                    state.published[run] = known._replace(failures=failures)
                    state.awaited[run] = now_ms + for_ms
                if attempt:
                    fact = Fact(now_ms, "dispatch_failed", known.entry, known.scheduled_ms, run)
                    self._note(fact._replace(by=by, note=error[:200]))

    def busy(self, runs: Sequence[str]) -> list[bool]:
        with self._guard:
            now_ms, state = self._enter(), self._state
            return [
                is_busy(
                    state.runs.get(run),
                    queued_until_ms=state.queued.get(run, 0),
                    has_message=run in state.messages,
                    now_ms=now_ms,
                )
                for run in runs
            ]

    def slots(self, entries: Sequence[str], *, set_aside: bool = True) -> SlotsAnswer:  # noqa: ARG002  # all can be read
        if not entries:
            return SlotsAnswer(())
        with self._guard:
            self._enter()
            return SlotsAnswer(tuple(self._state.slots.get(name) for name in entries))

    def adopt(
        self,
        digest: str,
        adoptions: Sequence[Adoption],
        *,
        done: bool,
        of: Mapping[str, str] | None = None,
    ) -> list[Adopted]:
        with self._guard:
            now_ms, state = self._enter(), self._state
            if state.governor != digest:
                return [Adopted.CHANGED] * len(adoptions)
            verdicts = []
            for adoption in adoptions:
                before = state.slots.get(adoption.entry)
                after, verdict = adopt(before, adoption.seen, adoption.planned, now_ms=now_ms)
                if verdict is Adopted.ADOPTED and after is not None:
                    self._put(adoption.entry, after)
                verdicts.append(verdict)
            if done and all(
                is_in_place(state.slots.get(name), rule, now_ms=now_ms)
                for name, rule in (of or {}).items()
            ):
                state.adopted = digest
            return verdicts

    def leave(self, replica: str) -> None:
        with self._guard:
            self._enter()
            self._state.fleet = leave(self._state.fleet, replica)
            self._state.last.pop(replica, None)

    def _repeated(self, request: ClaimRequest) -> tuple[Claim, ...] | None:
        request_id, first, names = self._state.last.get(request.replica, ("", 0, ()))
        if request_id != request.request_id:
            return None
        found = ((name, self._state.slots.get(name)) for name in names)
        return tuple(
            Claim(name, slot)
            for name, slot in found
            if slot and slot.is_held and first <= slot.fence < first + len(names)
        )

    def _give(self, request: ClaimRequest, now_ms: int) -> dict[str, Any]:
        """Tell a governor what it claimed, and what there is to come."""
        state = self._state
        claims = self._repeated(request)
        if claims is None:
            claims = self._take(request, now_ms)
        overdue = (*state.awaited.values(), *state.crashable.values())
        return {
            "claims": claims,
            "next_ms": min((*state.due.values(), *state.held.values()), default=None),
            "others_hold": len(state.held) > len(claims),
            "has_overdue": any(at_ms <= now_ms for at_ms in overdue),
        }

    def _take(self, request: ClaimRequest, now_ms: int) -> tuple[Claim, ...]:
        state = self._state
        limit = min(request.limit, MOST_CLAIMS)
        for name in first_due(state.held, now_ms, limit):
            del state.held[name]
            state.due[name] = state.slots[name].due_ms
        names = first_due(state.due, now_ms, limit)
        claims, first = [], 0
        for name in names:
            fence = self._next_fence(now_ms)
            state.fence = fence
            first = first or fence
            slot = take(state.slots[name], now_ms=now_ms, hold_ms=request.hold_ms, fence=fence)
            state.slots[name] = slot
            del state.due[name]
            state.held[name] = slot.hold_until_ms
            claims.append(Claim(name, slot))
        if claims:
            state.last[request.replica] = (request.request_id, first, tuple(names))
        return tuple(claims)

    def _put(self, name: str, slot: Slot) -> None:
        self._state.slots[name] = slot
        self._state.held.pop(name, None)
        self._state.due.pop(name, None)
        if slot.due_ms != ABSENT:
            self._state.due[name] = slot.due_ms
