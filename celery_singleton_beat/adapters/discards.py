"""Messages that will not be executed: expired, revoked, or of no known task.

Runs in: worker, main process.

Their runs are closed in the store, so that no beat waits for them to begin, and
a second message of the same run is dropped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celery_singleton_beat import events as happened
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.options import DEFAULT_WINDOW_MS
from celery_singleton_beat.adapters.ticket import occurrence_of
from celery_singleton_beat.protocol.run import Attempt

if TYPE_CHECKING:
    from celery import Celery


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
    attempt = Attempt(
        run=str(headers["id"]),
        holder=os.urandom(16).hex(),
        key="",  # its task is the one that could name it
        ttl_ms=extension_of(sender.app).settings.lock_ttl_ms,
        attempt=headers.get("retries") or 0,
        window_ms=occurrence.window_ms or DEFAULT_WINDOW_MS,
        not_after_ms=occurrence.not_after_ms,
        owner=str(sender.hostname or ""),
        entry=occurrence.entry,
        scheduled_ms=occurrence.scheduled_ms,
        is_awaited=occurrence.is_awaited,
    )
    discard(sender.app, attempt, "of no known task")
