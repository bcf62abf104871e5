"""The end of a run: how it ended, and who tells the store.

Runs in: worker, where the task's body runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery import states

from celery_singleton_beat import events as happened
from celery_singleton_beat.adapters import check_ins
from celery_singleton_beat.adapters.in_hand import RunInHand, run_in_hand
from celery_singleton_beat.engine.board import Stage
from celery_singleton_beat.protocol.run import Outcome

if TYPE_CHECKING:
    from celery_singleton_beat.adapters.task import SingletonTask

# States of a body's end of which Celery sends no signal, apart from the one that all ends have.
_UNTOLD: Final = frozenset({states.IGNORED, states.REJECTED})


def end_run(sender: Any = None, state: str | None = None, retval: Any = None, **_: Any) -> None:
    """Finish the run whose body just ended, whatever way it ended (``task_postrun``)."""
    run = run_in_hand(vars(sender.request))
    if run is None:
        return
    outcome = _outcome(state, retval)
    if run.retry_wait_ms is not None:
        outcome = _leave_to_retry(run, run.retry_wait_ms, outcome)
    elif run.lease is not None:
        finish_run(sender, run, outcome)
        if state in _UNTOLD and outcome is not Outcome.INTERRUPTED:
            check_ins.close(vars(sender.request), is_well=outcome is Outcome.SUCCEEDED)
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


def finish_run(task: SingletonTask, run: RunInHand, outcome: Outcome) -> None:
    """Tell the store how an attempt ended; if it is away, the heartbeat will."""
    guard, events, attempt = run.extension.guard, run.extension.events, run.attempt
    if run.lease is not None:
        # A body may go on after a retry, and a thread of its after its end.
        run.lease.end()
    recorded = guard.finish(
        attempt, run.heartbeat.board, run.index, outcome, wait_ms=run.retry_wait_ms or 0
    )
    if events.wants(happened.RunEnded):
        events.emit(happened.RunEnded(task.name, attempt.run, attempt.key, outcome.value, recorded))
