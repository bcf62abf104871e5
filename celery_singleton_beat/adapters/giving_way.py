"""The ways of not running: left out for good, or queued again.

Runs in: worker, where the task's body would have run.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from celery.app.task import Context
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from celery_singleton_beat import events as happened
from celery_singleton_beat.adapters import check_ins
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.engine.board import Stage
from celery_singleton_beat.protocol.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Task

    from celery_singleton_beat.adapters.in_hand import RunInHand
    from celery_singleton_beat.errors import StoreError
    from celery_singleton_beat.events import Event

_logger = logging.getLogger(__name__)

_BROKER_DELAY_S: Final = 2
_BRIEFLY_S: Final = 1.0
_LONGEST_DELAY_MS: Final = 1_800_000
_TRIES: Final = "singleton_lock_tries"


class GaveWay(Ignore):
    """A run is not executed now, or never; ``event`` says why, also to the main process.

    ``result`` is what was stored as its result (None: nothing was).
    """

    def __init__(self, reason: str, event: Event, result: object = None) -> None:
        super().__init__(reason, event, result)  # all cross from the child to the main process
        self.event, self.result = event, result

    def __str__(self) -> str:
        return str(self.args[0])


def skip(
    task: Task, run: RunInHand, reason: str, holder: str = "", *, is_well: bool = True
) -> None:
    """Leave the run out, for good. Its result says so, and nobody waits for ever.

    ``is_well``: nobody misses it, for another run stands for it or it is no longer wanted.
    """
    attempt, request = run.attempt, task.request
    event = happened.RunSkipped(task.name, attempt.run, attempt.key, reason, holder)
    extension_of(task.app).events.emit(event)
    result = {"singleton_skipped": reason, "lock_key": attempt.key, "holder": holder}
    for context in (request, *_followers(request.chain)):
        # What a chain would have run next is left out too; its caller waits for the last result.
        task.backend.mark_as_done(
            context.id, result, context, store_result=not request.ignore_result
        )
    check_ins.close(vars(request), is_well=is_well)
    raise GaveWay(reason, event, result)


def _followers(chain: Any) -> Iterator[Context]:
    """Name the results of a chain's further members, as Celery does when one of them fails."""
    members = list(chain or ())
    while members:
        member = members.pop()
        context = Context(member)
        context.update(context.options or {})
        context.id = (context.options or {}).get("task_id")
        context.group = (context.options or {}).get("group_id")
        if context.id is not None:
            yield context
        if member.get("subtask_type") == "chord" and (member.get("kwargs") or {}).get("body"):
            members.append(member["kwargs"]["body"])


def postpone(task: Task, run: RunInHand, reason: str, delay_ms: int, now_ms: int) -> None:
    """Queue the message again; it keeps its id, chain, callbacks and retries.

    It waits from ``now_ms`` on, the store's time: this host's clock may be wrong, and
    the worker that gets it next would wait by that.
    """
    attempt, delay_ms = run.attempt, min(delay_ms, _longest_delay_ms(task))
    if _is_due_here(now_ms + delay_ms):
        time.sleep(min(delay_ms / 1000, _BRIEFLY_S))
    due_at = datetime.fromtimestamp((now_ms + delay_ms) / 1000, timezone.utc)
    while True:
        try:
            _queue_again(task, reason, eta=due_at)
            break
        except (OperationalError, OSError):
            # This message may be all that is left of its run: it is not let go for a lost line.
            _logger.warning("A run could not be queued again; trying until the broker is back")
            time.sleep(_BROKER_DELAY_S)
    event = happened.RunPostponed(task.name, attempt.run, attempt.key, reason, delay_ms)
    extension_of(task.app).events.emit(event)
    raise GaveWay(reason, event)


def _is_due_here(moment_ms: int) -> bool:
    """Tell whether this host's clock is so far ahead that Celery would not wait here at all."""
    return time.time() * 1000 >= moment_ms


def _longest_delay_ms(task: Task) -> int:
    """Tell how long a message may wait: half of what a broker waits before it sends a copy."""
    transport = task.app.conf.broker_transport_options or {}
    timeout_s = transport.get("visibility_timeout")
    return int(timeout_s * 500) if timeout_s else _LONGEST_DELAY_MS


def _queue_again(task: Task, reason: str, **when: Any) -> None:
    request = task.request
    headers = dict(request.headers or {})
    if reason == "locked":
        headers[_TRIES] = _tries(task) + 1
    signature = task.signature_from_request(
        request, **when, retries=request.retries, headers=headers
    )
    signature.apply_async(add_to_parent=False)


def _tries(task: Task) -> int:
    tries = vars(task.request).get(_TRIES, 0)
    return tries if isinstance(tries, int) else 0


def is_last_try(task: Task) -> bool:
    """Tell whether a run that finds its key held now gives way for good."""
    allowed = task.singleton_options.lock_retries
    return allowed is not None and _tries(task) >= allowed


def goes_on_without(task: Task, run: RunInHand, error: StoreError, delay_ms: int) -> bool:
    """Do what the task wants done while the store is away; True: run without a lock.

    False: it wants to be queued again, and the broker is away too.
    """
    events, attempt = extension_of(task.app).events, run.attempt
    match task.singleton_options.on_store_outage:
        case "run":
            events.emit(happened.RunUnprotected(task.name, attempt.run, attempt.key))
            return True
        case "skip":
            skip(task, run, f"store away: {error}", is_well=False)
        case _:
            run.heartbeat.board.mark(run.index, Stage.POSTPONED)
            try:
                _queue_again(task, "store away", countdown=delay_ms / 1000)
            except Exception:  # noqa: BLE001  # whatever the broker's library raises
                return False
            # It may have begun all the same: then the key is freed for the message in the queue.
            run.heartbeat.board.end(run.index, Outcome.INTERRUPTED)
            reason = f"store away: {error}"
            event = happened.RunPostponed(task.name, attempt.run, attempt.key, reason, delay_ms)
            events.emit(event)
            raise GaveWay(reason, event)
    return False
