"""The line from a process to the store: where questions and answers are delayed and lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from celery_singleton_beat.errors import StoreUnavailable
from tests.simulation.promises import Promises
from tests.simulation.stores import VERBS, Door
from tests.simulation.world import ChildKilled, Process

TRIP_MS: Final = 1
TIMEOUT_MS: Final = 500
DELAYS_MS: Final = (700, 30, 1200, 3500, 9000, 20_000)
"""For how long something stands still: about a hold, a lease, a lease with its notice, and more."""

_FAULTS: Final = (
    "",
    "the question is lost",
    "the answer is lost",
    "killed before the question",
    "killed before the answer",
    "the answer is slow",
    "frozen before the question",
    "frozen before the answer",
    "the question is slow, and not waited for",
    "its child killed before the question",
    "its child killed before the answer",
)
# Asked about nothing, a store in Redis answers without a question to the server.
_LISTS: Final = frozenset(
    {"busy", "dismiss", "await_again", "postpone", "rerun", "give_up", "slots", "renew", "finish"}
)
_OF_A_BEAT: Final = len(_FAULTS) - 2
_SEEN: Final = {verb: f"saw_{verb}" for verb in VERBS}


class Line:
    """Speaks to the store for one process (or for a worker's child: that can die alone).

    It has every verb of a store that beats and workers use. Each step is taken at
    once in the store, watched by the promises; what comes before and after is slow,
    lost or cut off, as is chosen.
    """

    def __init__(
        self, process: Process, door: Door, promises: Promises, *, is_child: bool = False
    ) -> None:
        self._process = process
        self._world = process.world
        self._door = door
        self._promises = promises
        self._faults = len(_FAULTS) if is_child else _OF_A_BEAT

    def _take(self, verb: str, args: Any, options: Any) -> Any:
        """Take a step in the store, and let the promises see it."""
        promises, door = self._promises, self._door
        if promises.is_wiped:
            promises.meets_wiped(remembers=door.remembers)
        answer = getattr(door, verb)(*args, **options)
        saw = getattr(promises, _SEEN[verb], None)
        if saw is not None:
            saw(self._process.name, answer, *args, **options)
        return answer

    def _amiss(self, fault: int, verb: str, take: Callable[[], Any]) -> Any:
        world, process, text = self._world, self._process, _FAULTS[fault]
        for_ms = 0
        if "slow" in text or "frozen" in text:
            for_ms = DELAYS_MS[world.choices.of(len(DELAYS_MS))]
            text += f" ({for_ms / 1000:g} s)"
        world.say(process.name, f"!! {verb}: {text}")
        if "frozen" in text:
            return self._frozen(text, for_ms, take)
        if "waited" in text:
            world.later(for_ms, lambda: self._in_trouble(take))
        elif "question" not in text:
            world.sleep(TRIP_MS)
            answer = take()
            if "slow" in text:
                world.sleep(for_ms)
                return answer
        if "child" in text:
            raise ChildKilled
        if "killed" in text:
            process.kill()
        world.sleep(TIMEOUT_MS)
        raise StoreUnavailable(text)

    def _in_trouble(self, take: Callable[[], Any]) -> None:
        with self._promises.trouble(self._process.name):
            take()

    def _frozen(self, text: str, for_ms: int, take: Callable[[], Any]) -> Any:
        if "question" in text:
            self._process.freeze(for_ms)
            self._world.sleep(TRIP_MS)
            return take()
        self._world.sleep(TRIP_MS)
        answer = take()
        self._process.freeze(for_ms)
        self._world.sleep(TRIP_MS)
        return answer


def _asking(verb: str) -> Callable[..., Any]:
    is_list = verb in _LISTS

    def ask(self: Line, *args: Any, **options: Any) -> Any:
        """Ask the store, and wait for the answer."""
        if is_list and not args[0]:
            return getattr(self._door, verb)(*args, **options)
        world = self._world
        if fault := world.choices.fault(self._faults):
            with self._promises.trouble(self._process.name):
                return self._amiss(fault, verb, lambda: self._take(verb, args, options))
        world.sleep(TRIP_MS)
        return self._take(verb, args, options)

    return ask


for _verb in VERBS:
    setattr(Line, _verb, _asking(_verb))
