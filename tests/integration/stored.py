"""A replica and a timetable in this process, on a real Redis, by a clock set by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import redis
from celery import Celery

from celery_singleton_beat import Entry, SingletonScheduler, SingletonTask, Timetable, subscribe
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.protocol.occurrence import HEADER
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_singleton_beat.events import Event
    from celery_singleton_beat.protocol.history import Fact
    from celery_singleton_beat.testing import FakeClock

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def at(text: str) -> datetime:
    """A moment in UTC: `at("2026-03-02 08:00")`."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def ms(text: str) -> int:
    """The same, in milliseconds since the epoch."""
    return round(at(text).timestamp() * 1000)


def daily(name: str = "daily", /, **fields: Any) -> Entry:
    """An entry that is due at 08:00, unless it is said otherwise."""
    given: dict[str, Any] = {"task": "shop.add", "recurrence": "0 8 * * *", "args": [1]}
    return Entry(name, **given | fields)


class ClockedStore(RedisStore):
    """A store in Redis whose only clock is the test's."""

    def ping(self) -> int:
        assert self._now_ms is not None
        return self._now_ms()


class Replica:
    """One beat of the app `shop`, and the timetable as a process of that app has it."""

    def __init__(
        self, url: str, clock: FakeClock, schedule: Mapping[str, Any] | None = None, **conf: Any
    ) -> None:
        self.clock = clock
        self.app = Celery("shop", broker=url, set_as_current=False)
        # result_expires: without it Celery adds an entry of its own.
        self.app.conf.update(singleton_beat_redis_url=url, result_expires=None, **conf)
        self.app.conf.beat_schedule = dict(schedule or {})
        self.told: list[Event] = []
        subscribe(self.app, self.told.append)
        extension = extension_of(self.app)
        self.store = ClockedStore(Wire(url), prefix=extension.prefix, app="shop", now_ms=clock)
        vars(extension)["store"] = self.store
        self.client: Any = redis.Redis.from_url(url, decode_responses=True)
        self._add_task()
        self.scheduler = SingletonScheduler(app=self.app)
        self.scheduler.__dict__["replica"] = replace(self.scheduler.replica, clock_ms=clock)
        self.dispatcher: Any = self.scheduler.dispatcher
        while self.dispatcher.tick() == 0:
            pass

    def _add_task(self) -> None:
        @self.app.task(name="shop.add", base=SingletonTask, shared=False)
        def add(x: int, y: int = 0) -> int:
            return x + y

    @property
    def timetable(self) -> Timetable:
        """A new one each time: the store's clock, which it asks once a minute, stands still."""
        return Timetable(self.app)

    def dispatch(self) -> list[dict[str, Any]]:
        """Tick once; the messages that it sent, oldest first."""
        self.dispatcher.tick()
        sent = self.client.lrange("celery", 0, -1)[::-1]
        self.client.delete("celery")
        return [json.loads(text) for text in sent]

    def sent(self) -> list[tuple[str, int]]:
        """Tick once; the occurrences that it sent."""
        headers = (message["headers"][HEADER] for message in self.dispatch())
        return [(header["entry"], header["scheduled_ms"]) for header in headers]

    def sent_at(self, moment: str) -> list[tuple[str, int]]:
        """The same, at a time."""
        self.clock.now_ms = ms(moment)
        return self.sent()

    def heard(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    def facts(self, kind: str) -> list[Fact]:
        """What the history has of a kind, oldest first."""
        return [fact for fact in self.store.history(1000)[::-1] if fact.kind == kind]

    def close(self) -> None:
        self.scheduler.close()
        self.store.close()
        self.client.close()
