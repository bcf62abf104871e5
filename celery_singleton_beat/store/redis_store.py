"""A store in Redis: one method per script, and nothing else.

Every transition is one Lua script (``lua/``), the twin of a pure function in
``protocol/``. The server's clock is the only one that counts.
"""

from __future__ import annotations

from typing import Final

from celery_singleton_beat.store.redis_alerts import RedisAlerts
from celery_singleton_beat.store.redis_asked import RedisAsked
from celery_singleton_beat.store.redis_observed import RedisObserved
from celery_singleton_beat.store.redis_runs import RedisRuns
from celery_singleton_beat.store.redis_server import RedisServer
from celery_singleton_beat.store.redis_slots import RedisSlots
from celery_singleton_beat.store.redis_timetable import RedisTimetable
from celery_singleton_beat.store.redis_wake import Wake
from celery_singleton_beat.store.redis_wire import Script
from celery_singleton_beat.store.redis_words import packed, script_call


class RedisStore(
    RedisSlots, RedisTimetable, RedisAsked, RedisRuns, RedisObserved, RedisServer, RedisAlerts
):
    """Implements ``Store`` on one Redis."""

    _wake: Wake | None = None

    def ping(self) -> int:
        answer = self._wire.call(_TIME, script_call(_TIME.sha, ()) + packed("[]"))
        return int(answer[0]) * 1000 + int(answer[1]) // 1000

    def wait_change(self, seconds: float) -> bool:
        if self._wake is None:
            self._wake = Wake(self._wire, self.keys.wake)
        return self._wake.wait(seconds)

    def close(self) -> None:
        if self._wake is not None:
            self._wake.close()
        self._wire.close()


_TIME: Final = Script("time", "return cjson.encode(redis.call('TIME'))")
