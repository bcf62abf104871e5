"""The main job under faults: every occurrence once, whoever is killed, frozen or wrong about time.

The seed is printed; `SINGLETON_BEAT_SEED` sets it, `SINGLETON_BEAT_FAULT_SECONDS` the length.
"""

from __future__ import annotations

import contextlib
import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.acceptance import timetable
from tests.acceptance.deployment import ENOUGH, GOVERNS, Deployment, account
from tests.acceptance.timetable import Every

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.processes import Proc
    from tests.rig.skew import ClockSkew

ENTRIES = (
    *(Every(f"every-1s-{number:02}", 1000, 0.0 if number % 10 else 0.25) for number in range(38)),
    *(Every(f"every-half-{number}", 500) for number in range(3)),
    *(Every(f"every-2s-{number}", 2000, 0.5) for number in range(4)),
    # They outlast the visibility timeout and the lease: their messages come again meanwhile.
    *(Every(f"every-8s-{number}", 8000, 6.0) for number in range(2)),
)
HOUR_MS = 3_600_000
SHIFTS_MS = (0, 2000, -HOUR_MS)
HOLD_MS = 2000
START_DEADLINE_S = 15
CONFIRMED = {"broker_transport_options": {"confirm_publish": True}}


class Storm:
    """Random faults among three beats and two workers; whoever dies is started again."""

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
        self._bag: list[Callable[[], None]] = []
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
        place = self._busy_beat()
        self.beats[place].kill()
        self.beats[place] = self._start_beat(place)

    def stop_beat(self) -> None:
        place = self._chance.randrange(len(self.beats))
        self.beats[place].terminate()
        self.beats[place] = self._start_beat(place)

    def freeze_beat(self) -> None:
        """Stand still for longer than the hold, then go on as if nothing had been."""
        beat = self.beats[self._busy_beat()]
        beat.freeze()
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

    def _busy_beat(self) -> int:
        """The replica that has just told of a publish, and has yet to settle it."""
        facts = self._deployment.facts
        facts.read()
        told = facts.published.total()
        facts.wait_until(lambda facts: facts.published.total() > told)
        pids = [beat.pid for beat in self.beats]
        return pids.index(facts.publisher) if facts.publisher in pids else 0

    def _start_beat(self, place: int) -> Proc:
        return self._deployment.beat(skew=self._clocks[place])

    def _start_worker(self) -> Proc:
        return self._deployment.worker(concurrency=3)


@pytest.mark.parametrize(("broker", "seconds"), [("redis", 44), ("rabbitmq", 20)])
def test_every_occurrence_runs_once_through_kills_freezes_and_wrong_clocks(  # noqa: PLR0917  # fixtures
    request: pytest.FixtureRequest,
    make_deployment: Callable[..., Deployment],
    make_skew: Callable[[int], ClockSkew],
    make_redis: Callable[..., EmbeddedServer],
    show: Callable[..., None],
    broker: str,
    seconds: int,
) -> None:
    """The main job. S0-01, S0-16..18, S0-21, S0-37, S0-38, S1-11..13, S2-01, S3-13, F4, F6."""
    seed = int(os.environ.get("SINGLETON_BEAT_SEED") or random.randrange(10**6))
    seconds = int(os.environ.get("SINGLETON_BEAT_FAULT_SECONDS") or seconds)
    show(f"faults on {broker}", {"seed": seed, "seconds": seconds})
    is_rabbit = broker == "rabbitmq"
    conf = CONFIRMED | {"broker_url": request.getfixturevalue("rabbitmq")} if is_rabbit else {}
    schedule = timetable.schedule(*ENTRIES)
    deployment = make_deployment(
        make_redis().url(),
        schedule,
        singleton_beat_catch_up="all",
        singleton_beat_start_deadline=START_DEADLINE_S,
        **conf,
    )
    facts, begun_ms = deployment.facts, deployment.now_ms()
    storm = Storm(deployment, make_skew, random.Random(seed))

    from_ms = deployment.now_ms()
    until_ms = from_ms + seconds * 1000
    while deployment.now_ms() < until_ms:
        facts.wait_past(min(deployment.now_ms() + 1000, until_ms))
        storm.strike()
    due = timetable.keys(ENTRIES, from_ms, until_ms)
    with contextlib.suppress(TimeoutError):  # the ledger says better what is missing
        facts.wait_ended(due)
    for beat in storm.beats:
        beat.terminate()

    tally = deployment.witness.tally()
    may = timetable.keys(ENTRIES, begun_ms, deployment.now_ms())
    show("faults", storm.counts)
    show("events", facts.events)
    show("ledger", account(tally, facts, due, may=may))
    assert tally.unexpected(may) == set()
    assert tally.duplicates() == set()
    assert tally.lost(due) == set()
