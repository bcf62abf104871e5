"""What happens in workers: to runs and their leases."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

from celery_singleton_beat.events.listeners import Event


@dataclass(frozen=True, slots=True)
class RunBegan(Event):
    """A run holds its lock key; its body starts. ``starts`` counts starts of this run."""

    text: ClassVar[str] = "Lock acquired"
    task: str
    run: str
    key: str
    token: int
    starts: int


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """A run's body ended; ``recorded`` tells whether the store knows already."""

    text: ClassVar[str] = "Run ended"
    task: str
    run: str
    key: str
    outcome: str
    recorded: bool


@dataclass(frozen=True, slots=True)
class RunSkipped(Event):
    """A run gave way: its key is held, it came too late, or the store is away."""

    text: ClassVar[str] = "Run skipped"
    task: str
    run: str
    key: str
    reason: str
    holder: str = ""


@dataclass(frozen=True, slots=True)
class RunGivenUp(Event):
    """A run is not begun once more: its workers died as often as it may be begun."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "Run given up: its workers died too often"
    task: str
    run: str
    key: str
    attempts: int


@dataclass(frozen=True, slots=True)
class RunDiscarded(Event):
    """A message will not be executed: it is expired, revoked or of no known task."""

    text: ClassVar[str] = "Message discarded"
    run: str
    entry: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunPostponed(Event):
    """A run was re-queued."""

    text: ClassVar[str] = "Run re-queued"
    task: str
    run: str
    key: str
    reason: str
    delay_ms: int


@dataclass(frozen=True, slots=True)
class DuplicateDropped(Event):
    """A message of a run that ended, or of an attempt that is over, was recognised."""

    text: ClassVar[str] = "Duplicate message dropped"
    task: str
    run: str
    verdict: str


@dataclass(frozen=True, slots=True)
class RunUnprotected(Event):
    """A run goes on without a lock, because the store is away and its task asks for that."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "Running without a lock: the store does not answer"
    task: str
    run: str
    key: str


@dataclass(frozen=True, slots=True)
class LeaseGone(Event):
    """A running task is no longer the holder of its lock key."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "A lease was lost while its task runs"
    run: str
    key: str


@dataclass(frozen=True, slots=True)
class RunStopped(Event):
    """The body of a run that lost its lease was interrupted, because its task asks for that."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "A run was stopped: it has lost its lease"
    run: str
    key: str


@dataclass(frozen=True, slots=True)
class LeaseRestored(Event):
    """The store had forgotten a lease; its holder has it back, with a higher token."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "The store had forgotten a lease; it was taken back"
    run: str
    key: str
    token: int
