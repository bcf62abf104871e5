"""How a replica introduces itself with its claims, its host's clock included.

Runs in: beat.

The clock is compared with every answer to a claim, so that it costs no question of
its own; what is told changes only when the difference does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from celery_singleton_beat.protocol.about import About

_STEP_MS: Final = 100
_SLOW_MS: Final = 1000
"""An answer that took so long says too little about a clock."""


def wall_ms() -> int:
    """Tell what this host takes for the time; it may be wrong, and it may step."""
    return time.time_ns() // 1_000_000


class Introduction:
    """What is told of this replica."""

    def __init__(self, about: About | None = None, wall_ms: Callable[[], int] = wall_ms) -> None:
        self._about = about
        self._wall_ms = wall_ms
        self.text = "" if about is None else about.to_text()

    def heard(self, store_ms: int, took_ms: int) -> None:
        """Compare the clocks: a store's time that has just come, in an answer that took so long."""
        if self._about is None or took_ms > _SLOW_MS:
            return
        ahead_ms = self._wall_ms() - took_ms // 2 - store_ms
        told_ms = self._about.ahead_ms
        if told_ms is None or abs(ahead_ms - told_ms) > _STEP_MS + took_ms // 2:
            self._about = replace(self._about, ahead_ms=ahead_ms)
            self.text = self._about.to_text()
