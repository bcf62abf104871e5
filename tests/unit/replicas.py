"""Replicas in one process, on one store, one broker and one clock."""

from __future__ import annotations

from collections.abc import Mapping

from celery_singleton_beat.engine.dispatcher import Dispatcher
from celery_singleton_beat.engine.pace import Pace
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.errors import StoreUnavailable
from celery_singleton_beat.events import Event, Events
from celery_singleton_beat.protocol.entry import Timing, configuration_digest
from celery_singleton_beat.protocol.recurrences.recurrence import Interval
from celery_singleton_beat.store.memory_store import MemoryStore
from celery_singleton_beat.testing import FakeClock, RecordingPublisher

PACE = Pace(hold_ms=5000, poll_ms=1000, replica_timeout_ms=15_000)
_FLAKY = (
    "claim",
    "settle",
    "adopt",
    "slots",
    "leave",
    "recall",
    "dismiss",
    "await_again",
    "postpone",
)


class Flaky(MemoryStore):
    """A store that can be away, or lose the answer of one verb."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.is_away = False
        self.loses_answer_of = ""
        self.refuses = ""

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name not in _FLAKY:
            return found

        def verb(*args: object, **kwargs: object) -> object:
            if self.is_away or self.refuses == name:
                self.refuses = ""
                raise StoreUnavailable("away")
            answer = found(*args, **kwargs)
            if self.loses_answer_of == name:
                self.loses_answer_of = ""
                raise StoreUnavailable("the answer was lost")
            return answer

        return verb


class Deployment:
    """Replicas on one store, one broker and one clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Flaky(self.clock)
        self.broker = RecordingPublisher()
        self.told: list[Event] = []
        self._replicas = 0

    def replica(self, timings: Mapping[str, Timing], **pace: int) -> Dispatcher:
        self._replicas += 1
        events = Events()
        events.subscribe(self.told.append)
        replica = Replica(
            name=f"r{self._replicas}",
            store=self.store,
            publisher=self.broker,
            events=events,
            pace=Pace(**{**vars(PACE), **pace}),
            clock_ms=self.clock,
        )
        return Dispatcher(replica, timings, configuration_digest(timings.values()))

    def run(self, seconds: int, *replicas: Dispatcher, step_ms: int = 500) -> None:
        for _ in range(seconds * 1000 // step_ms):
            self.clock.advance(step_ms)
            for replica in replicas:
                replica.tick()

    def sent(self, entry: str | None = None) -> list[int]:
        return [o.scheduled_ms for o in self.broker.sent if entry in (None, o.entry)]

    def heard(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.told if isinstance(event, kind)]


def timings(every_ms: int = 1000, names: str = "x", **fields: object) -> dict[str, Timing]:
    return {name: Timing(name, Interval(every_ms), **fields) for name in names}  # type: ignore[arg-type]
