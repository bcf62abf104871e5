"""What a watcher sees when it looks: a moment of a deployment, without any verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.run import Lock
from celery_singleton_beat.protocol.statistics import Counts
from celery_singleton_beat.store.observed_port import Overview


@dataclass(frozen=True, slots=True)
class Running:
    """A run whose body this process has in its pool, and how long it may take (0: any time)."""

    run: str
    holder: str
    key: str
    task: str
    entry: str
    running_ms: int
    limit_ms: int


@dataclass(frozen=True)
class Sight:
    """One look, by the store's clock; ``since_ms`` is since when every look was answered.

    ``keys`` is what was counted of lock keys to which something happened lately,
    ``facts`` what happened since the look before, ``locks`` those of the runs that
    are alerted of.
    """

    now_ms: int
    since_ms: int
    overview: Overview
    keys: Mapping[str, Counts] = field(default_factory=dict)
    facts: Sequence[Fact] = ()
    locks: Mapping[str, Lock | None] = field(default_factory=dict)
