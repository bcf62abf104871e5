"""The replicas of a simulated deployment: the real engine, on a line and a broker that fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from celery_singleton_beat.engine.dispatcher import Dispatcher
from celery_singleton_beat.engine.pace import Pace
from celery_singleton_beat.engine.publisher import Delivery, Publication, Sent
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.errors import StoreError
from celery_singleton_beat.events import Events
from celery_singleton_beat.protocol.occurrence import Occurrence
from tests.simulation.broker import Message
from tests.simulation.lines import DELAYS_MS, TRIP_MS, Line
from tests.simulation.settings import HOLD_MS, digest_of
from tests.simulation.world import Process

if TYPE_CHECKING:
    from tests.simulation.deployment import Deployment

POLL_MS: Final = 2000

_FAULTS: Final = (
    "",
    "its confirmation is lost",
    "it is lost on its way",
    "it is surely not sent",
    "it cannot be sent, for a reason of its own",
    "killed before it is sent",
    "killed after it is sent",
    "frozen before it is sent",
    "frozen after it is sent",
)


class Beat(Process):
    """One replica; if it dies or leaves, another comes in its place."""

    def __init__(self, deployment: Deployment, name: str) -> None:
        super().__init__(deployment.world, name)
        self._deployment = deployment
        self._line = Line(self, deployment.backend.door(), deployment.promises)
        self._timings = deployment.rollout.of(self)
        self.is_to_stop = False
        self.spawn(self._run)

    def bury(self) -> None:
        self._deployment.replace(self)

    def stop(self) -> None:
        """Take leave after the tick that goes on."""
        self.is_to_stop = True

    def _run(self) -> None:
        deployment, world = self._deployment, self.world
        settings = deployment.setting
        pace = Pace(
            hold_ms=HOLD_MS,
            poll_ms=POLL_MS,
            replica_timeout_ms=settings.replica_timeout_ms,
            clock_jump_rest_ms=settings.ttl_ms,
            batch=settings.batch,
        )
        replica = Replica(
            name=self.name,
            store=cast("Any", self._line),
            publisher=Post(self, deployment),
            events=Events(),
            pace=pace,
            per_minute=settings.limits.max_per_minute,
            clock_ms=world.clock,
        )
        dispatcher = Dispatcher(replica, self._timings, digest_of(self._timings))
        while True:
            wait_ms = dispatcher.tick()
            if self.is_to_stop or world.choices.fault(2, rarely=0.3):
                break
            world.sleep(max(wait_ms, 1))
        world.say(self.name, "stops")
        with suppress(StoreError):
            dispatcher.leave()
        self.kill()


class Post:
    """The publisher of a replica. Its messages meet all that can happen to messages."""

    def __init__(self, process: Process, deployment: Deployment) -> None:
        self._process = process
        self._deployment = deployment

    def connect(self) -> None:
        """Find the broker there: that one is away is what each message may meet."""

    def task_id(self, occurrence: Occurrence) -> str:
        return self._deployment.names.task_id(
            occurrence.entry, occurrence.scheduled_ms, occurrence.cause
        )

    def publish(
        self, publications: Sequence[Publication], may_go_on: Callable[[], bool]
    ) -> list[Delivery]:
        return [self._publish(one.occurrence, may_go_on) for one in publications]

    def publish_again(self, message: str) -> Delivery:
        kept = self._deployment.kept[message]
        delivery = self._send(kept)
        cannot = delivery.sent is Sent.FAILED
        self._deployment.promises.publishes_again(kept.run, cannot=cannot)
        return delivery

    def _publish(self, occurrence: Occurrence, may_go_on: Callable[[], bool]) -> Delivery:
        promises, who = self._deployment.promises, self._process.name
        if not may_go_on():
            promises.holds_back(who, occurrence)
            return Delivery(Sent.UNSENT)
        promises.publishes(who, occurrence)
        delivery = self._send(Message(self.task_id(occurrence), occurrence))
        if delivery.sent is Sent.FAILED:
            promises.cannot_send(occurrence)
        return delivery

    def _send(self, message: Message) -> Delivery:
        deployment, process, run = self._deployment, self._process, message.run
        world, broker = deployment.world, deployment.broker
        name = deployment.names.run(run)
        fault = world.choices.fault(len(_FAULTS))
        if not fault:
            world.say(process.name, f"publishes {name}")
            broker.put(message)
            return Delivery(Sent.SENT, run)
        with deployment.promises.trouble(process.name):
            return self._send_amiss(message, name, fault)

    def _send_amiss(self, message: Message, name: str, fault: int) -> Delivery:
        process, run, text = self._process, message.run, _FAULTS[fault]
        world, broker = self._deployment.world, self._deployment.broker
        world.say(process.name, f"!! publishes {name}: {text}")
        if "frozen" in text:
            for_ms = DELAYS_MS[world.choices.of(len(DELAYS_MS))]
            world.say(process.name, f"stands still for {for_ms / 1000:g} s")
        if "before" in text:
            if "killed" in text:
                process.kill()
            process.freeze(for_ms)
            world.sleep(TRIP_MS)
        if "lost on" not in text and "not sent" not in text and "cannot" not in text:
            broker.put(message)
        if "after" in text:
            if "killed" in text:
                process.kill()
            process.freeze(for_ms)
            world.sleep(TRIP_MS)
        return Delivery(_SENT.get(fault, Sent.SENT), run, text)


_SENT: Final = {1: Sent.UNKNOWN, 2: Sent.UNKNOWN, 3: Sent.UNSENT, 4: Sent.FAILED}
