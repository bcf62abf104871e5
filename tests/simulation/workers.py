"""The workers of a simulated deployment: the real guard, heartbeat and board.

What Celery and the adapters do around them is modelled: a main process that takes
an attempt in hand, a child that begins it, runs the body and records its end, and
what either does when the other is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from celery_singleton_beat.engine.board import Board, Stage
from celery_singleton_beat.engine.guard import Guard
from celery_singleton_beat.engine.heartbeat import Heartbeat
from celery_singleton_beat.engine.lease import Lease
from celery_singleton_beat.errors import StoreError
from celery_singleton_beat.events import Events
from celery_singleton_beat.protocol.run import Attempt, Begun, Outcome
from celery_singleton_beat.store.port import BeginAnswer
from tests.simulation.broker import Message
from tests.simulation.lines import DELAYS_MS, Line
from tests.simulation.world import ChildKilled, Process, World

if TYPE_CHECKING:
    from tests.simulation.deployment import Deployment

HANDS: Final = 2
_OUTAGE_DELAY_MS: Final = 2000

_FAULTS: Final = (
    "",
    "it takes longer",
    "its child is killed",
    "its worker is killed",
    "its worker stands still",
    "it fails",
    "it retries",
)


@dataclass(frozen=True)
class Body:
    """A body that runs, as far as it asks whether it may."""

    attempt: Attempt
    lease: Lease


class Beating(Heartbeat):
    """The heartbeat, on a fiber instead of a thread."""

    def __init__(self, process: Process, line: Any, board: Board) -> None:
        self._world: World = process.world
        self._idle_since: int | None = None
        self._fiber = process.spawn(self._forever, in_ms=1 << 40)
        super().__init__(line, Events(), board, clock_ms=process.world.clock)

    @property
    def is_at_rest(self) -> bool:
        """Whether there is nothing to renew and nothing to record."""
        return not (self._open or self._ended)

    def end(self, index: int, outcome: Outcome, *, at_once: bool = False, pid: int = 0) -> None:
        super().end(index, outcome, at_once=at_once, pid=pid)
        if self._ended and (self._fiber.is_idle or not self._fiber.has_started):
            self._world.wake(self._fiber, 1)

    def _start(self) -> None:
        if not self._fiber.has_started or (self._fiber.is_idle and len(self._open) == 1):
            self._world.wake(self._fiber, self._beat_every_ms % 60_000)

    def _forever(self) -> None:
        while True:
            wait_ms = self.beat()
            self._world.rest(None if self.is_at_rest else wait_ms)


class Worker(Process):
    """A main process and its children. If it dies, another comes in its place."""

    def __init__(self, deployment: Deployment, name: str) -> None:
        super().__init__(deployment.world, name)
        self._deployment = deployment
        self._promises = deployment.promises
        self.board = Board(HANDS + 10, clock_ms=self.world.clock)
        door = deployment.backend.door()
        line = cast("Any", Line(self, door, deployment.promises))
        self.heartbeat = Beating(self, line, self.board)
        child_line = cast(
            "Any", Line(self, deployment.backend.door(), self._promises, is_child=True)
        )
        self._guard = Guard(child_line, clock_ms=self.world.clock)
        self._busy = self._attempts = 0
        deployment.broker.workers.append(self)

    @property
    def is_free(self) -> bool:
        """Whether it takes another message."""
        return self._busy < HANDS and self.frozen_until_ms <= self.world.now_ms

    @property
    def is_at_rest(self) -> bool:
        """Whether there is nothing left to do."""
        return not self._busy and self.heartbeat.is_at_rest

    def freeze(self, for_ms: int) -> None:
        super().freeze(for_ms)
        self.world.later(for_ms + 1, self._deployment.broker.hand_out)

    def bury(self) -> None:
        self._promises.bodies = [b for b in self._promises.bodies if b[0] is not self]
        self._deployment.broker.died(self)
        self._deployment.replace(self)

    def receive(self, tag: int, message: Message) -> None:
        """Take a message in hand."""
        self._busy += 1
        self.spawn(lambda: self._handle(tag, message))

    def _handle(self, tag: int, message: Message) -> None:
        broker, setting = self._deployment.broker, self._deployment.setting
        attempt = self._attempt(message)
        index = self.heartbeat.open(attempt, renew_ms=setting.ttl_ms // 3)
        assert index is not None
        if not setting.acks_late:
            broker.ack(tag)
            self._deployment.acked_early[attempt.holder] = message.run
        try:
            outcome = self._child(attempt, message, index)
        except ChildKilled:
            self._promises.body_is_gone(attempt)
            self.world.say(self.name, f"loses the child of {attempt.holder}")
            self.world.sleep(self.world.choices.of(3) * 700 + 50)
            self.heartbeat.end(index, Outcome.INTERRUPTED, at_once=True)
            broker.take_back(tag)
        else:
            self._deployment.acked_early.pop(attempt.holder, None)
            self.heartbeat.end(index, outcome)
            broker.ack(tag)
        self._busy -= 1
        broker.hand_out()

    def _attempt(self, message: Message) -> Attempt:
        self._attempts += 1
        occurrence, setting = message.occurrence, self._deployment.setting
        kept = ""
        if setting.reruns:
            kept = f"{message.run}/{message.retries}/{message.tries}"
            self._deployment.kept[kept] = message
        return Attempt(
            run=message.run,
            holder=f"{self.name}.{self._attempts}",
            key=setting.key_of(occurrence.entry),
            ttl_ms=setting.ttl_ms,
            attempt=message.retries,
            window_ms=occurrence.window_ms,
            not_after_ms=occurrence.not_after_ms,
            owner=self.name,
            entry=occurrence.entry,
            scheduled_ms=occurrence.scheduled_ms,
            is_awaited=occurrence.is_awaited,
            message=kept,
            revision=occurrence.revision,
        )

    def _child(self, attempt: Attempt, message: Message, index: int) -> Outcome:
        """Begin, as ``adapters.beginning`` does; tell how it ended for the main process."""
        setting, delay_ms = self._deployment.setting, _OUTAGE_DELAY_MS
        closes = not setting.waits_for_key
        while True:
            try:
                answer = self._guard.begin(
                    attempt, self.board, index, close_if_busy=closes, grace_ms=setting.ttl_ms
                )
                break
            except StoreError:
                self.board.mark(index, Stage.POSTPONED)
                if self._queue_again(message, delay_ms, "the store is away"):
                    self.board.end(index, Outcome.INTERRUPTED)
                    return Outcome.SUCCEEDED
                self.world.sleep(delay_ms)
        return self._act_on(answer, attempt, message, index)

    def _act_on(
        self, answer: BeginAnswer, attempt: Attempt, message: Message, index: int
    ) -> Outcome:
        match answer.verdict:
            case Begun.RUN:
                return self._run(attempt, message, index)
            case Begun.TWIN | Begun.WAIT:
                self._postpone(message, answer.wait_ms + 100, answer.verdict.value)
            case Begun.BUSY if self._deployment.setting.waits_for_key:
                self._postpone(message, 1000, "the key is held")
            case Begun.DONE | Begun.STALE:
                pass
            case _:
                self._deployment.done.add(message.run)
        return Outcome.SUCCEEDED

    def _run(self, attempt: Attempt, message: Message, index: int) -> Outcome:
        world, choices = self.world, self.world.choices
        lease = Lease(attempt.key, self.board, index)
        self._promises.body_runs(self, attempt, lease)
        fault = choices.fault(len(_FAULTS))
        world.sleep(self._deployment.setting.body_ms)
        name = self._deployment.names.run(attempt.run)
        if fault:
            world.say(self.name, f"!! the body of {name}: {_FAULTS[fault]}")
        outcome = Outcome.SUCCEEDED
        match _FAULTS[fault]:
            case "it takes longer":
                world.sleep(DELAYS_MS[choices.of(len(DELAYS_MS))])
            case "its child is killed":
                raise ChildKilled
            case "its worker is killed":
                self.kill()
            case "its worker stands still":
                self.freeze(DELAYS_MS[choices.of(len(DELAYS_MS))])
                world.sleep(1)
            case "it fails":
                outcome = Outcome.FAILED
            case "it retries" if message.retries < 2:
                return self._retry(attempt, message, index)
        self._promises.body_ends(attempt, lease)
        world.say(self.name, f"the body of {name} has run")
        self._deployment.done.add(message.run)
        self._guard.finish(attempt, self.board, index, outcome)
        return outcome

    def _retry(self, attempt: Attempt, message: Message, index: int) -> Outcome:
        """Retry, as ``SingletonTask.retry`` and ``adapters.ending`` do."""
        wait_ms, again = 300, replace(message, retries=message.retries + 1)
        self._promises.body_is_gone(attempt)
        self._guard.finish(attempt, self.board, index, Outcome.RETRYING, wait_ms=wait_ms)
        if not self._queue_again(again, wait_ms, "it retries"):
            self._guard.finish(attempt, self.board, index, Outcome.FAILED)
            self._deployment.done.add(message.run)
            return Outcome.FAILED
        if self.board.stage(index) is Stage.RETRYING:
            self.board.mark(index, Stage.FINISHED)
        else:
            self.board.end(index, Outcome.RETRYING, wait_ms)
        return Outcome.RETRYING

    def _postpone(self, message: Message, delay_ms: int, why: str) -> None:
        while not self._queue_again(message, delay_ms, why):
            self.world.sleep(2000)

    def _queue_again(self, message: Message, delay_ms: int, why: str) -> bool:
        """Put a message back with a delay; False: the broker did not take it."""
        choices, name = self.world.choices, self._deployment.names.run(message.run)
        fault = choices.fault(5)
        how = ("", "the broker is away", "killed before", "killed after", "its child killed after")
        amiss = f" !! {how[fault]}" if fault else ""
        self.world.say(self.name, f"queues {name} again in {delay_ms / 1000:g} s: {why}{amiss}")
        if fault == 1:
            self.world.sleep(10)
            return False
        if fault == 2:
            self.kill()
        again = replace(message, eta_ms=self.world.now_ms + delay_ms, tries=message.tries + 1)
        self._deployment.broker.put(again)
        if fault == 3:
            self.kill()
        if fault == 4:
            raise ChildKilled
        return True
