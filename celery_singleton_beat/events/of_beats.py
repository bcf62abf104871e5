"""What happens in beats: to occurrences, replicas, the store and the broker."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar, Final

from celery_singleton_beat.events.listeners import Event

_LONGEST_REASON: Final = 1000


@dataclass(frozen=True, slots=True)
class OccurrencePublished(Event):
    """The broker has the occurrence's message.

    ``cause`` is the id of the request that asked for it (empty: the timetable did);
    then ``late_ms`` counts from when it was the request's turn.
    """

    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = "Occurrence published"
    entry: str
    scheduled_ms: int
    task_id: str
    late_ms: int
    replica: str
    cause: str = ""


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
class RunRepublished(Event):
    """The worker of a run died; its message was published again, with the same id."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "The worker of a run died; its message was published again"
    run: str
    replica: str


@dataclass(frozen=True, slots=True)
class RunNotRepublished(Event):
    """The worker of a run died, and its message cannot be published again."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "The worker of a run died, and its message cannot be published again"
    run: str
    error: str


@dataclass(frozen=True, slots=True)
class OccurrencesMissed(Event):
    """Occurrences that are left out; ``by_ms`` is the one that stands for them, if any.

    ``reason`` is ``"late"`` (catch-up left them out), ``"paused"`` (they were due
    while the entry was paused), ``"overlap"`` (the run before them was not over) or
    ``"changed"`` (from this one on, its rule was changed before they were dispatched).
    """

    text: ClassVar[str] = "Occurrences were left out"
    entry: str
    first_ms: int
    last_ms: int
    count: int
    by_ms: int | None
    reason: str = "late"


@dataclass(frozen=True, slots=True)
class OccurrenceDropped(Event):
    """An occurrence that is delivered at most once may not have reached the broker."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "An occurrence may be lost: it is delivered at most once"
    entry: str
    scheduled_ms: int
    task_id: str
    error: str


@dataclass(frozen=True, slots=True)
class EntriesFoundAgain(Event):
    """Stored entries that an index had lost, by eviction or by hand, are dispatched again."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "Stored entries were found again that an index of the store had lost"
    count: int


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
    def because(cls, entry: str, error: Exception) -> EntrySetAside:
        """Tell of an error of an entry's own; whoever wrote it may have written a book."""
        text = str(error)
        return cls(entry, text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…")

    @classmethod
    def unreadable(cls, entry: str) -> EntrySetAside:
        """Tell that the store's record of an entry was no record."""
        reason = "the store's record of it cannot be read; it was moved away and planned anew"
        return cls(entry, reason)

    @classmethod
    def all_of(cls, tenant: str) -> EntrySetAside:
        """Tell that a tenant's entries wait: something foreign is where their index was."""
        reason = f"the store's key of:{tenant} holds something foreign: remove it, or put it back"
        return cls(f"all entries of tenant {tenant!r}", reason)


@dataclass(frozen=True, slots=True)
class StandingChanged(Event):
    """This replica's configuration governs now, or another one does."""

    text: ClassVar[str] = "The standing of this replica's configuration changed"
    replica: str
    standing: str


@dataclass(frozen=True, slots=True)
class StoreConnected(Event):
    """The store answered this process for the first time."""

    text: ClassVar[str] = "Connected to the store"
    address: str


@dataclass(frozen=True, slots=True)
class Ready(Event):
    """A beat or a worker can do its part: it has so many entries, or so many tasks."""

    text: ClassVar[str] = "Ready"
    role: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class StoreLost(Event):
    """The store stopped answering; told once, until it is back."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "The store does not answer; nothing is claimed or begun until it does"
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
