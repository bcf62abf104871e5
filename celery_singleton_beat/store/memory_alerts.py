"""What a store in memory keeps for watchers: the duty, and the open alerts."""

from __future__ import annotations

from celery_singleton_beat.protocol.duty import MOST_ALERTS, stand
from celery_singleton_beat.store.alert_port import WatchAnswer
from celery_singleton_beat.store.memory_state import MemoryCore


class MemoryAlerts(MemoryCore):
    """Implements ``AlertStore``."""

    def watch(self, watcher: str, timeout_ms: int) -> WatchAnswer:
        with self._guard:
            now_ms, state = self._enter(), self._state
            state.duty = stand(state.duty, watcher, now_ms=now_ms, timeout_ms=timeout_ms)
            return WatchAnswer(now_ms, state.duty.watcher, dict(state.alerts))

    def alert(self, name: str, text: str) -> bool:
        with self._guard:
            self._enter()
            alerts = self._state.alerts
            if not text:
                return alerts.pop(name, None) is not None
            is_news = name not in alerts and len(alerts) < MOST_ALERTS
            if is_news or name in alerts:
                alerts[name] = text
            return is_news
