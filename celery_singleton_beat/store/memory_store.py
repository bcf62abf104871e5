"""A store in memory: the protocol's pure functions over dictionaries.

For tests, for dry runs and for development in a single process. It coordinates
threads, not processes.
"""

from __future__ import annotations

from celery_singleton_beat.store.memory_alerts import MemoryAlerts
from celery_singleton_beat.store.memory_runs import MemoryRuns
from celery_singleton_beat.store.memory_slots import MemorySlots
from celery_singleton_beat.store.memory_state import State
from celery_singleton_beat.store.memory_timetable import MemoryTimetable
from celery_singleton_beat.store.server_port import Server


class MemoryStore(MemorySlots, MemoryTimetable, MemoryRuns, MemoryAlerts):
    """Implements ``Store``; ``now_ms`` is asked for the time of every step."""

    def forget(self) -> None:
        """Forget everything, as a server that restarts without persistence does."""
        with self._guard:
            self._state = State()

    def ping(self) -> int:
        return self._now_ms()

    def server(self) -> Server:
        return Server(product="memory")

    def wait_change(self, seconds: float) -> bool:
        self._changed.wait(seconds)
        self._changed.clear()
        return True

    def close(self) -> None:
        pass
