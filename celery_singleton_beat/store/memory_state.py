"""What a store in memory holds, and how its indexes are read."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TypeVar

from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.claim import Slot
from celery_singleton_beat.protocol.epoch import Epoch
from celery_singleton_beat.protocol.fleet import Fleet
from celery_singleton_beat.protocol.run import Lock, Run

_V = TypeVar("_V")


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
    begun_ms: dict[str, int] = field(default_factory=dict)
    latest_ms: dict[str, int] = field(default_factory=dict)


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
