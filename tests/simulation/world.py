"""The world: virtual time, the processes in it, and who moves next.

Everybody is a *fiber* (a greenlet) of a process. A fiber runs until it sleeps, and
then the world chooses who is next; so the real engine is interleaved at every
question to the store, in one thread, and the same choices give the same history.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush, heapreplace
from typing import Any, Final

from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation.choices import Choices

START_MS: Final = 1_700_000_024_000 - 300
"""The store's time at the beginning: shortly before every interval's next occurrence.

All that is due is so within one minute, and the next begins soon after.
"""

_NEAR_MS: Final = 2


class ChildKilled(BaseException):
    """A worker's child was killed in the middle of what it did."""


class Process:
    """Something that can be killed and that can stand still."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.is_alive = True
        self.frozen_until_ms = 0

    def spawn(self, body: Callable[[], None], in_ms: int = 1) -> Fiber:
        """Start a fiber of this process."""
        fiber = Fiber(self, body)
        self.world.wake(fiber, in_ms)
        return fiber

    def freeze(self, for_ms: int) -> None:
        """Let it stand still, all of it, and then go on as if nothing had been."""
        self.frozen_until_ms = self.world.now_ms + for_ms

    def kill(self) -> None:
        """End it, without a last word. If that is the caller's own process it never returns."""
        self.is_alive = False
        self.bury()
        if isinstance(here := getcurrent(), Fiber) and here.process is self:
            raise GreenletExit

    def bury(self) -> None:
        """See to what is left."""


class Fiber(greenlet):
    """One thread of a process. ``is_idle`` while it may be woken before its time."""

    def __init__(self, process: Process, body: Callable[[], None]) -> None:
        super().__init__(body)
        self.process = process
        self.turn = 0
        self.is_idle = False

    @property
    def has_started(self) -> bool:
        """Whether it has moved, and is not at its end."""
        return bool(greenlet.__bool__(self))


class World:
    """Virtual time. ``now_ms`` is what processes measure by; the store's clock may step."""

    def __init__(self, choices: Choices, story: list[str] | None = None) -> None:
        self.choices = choices
        self.now_ms = 0
        self.skew_ms = START_MS
        self.story = story
        self._turns = 0
        self._heap: list[tuple[int, int, Fiber | Callable[[], None]]] = []

    def clock(self) -> int:
        """Tell the time that never steps."""
        return self.now_ms

    def store_ms(self) -> int:
        """Tell the store's time."""
        return self.now_ms + self.skew_ms

    def wake(self, fiber: Fiber, in_ms: int) -> None:
        """Let a fiber move in so many milliseconds, and not at the time planned before."""
        self._turns = fiber.turn = self._turns + 1
        heappush(self._heap, (self.now_ms + in_ms, fiber.turn, fiber))

    def later(self, in_ms: int, act: Callable[[], None]) -> None:
        """Let something happen in so many milliseconds."""
        self._turns += 1
        heappush(self._heap, (self.now_ms + in_ms, self._turns, act))

    def sleep(self, for_ms: int) -> None:
        """Let the current fiber wait."""
        fiber: Any = getcurrent()
        self._turns = fiber.turn = self._turns + 1
        heappush(self._heap, (self.now_ms + for_ms, fiber.turn, fiber))
        fiber.parent.switch()

    def rest(self, for_ms: int | None) -> None:
        """Let the current fiber wait until its time has come or somebody wakes it."""
        fiber: Any = getcurrent()
        fiber.is_idle = True
        if for_ms is not None:
            self.wake(fiber, for_ms)
        fiber.parent.switch()
        fiber.is_idle = False

    def step(self) -> bool:
        """Let one move; False if nobody wants to."""
        if not self._heap:
            return False
        heap = self._heap
        at_ms, turn, who = heappop(heap)
        if heap and heap[0][0] <= at_ms + _NEAR_MS and self.choices.fault(2):
            at_ms, turn, who = heapreplace(heap, (heap[0][0], turn, who))
        self.now_ms = max(self.now_ms, at_ms)
        if not isinstance(who, Fiber):
            who()
        elif who.turn == turn and (process := who.process).is_alive and not who.dead:
            left_ms = process.frozen_until_ms - self.now_ms
            if left_ms > 0:
                self.wake(who, left_ms)
            else:
                who.switch()
        return True

    def end(self) -> None:
        """Unwind whoever is left."""
        for _, _, who in self._heap:
            if isinstance(who, Fiber) and who.has_started and not who.dead:
                who.throw(GreenletExit)
        self._heap = []

    def say(self, who: str, text: str) -> None:
        """Add a line to the story."""
        if self.story is not None:
            self.story.append(f"{self.now_ms / 1000:9.3f}  {who:<8}  {text}")
