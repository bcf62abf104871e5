"""The part of the port that people look through: figures, history, and how the store stands.

What ``store/port.py`` says of every verb holds here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from celery_singleton_beat.protocol.fleet import Fleet
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.statistics import Counts


@dataclass(frozen=True)
class Overview:
    """How a deployment stands, as one step saw it.

    ``born_ms`` is when the store began, ``is_reborn`` tells that it has forgotten
    what was before. ``governor`` is the digest of the configuration that governs,
    ``adopted`` of the one whose entries are planned. The numbers say how many there
    are: planned slots of the configuration, stored entries, lock keys that are held,
    tenants, open requests, occurrences whose begin is awaited, runs that count as
    queued, runs that would be published again if their workers died. ``due_ms``,
    ``stored_due_ms`` and ``asked_due_ms`` are when somebody has to look next at
    each kind of entry (None: never); one that is past is overdue.
    """

    now_ms: int
    app: str
    schema: int
    born_ms: int
    is_reborn: bool
    fleet: Fleet
    governor: str | None
    adopted: str
    is_paused: bool
    resumed_ms: int
    planned: int
    stored: int
    locks: int
    tenants: int
    requests: int
    awaited: int
    queued: int
    crashable: int
    due_ms: int | None
    stored_due_ms: int | None
    asked_due_ms: int | None

    def silent_ms(self, replica: str) -> int:
        """Tell for how long nothing was heard of a replica, also where nobody reports any more."""
        age_ms = self.fleet.clock_ms - self.fleet.members[replica].last_ms
        return age_ms + max(self.now_ms - self.fleet.reported_at_ms, 0)


class ObservedStore(Protocol):
    """What remembers what happened."""

    def history(self, limit: int, entry: str = "") -> list[Fact]:
        """Read the last facts, the newest first; of an entry, its own."""

    def counts(self, subjects: Sequence[str]) -> list[Counts]:
        """Read what was counted of subjects (``protocol/statistics.py``), in their order."""

    def counted(self, limit: int) -> list[str]:
        """Name subjects that are counted, those first to which something happened last."""

    def overview(self) -> Overview:
        """Tell how the deployment stands."""
