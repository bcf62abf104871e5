"""Locks by hand: leases that code takes which is no task.

Runs in: any process.

There is one mechanism: a lock by hand is the one attempt of a run of its own. So
it excludes tasks with its lock key and other locks by hand alike, has a fencing
token, and its holder is given notice before anybody else gets its key.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Final

from celery_singleton_beat.engine.board import Board, Stage
from celery_singleton_beat.engine.clock import boot_ms
from celery_singleton_beat.engine.guard import Guard
from celery_singleton_beat.engine.heartbeat import Heartbeat, trusted_until_ms
from celery_singleton_beat.engine.lease import Lease
from celery_singleton_beat.errors import Locked, SingletonBeatError, StoreUnavailable
from celery_singleton_beat.protocol.run import Attempt, Begun, Lock, Outcome, Renewed
from celery_singleton_beat.store.port import BeginAnswer, LocksAnswer, Renewal, Store

_FORGET_MS: Final = 1000
_FIRST_PAUSE_MS: Final = 50
_LONGEST_PAUSE_MS: Final = 1000


class HandLease(Lease):
    """A lease that was taken by hand; once it is released it is lost for good.

    With a ``heartbeat`` it is renewed, and has a record on the board of that one;
    without, it lives for its TTL unless it is renewed by hand.
    """

    def __init__(
        self, attempt: Attempt, board: Board, index: int, heartbeat: Heartbeat | None = None
    ) -> None:
        super().__init__(attempt.key, board, index)
        self.attempt = attempt
        self.heartbeat = heartbeat
        self.board, self.index = board, index
        self._last_token: int | None = None
        self._guard = threading.Lock()

    @property
    def token(self) -> int:
        """The fencing number; it grows if the store forgot the lease and it was taken back."""
        # Of a lease that is over the record may be another's by now.
        last = self._last_token
        return super().token if last is None else last

    @property
    def lost(self) -> bool:
        """Whether the key may be another's by now, judged without asking anybody."""
        return self._last_token is not None or super().lost

    def is_kept(self, *, trusted_until_ms: int, token: int) -> None:
        """Note that the store knows it; token 0: that it does not any more."""
        with self._guard:
            if self._last_token is not None:
                return
            if token:
                self.board.trust(self.index, trusted_until_ms=trusted_until_ms, token=token)
            else:
                self.board.mark(self.index, Stage.LOST)

    def let_go(self, outcome: Outcome) -> bool:
        """Be lost from now on, also in processes that were forked since; False: it was already."""
        with self._guard:
            if self._last_token is not None:
                return False
            self._last_token = super().token
            # In this order: that it cannot be trusted is no loss to be reported.
            self.board.end(self.index, outcome)
            self.board.trust(self.index, trusted_until_ms=0, token=self._last_token)
            return True


class HandLocks:
    """Takes, renews and ends leases by hand, in one process; knows who holds what.

    ``heartbeat`` gives the heartbeat of the process that asks. ``grace_ms`` is how
    long at least nothing begins in a store that has forgotten everything.
    """

    def __init__(
        self,
        store: Store,
        heartbeat: Callable[[], Heartbeat],
        *,
        grace_ms: int,
        clock_ms: Callable[[], int] = boot_ms,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._heartbeat = heartbeat
        self._grace_ms = grace_ms
        self._clock_ms = clock_ms
        self._pause = pause
        self._guard = Guard(store, clock_ms=clock_ms)

    def take(self, key: str, owner: str, *, ttl_ms: int) -> HandLease | None:
        """Take a key if it can be had at once; nobody renews it but whoever has it.

        Raises:
            StoreError: the store could not answer. If the key was taken all the same,
                it is freed as soon as the store answers, by this process.
        """
        attempt, board = _attempt(key, owner, ttl_ms), Board(1)
        index = board.open() or 0
        try:
            answer = self._begin(attempt, board, index)
        except BaseException:
            self._end_later(attempt, Outcome.INTERRUPTED)
            raise
        return HandLease(attempt, board, index) if answer.verdict is Begun.RUN else None

    def hold(
        self, key: str, owner: str, *, ttl_ms: int, renew_ms: int, wait_ms: int | None
    ) -> HandLease:
        """Take a key and renew it until it is released; wait for it so long (None: for ever).

        Raises:
            Locked: it could not be had in that time.
            StoreError: as ``take``.
        """
        attempt, heartbeat = _attempt(key, owner, ttl_ms), self._heartbeat()
        index = heartbeat.open(attempt, renew_ms=renew_ms)
        if index is None:
            raise SingletonBeatError("too many locks are open in this process: release some")
        try:
            answer = self._wait(attempt, heartbeat.board, index, wait_ms)
        except BaseException:
            heartbeat.end(index, Outcome.INTERRUPTED)
            raise
        if answer.verdict is Begun.RUN:
            return HandLease(attempt, heartbeat.board, index, heartbeat)
        heartbeat.end(index, Outcome.INTERRUPTED)
        if answer.verdict is Begun.BUSY:
            raise Locked(f"lock key {key!r} is held by {answer.owner}")
        raise Locked(
            f"lock key {key!r} is not given away for {answer.wait_ms} ms: "
            "whoever may hold it can come back until then"
        )

    def renew(self, lease: HandLease) -> bool:
        """Let a lease live for its TTL from now on; tell whether it is held still.

        Raises:
            StoreError: the store could not answer.
        """
        asked_at_ms, attempt = self._clock_ms(), lease.attempt
        answer = self._store.renew([Renewal(attempt, lease.token)])[0]
        is_kept = answer.verdict in (Renewed.KEPT, Renewed.RESTORED)
        until_ms = trusted_until_ms(asked_at_ms, attempt.ttl_ms)
        lease.is_kept(trusted_until_ms=until_ms, token=answer.token if is_kept else 0)
        return not lease.lost

    def release(self, lease: HandLease, outcome: Outcome = Outcome.SUCCEEDED) -> bool:
        """End a lease and free its key, if it is still its; tell whether that is recorded by now.

        If the store is away, this process tells it as soon as it answers.
        """
        if not lease.let_go(outcome):
            return False
        # No second message of it can come: nothing need recognise one.
        attempt = replace(lease.attempt, window_ms=_FORGET_MS)
        is_recorded = self._guard.finish(attempt, lease.board, lease.index, outcome)
        if lease.heartbeat is not None:
            lease.heartbeat.end(lease.index, outcome)
        elif lease.board.stage(lease.index) is Stage.ENDED:
            self._end_later(attempt, outcome)
        return is_recorded

    def is_held(self, key: str) -> bool:
        """Tell whether a lease on a key is alive.

        Raises:
            StoreError: the store could not answer, or came back empty a moment ago.
        """
        answer = self._store.locks([key])
        lock = answer.locks[0]
        if lock is not None and lock.deadline_ms > answer.now_ms:
            return True
        self._see_that_it_knows(answer, key)
        return False

    def held(self, limit: int) -> list[tuple[str, Lock]]:
        """Name what is held and who holds it, the leases that end last first.

        Raises:
            StoreError: the store could not answer.
        """
        names = self._store.lock_names(limit)
        if not names:
            return []
        locks = zip(names, self._store.locks(names).locks, strict=True)
        return [(name, lock) for name, lock in locks if lock is not None]

    def free(self, key: str, by: str) -> bool:
        """Free a key, whoever holds it; tell whether somebody did, or might have come back for it.

        Raises:
            StoreError: as ``is_held``.
        """
        if self._store.unlock(key, by):
            return True
        self._see_that_it_knows(self._store.locks([key]), key)
        return False

    def _begin(self, attempt: Attempt, board: Board, index: int) -> BeginAnswer:
        # Whoever held this key, probably with the same TTL, must have had the time to come back.
        grace_ms = max(self._grace_ms, attempt.ttl_ms)
        return self._guard.begin(attempt, board, index, close_if_busy=False, grace_ms=grace_ms)

    def _wait(self, attempt: Attempt, board: Board, index: int, wait_ms: int | None) -> BeginAnswer:
        until_ms = None if wait_ms is None else self._clock_ms() + wait_ms
        pause_ms = _FIRST_PAUSE_MS
        while True:
            # Of a question without an answer it must be known that it may have begun.
            board.mark(index, Stage.OPEN)
            answer = self._begin(attempt, board, index)
            left_ms = pause_ms if until_ms is None else until_ms - self._clock_ms()
            if answer.verdict is Begun.RUN or left_ms <= 0:
                return answer
            self._pause(min(pause_ms, left_ms, max(answer.wait_ms, 1)) / 1000)
            pause_ms = min(2 * pause_ms, _LONGEST_PAUSE_MS)

    def _end_later(self, attempt: Attempt, outcome: Outcome) -> None:
        heartbeat = self._heartbeat()
        index = heartbeat.open(attempt, renew_ms=attempt.ttl_ms)
        if index is not None:
            heartbeat.end(index, outcome)

    def _see_that_it_knows(self, answer: LocksAnswer, key: str) -> None:
        left_ms = answer.reborn_ms + self._grace_ms - answer.now_ms
        if answer.reborn_ms and left_ms > 0:
            raise StoreUnavailable(
                f"nobody can tell who holds {key!r}: the store came back empty, and for "
                f"{left_ms} ms more holders may come back to it"
            )


class HandLock:
    """A lock for a ``with`` block, which gives its lease."""

    def __init__(self, hold: Callable[[], HandLease], locks: HandLocks) -> None:
        self._hold = hold
        self._locks = locks
        self._open: list[tuple[int, HandLease]] = []

    def __enter__(self) -> HandLease:
        lease = self._hold()
        self._open.append((os.getpid(), lease))
        return lease

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pid, lease = self._open.pop()
        # A child that was forked inside the block leaves it, too; the lock is its parent's.
        if pid == os.getpid():
            self._locks.release(lease, Outcome.SUCCEEDED if kind is None else Outcome.FAILED)


def _attempt(key: str, owner: str, ttl_ms: int) -> Attempt:
    holder = f"by-hand-{os.urandom(16).hex()}"
    return Attempt(run=holder, holder=holder, key=key, ttl_ms=ttl_ms, owner=owner)
