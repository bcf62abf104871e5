"""The rig of the exhaustive exploration: one store and one judge, set to a state at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery_singleton_beat.protocol.entry import CatchUp, Timing
from celery_singleton_beat.protocol.occurrence import Occurrence
from celery_singleton_beat.protocol.plan import first_plan
from celery_singleton_beat.protocol.recurrences.bounds import Bounded
from celery_singleton_beat.protocol.recurrences.recurrence import Interval
from celery_singleton_beat.store.port import Adoption, ClaimRequest
from tests.simulation.names import Names
from tests.simulation.nodes import HOLD_MS, TTL_MS, BeatAt, Node, WorkerAt, copied
from tests.simulation.promises import Memory, Promises
from tests.simulation.stores import Pure
from tests.simulation.world import START_MS


class Rig:
    """Two replicas and two workers, and two occurrences: of one entry, or of two.

    It stands for the world and the broker that the promises ask.
    """

    def __init__(self, *, entries: int, one_key: bool) -> None:
        self.start_ms = Interval(2000).next_after(START_MS)
        end_ms = self.start_ms + (0 if entries == 2 else 2000)
        rule = Bounded(Interval(2000), None, end_ms)
        names = "xy"[:entries]
        self.timings: Mapping[str, Timing] = {
            name: Timing(name, rule, catch_up=CatchUp.ALL) for name in names
        }
        self.batch = 1
        self.one_key = one_key
        self.names = Names()
        self.now_ms = self.start_ms
        self.accepted: frozenset[str] = frozenset()
        self.ttl_ms = TTL_MS
        self.world = self
        self.store = Pure(self.store_ms)
        itself: Any = self
        self.promises = Promises(itself, itself, self.names)

    def store_ms(self) -> int:
        """Tell the time of the state that is looked at."""
        return self.now_ms

    def say(self, _who: str, _text: str) -> None:
        """Say nothing: the moves say it all."""

    def first(self) -> Node:
        """Make the first state: all is planned, and the first occurrence is due."""
        self.now_ms = self.start_ms - 1
        self.store.claim(ClaimRequest("r1", "a", "q", 1, HOLD_MS, 15_000))
        planned: list[Any] = [
            Adoption(name, None, first_plan(timing, None, now_ms=self.now_ms))  # type: ignore[arg-type]
            for name, timing in self.timings.items()
        ]
        self.store.adopt("a", planned, done=True)
        return Node(
            copied(self.store._state),  # noqa: SLF001
            Memory(),
            self.start_ms,
            (BeatAt("r1"), BeatAt("r2")),
            (WorkerAt("w1"), WorkerAt("w2")),
        )

    def enter(self, node: Node) -> tuple[Node, Pure]:
        """Set store and judge to a state; the state that is handed back is theirs to change."""
        after = node._replace(store=copied(node.store), memory=node.memory.copy())
        self.store._state = after.store  # noqa: SLF001
        # Ways apart know nothing of each other's tokens.
        after.memory.leases.tokens = dict(node.memory.leases.tokens)
        self.promises.memory = after.memory
        self.promises.top_fence = node.store.fence
        self.now_ms, self.accepted = node.now_ms, node.accepted
        return after, self.store

    def key_of(self, run: str) -> str:
        """Name the lock key of a run."""
        return "key" if self.one_key else f"key of {run}"

    def name(self, entry: str, at_ms: int) -> str:
        """Name an occurrence."""
        return self.names.occurrence(entry, at_ms)

    def of(self, occurrence: Occurrence) -> str:
        """Name an occurrence."""
        return self.names.occurrence(occurrence.entry, occurrence.scheduled_ms)
