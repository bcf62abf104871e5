"""Random faults among beats and workers: kills, freezes, stops, and wrong clocks."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.acceptance.deployment import ENOUGH, GOVERNS, Deployment, claimed_with
from tests.rig.sending import MOMENTS, catch

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.rig.processes import Proc
    from tests.rig.skew import ClockSkew

HOUR_MS = 3_600_000
SHIFTS_MS = (0, 2000, -HOUR_MS)
HOLD_MS = 2000


class Storm:
    """Random faults among three beats and two workers; whoever dies is started again.

    A beat that is killed or frozen has claimed something: `orphaned` says how much, strike by
    strike. It has sent nothing of it yet, or all and noted it nowhere, in turn.
    """

    def __init__(
        self,
        deployment: Deployment,
        make_skew: Callable[[int], ClockSkew],
        chance: random.Random,
    ) -> None:
        self._deployment = deployment
        self._chance = chance
        self._clocks = [make_skew(shift_ms) for shift_ms in SHIFTS_MS]
        self.workers = [self._start_worker() for _ in range(2)]
        self.beats = [self._start_beat(place) for place in range(len(SHIFTS_MS))]
        self.counts: dict[str, int] = {}
        self.orphaned: list[int] = []
        self._bag: list[Callable[[], None]] = []
        self._moments = itertools.cycle(chance.sample(MOMENTS, len(MOMENTS)))
        for beat in self.beats:
            beat.wait_for(GOVERNS, ENOUGH)

    def strike(self) -> None:
        """One fault, and its repair: every kind has its turn, in random order."""
        if not self._bag:
            faults = [
                self.kill_beat,
                self.freeze_beat,
                self.stop_beat,
                self.kill_worker,
                self.kill_child,
            ]
            self._bag = self._chance.sample(faults, len(faults))
        fault = self._bag.pop()
        self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
        fault()

    def kill_beat(self) -> None:
        place = self._caught_beat()
        self.beats[place].kill()
        self.beats[place] = self._start_beat(place)

    def stop_beat(self) -> None:
        place = self._chance.randrange(len(self.beats))
        self.beats[place].terminate()
        self.beats[place] = self._start_beat(place)

    def freeze_beat(self) -> None:
        """Stand still for longer than the hold, then go on as if nothing had been."""
        beat = self.beats[self._caught_beat()]
        held_until_ms = self._deployment.now_ms() + HOLD_MS
        self._deployment.facts.wait_past(held_until_ms + self._chance.randrange(200, 1500))
        beat.thaw()

    def kill_worker(self) -> None:
        """The main process and its pool at once, at any moment.

        kombu's Redis transport takes a message off its queue before it notes it as
        unacknowledged; a worker killed between the two loses it. That is what the start
        deadline is for.
        """
        place = self._chance.randrange(len(self.workers))
        self.workers[place].kill()
        self.workers[place] = self._start_worker()

    def kill_child(self) -> None:
        worker = self._chance.choice(self.workers)
        children = [process for process in worker.group() if process[0] != worker.pid]
        if children:
            worker.kill_child(self._chance.choice(children))

    def _caught_beat(self) -> int:
        """A replica that stands still where it sends what it has claimed."""
        beat, entries = catch(
            self._deployment.witness, self.beats, next(self._moments), within_s=ENOUGH
        )
        self.orphaned.append(claimed_with(entries, self._deployment.holds()))
        return self.beats.index(beat)

    def _start_beat(self, place: int) -> Proc:
        return self._deployment.beat(skew=self._clocks[place])

    def _start_worker(self) -> Proc:
        return self._deployment.worker(concurrency=3)
