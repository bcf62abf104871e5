"""The scheduler inside Celery: what a dispatched message looks like, and who else may hook in."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid5

import pytest
import redis
from celery import Celery
from celery.beat import BeatLazyFunc, Scheduler
from celery.schedules import crontab, schedule

from celery_singleton_beat import SingletonScheduler, SingletonTask, subscribe
from celery_singleton_beat import events as happened
from celery_singleton_beat.errors import ConfigurationError
from celery_singleton_beat.events import Event
from celery_singleton_beat.protocol.claim import Settled, Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.occurrence import HEADER, NAMESPACE
from celery_singleton_beat.store.redis_store import RedisStore

DAY = 86_400.0


class Beat:
    """One replica in this process; ``make_due`` puts its entries' slots into the past."""

    def __init__(self, url: str, entries: dict[str, Any], **conf: Any) -> None:
        self.app = Celery("shop", broker=url, set_as_current=False)
        # result_expires: without it Celery adds an entry of its own.
        self.app.conf.update(singleton_beat_redis_url=url, result_expires=None, **conf)
        self.app.conf.beat_schedule = entries
        self.told: list[Event] = []
        subscribe(self.app, self.told.append)
        self._client: Any = redis.Redis.from_url(url, decode_responses=True)

        @self.app.task(name="shop.add", base=SingletonTask, shared=False)
        def add(x: int, y: int = 0) -> int:
            return x + y

        self.scheduler = SingletonScheduler(app=self.app)
        self.dispatcher = self.scheduler.dispatcher

    def make_due(self, at_ms: int | None = None, *, days_ago: int = 0) -> int:
        """Adopt, then move every slot to last midnight or earlier, as if beat had been away."""
        while self.dispatcher.tick() == 0:
            pass
        store = self.scheduler._extension.store  # noqa: SLF001
        assert isinstance(store, RedisStore)
        now_ms = store.ping()
        if at_ms is None:
            at_ms = (now_ms // 86_400_000 - days_ago) * 86_400_000
        keys = store.keys
        for name, text in self._client.hgetall(keys.slots).items():
            fields = text.split("|")
            fields[1] = fields[2] = str(at_ms)
            self._client.hset(keys.slots, name, "|".join(fields))
            self._client.zadd(keys.due, {name: at_ms})
        return at_ms

    def dispatch(self) -> list[dict[str, Any]]:
        """Tick once; the messages that it put into the queue, oldest first."""
        self.dispatcher.tick()
        return [json.loads(text) for text in self._client.lrange("celery", 0, -1)[::-1]]

    def heard(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    def close(self) -> None:
        self.scheduler.close()
        self._client.close()


@pytest.fixture
def beat(redis_url: str) -> Any:
    made: list[Beat] = []

    def make(entries: dict[str, Any], **conf: Any) -> Beat:
        made.append(Beat(redis_url, entries, **conf))
        return made[-1]

    yield make
    for one in made:
        one.close()


Make = Callable[..., Beat]


def entry(**fields: Any) -> dict[str, Any]:
    return {"task": "shop.add", "schedule": DAY, "args": (1,), **fields}


def test_a_message_names_its_occurrence_and_has_its_id(beat: Make) -> None:
    it = beat({"daily": entry(options={"headers": {"mine": "kept"}})})
    at_ms = it.make_due()

    (message,) = it.dispatch()

    headers = message["headers"]
    assert headers["id"] == str(uuid5(NAMESPACE, f"{{csb:shop}}\0daily\0{at_ms}\0"))
    assert headers["celery_beat_task"] is True
    assert headers["periodic_task_name"] == "daily"
    assert headers["mine"] == "kept"
    assert headers[HEADER]["entry"] == "daily"
    assert headers[HEADER]["scheduled_ms"] == at_ms
    assert headers["argsrepr"] == "[1]"
    published = it.heard(happened.OccurrencePublished)
    assert [event.task_id for event in published] == [headers["id"]]


def test_two_replicas_give_an_occurrence_the_same_id(beat: Make) -> None:
    """S0-01: whoever dispatches it."""
    first, second = beat({"daily": entry()}), beat({"daily": entry()})
    at_ms = first.make_due()
    (message,) = first.dispatch()
    second.make_due(at_ms)

    (_, again) = second.dispatch()

    assert message["headers"]["id"] == again["headers"]["id"]


def test_a_definition_is_not_written_into(beat: Make) -> None:
    options = {"headers": {"mine": 1}, "expires": 30}
    it = beat({"daily": entry(options=options)})
    it.make_due()

    it.dispatch()

    assert options == {"headers": {"mine": 1}, "expires": 30}


def test_relative_times_count_from_the_stores_clock(beat: Make) -> None:
    it = beat({"daily": entry(options={"expires": 60, "countdown": 5})})
    it.make_due()
    now = datetime.now(timezone.utc)

    (message,) = it.dispatch()

    expires = datetime.fromisoformat(message["headers"]["expires"])
    eta = datetime.fromisoformat(message["headers"]["eta"])
    assert timedelta(seconds=54) < expires - now < timedelta(seconds=66)
    assert expires - eta == timedelta(seconds=55)


def test_lazy_arguments_are_made_at_each_dispatch(beat: Make) -> None:
    numbers = iter(range(100))
    it = beat({"daily": entry(args=(BeatLazyFunc(lambda: next(numbers)),))})
    it.make_due()
    it.dispatch()
    it.make_due(86_400_000)

    messages = it.dispatch()

    assert [message["headers"]["argsrepr"] for message in messages] == ["[0]", "[1]"]


def test_a_task_that_beat_does_not_know_is_sent_by_name(beat: Make) -> None:
    it = beat({"daily": entry(task="elsewhere.report", kwargs={"a": 1})})
    it.make_due()

    (message,) = it.dispatch()

    assert message["headers"]["task"] == "elsewhere.report"
    assert message["headers"][HEADER]["entry"] == "daily"


def test_who_wraps_apply_entry_sees_every_dispatch_as_celery_makes_it(
    beat: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sentry Crons unpacks two positional arguments and writes into the entry's options."""
    seen: list[str] = []
    original = Scheduler.apply_entry

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        _, schedule_entry = args
        seen.append(schedule_entry.name)
        assert isinstance(schedule_entry.schedule, (crontab, schedule))
        schedule_entry.options["headers"]["sentry-monitor-check-in-id"] = "abc"
        return original(*args, **kwargs)

    monkeypatch.setattr(Scheduler, "apply_entry", wrapped)
    it = beat({"daily": entry(), "nightly": entry(schedule=crontab(hour=0, minute=0))})
    it.make_due()

    messages = it.dispatch()

    assert sorted(seen) == ["daily", "nightly"]
    assert all(m["headers"]["sentry-monitor-check-in-id"] == "abc" for m in messages)
    assert "headers" not in it.scheduler.schedule["daily"].options


def test_arguments_that_do_not_fit_are_that_entrys_failure_alone(beat: Make) -> None:
    it = beat({"bad": entry(args=()), "unencodable": entry(args=(object(),)), "good": entry()})
    it.make_due()

    messages = it.dispatch()

    assert [m["headers"][HEADER]["entry"] for m in messages] == ["good"]
    failed = it.heard(happened.DispatchFailed)
    assert sorted((e.entry, e.attempt, e.given_up) for e in failed) == [
        ("bad", 1, False),
        ("unencodable", 1, False),
    ]


def test_catch_up_all_sends_each_missed_occurrence(beat: Make) -> None:
    it = beat({"daily": entry(catch_up="all", catch_up_max=3)})
    today_ms = it.make_due(days_ago=10) + 10 * 86_400_000

    messages = it.dispatch()

    scheduled = [m["headers"][HEADER]["scheduled_ms"] for m in messages]
    assert scheduled == [today_ms - 2 * 86_400_000, today_ms - 86_400_000, today_ms]
    (missed,) = it.heard(happened.OccurrencesMissed)
    assert (missed.count, missed.by_ms) == (8, scheduled[0])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"schedul": 5}, "unknown field 'schedul': did you mean schedule"),
        ({"schedule": 0}, "bad"),
        ({"timezone": "Europe/Roma"}, "Europe/Rome"),
        ({"catch_up": "most"}, "catch_up of entry 'bad'"),
        ({"jitter": -1}, "jitter of entry 'bad'"),
        ({"task": None}, "needs a 'task'"),
    ],
)
def test_an_entry_that_cannot_be_read_is_left_out_and_named(
    beat: Make, fields: dict[str, Any], said: str
) -> None:
    it = beat({"bad": entry(**fields), "good": entry()})

    aside = it.heard(happened.EntrySetAside)

    assert [event.entry for event in aside] == ["bad"]
    assert said in aside[0].reason
    assert list(it.scheduler.schedule) == ["good"]


def test_a_dry_run_says_what_it_would_send_and_touches_nothing(
    beat: Make, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    it = beat({"each": entry(schedule=0.05)}, singleton_beat_dry_run=True)
    caplog.set_level("INFO", "celery_singleton_beat")

    while "would send" not in caplog.text:
        it.scheduler.tick()

    assert "would send task shop.add for entry 'each'" in caplog.text
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_building_a_scheduler_opens_nothing() -> None:
    """Celery builds a second, lazy one for its banner."""
    app = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.result_expires = None
    app.conf.beat_schedule = {"daily": entry()}

    lazy, real = SingletonScheduler(app=app, lazy=True), SingletonScheduler(app=app)

    assert "store -> redis://127.0.0.1:1/0" in lazy.info
    assert list(real.schedule) == ["daily"]
    real.close()
    real.close()


def test_without_a_store_the_error_says_what_to_set() -> None:
    """C18: nothing is guessed."""
    app = Celery("shop", broker="amqp://", set_as_current=False)

    with pytest.raises(ConfigurationError, match="singleton_beat_redis_url"):
        SingletonScheduler(app=app, lazy=True)


def test_a_replica_that_closes_leaves_at_once(beat: Make) -> None:
    """S0-27, F9: it leaves by its own name, which no other replica has."""
    first = beat({"daily": entry()}, singleton_beat_instance_id="same")
    second = beat({"daily": entry()}, singleton_beat_instance_id="same")
    first.make_due()
    second.dispatcher.tick()
    store = first.scheduler._extension.store  # noqa: SLF001
    assert isinstance(store, RedisStore)

    first.scheduler.close()

    left = second._client.hkeys(store.keys.replicas)  # noqa: SLF001
    assert left == [second.scheduler._extension.instance]  # noqa: SLF001


def test_an_entry_that_nobody_knows_keeps_its_slot_and_is_not_looked_at(beat: Make) -> None:
    it = beat({"daily": entry()})
    it.make_due()
    store = it.scheduler._extension.store  # noqa: SLF001
    it.scheduler.timings.pop("daily")

    it.dispatch()

    (slot,) = store.slots(["daily"]).slots
    assert slot is not None
    assert slot.due_ms == ABSENT
    assert store.settle("x", [Settlement("daily", slot.fence + 1, slot)]) == [Settled.LOST]


def test_a_signal_to_stop_waits_until_the_tick_has_settled(
    beat: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F8: Celery's handler closes the scheduler and raises, wherever the process is."""
    it = beat({"daily": entry()})
    it.make_due()

    def stop(*_: object) -> None:
        it.scheduler.close()
        raise SystemExit

    original = it.scheduler.send

    def send(publication: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return original(publication)

    monkeypatch.setattr(it.scheduler, "send", send)
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(SystemExit):
            it.scheduler.tick()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert len(it.heard(happened.OccurrencePublished)) == 1
    store = it.scheduler._extension.store  # noqa: SLF001
    (slot,) = store.slots(["daily"]).slots
    assert slot is not None
    assert not slot.is_held
    assert slot.runs == 1
