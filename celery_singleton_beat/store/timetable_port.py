"""The part of the port that keeps stored entries: its verbs, questions and answers.

What ``store/port.py`` says of every verb holds here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from celery_singleton_beat.protocol.claim import Settled, Settlement, Slot
from celery_singleton_beat.protocol.stored import Card, Put, PutAnswer, Stored
from celery_singleton_beat.protocol.tenant import Quota, Tenant


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A replica asks for up to ``limit`` due stored entries, to hold for ``hold_ms``.

    It gets ``MOST_CLAIMS`` at most, and asks again for what is left.
    ``per_minute`` is how much may be claimed in a minute of a tenant that has no
    quota of its own (ABSENT: any number).
    """

    replica: str
    request_id: str
    limit: int
    hold_ms: int
    per_minute: int = -1


class StoredClaim(NamedTuple):
    """A stored entry as its holder sees it.

    Nothing that was due before ``resumed_ms`` is to be dispatched: the entry, its
    tenant or the whole timetable was paused until then.
    """

    entry: str
    slot: Slot
    card: Card
    resumed_ms: int


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What was claimed, and when to look again (None: nothing is scheduled).

    ``unreadable`` names entries of which a record could not be read: it was moved
    away; with a definition that can be read the entry is planned anew.
    ``found_again`` is how many entries an index had lost, by eviction or by hand,
    and has again. ``foreign`` names tenants of whose entries nothing can be claimed,
    because something that is none of ours is where their index was.
    """

    now_ms: int
    claims: tuple[StoredClaim, ...] = ()
    next_ms: int | None = None
    unreadable: tuple[str, ...] = ()
    found_again: int = 0
    foreign: tuple[str, ...] = ()


class Kept(NamedTuple):
    """What the store has of one entry."""

    card: Card
    slot: Slot


@dataclass(frozen=True, slots=True)
class Page:
    """Some names, and the cursor that gives those after them ("" when there are none)."""

    names: tuple[str, ...]
    cursor: str


class TimetableStore(Protocol):
    """What remembers stored entries."""

    def claim_stored(self, request: StoredRequest) -> StoredAnswer:
        """Take due stored entries, tenant by tenant, the most overdue of each first."""

    def settle_stored(self, settlements: Sequence[Settlement]) -> list[Settled]:
        """End holds on stored entries: move the slots on, or leave them for later."""

    def put(self, puts: Sequence[Put], quota: Quota) -> list[PutAnswer]:
        """Store definitions, each for itself; ``quota`` is for tenants without one of their own."""

    def remove(
        self, entries: Sequence[str], *, if_revision: int | None = None, source: str | None = None
    ) -> list[Stored]:
        """Remove entries; with a source only those that are its own."""

    def pause(
        self, entries: Sequence[str], *, paused: bool, by: str = "", note: str = ""
    ) -> list[Stored]:
        """Stop entries, or let them go on."""

    def pause_all(self, tenant: str | None, *, paused: bool) -> bool:
        """Stop all entries of a tenant (None: all there are); tell whether that is a change."""

    def kept(self, entries: Sequence[str]) -> list[Kept | None]:
        """Read entries, in the order of the question."""

    def entry_names(self, tenant: str | None, cursor: str = "") -> Page:
        """List names, page by page: one may come twice, and none is left out that stayed."""

    def tenants(self, names: Sequence[str]) -> list[Tenant]:
        """Read what the store keeps of tenants."""

    def tenant_names(self, cursor: str = "") -> Page:
        """List tenants, page by page, as ``entry_names`` does."""

    def allow(self, tenant: str, quota: Quota | None) -> None:
        """Give a tenant a quota of its own, or the default again."""

    def cancel_queued(self, entry: str, revision: int, keep_ms: int) -> None:
        """Let nothing begin that was published by an earlier revision; remember it so long.

        Nothing of the entry that was published so far is published again either.
        """

    def mark(self) -> int:
        """Give a number that is greater than every one before."""

    def unmarked(self, source: str, mark: int, limit: int) -> list[str]:
        """Name entries of a source that were last put with a lower mark."""

    def wait_change(self, seconds: float) -> bool:
        """Wait until entries change, at most so long; False at once if that cannot be heard."""
