"""Events as log lines: a constant text, the facts beside it."""

from __future__ import annotations

import logging
from dataclasses import fields

from celery_singleton_beat.events import Event

logger = logging.getLogger("celery_singleton_beat")


def log_event(event: Event) -> None:
    """Log one event; its facts are in the line and in the record's ``singleton_beat``."""
    if not is_logged(type(event)):
        return
    facts = {field.name: getattr(event, field.name) for field in fields(event)}
    shown = " ".join(f"{name}={_shown(value)}" for name, value in facts.items())
    extra = {"singleton_beat": {"event": type(event).__name__, **facts}}
    logger.log(event.level, "%s: %s", event.text, shown, extra=extra)


def is_logged(kind: type[Event]) -> bool:
    """Tell whether events of this kind are logged, at the level that is set now."""
    return bool(kind.text) and logger.isEnabledFor(kind.level)


def _shown(value: object) -> str:
    # repr keeps a name with line breaks from forging a line of its own.
    return repr(value) if isinstance(value, str) else str(value)
