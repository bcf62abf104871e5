"""What a store in memory holds, how its indexes are read, and how a step enters it."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from celery_singleton_beat.protocol.asked import Ask
from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.claim import Slot
from celery_singleton_beat.protocol.duty import Duty
from celery_singleton_beat.protocol.epoch import Epoch, recognise
from celery_singleton_beat.protocol.fleet import Fleet
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.kept_message import KeptMessage
from celery_singleton_beat.protocol.run import Lock, Run, Spent
from celery_singleton_beat.protocol.stored import Card
from celery_singleton_beat.protocol.tenant import Tenant

_V = TypeVar("_V")

HISTORY: Final = 10_000
"""How many facts are kept, unless said otherwise."""

ENTRY_HISTORY: Final = 100
"""How many facts of one entry are kept, unless said otherwise."""

STATISTICS: Final = 10_000
"""Of how many entries and lock keys is counted what happens, unless said otherwise."""


def system_ms() -> int:
    """Tell this host's time."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class State:
    """Everything that a store in memory knows."""

    epoch: Epoch | None = None
    fence: int = 0
    fleet: Fleet = field(default_factory=Fleet)
    adopted: str = ""
    governor: str | None = None
    due: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    slots: dict[str, Slot] = field(default_factory=dict)
    last: dict[str, tuple[str, int, tuple[str, ...]]] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    locks: dict[str, Lock] = field(default_factory=dict)
    awaited: dict[str, int] = field(default_factory=dict)
    published: dict[str, Awaited] = field(default_factory=dict)
    queued: dict[str, int] = field(default_factory=dict)
    begun_ms: dict[str, int] = field(default_factory=dict)
    latest_ms: dict[str, int] = field(default_factory=dict)
    cancelled: dict[str, int] = field(default_factory=dict)
    spent: dict[str, Spent] = field(default_factory=dict)
    crashable: dict[str, int] = field(default_factory=dict)
    messages: dict[str, KeptMessage] = field(default_factory=dict)
    cards: dict[str, Card] = field(default_factory=dict)
    stored: dict[str, Slot] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    looks: dict[str, dict[str, int | None]] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    sources: dict[str, dict[str, int]] = field(default_factory=dict)
    took: dict[str, tuple[str, int, tuple[str, ...]]] = field(default_factory=dict)
    asks: dict[str, Ask] = field(default_factory=dict)
    asked_slots: dict[str, Slot] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    asked_config: dict[str, int] = field(default_factory=dict)
    asked_over: dict[str, int] = field(default_factory=dict)
    took_asked: dict[str, tuple[str, int, tuple[tuple[str, int], ...]]] = field(
        default_factory=dict
    )
    revision: int = 0
    is_paused: bool = False
    resumed_ms: int = 0
    duty: Duty | None = None
    alerts: dict[str, str] = field(default_factory=dict)
    history: deque[Fact] = field(default_factory=lambda: deque(maxlen=HISTORY))
    history_of: dict[str, deque[Fact]] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)

    def await_no_more(self, run: str) -> None:
        """Wait no longer for a run to begin, if anybody does."""
        self.awaited.pop(run, None)
        self.published.pop(run, None)


def first_due(scores: dict[str, int], now_ms: int, limit: int) -> list[str]:
    """Name the lowest scores up to now, in the order in which Redis would."""
    due = sorted((score, name.encode()) for name, score in scores.items() if score <= now_ms)
    return [name.decode() for _, name in due[:limit]]


def put_or_drop(into: dict[str, _V], key: str, value: _V | None) -> None:
    """Keep a value under a key, or nothing."""
    if value is None:
        into.pop(key, None)
    else:
        into[key] = value


class MemoryCore:
    """The state of a store in memory, its clock, and what every step does first."""

    def __init__(self, now_ms: Callable[[], int] = system_ms, *, app: str = "app") -> None:
        self._now_ms = now_ms
        self._app = app
        self._guard = threading.RLock()
        self._changed = threading.Event()
        self._state = State()
        self._known = ""
        self._epochs = 0

    def _enter(self) -> int:
        now_ms = self._now_ms()
        self._epochs += 1
        self._state.epoch = recognise(
            self._state.epoch, known=self._known, fresh=f"memory-{self._epochs}", now_ms=now_ms
        )
        self._known = self._state.epoch.name
        return now_ms

    def _next_fence(self, now_ms: int) -> int:
        return max(self._state.fence + 1, now_ms * 1000)
