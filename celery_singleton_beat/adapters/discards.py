"""Messages that will not be executed: expired, revoked, or of no known task.

Runs in: worker, main process.

Their runs are closed in the store, so that no beat waits for them to begin, and
a second message of the same run is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_singleton_beat import events as happened
from celery_singleton_beat.adapters import check_ins
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.options import DEFAULT_WINDOW_MS
from celery_singleton_beat.adapters.ticket import attempt_of, occurrence_of

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.protocol.run import Attempt


def discard(app: Celery, attempt: Attempt, reason: str) -> None:
    """Close the run of a message. The heartbeat tells the store; nobody waits for it."""
    extension = extension_of(app)
    extension.heartbeat.discard(attempt, reason)
    extension.events.emit(happened.RunDiscarded(attempt.run, attempt.entry, reason))


def discard_unknown(sender: Any = None, message: Any = None, **_: Any) -> None:
    """Close the run of an occurrence whose task this worker does not know (``task_unknown``)."""
    headers = getattr(message, "headers", None) or {}
    occurrence = occurrence_of(headers)
    if sender is None or occurrence is None or "id" not in headers:
        return
    attempt = attempt_of(
        {**headers, "hostname": sender.hostname},
        occurrence,
        "",  # its task is the one that could name its key
        ttl_ms=extension_of(sender.app).settings.lock_ttl_ms,
        window_ms=DEFAULT_WINDOW_MS,
    )
    discard(sender.app, attempt, "of no known task")
    check_ins.close(headers, is_well=False)
