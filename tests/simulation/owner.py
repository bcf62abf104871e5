"""Owners of tenants in a simulated deployment: they put entries, set limits and stop tenants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from celery_singleton_beat.engine.timetable import Change, put_of
from celery_singleton_beat.protocol.asked import Asking as Request
from tests.simulation.client import VARIANTS, Asking, stored_entry
from tests.simulation.settings import QUOTAS

_NAMES: Final = ("r", "s", "p")
_TENANTS: Final = ("t", "u", "")


class Owner(Asking):
    """Puts, moves, asks for and removes entries of tenants, which it limits and stops."""

    _asked = 1

    def _acts(self) -> tuple[Callable[[], None], ...]:
        return (
            self._put,
            self._allow,
            self._pause,
            self._resume,
            self._remove,
            self._run_now,
            self._allow,
            self._put,
        )

    def _put(self) -> None:
        deployment, choices = self._deployment, self.world.choices
        name, tenant = self._entry(), _TENANTS[choices.of(3)]
        kind, variant = deployment.setting.kind, choices.of(len(VARIANTS))
        asked = put_of(stored_entry(name, kind, variant, tenant), Change(), self._store_ms())
        self._store.put([asked], deployment.setting.limits)

    def _allow(self) -> None:
        quotas: tuple[Any, ...] = (*QUOTAS, None)
        self._store.allow(self._tenant(), quotas[self.world.choices.of(len(quotas))])

    def _pause(self) -> None:
        self._store.pause_all(self._tenant(), paused=True)

    def _resume(self) -> None:
        self._store.pause_all(self._tenant(), paused=False)

    def _remove(self) -> None:
        self._store.remove([self._entry()])

    def _run_now(self) -> None:
        entry = self._entry()
        self._store.ask(Request(f"{self.name} {self._asked} {entry}", entry))
        self._asked += 1

    def _entry(self) -> str:
        return _NAMES[self.world.choices.of(3)]

    def _tenant(self) -> str:
        return _TENANTS[self.world.choices.of(2)]
