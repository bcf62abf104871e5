"""What every comparison of the two stores needs: both of them, around one clock."""

from __future__ import annotations

from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from celery_singleton_beat.protocol.statistics import TOTAL
from celery_singleton_beat.store.memory_store import MemoryStore
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import FakeClock

# All times lie on this grid, so that deadlines are met exactly, missed by one step, or passed.
STEP_MS = 1000
HISTORIES = count()


class Machine(RuleBasedStateMachine):
    """Asks both stores the same, and compares what they answer."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.memory = MemoryStore(self.clock)
        self.wire = Wire(self.url)
        self.redis = self._made()
        self.requests = count()

    def teardown(self) -> None:
        self.wire.close()

    def both(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        expected = getattr(self.memory, verb)(*args, **kwargs)
        actual = getattr(self.redis, verb)(*args, **kwargs)
        assert actual == expected, (actual, expected)
        return expected

    def both_look(self, *subjects: str) -> None:
        """Compare what people see of both."""
        for entry in ("", "x", "y"):
            self.both("history", 100, entry)
        self.both("counted", 100)
        self.both("counts", [TOTAL, *subjects])
        self.both("overview")

    @rule()
    def forgets(self) -> None:
        self.memory.forget()
        reborn = self._made()
        # It remembers the earlier epoch, as a live process would.
        reborn._epoch = self.redis._epoch  # noqa: SLF001
        self.redis = reborn

    def _made(self) -> RedisStore:
        prefix = f"twins-{next(HISTORIES)}"
        return RedisStore(self.wire, prefix=prefix, app="app", now_ms=self.clock)


def compare(machine: type[Machine], url: str, histories: int) -> None:
    """Run so many random histories through both stores."""
    run_state_machine_as_test(
        type("Here", (machine,), {"url": url}),
        settings=settings(
            max_examples=histories,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
