"""An operator in an incident: everything is paused and let go on, and lock keys are freed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from celery_singleton_beat.engine.lock import HandLocks
from tests.simulation.client import Asking


class Operator(Asking):
    """Pauses everything and resumes it, in turns, and frees keys, whoever holds them.

    If it dies between a pause and its end, all stays paused.
    """

    _is_paused = False

    def _acts(self) -> tuple[Callable[[], None], ...]:
        return (self._switch, self._free)

    def _free(self) -> None:
        setting, choices = self._deployment.setting, self.world.choices
        names = (*setting.timings, "p")
        locks = HandLocks(
            self._store,
            cast("Any", None),  # it takes none
            grace_ms=setting.ttl_ms,
            clock_ms=self.world.clock,
        )
        locks.free(setting.key_of(names[choices.of(len(names))]), self.name)

    def _switch(self) -> None:
        # Without an answer the same is asked for once more.
        self._store.pause_all(None, paused=not self._is_paused)
        self._is_paused = not self._is_paused
