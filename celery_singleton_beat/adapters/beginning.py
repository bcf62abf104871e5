"""The beginning of a run: the store's answer, and what is done about it.

Runs in: worker, where the task's body runs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat import events as happened
from celery_singleton_beat.adapters import check_ins
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.giving_way import (
    GaveWay,
    goes_on_without,
    is_last_try,
    postpone,
    skip,
)
from celery_singleton_beat.adapters.in_hand import RunInHand, take_in_hand
from celery_singleton_beat.engine.lease import Lease
from celery_singleton_beat.errors import GivenUp, Locked, StoreError
from celery_singleton_beat.protocol.run import Begun

if TYPE_CHECKING:
    from celery.app.task import Context

    from celery_singleton_beat.adapters.task import SingletonTask
    from celery_singleton_beat.store.port import BeginAnswer

_OUTAGE_DELAY_MS: Final = 2000
_LONGEST_DELAY_MS: Final = 30_000


def begin_run(task: SingletonTask, request: Context, args: Any, kwargs: Any) -> None:
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
                grace_ms=max(extension.settings.lock_ttl_ms, run.attempt.ttl_ms),
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
            event = happened.DuplicateDropped(task.name, attempt.run, answer.verdict.value)
            events.emit(event)
            check_ins.close(vars(task.request), is_well=True)
            raise GaveWay(f"duplicate: {answer.verdict.value}", event)
        case Begun.REFUSED:
            skip(task, run, "too late: its dedupe window is over", is_well=False)
        case Begun.CANCELLED:
            skip(task, run, "cancelled: its entry was changed")
        case Begun.SPENT:
            skip(task, run, "its key has had its run of this interval")
        case Begun.GIVEN_UP:
            _give_up(task, run)
        case Begun.TWIN | Begun.WAIT:
            wait_ms = min(max(answer.wait_ms, 0) + 100, _LONGEST_DELAY_MS)
            postpone(task, run, answer.verdict.value.lower(), wait_ms, answer.now_ms)
        case Begun.BUSY:
            _give_way(task, run, answer, closes=closes)


def _give_way(task: SingletonTask, run: RunInHand, answer: BeginAnswer, *, closes: bool) -> None:
    options, owner = task.singleton_options, answer.owner
    if not closes:
        postpone(task, run, "locked", options.lock_retry_delay_ms, answer.now_ms)
    if options.on_locked == "raise":
        msg = f"lock key {run.attempt.key!r} is held by {owner}"
        raise Locked(msg)
    skip(task, run, "locked", owner)


def _give_up(task: SingletonTask, run: RunInHand) -> None:
    attempt = run.attempt
    run.extension.events.emit(
        happened.RunGivenUp(task.name, attempt.run, attempt.key, attempt.max_starts)
    )
    msg = f"its workers died {attempt.max_starts} times (max_attempts): it is given up"
    raise GivenUp(msg)
