"""Short names for a story: occurrences by their times, fences by their order."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.occurrence import Occurrence
from tests.simulation.world import START_MS

PREFIX = "sim"


@lru_cache(4096)
def _task_id(entry: str, at_ms: int, cause: str) -> str:
    return Occurrence(entry, at_ms, cause).task_id(PREFIX)


class Names:
    """What a person calls runs, fences and timetables; the first is called the old one."""

    def __init__(self, configurations: Iterable[str] = ()) -> None:
        self._runs: dict[str, str] = {}
        self._fences: list[int] = []
        self._configurations = list(configurations)

    def task_id(self, entry: str, at_ms: int, cause: str = "") -> str:
        """Tell the id of an occurrence's run, and remember whose it is."""
        run = _task_id(entry, at_ms, cause)
        if run not in self._runs:
            self._runs[run] = self.occurrence(entry, at_ms, cause)
        return run

    def run(self, run: str) -> str:
        """Name a run after its occurrence, or a lock by hand by its number; others as they are."""
        if run.startswith("by-hand-"):
            self._runs.setdefault(run, f"lock by hand #{len(self._runs) + 1}")
        return self._runs.get(run, run)

    def occurrence(self, entry: str, at_ms: int, cause: str = "") -> str:
        """Name an occurrence."""
        name = f"{entry}@end" if at_ms == ABSENT else f"{entry}@{(at_ms - START_MS) / 1000:g}"
        return f"{name} ({cause})" if cause else name

    def fence(self, number: int) -> str:
        """Name a fence by when it was first seen: later ones should have higher numbers."""
        if number not in self._fences:
            self._fences.append(number)
        return f"fence #{self._fences.index(number) + 1}"

    def configuration(self, digest: str) -> str:
        """Name a timetable."""
        if len(self._configurations) == 1:
            return "only"
        return "old" if digest in self._configurations[:1] else "new"
