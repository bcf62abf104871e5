"""What happens to alerts: something is not as it should be, and is so again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from celery_singleton_beat.events.listeners import Event


@dataclass(frozen=True, slots=True)
class AlertFired(Event):
    """A rule found something; told once, until it is over.

    ``alert`` says in words what is the matter with ``subject`` (an entry, a lock key, a
    run; "": all there is) since ``since_ms``, ``about`` in fields.
    """

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "Alert"
    rule: str
    subject: str
    alert: str
    since_ms: int
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AlertResolved(Event):
    """What an alert told of is over."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "Alert resolved"
    rule: str
    subject: str
    alert: str
    since_ms: int
    lasted_ms: int
    about: Mapping[str, Any]
