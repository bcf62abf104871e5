"""What happened: one dataclass for each fact, and the list of those who listen.

The core emits facts and does nothing else with them; logs, metrics and alerts
listen. A listener's exception is logged and goes no further.

Times are milliseconds since the Unix epoch by the store's clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """A fact. ``level`` and ``text`` are how it is logged, where it is."""

    level: ClassVar[int] = logging.INFO
    text: ClassVar[str] = ""


Listener = Callable[[Event], None]
Wants = Callable[[type[Event]], bool]


class Events:
    """Listeners, and the telling."""

    def __init__(self) -> None:
        self._listeners: tuple[tuple[Listener, Wants | None], ...] = ()

    def subscribe(self, listener: Listener, *, wants: Wants | None = None) -> Callable[[], None]:
        """Let ``listener`` be told of every event; the answer ends it.

        ``wants`` tells of which kinds it would take no notice, now: if nobody
        would, an event of that kind need not be made.
        """
        self._listeners = (*self._listeners, (listener, wants))
        return lambda: self._unsubscribe(listener)

    def wants(self, kind: type[Event]) -> bool:
        """Tell whether anybody would take notice of an event of this kind."""
        for _, wants in self._listeners:  # noqa: SIM110  # asked twice a run: cheaper than any()
            if wants is None or wants(kind):
                return True
        return False

    def emit(self, event: Event) -> None:
        """Tell everybody, in the order in which they subscribed."""
        for listener, _ in self._listeners:
            try:
                listener(event)
            except Exception:
                _logger.exception("A listener failed on an event; the others go on")

    def _unsubscribe(self, listener: Listener) -> None:
        self._listeners = tuple(kept for kept in self._listeners if kept[0] is not listener)


# In beat -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OccurrencePublished(Event):
    """The broker has the occurrence's message."""

    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = "Occurrence published"
    entry: str
    scheduled_ms: int
    task_id: str
    late_ms: int
    replica: str


@dataclass(frozen=True, slots=True)
class OccurrenceUncertain(Event):
    """The broker may have the message; it is published again, with the same id, after the hold."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "It is not known whether an occurrence was published; it will be repeated"
    entry: str
    scheduled_ms: int
    task_id: str
    error: str


@dataclass(frozen=True, slots=True)
class OccurrenceRecalled(Event):
    """Nobody began the occurrence in time; it was published again, with the same id."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "An occurrence that nobody began was published again"
    entry: str
    scheduled_ms: int
    task_id: str


@dataclass(frozen=True, slots=True)
class OccurrencesMissed(Event):
    """Occurrences that catch-up leaves out; ``by_ms`` is the one that stands for them, if any."""

    text: ClassVar[str] = "Missed occurrences are not caught up"
    entry: str
    first_ms: int
    last_ms: int
    count: int
    by_ms: int | None


@dataclass(frozen=True, slots=True)
class DispatchFailed(Event):
    """The entry itself could not be sent: its arguments, encoding or routing."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "An entry could not be dispatched"
    entry: str
    scheduled_ms: int
    attempt: int
    given_up: bool
    error: str


@dataclass(frozen=True, slots=True)
class ClaimLost(Event):
    """A claim was over before it was settled: another replica has the occurrence."""

    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = "A claim was lost to another replica"
    entry: str
    scheduled_ms: int


@dataclass(frozen=True, slots=True)
class EntrySetAside(Event):
    """An entry, or what the store keeps of it, cannot be used; the others go on."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "An entry was set aside"
    entry: str
    reason: str

    @classmethod
    def unreadable(cls, entry: str) -> EntrySetAside:
        """Tell that the store's record of an entry was no record."""
        reason = "the store's record of it cannot be read; it was moved away and planned anew"
        return cls(entry, reason)


@dataclass(frozen=True, slots=True)
class StandingChanged(Event):
    """This replica's configuration governs now, or another one does."""

    text: ClassVar[str] = "The standing of this replica's configuration changed"
    replica: str
    standing: str


@dataclass(frozen=True, slots=True)
class StoreLost(Event):
    """The store stopped answering; told once, until it is back."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "The store does not answer; nothing is claimed until it does"
    error: str


@dataclass(frozen=True, slots=True)
class StoreBack(Event):
    """The store answers again."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "The store answers again"
    away_ms: int


@dataclass(frozen=True, slots=True)
class BrokerLost(Event):
    """The broker cannot be reached; told once, until it is back."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "The broker cannot be reached; nothing is claimed until it can"
    error: str


@dataclass(frozen=True, slots=True)
class BrokerBack(Event):
    """The broker can be reached again."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "The broker can be reached again"


@dataclass(frozen=True, slots=True)
class StoreClockJumped(Event):
    """The store's clock jumped; after a jump ahead nothing is claimed for a lock's TTL."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "The store's clock jumped"
    by_ms: int


@dataclass(frozen=True, slots=True)
class TickFailed(Event):
    """A tick met an error that nobody foresaw; the next one comes."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "A tick failed; beat goes on"
    error: str


# In workers ----------------------------------------------------------------------------------


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
