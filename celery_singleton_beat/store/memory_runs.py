"""The half of a store in memory that workers use: runs, locks, and their history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from celery_singleton_beat.protocol.epoch import grace_left_ms
from celery_singleton_beat.protocol.history import (
    Fact,
    figure_of_begin,
    of,
    of_begin,
    of_finish,
    of_renew,
)
from celery_singleton_beat.protocol.kept_message import KeptMessage
from celery_singleton_beat.protocol.lease import Held, begin, discard, finish, left_ms, renew
from celery_singleton_beat.protocol.run import (
    GRACE_MS,
    NOTICE_MS,
    Attempt,
    Begun,
    Finished,
    Lock,
    Outcome,
    Renewed,
    State,
)
from celery_singleton_beat.store.memory_observed import MemoryObserved
from celery_singleton_beat.store.memory_state import first_due, put_or_drop
from celery_singleton_beat.store.port import (
    BeginAnswer,
    Crashed,
    Ending,
    LocksAnswer,
    Renewal,
    RenewAnswer,
)

_FOR_LATER: Final = (Begun.TWIN, Begun.WAIT, Begun.BUSY)


class MemoryRuns(MemoryObserved):
    """Implements the verbs of workers."""

    def begin(self, attempt: Attempt, *, close_if_busy: bool, grace_ms: int) -> BeginAnswer:
        with self._guard:
            now_ms, state = self._enter(), self._state
            assert state.epoch is not None  # noqa: S101  # _enter sees to it
            wait_ms = grace_left_ms(state.epoch, now_ms=now_ms, grace_ms=grace_ms)
            if wait_ms:
                self._comes_again(attempt, now_ms + wait_ms)
                self._kept_comes_again(attempt, now_ms + wait_ms, Begun.WAIT)
                return BeginAnswer(Begun.WAIT, now_ms, wait_ms=wait_ms)
            before, token = self._held(attempt, now_ms), self._next_fence(now_ms)
            held, verdict = begin(
                before,
                attempt,
                now_ms=now_ms,
                token=token,
                close_if_busy=close_if_busy,
            )
            self._keep(attempt, held)
            self._note(of_begin(before, held, attempt, verdict, now_ms), attempt.key)
            if (figure := figure_of_begin(before, attempt, verdict)) is not None:
                self._grow(now_ms, attempt.entry, attempt.key, [(figure, 1)])
            run, lock = held.run, held.lock
            if verdict is Begun.REFUSED or (run and run.state is State.DONE):
                self._drop_message(attempt.run)
            if verdict is Begun.RUN and run:
                if attempt.message and run.token == token:
                    state.messages[attempt.run] = KeptMessage.of(attempt)
                    state.crashable[attempt.run] = 0
                self._put_off(attempt.run, run.deadline_ms + NOTICE_MS)
                self._arrived(attempt)
                return BeginAnswer(verdict, now_ms, token=run.token, starts=run.starts)
            owner = ""
            if verdict is Begun.TWIN and run:
                wait_ms = left_ms(run, now_ms)
            elif verdict is Begun.WAIT and lock:
                wait_ms = left_ms(lock, now_ms)
            elif verdict is Begun.BUSY and lock:
                wait_ms, owner = max(lock.deadline_ms - now_ms, 0), lock.owner
            is_over = run and run.state is State.DONE and not run.is_called_back
            if verdict in _FOR_LATER and not is_over:
                self._comes_again(attempt, now_ms + wait_ms)
                self._kept_comes_again(attempt, now_ms + wait_ms, verdict)
            else:
                self._arrived(attempt)
            return BeginAnswer(verdict, now_ms, wait_ms=wait_ms, owner=owner)

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
                self._note(of_renew(renewal.attempt, verdict, now_ms), renewal.attempt.key)
                if verdict is Renewed.KEPT and held.run:
                    self._put_off(renewal.attempt.run, held.run.deadline_ms + NOTICE_MS)
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
                before = self._held(ending.attempt, now_ms)
                held, verdict = finish(
                    before,
                    ending.attempt,
                    ending.outcome,
                    now_ms=now_ms,
                    wait_ms=ending.wait_ms,
                )
                self._keep(ending.attempt, held)
                fact = of_finish(before, held, ending.attempt, verdict, now_ms)
                self._note(fact, ending.attempt.key)
                if verdict is Finished.RECORDED and held.run:
                    if held.run.outcome == Outcome.INTERRUPTED.value:
                        self._put_off(ending.attempt.run, now_ms + NOTICE_MS)
                    elif held.run.outcome == Outcome.RETRYING.value:
                        # The retry may never have been published.
                        self._put_off(ending.attempt.run, held.run.deadline_ms + NOTICE_MS)
                    else:
                        self._drop_message(ending.attempt.run)
                verdicts.append(verdict)
            return verdicts

    def discard(self, attempt: Attempt, reason: str) -> None:
        with self._guard:
            now_ms, state = self._enter(), self._state
            assert state.epoch is not None  # noqa: S101  # _enter sees to it
            self._arrived(attempt)
            if grace_left_ms(state.epoch, now_ms=now_ms, grace_ms=attempt.ttl_ms):
                return
            held, is_closed = discard(self._held(attempt, now_ms), attempt, now_ms=now_ms)
            self._keep(attempt, held)
            if is_closed:
                self._note(of(attempt, Outcome.DISCARDED.value, now_ms, reason), attempt.key)
                self._drop_message(attempt.run)

    def reclaim(self, *, limit: int, hold_ms: int) -> list[Crashed]:
        with self._guard:
            now_ms, state, crashed = self._enter(), self._state, []
            if state.is_paused:
                return []
            for run in first_due(state.crashable, now_ms, limit):
                state.crashable[run] = now_ms + hold_ms
                kept = state.messages[run]
                crashed.append(Crashed(run, kept.text, now_ms + hold_ms, kept.deadline_ms))
            return crashed

    def rerun(self, crashed: Sequence[Crashed], by: str = "") -> None:
        if not crashed:
            return
        with self._guard:
            now_ms, state = self._enter(), self._state
            for one in crashed:
                kept = state.messages.get(one.run)
                if kept is None:
                    continue
                if state.crashable[one.run] == one.until_ms:
                    self._await_rerun(one.run, kept, now_ms)
                # It may have begun since; but a repeat tells nothing.
                if by and kept.deadline_ms <= one.deadline_ms:
                    self._note(Fact(now_ms, "rerun", run=one.run, by=by))

    def give_up(self, crashed: Sequence[Crashed]) -> None:
        if not crashed:
            return
        with self._guard:
            self._enter()
            for one in crashed:
                if self._state.crashable.get(one.run) == one.until_ms:
                    self._drop_message(one.run)

    def lock_names(self, limit: int) -> list[str]:
        with self._guard:
            now_ms = self._enter()
            live = [
                (k.deadline_ms, n.encode(), n)
                for n, k in self._state.locks.items()
                if k.deadline_ms > now_ms
            ]
            return [name for *_, name in sorted(live, reverse=True)[:limit]]

    def locks(self, names: Sequence[str]) -> LocksAnswer:
        with self._guard:
            now_ms, epoch = self._enter(), self._state.epoch
            locks = tuple(self._lock(name, now_ms) for name in names)
            return LocksAnswer(now_ms, locks, epoch.born_ms if epoch and epoch.reborn else 0)

    def unlock(self, name: str, by: str) -> bool:
        with self._guard:
            now_ms = self._enter()
            was_held = self._lock(name, now_ms) is not None
            self._state.locks.pop(name, None)
            if was_held:
                self._note(Fact(now_ms, "unlocked", by=by, note=name), name)
            return was_held

    def _arrived(self, attempt: Attempt) -> None:
        """Note that a message has arrived, and that the beats need not wait for another."""
        state = self._state
        if attempt.is_awaited:
            state.await_no_more(attempt.run)
            begun_ms = state.begun_ms.get(attempt.entry, 0)
            state.begun_ms[attempt.entry] = max(begun_ms, attempt.scheduled_ms)

    def _comes_again(self, attempt: Attempt, from_ms: int) -> None:
        """Note that a message was put off: until it comes again it may be lost, as before."""
        state = self._state
        if attempt.is_awaited and attempt.run in state.published:
            state.awaited[attempt.run] = from_ms + state.published[attempt.run].deadline_ms

    def _kept_comes_again(self, attempt: Attempt, from_ms: int, verdict: Begun) -> None:
        """Note that the message of a run that is to begin again was put off: it is in hand.

        A twin's lease, or the retry that it waits for, says when its message is needed.
        """
        kept = self._state.messages.get(attempt.run)
        if attempt.message and kept is not None and verdict is not Begun.TWIN:
            self._put_off(attempt.run, from_ms + kept.deadline_ms)

    def _await_rerun(self, run: str, kept: KeptMessage, now_ms: int) -> None:
        """Wait for a run to begin again; what was published again may be lost as well."""
        longer = kept.again()
        if longer is None:
            self._drop_message(run)
        else:
            self._state.messages[run] = longer
            self._state.crashable[run] = now_ms + kept.deadline_ms

    def _put_off(self, run: str, until_ms: int) -> None:
        if run in self._state.crashable:
            self._state.crashable[run] = until_ms

    def _drop_message(self, run: str) -> None:
        self._state.crashable.pop(run, None)
        self._state.messages.pop(run, None)

    def _held(self, attempt: Attempt, now_ms: int) -> Held:
        state = self._state
        lock = self._lock(attempt.key, now_ms)
        spent, least = state.spent.get(attempt.key), state.cancelled.get(attempt.entry, 0)
        return Held(state.runs.get(attempt.run), lock, spent, least)

    def _lock(self, name: str, now_ms: int) -> Lock | None:
        lock = self._state.locks.get(name)
        return lock if lock and lock.deadline_ms + GRACE_MS > now_ms else None

    def _keep(self, attempt: Attempt, held: Held) -> None:
        if held.run:
            self._state.fence = max(self._state.fence, held.run.token)
        put_or_drop(self._state.runs, attempt.run, held.run)
        put_or_drop(self._state.locks, attempt.key, held.lock)
        put_or_drop(self._state.spent, attempt.key, held.spent)
