"""An operator in an incident: everything is paused at one stroke, and let go on."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.client import Asking


class Operator(Asking):
    """Pauses everything and resumes it, in turns; if it dies in between, all stays paused."""

    _is_paused = False

    def _acts(self) -> tuple[Callable[[], None], ...]:
        return (self._switch,)

    def _switch(self) -> None:
        # Without an answer the same is asked for once more.
        self._store.pause_all(None, paused=not self._is_paused)
        self._is_paused = not self._is_paused
