"""The broker: it has a message at least once delivered, and sometimes twice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

from celery_singleton_beat.protocol.occurrence import Occurrence
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.workers import Worker


@dataclass(frozen=True)
class Message:
    """One message of a run: its attempt, and when it may be delivered (boot clock)."""

    run: str
    occurrence: Occurrence
    retries: int = 0
    eta_ms: int = 0
    tries: int = 0


@dataclass
class Delivery:
    """A message that is out, and with whom."""

    message: Message
    worker: Worker


@dataclass
class Broker:
    """Queues messages, hands them to workers, and takes back those of workers that died.

    ``is_prompt``: it notices a dead worker by its connection, and not by the
    visibility timeout. What is put in the queue is not delivered for ``lag_ms``.
    """

    world: World
    is_prompt: bool
    visibility_ms: int = 8000
    lag_ms: int = 0
    ready: list[Message] = field(default_factory=list)
    out: dict[int, Delivery] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    accepted: dict[str, list[Message]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    tags: count[int] = field(default_factory=lambda: count(1))

    def put(self, message: Message) -> None:
        """Queue a message."""
        self.accepted.setdefault(message.run, []).append(message)
        if self.lag_ms:
            eta_ms = max(message.eta_ms, self.world.now_ms + self.lag_ms)
            message = replace(message, eta_ms=eta_ms)
        self._queue(message)

    def ack(self, tag: int) -> None:
        """Be told that a message is done with; one that was taken back stays queued."""
        self.out.pop(tag, None)

    def take_back(self, tag: int) -> None:
        """Queue a message again that was given out."""
        if (delivery := self.out.pop(tag, None)) is not None:
            self._queue(delivery.message)

    def died(self, worker: Worker) -> None:
        """See to the messages of a worker that is gone."""
        self.workers.remove(worker)
        in_ms = 100 if self.is_prompt else self.visibility_ms
        for tag, delivery in self.out.items():
            if delivery.worker is worker:
                self.world.later(in_ms, lambda tag=tag: self.take_back(tag))  # type: ignore[misc]

    def hand_out(self) -> None:
        """Give what may be delivered to workers that have a hand free."""
        world = self.world
        while due := [m for m in self.ready if m.eta_ms <= world.now_ms]:
            free = [w for w in self.workers if w.is_free]
            if not free:
                return
            worker = free[world.choices.fault(len(free)) if len(free) > 1 else 0]
            message = due[world.choices.fault(len(due)) if len(due) > 1 else 0]
            self.ready.remove(message)
            tag = next(self.tags)
            self.out[tag] = Delivery(message, worker)
            worker.receive(tag, message)

    def _queue(self, message: Message) -> None:
        self.ready.append(message)
        self.world.later(max(message.eta_ms - self.world.now_ms, 1), self.hand_out)
