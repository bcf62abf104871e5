"""Locks by hand: a process that takes the keys of tasks, by the real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.engine.board import Board
from celery_singleton_beat.engine.lock import HandLease, HandLocks
from celery_singleton_beat.errors import Locked, StoreError
from tests.simulation.lines import DELAYS_MS, Line
from tests.simulation.workers import Beating
from tests.simulation.world import Process

if TYPE_CHECKING:
    from tests.simulation.deployment import Deployment

_PAUSES_MS: Final = (300, 30, 1900, 4000)
_HELD_MS: Final = (400, 50, 3600, 6000)


class Hand(Process):
    """Takes a key a few times, keeps it for a while, and lets it go; or is killed with it."""

    def __init__(self, deployment: Deployment, name: str) -> None:
        super().__init__(deployment.world, name)
        self._promises, self._setting = deployment.promises, deployment.setting
        world, door = self.world, deployment.backend.door()
        line: Any = Line(self, door, deployment.promises)
        beating = Beating(self, line, Board(8, clock_ms=world.clock))
        own: Any = Line(self, deployment.backend.door(), deployment.promises)
        self._locks = HandLocks(
            own,
            lambda: beating,
            grace_ms=self._setting.ttl_ms,
            clock_ms=world.clock,
            pause=lambda seconds: world.sleep(max(round(seconds * 1000), 1)),
        )
        self._beating = beating
        self._has_done = False
        self.spawn(self._run)

    @property
    def is_at_rest(self) -> bool:
        """Whether it is done, and there is nothing to renew and nothing to record."""
        return not self.is_alive or (self._has_done and self._beating.is_at_rest)

    def bury(self) -> None:
        self._promises.bodies = [b for b in self._promises.bodies if b[0] is not self]

    def _run(self) -> None:
        world, choices = self.world, self.world.choices
        names = tuple(self._setting.timings)
        for _ in range(1 + choices.of(3)):
            world.sleep(_PAUSES_MS[choices.of(len(_PAUSES_MS))])
            key = self._setting.key_of(names[choices.of(len(names))])
            try:
                lease = self._taken(key)
            except (Locked, StoreError) as error:
                world.say(self.name, f"does not get {key}: {type(error).__name__}")
            else:
                if lease is not None:
                    self._keep(lease)
        self._has_done = True

    def _taken(self, key: str) -> HandLease | None:
        ttl_ms = self._setting.ttl_ms
        if self.world.choices.of(3) == 1:
            return self._locks.take(key, self.name, ttl_ms=ttl_ms)
        return self._locks.hold(
            key, self.name, ttl_ms=ttl_ms, renew_ms=ttl_ms // 3, wait_ms=2 * ttl_ms
        )

    def _keep(self, lease: HandLease) -> None:
        world, choices = self.world, self.world.choices
        self._promises.body_runs(self, lease.attempt, lease)
        world.sleep(_HELD_MS[choices.of(len(_HELD_MS))])
        match choices.fault(4):
            case 1:
                world.say(self.name, "!! is killed with a lock")
                self.kill()
            case 2:
                for_ms = DELAYS_MS[choices.of(len(DELAYS_MS))]
                world.say(self.name, f"!! stands still with a lock for {for_ms / 1000:g} s")
                self.freeze(for_ms)
                world.sleep(1)
            case 3:
                self._renew(lease)
            case _:
                pass
        self._promises.body_ends(lease.attempt, lease)
        self._locks.release(lease)

    def _renew(self, lease: HandLease) -> None:
        try:
            is_held = self._locks.renew(lease)
        except StoreError:
            return
        self.world.say(self.name, f"renews by hand: {'held' if is_held else 'lost'}")
        self.world.sleep(_HELD_MS[self.world.choices.of(len(_HELD_MS))])
