"""A deployment and its history: set up, let go wrong, let come to rest, judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.simulation.beats import Beat
from tests.simulation.broker import Broker, Message
from tests.simulation.choices import Choices
from tests.simulation.client import Asker, Asking, Client
from tests.simulation.hand import Hand
from tests.simulation.incident import Operator
from tests.simulation.lines import DELAYS_MS
from tests.simulation.names import Names
from tests.simulation.owner import Owner
from tests.simulation.promises import Memory, Promises
from tests.simulation.rollout import Rollout
from tests.simulation.settings import Setting
from tests.simulation.stores import Backend, PureBackend
from tests.simulation.workers import Worker
from tests.simulation.world import Process, World

CALM_MS: Final = 12_000
AT_REST_WITHIN_MS: Final = 150_000
_BY_QUOTAS_MS: Final = 600_000
"""A tenant with a quota comes to rest a few entries a minute."""
_STEPS_MS: Final = (1500, -1500, 4000, -4000, 40_000)
_COPIES: Final = 4
_BACK_IN_MS: Final = 5
_STEPS_APART: Final = 5

MakeBackend = Callable[[World], Backend]


class Deployment:
    """Replicas, workers, a broker and a store in one process, and what may happen to them."""

    def __init__(
        self,
        choices: Choices,
        make: MakeBackend = PureBackend,
        story: list[str] | None = None,
    ) -> None:
        self.world = World(choices, story)
        self.setting = Setting.drawn(choices)
        self.backend = make(self.world)
        self.names = Names(self.setting.configurations)
        self.broker = Broker(self.world, self.setting.is_prompt, lag_ms=self.setting.lag_ms)
        self.promises = Promises(self.broker, self.setting, self.names)
        self.kept: dict[str, Message] = {}
        self.done: set[str] = set()
        self.acked_early: dict[str, str] = {}
        self.rollout = Rollout(self)
        self._made: dict[str, int] = {}
        self._copies: list[tuple[Any, Memory]] = []
        self._starting = self._steps = 0
        if story is not None:
            story.append(self.setting.described())
        for number in range(self.setting.beats):
            self._make(Beat, f"beat{number + 1}")
        for number in range(self.setting.workers):
            self._make(Worker, f"worker{number + 1}")
        self._clients: list[Asking | Hand] = [
            kind(self, name)
            for kind, name, takes_part in (
                (Client, "client", self.setting.has_client),
                (Asker, "asker", self.setting.has_asker),
                (Hand, "hand", self.setting.has_hand),
                (Operator, "operator", self.setting.has_operator),
                (Owner, "owner1", self.setting.owners > 0),
                (Owner, "owner2", self.setting.owners > 1),
            )
            if takes_part
        ]

    def run(self) -> None:
        """Live through it.

        Raises:
            Broken: a promise was not kept.
        """
        world, choices = self.world, self.world.choices
        try:
            while world.now_ms < CALM_MS and not self._is_at_rest():
                if happening := choices.fault(len(_HAPPENINGS), rarely=0.25):
                    _HAPPENINGS[happening](self)
                if self.setting.keeps_copies:
                    self._copy()
                world.step()
            choices.calm_down()
            within_ms = _BY_QUOTAS_MS if self.setting.owners else AT_REST_WITHIN_MS
            while not self._is_at_rest():
                world.step()
                if world.now_ms > within_ms:
                    self.promises.broke(f"not at rest after minutes of calm: {self._left()}")
            self._judge()
        finally:
            world.end()

    def replace(self, process: Process) -> None:
        """Let another process come in the place of one that is gone."""
        in_ms = DELAYS_MS[self.world.choices.of(3)]
        self.world.say(process.name, f"is gone; another comes in {in_ms / 1000:g} s")
        self._starting += 1
        self.world.later(in_ms, lambda: self._come(type(process), process.name + "'"))

    def _come(self, kind: type[Process], name: str) -> None:
        self._starting -= 1
        self._make(kind, name)
        self.broker.hand_out()

    def _make(self, kind: Any, name: str) -> None:
        made = kind(self, name)
        if kind is Beat:
            self.rollout.has(made)

    def _is_at_rest(self) -> bool:
        broker = self.broker
        return (
            not broker.ready
            and not broker.out
            and not self._starting
            and not self._owed()
            and (self.promises.is_all_stopped or self.rollout.is_at_rest)
            and all(worker.is_at_rest for worker in broker.workers)
            and all(client.is_at_rest for client in self._clients)
        )

    def _copy(self) -> None:
        """Keep some earlier states of the store: a server that comes back may have but one."""
        self._steps += 1
        if self._steps % _STEPS_APART == 0:
            self._copies.append((self.backend.save(), self.promises.memory.copy()))
            del self._copies[:-_COPIES]

    def forgets_all(self) -> None:
        self.world.say("store", "!! forgets everything")
        self.world.now_ms += _BACK_IN_MS
        self.backend.forget()
        self.promises.forget(Memory())
        self.promises.is_wiped = True
        self._copies.clear()

    def forgets_last_writes(self) -> None:
        if not self._copies:
            return
        saved, memory = self._copies[self.world.choices.of(len(self._copies))]
        self.world.say("store", "!! forgets its last writes")
        self.world.now_ms += _BACK_IN_MS
        self.backend.restore(saved)
        self.promises.forget(memory)
        self.promises.forgive(self.setting.ttl_ms)

    def clock_steps(self) -> None:
        by_ms = _STEPS_MS[self.world.choices.of(len(_STEPS_MS))]
        self.world.say("store", f"!! its clock steps by {by_ms / 1000:+g} s")
        self.world.skew_ms += by_ms
        self.promises.step(by_ms)

    def redelivers(self) -> None:
        broker = self.broker
        if broker.out:
            tag = list(broker.out)[self.world.choices.of(len(broker.out))]
            name = self.names.run(broker.out[tag].message.run)
            self.world.say("broker", f"!! delivers {name} again, whose worker has it")
            broker.take_back(tag)

    def repeats(self) -> None:
        if self.broker.ready:
            message = self.broker.ready[-1]
            self.world.say("broker", f"!! repeats {self.names.run(message.run)}")
            self.broker.put(message)

    def loses(self) -> None:
        if self.broker.ready:
            message = self.broker.ready.pop()
            self.world.say("broker", f"!! loses {self.names.run(message.run)}")
            self.broker.lost.add(message.run)

    def stands_still(self) -> None:
        if self.broker.workers:
            worker = self.broker.workers[self.world.choices.of(len(self.broker.workers))]
            for_ms = DELAYS_MS[self.world.choices.of(len(DELAYS_MS))]
            self.world.say(worker.name, f"!! stands still for {for_ms / 1000:g} s")
            worker.freeze(for_ms)

    def dies(self) -> None:
        if self.broker.workers:
            worker = self.broker.workers[self.world.choices.of(len(self.broker.workers))]
            self.world.say(worker.name, "!! is killed")
            worker.kill()

    def _judge(self) -> None:
        """Nothing is lost: every message that the broker had was seen to."""
        self.promises.has_paid()
        # What the store has the message of was run again before all came to rest, or waits
        # for everything to be resumed.
        excused = self.done | self.broker.lost | self.promises.seen_to
        excused |= set(self.acked_early.values())
        for run in self.broker.accepted:
            if run not in excused:
                self.promises.broke(f"{self.names.run(run)} was published and never run")

    def _owed(self) -> set[str]:
        """What the beats are to publish again: the broker lost it, or its worker died."""
        promises = self.promises
        if promises.is_all_stopped:
            return set()
        lost = (self.broker.lost & promises.awaited) - promises.begun - promises.seen_to
        return lost | self._kept() if promises.memory.leases.kept else lost

    def _kept(self) -> set[str]:
        """What the store has the messages of, because it has begun and not ended."""
        kept = self.promises.memory.leases.kept.items()
        promised = {run for run, (_, longest_ms) in kept if longest_ms}
        return promised - self.done - self.promises.seen_to

    def _left(self) -> str:
        lost = ", ".join(map(self.names.run, sorted(self._owed()))) or "none"
        return f"queued {len(self.broker.ready)}, out {len(self.broker.out)}, lost {lost}"


_HAPPENINGS: Final[tuple[Callable[[Deployment], None], ...]] = (
    lambda _: None,
    Deployment.redelivers,
    Deployment.repeats,
    Deployment.stands_still,
    Deployment.dies,
    Deployment.loses,
    Deployment.clock_steps,
    Deployment.forgets_all,
    Deployment.forgets_last_writes,
)
