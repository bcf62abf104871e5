"""Messages that will not be executed: expired, revoked, or of no known task.

Runs in: worker, main process.

Their runs are closed in the store, so that no beat waits for them to begin, and
a second message of the same run is dropped.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from celery_singleton_beat import events as happened
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.options import DEFAULT_WINDOW_MS
from celery_singleton_beat.adapters.ticket import occurrence_of
from celery_singleton_beat.protocol.run import Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery

_logger = logging.getLogger(__name__)


def discard(app: Celery, headers: Mapping[str, Any], owner: str, reason: str) -> None:
    """Close the run of a message, given its headers. Never raises, and waits for nobody."""
    try:
        occurrence = occurrence_of(headers)
        attempt = Attempt(
            run=str(headers["id"]),
            holder=os.urandom(16).hex(),
            key="",
            ttl_ms=0,
            attempt=headers.get("retries") or 0,
            window_ms=(occurrence and occurrence.window_ms) or DEFAULT_WINDOW_MS,
            not_after_ms=occurrence.not_after_ms if occurrence else 0,
            owner=owner,
            entry=occurrence.entry if occurrence else "",
            scheduled_ms=occurrence.scheduled_ms if occurrence else 0,
            is_awaited=occurrence.is_awaited if occurrence else False,
        )
        extension = extension_of(app)
        extension.heartbeat.discard(attempt, reason)
        extension.events.emit(happened.RunDiscarded(attempt.run, attempt.entry, reason))
    except Exception:
        _logger.exception("The run of a discarded message was not closed")


def discard_unknown(sender: Any = None, message: Any = None, **_: Any) -> None:
    """Close the run of an occurrence whose task this worker does not know (``task_unknown``)."""
    headers = getattr(message, "headers", None) or {}
    if sender is not None and "id" in headers and occurrence_of(headers) is not None:
        discard(sender.app, headers, str(sender.hostname or ""), "of no known task")
