"""Arrivals: the moment at which each message is in the broker's queue, taken by a bystander.

The bystander takes messages out as they come (BRPOP, then all that is there) and looks at them
only afterwards. What it sees is later than the publish by its own wake-up, well under 2 ms, and
the same on every side of a comparison.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis
from typing_extensions import Self

from tests.benchmarks.bench_app import STOCK_DUE_HEADER
from tests.benchmarks.burst_child import QUEUE

if TYPE_CHECKING:
    from types import TracebackType

OUR_HEADER = "singleton_occurrence"
CHUNK = 1000


@dataclass(frozen=True)
class Arrival:
    """One message: its entry, when it was due by its scheduler's own account, when it came."""

    entry: str
    scheduled_ms: int | None
    arrived_ms: float

    @property
    def late_ms(self) -> float:
        """Milliseconds from the due moment to the arrival; none is taken as on time."""
        return self.arrived_ms - (self.scheduled_ms or self.arrived_ms)


class Bystander:
    """A thread that empties the queue and notes the time; use it in a `with` block."""

    def __init__(self, broker_url: str) -> None:
        self._client: Any = redis.Redis.from_url(broker_url)
        self._noted: list[tuple[float, bytes]] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._watch, name="bystander", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping = True
        self._thread.join()

    @property
    def count(self) -> int:
        """How many messages came so far."""
        return len(self._noted)

    def wait_for(self, count: int, timeout_s: float) -> bool:
        """Say whether at least `count` messages came within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._noted) >= count, timeout_s)

    def arrivals(self) -> list[Arrival]:
        """Return all messages that came so far, in order."""
        return [_read(moment, raw) for moment, raw in list(self._noted)]

    def _watch(self) -> None:
        while not self._stopping:
            first = self._client.brpop([QUEUE], timeout=0.2)
            if first is None:
                continue
            moment, batch = time.time() * 1000, [first[1]]
            while batch:
                with self._changed:
                    self._noted.extend((moment, raw) for raw in batch)
                    self._changed.notify_all()
                batch = self._client.rpop(QUEUE, CHUNK) or []
                moment = time.time() * 1000


def _read(moment_ms: float, raw: bytes) -> Arrival:
    headers = json.loads(raw)["headers"]
    ours = headers.get(OUR_HEADER)
    if ours:
        return Arrival(ours["entry"], ours["scheduled_ms"], moment_ms)
    name = headers.get("periodic_task_name") or headers.get("task", "")
    return Arrival(name, headers.get(STOCK_DUE_HEADER), moment_ms)
