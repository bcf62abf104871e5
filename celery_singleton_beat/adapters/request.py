"""The request of a SingletonTask: the main process's view of a run.

Runs in: worker, main process.

It takes every attempt in hand before the pool gets it, and lets go when the
pool says how it ended. Nothing here may raise into Celery's loop.
"""

from __future__ import annotations

import logging
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from billiard.pool import SIG_SOFT_TIMEOUT
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.exceptions import Ignore, Reject, Retry
from celery.worker.request import Request
from celery.worker.state import revoked as revoked_tasks

from celery_singleton_beat.adapters import check_ins
from celery_singleton_beat.adapters.discards import discard
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.giving_way import GaveWay
from celery_singleton_beat.adapters.messages import to_text
from celery_singleton_beat.adapters.ticket import FIELD, is_singleton, new_attempt, to_ticket
from celery_singleton_beat.engine.board import Stage
from celery_singleton_beat.errors import GivenUp
from celery_singleton_beat.events import RunEnded, RunGivenUp
from celery_singleton_beat.protocol.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.engine.heartbeat import Heartbeat
    from celery_singleton_beat.events import Event
    from celery_singleton_beat.protocol.run import Attempt

logger = logging.getLogger(__name__)

_NOT_BEGUN: Final = (Stage.FREE, Stage.OPEN, Stage.DECLINED, Stage.POSTPONED)


class SingletonRequest(Request):
    """A request whose lease is renewed from here, for as long as its run is alive."""

    singleton_heartbeat: Heartbeat
    singleton_index: int | None = None
    singleton_attempt: Attempt | None = None
    singleton_has_process = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Celery builds a subclass that defines these two anew: only there can they be wrapped.
        super().__init_subclass__(**kwargs)
        for name, wrap in (("execute_using_pool", _opening), ("on_success", _closing)):
            if name in vars(cls):
                setattr(cls, name, wrap(vars(cls)[name]))

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        super().on_accepted(pid, time_accepted)
        # An early acknowledgement waits for the event loop: with solo until the body has ended.
        is_held = self.task.acks_late or not self.singleton_has_process
        if is_held and is_singleton(self.task):
            try:
                extension_of(self.task.app).redelivery.hold(self)
            except Exception:
                logger.debug("A run's message is left to the visibility timeout", exc_info=True)

    def revoked(self) -> bool:
        was_known = self._already_revoked
        # Asked before: Celery counts what has expired as revoked, too.
        reason = "revoked" if self.id in revoked_tasks else "expired"
        is_revoked = bool(super().revoked())
        if is_revoked and not was_known and is_singleton(self.task):
            try:
                attempt = new_attempt(self.task, self._request_dict, self._args, self._kwargs)
                discard(self.task.app, attempt, reason)
                # Whoever revoked it wants no run; one that expired was wanted.
                check_ins.close(self._request_dict, is_well=reason == "revoked")
            except Exception:
                logger.debug("The run of a discarded message was not closed", exc_info=True)
        return is_revoked

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> Any:
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):  # not by attribute: a Retry has one, too
            error = error.exc
        outcome, is_gone = _outcome_of(error, is_cancelled=self._already_cancelled)
        self.tell(outcome, error)
        if isinstance(error, TimeLimitExceeded):
            self.let_go_when_gone()
        # Before the base class: it may put the message back, and the next worker asks at once.
        self.let_go(outcome, at_once=is_gone)
        answer = super().on_failure(exc_info, send_failed_event, return_ok)
        if isinstance(error, GaveWay) and error.result is not None:
            # Its result is stored; Celery has no event for it, and Flower would wait for one.
            self.send_event("task-succeeded", result=repr(error.result), runtime=0.0)
        return answer

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        if not soft:
            self.let_go_when_gone()
        return super().on_timeout(soft, timeout)

    def take_in_hand(self, pool: Any) -> None:
        """Mint a holder, name the key and put the attempt on the board.

        If that cannot be done the child does it all by itself, and says what is wrong.
        """
        request, task, ticket = self._request_dict, self.task, None
        # With gevent what is called a process id is none.
        self.singleton_has_process = isinstance(pool, PreforkPool)
        try:
            heartbeat = extension_of(task.app).heartbeat
            options = task.singleton_options
            kept = self._kept() if options.reruns else ""
            attempt = new_attempt(task, request, self._args, self._kwargs, kept)
            stops = options.on_lease_lost == "stop" and self.singleton_has_process
            index = heartbeat.open(
                attempt,
                renew_ms=options.renew_ms,
                stop_signal=SIG_SOFT_TIMEOUT if stops else None,
                task=task.name,
                alert_after_ms=options.alert_after_ms,
            )
            if index is not None:
                self.singleton_heartbeat, self.singleton_index = heartbeat, index
                self.singleton_attempt = attempt
                ticket = to_ticket(attempt, index, heartbeat.board.name)
        except Exception:
            logger.debug("A run was not taken in hand by the main process", exc_info=True)
        # Also without a ticket: the message may bring one from elsewhere.
        request["properties"] = {**(request.get("properties") or {}), FIELD: ticket}

    def _kept(self) -> str:
        try:
            return to_text(self.message)
        except (TypeError, ValueError):
            logger.warning("A message cannot be kept: it will not be run again if its worker dies")
            return ""

    def tell(self, outcome: Outcome, error: BaseException | None = None) -> None:
        """Send what became of the run as a Celery event, if task events are sent."""
        channel = extension_of(self.task.app).celery_events
        if channel is None or not channel.is_on or not is_singleton(self.task):
            return
        if (event := self._event_of(outcome, error)) is not None:
            channel.send(event)

    def _event_of(self, outcome: Outcome, error: BaseException | None) -> Event | None:
        attempt, index = self.singleton_attempt, self.singleton_index
        if isinstance(error, GaveWay):
            return error.event
        if attempt is None or index is None:
            return None
        if isinstance(error, GivenUp):
            return RunGivenUp(self.task.name, attempt.run, attempt.key, attempt.max_starts)
        board = self.singleton_heartbeat.board
        stage = board.stage(index)
        if stage in _NOT_BEGUN:
            return None
        if stage is Stage.ENDED:
            outcome, _ = board.ending(index)
        is_recorded = stage is Stage.FINISHED
        return RunEnded(self.task.name, attempt.run, attempt.key, outcome.value, is_recorded)

    def let_go_when_gone(self) -> None:
        """Stop renewing after a hard limit: its process is about to be killed, and not dead yet."""
        acks = getattr(self.task, "acks_on_timeout", None)
        if acks is None:  # before Celery 5.7 one option stood for both
            acks = self.task.acks_on_failure_or_timeout
        comes_back = self.task.acks_late and not acks
        outcome = Outcome.INTERRUPTED if comes_back else Outcome.FAILED
        # Without a process of its own the task has been unwound already.
        self.let_go(outcome, pid=self.worker_pid if self.singleton_has_process else None)

    def let_go(self, outcome: Outcome, *, at_once: bool = False, pid: int | None = None) -> None:
        """Stop renewing; see that the end is recorded."""
        extension_of(self.task.app).redelivery.let_go(self)
        index, self.singleton_index = self.singleton_index, None
        if index is None:
            return
        try:
            self.singleton_heartbeat.end(index, outcome, at_once=at_once, pid=pid or 0)
        except Exception:
            logger.exception("The end of a run was not recorded; its lease ends by itself")


def _opening(execute: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(execute)
    def execute_using_pool(self: SingletonRequest, pool: Any, **kwargs: Any) -> Any:
        if is_singleton(self.task):
            self.take_in_hand(pool)
        try:
            return execute(self, pool, **kwargs)
        except BaseException:
            self.let_go(Outcome.INTERRUPTED)
            raise

    return execute_using_pool


def _closing(succeed: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(succeed)
    def on_success(self: SingletonRequest, failed__retval__runtime: Any, **kwargs: Any) -> Any:
        failed, _, _ = failed__retval__runtime
        if not failed:
            self.tell(Outcome.SUCCEEDED)
            self.let_go(Outcome.SUCCEEDED)
        return succeed(self, failed__retval__runtime, **kwargs)

    return on_success


def _outcome_of(error: BaseException, *, is_cancelled: bool) -> tuple[Outcome, bool]:
    """Tell how a run ended, and whether its process is gone."""
    match error:
        case Retry():
            return Outcome.RETRYING, False
        case Ignore():
            return Outcome.SUCCEEDED, False
        case Reject():
            return (Outcome.INTERRUPTED if error.requeue else Outcome.FAILED), False
        case Terminated():
            return (Outcome.INTERRUPTED if is_cancelled else Outcome.FAILED), True
        case WorkerLostError() | SystemExit() | KeyboardInterrupt():
            return Outcome.INTERRUPTED, True
        case _:
            return Outcome.FAILED, False
