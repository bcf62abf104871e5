"""The durations that a replica works by.

Runs in: beat.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """The durations that a dispatcher works by, in milliseconds, and how much it takes at once."""

    hold_ms: int = 5000
    poll_ms: int = 1000
    replica_timeout_ms: int = 15_000
    clock_jump_rest_ms: int = 30_000
    batch: int = 100

    @property
    def trusted_ms(self) -> int:
        """How long after its question a replica counts on its hold: less than the store does."""
        return self.hold_ms - max(self.hold_ms // 10, 100)
