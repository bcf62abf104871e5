"""A store in memory: the protocol's pure functions over dictionaries.

For tests, for dry runs and for development in a single process. It coordinates
threads, not processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from celery_singleton_beat.protocol.awaited import Awaited, is_lost
from celery_singleton_beat.protocol.claim import (
    Adopted,
    Claim,
    Settled,
    Settlement,
    Slot,
    adopt,
    settle,
    take,
)
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.epoch import grace_left_ms, recognise
from celery_singleton_beat.protocol.fleet import governor, leave, report
from celery_singleton_beat.protocol.lease import Held, begin, finish, left_ms, renew
from celery_singleton_beat.protocol.run import (
    GRACE_MS,
    Attempt,
    Begun,
    Finished,
    Renewed,
)
from celery_singleton_beat.store.memory_state import State, first_due, put_or_drop, system_ms
from celery_singleton_beat.store.port import (
    Adoption,
    BeginAnswer,
    ClaimAnswer,
    ClaimRequest,
    Ending,
    Renewal,
    RenewAnswer,
    SlotsAnswer,
    Standing,
)


class MemoryStore:
    """Implements ``Store``; ``now_ms`` is asked for the time of every step."""

    def __init__(self, now_ms: Callable[[], int] = system_ms) -> None:
        self._now_ms = now_ms
        self._guard = threading.RLock()
        self._state = State()
        self._known = ""
        self._epochs = 0

    def forget(self) -> None:
        """Forget everything, as a server that restarts without persistence does."""
        with self._guard:
            self._state = State()

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
            if state.governor != request.digest:
                return ClaimAnswer(now_ms, Standing.STANDS_BY)
            if state.adopted != request.digest:
                return ClaimAnswer(now_ms, Standing.ADOPTS)
            claims = self._repeated(request)
            if claims is None:
                claims = self._take(request, now_ms)
            waits = [*state.due.values(), *state.held.values()]
            return ClaimAnswer(
                now_ms,
                Standing.GOVERNS,
                claims,
                min(waits, default=None),
                others_hold=len(state.held) > len(claims),
                has_overdue=any(at_ms <= now_ms for at_ms in state.awaited.values()),
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
                if after is not None and after is not before:
                    self._put(name, after)
                    self._await(settlement, now_ms)
                verdicts.append(verdict)
            return verdicts

    def recall(self, *, limit: int, hold_ms: int) -> list[Awaited]:
        with self._guard:
            now_ms, state, recalled = self._enter(), self._state, []
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
                self._state.awaited.pop(run, None)
                self._state.published.pop(run, None)

    def slots(self, entries: Sequence[str]) -> SlotsAnswer:
        if not entries:
            return SlotsAnswer(())
        with self._guard:
            self._enter()
            return SlotsAnswer(tuple(self._state.slots.get(name) for name in entries))

    def adopt(self, digest: str, adoptions: Sequence[Adoption], *, done: bool) -> list[Adopted]:
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
            if done:
                state.adopted = digest
            return verdicts

    def leave(self, replica: str) -> None:
        with self._guard:
            self._enter()
            self._state.fleet = leave(self._state.fleet, replica)
            self._state.last.pop(replica, None)

    def begin(self, attempt: Attempt, *, close_if_busy: bool, grace_ms: int) -> BeginAnswer:
        with self._guard:
            now_ms, state = self._enter(), self._state
            assert state.epoch is not None  # noqa: S101  # _enter sees to it
            wait_ms = grace_left_ms(state.epoch, now_ms=now_ms, grace_ms=grace_ms)
            if wait_ms:
                return BeginAnswer(Begun.WAIT, now_ms, wait_ms=wait_ms)
            if attempt.awaited_as:
                self.dismiss([attempt.run])
                begun_ms = state.begun_ms.get(attempt.awaited_as, 0)
                state.begun_ms[attempt.awaited_as] = max(begun_ms, attempt.scheduled_ms)
            held, verdict = begin(
                self._held(attempt, now_ms),
                attempt,
                now_ms=now_ms,
                token=self._next_fence(now_ms),
                close_if_busy=close_if_busy,
            )
            self._keep(attempt, held)
            run, lock = held.run, held.lock
            if verdict is Begun.RUN and run:
                return BeginAnswer(verdict, now_ms, token=run.token, starts=run.starts)
            if verdict is Begun.TWIN and run:
                return BeginAnswer(verdict, now_ms, wait_ms=left_ms(run, now_ms))
            if verdict is Begun.WAIT and lock:
                return BeginAnswer(verdict, now_ms, wait_ms=left_ms(lock, now_ms))
            if verdict is Begun.BUSY and lock:
                wait_ms = max(lock.deadline_ms - now_ms, 0)
                return BeginAnswer(verdict, now_ms, wait_ms=wait_ms, owner=lock.owner)
            return BeginAnswer(verdict, now_ms)

    def renew(self, renewals: Sequence[Renewal]) -> list[RenewAnswer]:
        if not renewals:
            return []
        with self._guard:
            now_ms, state, answers = self._enter(), self._state, []
            for renewal in renewals:
                held, verdict = renew(
                    self._held(renewal.attempt, now_ms),
                    renewal.attempt,
                    now_ms=now_ms,
                    token=self._next_fence(now_ms),
                    had_token=renewal.token,
                    born_ms=state.epoch.born_ms if state.epoch else now_ms,
                )
                self._keep(renewal.attempt, held)
                is_held = verdict in (Renewed.KEPT, Renewed.RESTORED)
                token = held.run.token if held.run and is_held else 0
                answers.append(RenewAnswer(verdict, token))
            return answers

    def finish(self, endings: Sequence[Ending]) -> list[Finished]:
        if not endings:
            return []
        with self._guard:
            now_ms, verdicts = self._enter(), []
            for ending in endings:
                held, verdict = finish(
                    self._held(ending.attempt, now_ms),
                    ending.attempt,
                    ending.outcome,
                    now_ms=now_ms,
                    wait_ms=ending.wait_ms,
                )
                self._keep(ending.attempt, held)
                verdicts.append(verdict)
            return verdicts

    def ping(self) -> int:
        return self._now_ms()

    def close(self) -> None:
        pass

    def _enter(self) -> int:
        now_ms = self._now_ms()
        self._epochs += 1
        self._state.epoch = recognise(
            self._state.epoch, known=self._known, fresh=f"memory-{self._epochs}", now_ms=now_ms
        )
        self._known = self._state.epoch.name
        return now_ms

    def _next_fence(self, now_ms: int) -> int:
        return max(self._state.fence + 1, now_ms * 1000)

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

    def _take(self, request: ClaimRequest, now_ms: int) -> tuple[Claim, ...]:
        state = self._state
        for name in first_due(state.held, now_ms, request.limit):
            del state.held[name]
            state.due[name] = state.slots[name].due_ms
        names = first_due(state.due, now_ms, request.limit)
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

    def _await(self, settlement: Settlement, now_ms: int) -> None:
        state, entry = self._state, settlement.entry
        for one in settlement.awaited:
            run = state.runs.get(one.run)
            if run is None or run.keep_until_ms <= now_ms:
                state.awaited[one.run] = now_ms + one.deadline_ms
                state.published[one.run] = one
            state.latest_ms[entry] = max(state.latest_ms.get(entry, 0), one.scheduled_ms)

    def _put(self, name: str, slot: Slot) -> None:
        self._state.slots[name] = slot
        self._state.held.pop(name, None)
        self._state.due.pop(name, None)
        if slot.due_ms != ABSENT:
            self._state.due[name] = slot.due_ms

    def _held(self, attempt: Attempt, now_ms: int) -> Held:
        lock = self._state.locks.get(attempt.key)
        if lock and lock.deadline_ms + GRACE_MS <= now_ms:
            lock = None
        return Held(self._state.runs.get(attempt.run), lock)

    def _keep(self, attempt: Attempt, held: Held) -> None:
        if held.run:
            self._state.fence = max(self._state.fence, held.run.token)
        put_or_drop(self._state.runs, attempt.run, held.run)
        put_or_drop(self._state.locks, attempt.key, held.lock)
