"""What a process knows of the run whose body it executes.

Runs in: worker, where the task's body runs.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery.exceptions import Reject

from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.ticket import FIELD, new_attempt, open_ticket

if TYPE_CHECKING:
    from celery import Task

    from celery_singleton_beat.engine.heartbeat import Heartbeat
    from celery_singleton_beat.engine.lease import Lease
    from celery_singleton_beat.protocol.occurrence import Occurrence
    from celery_singleton_beat.protocol.run import Attempt


class TaskOccurrence:
    """The occurrence that a run stands for, in a task's terms."""

    def __init__(self, occurrence: Occurrence) -> None:
        self.entry = occurrence.entry
        self.cause = occurrence.cause
        self.scheduled_at = _moment(occurrence.scheduled_ms)
        self.previous_at = (
            None if occurrence.previous_ms is None else _moment(occurrence.previous_ms)
        )

    def __repr__(self) -> str:
        return f"<Occurrence {self.entry!r} at {self.scheduled_at.isoformat()}>"


class RunInHand:
    """What a child knows of the run whose body it executes."""

    def __init__(
        self, attempt: Attempt, occurrence: Occurrence | None, heartbeat: Heartbeat, index: int
    ) -> None:
        self.attempt = attempt
        self.occurrence = TaskOccurrence(occurrence) if occurrence else None
        self.heartbeat = heartbeat
        self.index = index
        self.is_own = False
        self.lease: Lease | None = None
        self.is_retrying = False


def take_in_hand(task: Task, args: Any, kwargs: Any) -> RunInHand:
    """Find the attempt that the main process has in hand, or take it in hand here."""
    request, extension = task.request, extension_of(task.app)
    given = (request.properties or {}).get(FIELD) or {}
    holder, key = given.get("holder"), given.get("key")
    is_ours = given.get("board") == extension.heartbeat.board.name
    attempt, occurrence = new_attempt(
        task,
        vars(request),
        args=args,
        kwargs=kwargs,
        holder=holder if is_ours else None,
        key=key if is_ours else None,
    )
    if is_ours:
        return RunInHand(attempt, occurrence, extension.heartbeat, given["index"])
    heartbeat = extension.own_heartbeat
    index = open_ticket(heartbeat, task, attempt)
    if index is None:
        msg = "too many runs are open in one process"
        raise Reject(msg, requeue=True)
    run = RunInHand(attempt, occurrence, heartbeat, index)
    run.is_own = True
    return run


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc)
