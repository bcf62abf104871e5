"""What is due, computed apart from the system: intervals are anchored at the Unix epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.rig.witness import key_of

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Every:
    """An entry that is due at each multiple of its period."""

    name: str
    period_ms: int
    seconds: float = 0.0
    catch_up: str | None = None

    def to_config(self) -> dict[str, Any]:
        """The entry, as `beat_schedule` has it."""
        fields: dict[str, Any] = {
            "task": "acceptance.work",
            "schedule": self.period_ms / 1000,
            "args": [self.seconds],
        }
        return fields | ({"catch_up": self.catch_up} if self.catch_up else {})

    def due(self, after_ms: int, until_ms: int) -> list[int]:
        """The occurrences in `(after_ms, until_ms]`."""
        first_ms = (after_ms // self.period_ms + 1) * self.period_ms
        return list(range(first_ms, until_ms + 1, self.period_ms))

    def keys(self, after_ms: int, until_ms: int) -> set[str]:
        """The same, as the facts name them."""
        return {key_of(self.name, at_ms) for at_ms in self.due(after_ms, until_ms)}


def schedule(*entries: Every) -> dict[str, Any]:
    """A `beat_schedule` of these."""
    return {entry.name: entry.to_config() for entry in entries}


def keys(entries: tuple[Every, ...], after_ms: int, until_ms: int) -> set[str]:
    """All their occurrences in `(after_ms, until_ms]`."""
    return set().union(*(entry.keys(after_ms, until_ms) for entry in entries))


def moment_of(key: str) -> int:
    """The scheduled time in a key."""
    return int(key.rpartition("@")[2])
