"""What a process knows of the run whose body it executes.

Runs in: worker, where the task's body runs.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery.exceptions import Reject

from celery_singleton_beat.adapters.ticket import FIELD, from_ticket, new_attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Task
    from celery.app.task import Context

    from celery_singleton_beat.adapters.extension import Extension
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

    __slots__ = ("attempt", "extension", "heartbeat", "index", "is_own", "lease", "retry_wait_ms")

    def __init__(
        self,
        attempt: Attempt,
        extension: Extension,
        heartbeat: Heartbeat,
        index: int,
        *,
        is_own: bool,
    ) -> None:
        self.attempt = attempt
        self.extension = extension
        self.heartbeat = heartbeat
        self.index = index
        self.is_own = is_own
        self.lease: Lease | None = None
        self.retry_wait_ms: int | None = None


def take_in_hand(
    task: Task, request: Context, extension: Extension, args: Any, kwargs: Any
) -> RunInHand:
    """Find the attempt that the main process has in hand, or take it in hand here."""
    ticket = (request.properties or {}).get(FIELD)
    heartbeat = extension.heartbeat
    if (found := from_ticket(ticket, heartbeat.board.name)) is not None:
        return RunInHand(found[0], extension, heartbeat, found[1], is_own=False)
    attempt = new_attempt(task, vars(request), args, kwargs)
    heartbeat = extension.own_heartbeat
    index = heartbeat.open(attempt, renew_ms=task.singleton_options.renew_ms)
    if index is None:
        msg = "too many runs are open in one process"
        raise Reject(msg, requeue=True)
    return RunInHand(attempt, extension, heartbeat, index, is_own=True)


def run_in_hand(request: Mapping[str, Any]) -> RunInHand | None:
    """Tell what run a request has in hand. A header of that name is none: anybody can write one."""
    found = request.get("singleton_run")
    return found if isinstance(found, RunInHand) else None


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc)
