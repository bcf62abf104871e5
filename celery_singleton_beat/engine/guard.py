"""The guard of a run: begins it, and records its end.

Runs in: worker, where the task's body runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from celery_singleton_beat.engine.board import Board, Stage
from celery_singleton_beat.engine.clock import boot_ms
from celery_singleton_beat.engine.heartbeat import trusted_until_ms
from celery_singleton_beat.errors import StoreError, StoreUnavailable
from celery_singleton_beat.protocol.run import Attempt, Begun, Finished, Outcome
from celery_singleton_beat.store.port import BeginAnswer, Ending, Store

_TRIES: Final = 5


class Guard:
    """Asks the store, and keeps the board in step with its answers."""

    def __init__(self, store: Store, *, clock_ms: Callable[[], int] = boot_ms) -> None:
        self._store = store
        self._clock_ms = clock_ms
        self._failing_since_ms: int | None = None

    def is_first_failure(self) -> bool:
        """Note that the store did not answer; tell whether that is news."""
        is_news = self._failing_since_ms is None
        if is_news:
            self._failing_since_ms = self._clock_ms()
        return is_news

    def ended_failure_ms(self) -> int | None:
        """Note that the store answered; tell how long it did not, if that is news."""
        since_ms, self._failing_since_ms = self._failing_since_ms, None
        return None if since_ms is None else self._clock_ms() - since_ms

    def begin(
        self, attempt: Attempt, board: Board, index: int, *, close_if_busy: bool, grace_ms: int
    ) -> BeginAnswer:
        """Begin an attempt whose record on the board is ``index``.

        An answer that is as old as the lease is worth nothing (this process may
        have stood still): then the question is asked again, which is harmless.

        Raises:
            StoreError: the store could not answer. The lease may have been taken;
                then it is over after its TTL.
        """
        for _ in range(_TRIES):
            asked_at_ms = self._clock_ms()
            answer = self._store.begin(attempt, close_if_busy=close_if_busy, grace_ms=grace_ms)
            if answer.verdict is not Begun.RUN:
                board.mark(index, Stage.DECLINED)
                return answer
            until_ms = trusted_until_ms(asked_at_ms, attempt.ttl_ms)
            board.begin(index, trusted_until_ms=until_ms, token=answer.token)
            if board.is_trusted(index):
                return answer
        msg = f"the store answers more slowly than leases of {attempt.ttl_ms} ms live"
        raise StoreUnavailable(msg)

    def finish(
        self, attempt: Attempt, board: Board, index: int, outcome: Outcome, *, wait_ms: int = 0
    ) -> bool:
        """Record how an attempt ended; False: the store is away, and the heartbeat will."""
        # A retry is not at its end before it is published: until then it may be interrupted.
        is_retrying = outcome is Outcome.RETRYING
        if not is_retrying:
            # Before asking: a lease is neither renewed nor missed while the answer is waited for.
            board.end(index, outcome)
        try:
            verdict = self._store.finish([Ending(attempt, outcome, wait_ms)])[0]
        except StoreError:
            return False
        board.mark(index, Stage.RETRYING if is_retrying else Stage.FINISHED)
        return verdict is Finished.RECORDED
