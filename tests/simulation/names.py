"""Short names for a story: occurrences by their times, fences by their order."""

from __future__ import annotations

from functools import lru_cache

from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.occurrence import Occurrence
from tests.simulation.world import START_MS

PREFIX = "sim"


@lru_cache(4096)
def _task_id(entry: str, at_ms: int) -> str:
    return Occurrence(entry, at_ms).task_id(PREFIX)


class Names:
    """What a person calls runs and fences."""

    def __init__(self) -> None:
        self._runs: dict[str, str] = {}
        self._fences: list[int] = []

    def task_id(self, entry: str, at_ms: int) -> str:
        """Tell the id of an occurrence's run, and remember whose it is."""
        run = _task_id(entry, at_ms)
        self._runs[run] = self.occurrence(entry, at_ms)
        return run

    def run(self, run: str) -> str:
        """Name a run after its occurrence."""
        return self._runs.get(run, run)

    def occurrence(self, entry: str, at_ms: int) -> str:
        """Name an occurrence."""
        return f"{entry}@end" if at_ms == ABSENT else f"{entry}@{(at_ms - START_MS) / 1000:g}"

    def fence(self, number: int) -> str:
        """Name a fence by when it was first seen: later ones should have higher numbers."""
        if number not in self._fences:
            self._fences.append(number)
        return f"fence #{self._fences.index(number) + 1}"
