"""The alert of a store that is away: the one that the store cannot keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from celery_singleton_beat.events import Events
from celery_singleton_beat.observe.alerts.alert import Alert
from celery_singleton_beat.observe.alerts.rules import STORE_AWAY
from celery_singleton_beat.observe.alerts.sight import Running


def _no_runs() -> Sequence[Running]:
    return ()


@dataclass(frozen=True)
class Post:
    """Where a lookout stands: its name, whether it is a beat's, and what it is to see to.

    ``runs`` are those of this process, ``entries`` the names in the configuration.
    """

    name: str
    is_beat: bool = False
    runs: Callable[[], Sequence[Running]] = _no_runs
    entries: Callable[[], Sequence[str]] = tuple


class Outage:
    """Whether the store answers this process, and whether that is for this one to tell."""

    def __init__(
        self,
        events: Events,
        post: Post,
        longest_ms: int | None,
        *,
        host_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._events = events
        self._longest_ms = longest_ms
        self._host_ms = host_ms
        self._tells = post.is_beat
        self._since_ms: int | None = None
        self._alert: Alert | None = None

    @property
    def is_on(self) -> bool:
        """Tell whether the store did not answer last."""
        return self._since_ms is not None

    def answered(self, *, is_on_duty: bool) -> None:
        """Note that the store answers, and who is on duty."""
        self._tells, self._since_ms = is_on_duty, None
        alert, self._alert = self._alert, None
        if alert is not None:
            self._events.emit(alert.resolved(self._host_ms()))

    def failed(self, error: str, asked_ms: int, now_ms: int) -> None:
        """Note that the store did not answer what it was asked then (boot clock)."""
        if self._since_ms is None:
            self._since_ms = asked_ms
        away_ms = now_ms - self._since_ms
        if self._longest_ms is None or self._alert is not None or not self._tells:
            return
        if away_ms > self._longest_ms:
            host_ms = self._host_ms()  # there is no other clock left
            text = f"the store does not answer for {away_ms / 1000:.0f} s: nothing is dispatched"
            about = {"error": error}
            self._alert = Alert(STORE_AWAY, "", text, host_ms - away_ms, host_ms, about)
            self._events.emit(self._alert.fired())
