"""SingletonTask: the task base class of which one run at a time holds a lock key.

Runs in: worker, where the task's body runs.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, ClassVar

from celery import Task, signals, states
from celery.exceptions import Ignore, Retry

from celery_singleton_beat import events as happened
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.giving_way import (
    goes_on_without,
    is_last_try,
    postpone,
    skip,
)
from celery_singleton_beat.adapters.in_hand import RunInHand, TaskOccurrence, take_in_hand
from celery_singleton_beat.adapters.options import TaskOptions, read_options
from celery_singleton_beat.adapters.ticket import is_celerys_own, occurrence_of
from celery_singleton_beat.adapters.worker import wire
from celery_singleton_beat.engine.board import Stage
from celery_singleton_beat.engine.lease import Lease
from celery_singleton_beat.errors import Locked, StoreError
from celery_singleton_beat.protocol.run import Begun, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery
    from celery.app.task import Context

    from celery_singleton_beat.store.port import BeginAnswer

_OUTAGE_DELAY_MS = 2000
_LONGEST_DELAY_MS = 30_000


class SingletonTask(Task):
    """A task of which one run at a time holds its lock key, and each occurrence runs once.

    Options, as class attributes or arguments of ``@app.task``; those left out
    come from the settings. Durations are seconds or timedeltas.

    - ``lock_key``: what is locked, as a template over the arguments, for
      example ``"report:{customer_id}"``. By default the task, and for an
      occurrence of the timetable its entry too.
    - ``lock_ttl``: how long the lease lives without renewal. It is renewed for
      as long as the task runs, however long that is.
    - ``on_locked``: ``"skip"``, ``"retry"`` (the message is queued again, after
      ``lock_retry_delay``, ``lock_retries`` times, None: until it runs) or
      ``"raise"`` (the run fails with ``Locked``).
    - ``on_store_outage``: ``"retry"``, ``"run"`` or ``"skip"``.
    - ``on_lease_lost``: ``"warn"`` or ``"stop"``: the body gets Celery's
      ``SoftTimeLimitExceeded`` when ``self.lease.lost`` becomes true (prefork).

    Called directly or eagerly it is a plain task: no lock, no store.
    """

    abstract = True
    Request = "celery_singleton_beat.adapters.request:SingletonRequest"

    lock_key: ClassVar[str | None] = None
    lock_ttl: ClassVar[float | timedelta | None] = None
    on_locked: ClassVar[str | None] = None
    lock_retries: ClassVar[int | None] = None
    lock_retry_delay: ClassVar[float | timedelta | None] = None
    on_store_outage: ClassVar[str | None] = None
    on_lease_lost: ClassVar[str | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # A subclass that overrides before_start and does not call super() stays protected.
        super().__init_subclass__(**kwargs)
        if "before_start" in vars(cls):
            guarded = _guarded(vars(cls)["before_start"])
            cls.before_start = guarded  # type: ignore[method-assign]

    @classmethod
    def on_bound(cls, app: Celery) -> None:
        super().on_bound(app)
        wire(app)
        signals.task_postrun.connect(
            end_run, weak=False, dispatch_uid="celery_singleton_beat.end_run"
        )

    @cached_property
    def singleton_options(self) -> TaskOptions:
        """The options, checked.

        Raises:
            ConfigurationError: one of them is wrong.
        """
        return read_options(self, extension_of(self.app))

    @property
    def occurrence(self) -> TaskOccurrence | None:
        """The occurrence this run stands for; None when no timetable asked for it."""
        request = vars(self.request)
        if request.get("singleton_run") is None:
            return None
        occurrence = occurrence_of(request)
        return TaskOccurrence(occurrence) if occurrence else None

    @property
    def lease(self) -> Lease | None:
        """The lease this run holds; None when it runs without one."""
        run = self._run_in_hand
        return run.lease if run else None

    @property
    def _run_in_hand(self) -> RunInHand | None:
        return vars(self.request).get("singleton_run")

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Begin the run under its lease, or do not begin it."""
        request = self.request
        if request.called_directly or request.is_eager or "singleton_run" in vars(request):
            return
        if not is_celerys_own(self):
            _begin(self, request, args, kwargs)

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        """Retry, as Celery's tasks do; the lease is freed before the retry is published."""
        run = self._run_in_hand
        if run is not None and run.lease is not None:
            delay_s = kwargs.get("countdown")
            eta = kwargs.get("eta")
            if eta is not None:
                now = datetime.now(eta.tzinfo)
                delay_s = (eta - now).total_seconds()
            elif delay_s is None:
                delay_s = self.default_retry_delay
            run.retry_wait_ms = max(int((delay_s or 0) * 1000), 0)
            _finish(self, run, Outcome.RETRYING)
        try:
            return super().retry(*args, **kwargs)
        except Retry:
            raise
        except BaseException:
            # No retries left, or none published: the run ends with this attempt.
            if run is not None:
                run.retry_wait_ms = None
            raise


def _guarded(before_start: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(before_start)
    def guarded(self: SingletonTask, task_id: str, args: Any, kwargs: Any) -> Any:
        SingletonTask.before_start(self, task_id, args, kwargs)
        return before_start(self, task_id, args, kwargs)

    return guarded


def _begin(task: SingletonTask, request: Context, args: Any, kwargs: Any) -> None:
    """Begin, or leave through Celery's ``Ignore``, which acknowledges and stores nothing."""
    extension = extension_of(task.app)
    run = request.singleton_run = take_in_hand(task, request, extension, args, kwargs)
    closes = task.singleton_options.on_locked != "retry" or is_last_try(task)
    delay_ms = _OUTAGE_DELAY_MS
    while True:
        try:
            answer = extension.guard.begin(
                run.attempt,
                run.heartbeat.board,
                run.index,
                close_if_busy=closes,
                grace_ms=extension.settings.lock_ttl_ms,
            )
        except StoreError as error:
            if extension.guard.is_first_failure():
                extension.events.emit(happened.StoreLost(str(error)))
            if goes_on_without(task, run, error, delay_ms):
                return
            # Neither store nor broker: nothing else can run here either.
            time.sleep(delay_ms / 1000)
            delay_ms = min(delay_ms * 2, _LONGEST_DELAY_MS)
        else:
            break
    if (away_ms := extension.guard.ended_failure_ms()) is not None:
        extension.events.emit(happened.StoreBack(away_ms))
    _act_on(task, run, answer, closes=closes)


def _act_on(task: SingletonTask, run: RunInHand, answer: BeginAnswer, *, closes: bool) -> None:
    events, attempt = run.extension.events, run.attempt
    match answer.verdict:
        case Begun.RUN:
            run.lease = Lease(attempt.key, run.heartbeat.board, run.index)
            if events.wants(happened.RunBegan):
                token, starts = answer.token, answer.starts
                events.emit(happened.RunBegan(task.name, attempt.run, attempt.key, token, starts))
        case Begun.DONE | Begun.STALE:
            dropped = happened.DuplicateDropped(task.name, attempt.run, answer.verdict.value)
            events.emit(dropped)
            raise Ignore(f"duplicate: {answer.verdict.value}")
        case Begun.REFUSED:
            skip(task, run, "too late: its dedupe window is over")
        case Begun.TWIN | Begun.WAIT:
            wait_ms = min(max(answer.wait_ms, 0) + 100, _LONGEST_DELAY_MS)
            postpone(task, run, answer.verdict.value.lower(), wait_ms)
        case Begun.BUSY if not closes:
            postpone(task, run, "locked", task.singleton_options.lock_retry_delay_ms)
        case Begun.BUSY if task.singleton_options.on_locked == "raise":
            msg = f"lock key {attempt.key!r} is held by {answer.owner}"
            raise Locked(msg)
        case Begun.BUSY:
            skip(task, run, "locked", answer.owner)


def end_run(sender: Any = None, state: str | None = None, retval: Any = None, **_: Any) -> None:
    """Finish the run whose body just ended, whatever way it ended (``task_postrun``)."""
    if not isinstance(sender, SingletonTask):
        return
    run: RunInHand | None = vars(sender.request).get("singleton_run")
    if run is None:
        return
    outcome = _outcome(state, retval)
    if run.retry_wait_ms is not None:
        outcome = _leave_to_retry(run, run.retry_wait_ms, outcome)
    elif run.lease is not None:
        _finish(sender, run, outcome)
    if run.is_own:
        run.heartbeat.end(run.index, outcome)
    else:
        run.heartbeat.board.wait_out(run.index)


def _leave_to_retry(run: RunInHand, wait_ms: int, outcome: Outcome) -> Outcome:
    """However the body ended after it: the retry is published, and is the run's next attempt."""
    board = run.heartbeat.board
    if board.stage(run.index) is Stage.RETRYING:
        board.mark(run.index, Stage.FINISHED)
    elif outcome is Outcome.RETRYING:
        board.end(run.index, outcome, wait_ms)
    else:
        # The store was away, and must not take this end for the run's.
        board.end(run.index, Outcome.INTERRUPTED)
    return Outcome.RETRYING


def _outcome(state: str | None, retval: Any) -> Outcome:
    match state:
        case states.SUCCESS | states.IGNORED:
            return Outcome.SUCCEEDED
        case states.RETRY:
            return Outcome.RETRYING
        case states.FAILURE:
            return Outcome.FAILED
        case states.REJECTED if not getattr(retval, "requeue", True):
            return Outcome.FAILED
        case _:
            return Outcome.INTERRUPTED


def _finish(task: SingletonTask, run: RunInHand, outcome: Outcome) -> None:
    guard, events, attempt = run.extension.guard, run.extension.events, run.attempt
    recorded = guard.finish(
        attempt, run.heartbeat.board, run.index, outcome, wait_ms=run.retry_wait_ms or 0
    )
    if events.wants(happened.RunEnded):
        events.emit(happened.RunEnded(task.name, attempt.run, attempt.key, outcome.value, recorded))
