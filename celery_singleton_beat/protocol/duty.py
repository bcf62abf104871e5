"""The duty: of several processes that watch a deployment, the one that speaks.

Whoever looks while nobody is on duty, or while the duty of the one who was is over,
takes it; looking again prolongs it. It decides who tells of an alert, and nothing else:
two who believe to be on duty are kept apart by the alerts themselves, which the
store opens once and closes once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from celery_singleton_beat.protocol.codec import join, split

MOST_ALERTS: Final = 1000
"""So many alerts are open at once at most."""

LONGEST_MS: Final = 86_400_000
"""A duty that lasts longer is of a clock that was wrong, or of nobody."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Who is on duty, and until when, unless it looks again."""

    watcher: str
    until_ms: int

    def to_text(self) -> str:
        return join(self.until_ms, self.watcher)

    @classmethod
    def from_text(cls, text: str) -> Duty:
        until, watcher = split(text, 2)
        return cls(watcher, int(until))


def stand(duty: Duty | None, watcher: str, *, now_ms: int, timeout_ms: int) -> Duty:
    """Take the duty, prolong it, or leave it with whoever has it."""
    if duty is None or duty.watcher == watcher:
        return Duty(watcher, now_ms + timeout_ms)
    is_live = now_ms < duty.until_ms <= now_ms + LONGEST_MS
    return duty if is_live else Duty(watcher, now_ms + timeout_ms)
