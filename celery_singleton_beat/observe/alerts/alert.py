"""An alert, and how the store keeps it while it is open."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celery_singleton_beat.events import AlertFired, AlertResolved


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that is not as it should be, since ``since_ms``; last seen so at ``seen_ms``.

    ``subject`` is what it is about: an entry, a lock key, a run; "": all there is.
    ``about`` are more facts, which JSON can write.
    """

    rule: str
    subject: str
    text: str
    since_ms: int
    seen_ms: int
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name under which it is opened once."""
        return f"{self.rule}:{self.subject}"

    def to_text(self) -> str:
        return json.dumps([self.text, self.since_ms, self.seen_ms, dict(self.about)])

    @classmethod
    def from_text(cls, name: str, text: str) -> Alert | None:
        """Read what ``to_text`` wrote; None if it is something else."""
        rule, _, subject = name.partition(":")
        try:
            words, since_ms, seen_ms, about = json.loads(text)
            return cls(rule, subject, str(words), int(since_ms), int(seen_ms), dict(about))
        except (ValueError, TypeError, OverflowError, RecursionError):
            return None

    def fired(self) -> AlertFired:
        return AlertFired(self.rule, self.subject, self.text, self.since_ms, self.about)

    def resolved(self, now_ms: int) -> AlertResolved:
        lasted_ms = max(now_ms - self.since_ms, 0)
        return AlertResolved(
            self.rule, self.subject, self.text, self.since_ms, lasted_ms, self.about
        )
