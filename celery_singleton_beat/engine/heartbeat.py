"""The heartbeat: one thread that renews all leases of a process.

Runs in: worker, main process (where pool and main are one process: there).

A thread of the main process goes on while a task holds the interpreter lock of
its child, while the broker is away and while the event loop is busy. It asks
the store once for all leases, survives every error, and never queues anything.
It also records what a child could not: the child notes on the board how its
run ended, and no hook of the main process, which may be late, is waited for.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.board import Board, Stage
from celery_singleton_beat.engine.clock import boot_ms
from celery_singleton_beat.engine.held import Held, Ticket
from celery_singleton_beat.engine.processes import is_gone, send
from celery_singleton_beat.errors import StoreError, StoreUnavailable
from celery_singleton_beat.events import Events
from celery_singleton_beat.protocol.run import Attempt, Finished, Outcome, Renewed
from celery_singleton_beat.store.port import Ending, Renewal, Store

_logger = logging.getLogger(__name__)

_RETRY_MS: Final = 500
_IDLE_MS: Final = 60_000
_LAST_MS: Final = 10_000
_DISCARDED: Final = 10_000


def trusted_until_ms(asked_at_ms: int, ttl_ms: int) -> int:
    """Tell until when a lease may be believed in, given when the question was asked."""
    return asked_at_ms + ttl_ms - ttl_ms // 10


class Heartbeat:
    """Renews what has begun, ends what has ended."""

    def __init__(
        self,
        store: Store,
        events: Events,
        board: Board,
        *,
        clock_ms: Callable[[], int] = boot_ms,
    ) -> None:
        self.board = board
        self._store = store
        self._events = events
        self._clock_ms = clock_ms
        self._open: dict[int, Ticket] = {}
        self._ended: dict[int, Ticket] = {}
        self._discarded: deque[tuple[Attempt, str]] = deque(maxlen=_DISCARDED)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        # The shortest renewal that was ever asked for: the pace of the thread. Following what
        # is open at the moment would wake it for every single task.
        self._beat_every_ms = _IDLE_MS

    def open(
        self,
        attempt: Attempt,
        *,
        renew_ms: int,
        stop_signal: int | None = None,
        task: str = "",
        alert_after_ms: int | None = None,
    ) -> int | None:
        """Take an attempt in hand before it goes to the pool; None if the board is full.

        The process that runs its body gets the ``stop_signal`` once the lease is lost.
        ``task`` and ``alert_after_ms`` are for those who ask what is ``held``.
        """
        index = self.board.open()
        if index is None:
            return None
        with self._changed:
            self._open[index] = Ticket(
                attempt,
                index,
                renew_ms,
                stop_signal,
                task=task,
                alert_after_ms=alert_after_ms,
            )
            self._start()
            if renew_ms < self._beat_every_ms:
                self._beat_every_ms = renew_ms
                self._changed.notify()
        return index

    def end(self, index: int, outcome: Outcome, *, at_once: bool = False, pid: int = 0) -> None:
        """Let go of an attempt that ended; what its child did not record is recorded from here.

        With ``at_once`` that is tried now: somebody waits for the key. With a
        ``pid`` it is done when that process is gone, and not renewed meanwhile.
        """
        with self._changed:
            ticket = self._open.pop(index, None)
            if ticket is None:
                return
            match self.board.stage(index):
                case Stage.FINISHED | Stage.DECLINED:
                    self.board.close(index)
                    return
                case Stage.RETRYING if outcome is Outcome.RETRYING:
                    self.board.close(index)
                    return
                case Stage.ENDED:
                    # Its child knows better. With a pid it may be about to mark the end recorded:
                    # until it is gone its record must not be another attempt's.
                    ticket.ending = self._noted(ticket)
                case Stage.POSTPONED:
                    # Its message is in the queue again: recording an end would drop that one.
                    ticket.ending = Ending(ticket.attempt, Outcome.INTERRUPTED)
                case _:
                    ticket.ending = Ending(ticket.attempt, outcome)
            ticket.pid = pid or None
            self._ended[index] = ticket
            self._changed.notify()
        if at_once:
            self._report_endings()

    def held(self) -> list[Held]:
        """List the runs of this worker that hold their keys, as the board has it."""
        with self._changed:
            board = self.board
            return [
                Held(
                    ticket.attempt,
                    board.pid(ticket.index),
                    board.running_ms(ticket.index),
                    board.is_trusted(ticket.index),
                    ticket.task,
                    ticket.alert_after_ms,
                )
                for stage in (Stage.BEGUN, Stage.LOST)
                for ticket in self._at(stage)
            ]

    def discard(self, attempt: Attempt, reason: str) -> None:
        """See that the run of a message that will not be executed is closed in the store."""
        with self._changed:
            self._discarded.append((attempt, reason))
            self._start()
            self._changed.notify()

    def stop(self) -> None:
        """Record what is left, and stop; a store that is away is waited for, some seconds."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=2 * _LAST_MS / 1000)

    def beat(self) -> int:
        """Renew and record once; tell how many milliseconds to wait before the next time."""
        self._report_endings()
        self._report_discarded()
        is_answered = self._renew()
        with self._changed:
            is_pressed = not is_answered or self._has_endings()
            return min(self._beat_every_ms, _RETRY_MS if is_pressed else _IDLE_MS)

    def _renew(self) -> bool:
        with self._changed:
            # Celery forgets jobs that a lost broker connection finds in a child's pipe, and tells
            # nobody when that child is killed: such a lease is left to its TTL.
            begun = [ticket for ticket in self._at(Stage.BEGUN) if not self._is_orphaned(ticket)]
        if not begun:
            return True
        asked_at_ms = self._clock_ms()
        try:
            answers = self._store.renew(
                [Renewal(t.attempt, self.board.token(t.index)) for t in begun]
            )
        except StoreError:
            for ticket in begun:
                if not self.board.is_trusted(ticket.index):
                    self._lost(ticket)
            return False
        for ticket, answer in zip(begun, answers, strict=True):
            index, attempt = ticket.index, ticket.attempt
            if answer.verdict in (Renewed.KEPT, Renewed.RESTORED):
                until_ms = trusted_until_ms(asked_at_ms, attempt.ttl_ms)
                self.board.trust(index, trusted_until_ms=until_ms, token=answer.token)
                ticket.is_reported = False
            if answer.verdict is Renewed.RESTORED:
                restored = happened.LeaseRestored(attempt.run, attempt.key, answer.token)
                self._events.emit(restored)
            if answer.verdict is Renewed.LOST:
                self._lost(ticket, to_another=True)
        return True

    def _is_orphaned(self, ticket: Ticket) -> bool:
        """Tell whether the process that runs the body is gone, whatever the pool knows of it."""
        pid = self.board.pid(ticket.index)
        return pid != os.getpid() and is_gone(pid)

    def _at(self, stage: Stage) -> list[Ticket]:
        return [t for t in self._open.values() if self.board.stage(t.index) is stage]

    def _has_endings(self) -> bool:
        return bool(self._ended or self._discarded or self._at(Stage.ENDED))

    def _noted(self, ticket: Ticket) -> Ending:
        return Ending(ticket.attempt, *self.board.ending(ticket.index))

    def _lost(self, ticket: Ticket, *, to_another: bool = False) -> None:
        """See to a lease that cannot be believed in any more, or that surely is another's."""
        is_stopped, index, board = False, ticket.index, self.board
        with self._changed:  # so that its record does not become another attempt's meanwhile
            if self._open.get(index) is not ticket:
                return
            board.aim(index, is_aimed=True)
            try:
                if board.stage(index) is not Stage.BEGUN:
                    return  # its body ended while the store was asked
                if to_another:
                    board.mark(index, Stage.LOST)
                if ticket.is_reported:
                    return
                ticket.is_reported = True
                if ticket.stop_signal is not None:
                    is_stopped = send(ticket.stop_signal, board.pid(index))
            finally:
                board.aim(index, is_aimed=False)
        self._events.emit(happened.LeaseGone(ticket.attempt.run, ticket.attempt.key))
        if is_stopped:
            self._events.emit(happened.RunStopped(ticket.attempt.run, ticket.attempt.key))

    def _report_endings(self) -> None:
        with self._changed:
            ended = [
                (ticket, ticket.ending)
                for ticket in self._ended.values()
                if ticket.ending and (ticket.pid is None or is_gone(ticket.pid))
            ]
            ended += [(ticket, self._noted(ticket)) for ticket in self._at(Stage.ENDED)]
        if not ended:
            return
        try:
            verdicts = self._store.finish([ending for _, ending in ended])
        except StoreError:
            return
        with self._changed:
            for (ticket, _), verdict in zip(ended, verdicts, strict=True):
                self._is_recorded(ticket)
                if verdict is Finished.LOST:
                    _logger.debug("The end of a run was not recorded: it is not its holder")

    def _report_discarded(self) -> None:
        while self._discarded:
            try:
                self._store.discard(*self._discarded[0])
            except StoreUnavailable:
                return  # asked again with the next beat
            except StoreError:
                _logger.exception("The run of a discarded message was not closed")
            self._discarded.popleft()

    def _is_recorded(self, ticket: Ticket) -> None:
        index = ticket.index
        if self._open.get(index) is ticket:
            self.board.mark(index, Stage.FINISHED)
        elif self._ended.get(index) is ticket:
            del self._ended[index]
            self.board.close(index)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._run, name="singleton-heartbeat", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        wait_ms, last_ms = 0, None
        while True:
            with self._changed:
                if last_ms is not None or not self._is_stopping:
                    self._changed.wait(wait_ms / 1000)
                if last_ms is None and self._is_stopping:
                    last_ms = self._clock_ms() + _LAST_MS
            try:
                wait_ms = self.beat()
            except Exception:
                _logger.exception("The heartbeat met an error and goes on")
                wait_ms = _RETRY_MS
            if last_ms is not None and (self._clock_ms() >= last_ms or not self._has_endings()):
                return
