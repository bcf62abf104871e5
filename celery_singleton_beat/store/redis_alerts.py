"""What a store in Redis keeps for watchers: the duty, and the open alerts."""

from __future__ import annotations

from celery_singleton_beat.protocol.codec import clean
from celery_singleton_beat.protocol.duty import MOST_ALERTS
from celery_singleton_beat.store.alert_port import WatchAnswer
from celery_singleton_beat.store.redis_script import RedisScripts, pairs


class RedisAlerts(RedisScripts):
    """Implements ``AlertStore``: one method per script."""

    def watch(self, watcher: str, timeout_ms: int) -> WatchAnswer:
        keys = (self.keys.meta, self.keys.alerts)
        now_ms, on_duty, *alerts = self._call("watch", keys, (clean(watcher), timeout_ms))
        return WatchAnswer(int(now_ms), on_duty, dict(pairs(alerts)))

    def alert(self, name: str, text: str) -> bool:
        keys = (self.keys.meta, self.keys.alerts)
        return bool(self._call("alert", keys, (name, text, MOST_ALERTS))[0])
