"""Stored entries: definitions that live in the store and are changed at run time.

The store keeps three things of a stored entry: its *card* (the definition and
what was done to it), its *slot* (`claim.Slot`, as for any entry), and one score
that says when to look at it. Whoever changes an entry writes the card and never
touches a live hold: who holds the slot learns of the change when it settles.

                 put / pause / resume / remove: card, with a new revision
                                   |
        look at it     claim       v       settle
    ready ----------------------> held -----------------> CONFIRMED  its next due time
      ^                            |                      STALE      changed meanwhile: look
      |  hold is over              |                                 at once, plan anew
      +----------------------------+                      GONE       paused or removed: no
                                                                     score is written

A revision is the number of a change. There is one counter for all entries, which
only grows (max(last + 1, server time in µs), as for fences): a name that is removed
and put again, also in a store that forgot, has no revision twice. Saving, enabling and
resuming fire nothing: an entry is planned from the moment of its last change on,
and what was due before it was resumed is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from celery_singleton_beat.protocol.claim import Settled, Settlement, Slot
from celery_singleton_beat.protocol.codec import ABSENT, clean, join, split
from celery_singleton_beat.protocol.tenant import Quota, Tenant


@dataclass(frozen=True, slots=True)
class Card:
    """The definition of a stored entry, as text, and what was done to it.

    ``changed_ms`` is when the definition was last put, ``resumed_ms`` when the
    entry was last let go on (0: it was never stopped), ``by`` who made the last
    change. ``note`` is what who paused it had to say.
    """

    revision: int
    changed_ms: int
    definition: str
    tenant: str = ""
    source: str = ""
    is_enabled: bool = True
    is_paused: bool = False
    resumed_ms: int = 0
    by: str = ""
    note: str = ""

    @property
    def is_on(self) -> bool:
        """Tell whether it is to be dispatched."""
        return self.is_enabled and not self.is_paused

    def to_text(self) -> str:
        return join(
            self.revision,
            self.changed_ms,
            self.resumed_ms,
            int(self.is_enabled),
            int(self.is_paused),
            self.tenant,
            self.source,
            self.by,
            self.note,
            self.definition,
        )

    @classmethod
    def from_text(cls, text: str) -> Card:
        revision, changed_ms, resumed_ms, enabled, paused, *texts = split(text, 10)
        tenant, source, by, note, definition = texts
        return cls(
            int(revision),
            int(changed_ms),
            definition,
            tenant,
            source,
            is_enabled=enabled == "1",
            is_paused=paused == "1",
            resumed_ms=int(resumed_ms),
            by=by,
            note=note,
        )


class Put(NamedTuple):
    """A definition to store, and what the store must know of it.

    ``slot_ms`` and ``due_ms`` are its first occurrence after ``reckoned_ms``, the
    time by its writer's clock: if that is not to come any more, or the store's
    clock is behind the writer's, who claims it plans it. ``gap_ms`` is the
    smallest distance between two occurrences (0: there are no two).
    ``if_revision`` is the revision that must be there (0: none; None: any). With
    a ``mark`` the entry is put in a reconciliation of its source: another
    source's is left alone. Without one (0) it counts as put in that which goes on.
    ``last_ms`` is of an entry that another scheduler ran until now: its last
    occurrence there (ABSENT: none; None: it is of no other). If it is not here
    yet, its first slot is taken as it is, though it may be overdue.
    Neither tenant nor source holds the separator of records.
    """

    entry: str
    definition: str
    rule: str
    slot_ms: int
    due_ms: int
    tenant: str = ""
    source: str = ""
    is_enabled: bool = True
    gap_ms: int = 0
    if_revision: int | None = None
    by: str = ""
    mark: int = 0
    reckoned_ms: int = 0
    last_ms: int | None = None


class Stored(Enum):
    """How a change went."""

    ADDED = "ADDED"
    CHANGED = "CHANGED"
    UNCHANGED = "UNCHANGED"  # it was so already, maybe by a repeat of this request
    REMOVED = "REMOVED"
    MISSING = "MISSING"  # there is no such entry
    CONFLICT = "CONFLICT"  # its revision is not the one that was asked for
    FOREIGN = "FOREIGN"  # it belongs to another source
    TOO_MANY = "TOO_MANY"  # its tenant has as many entries as it may
    TOO_OFTEN = "TOO_OFTEN"  # its tenant may have none that is due so often


class PutAnswer(NamedTuple):
    """The verdict, the revision that is there now (0: none), and the limit that was met."""

    verdict: Stored
    revision: int = 0
    limit: int = 0


def refusal(asked: Put, card: Card | None, tenant: Tenant, default: Quota) -> PutAnswer | None:
    """Say why a definition may not be stored, or that there is nothing to do.

    Limits are for entries that name a tenant. The number of entries counts for
    one that the tenant does not have yet, the interval for one that is enabled:
    what is too often since the limit was lowered can still be disabled.
    """
    revision = card.revision if card else 0
    if card and asked.mark and card.source != asked.source:
        return PutAnswer(Stored.FOREIGN, revision)
    if card and _is_kept(asked, card):
        return PutAnswer(Stored.UNCHANGED, revision)
    if asked.if_revision is not None and asked.if_revision != revision:
        return PutAnswer(Stored.CONFLICT, revision)
    return _limit_met(asked, card, tenant, default) if asked.tenant else None


def _is_kept(asked: Put, card: Card) -> bool:
    kept = (card.definition, card.source, card.tenant, card.is_enabled)
    return kept == (asked.definition, asked.source, asked.tenant, asked.is_enabled)


def _limit_met(asked: Put, card: Card | None, tenant: Tenant, default: Quota) -> PutAnswer | None:
    revision = card.revision if card else 0
    quota = tenant.quota or default
    if asked.is_enabled and 0 < asked.gap_ms < quota.min_interval_ms:
        return PutAnswer(Stored.TOO_OFTEN, revision, quota.min_interval_ms)
    is_new = card is None or card.tenant != asked.tenant
    if is_new and ABSENT < quota.max_entries <= tenant.entries:
        return PutAnswer(Stored.TOO_MANY, revision, quota.max_entries)
    return None


def put(
    asked: Put,
    card: Card | None,
    slot: Slot | None,
    *,
    now_ms: int,
    revision: int,
    left: Tenant | None = None,
) -> tuple[Card, Slot]:
    """Store a definition that was not refused; ``left`` is the tenant that it leaves, if any.

    A new entry gets the slot its writer reckoned, if that is still to come. The
    slot of one that was there stays as it is; if the rule is another one now, or
    had ended, whoever claims it next plans it anew. With its tenant it was stopped,
    and goes on when it leaves it, or did when that was resumed.
    """
    written = Card(
        revision,
        now_ms,
        asked.definition,
        asked.tenant,
        asked.source,
        asked.is_enabled,
        by=clean(asked.by),
    )
    if card is None or slot is None:
        return written, _first_slot(asked, now_ms)
    is_back = asked.is_enabled and not card.is_enabled
    is_let_go = left is not None and left.is_paused
    resumed_ms = max(card.resumed_ms, left.resumed_ms if left else 0)
    written = replace(
        written,
        is_paused=card.is_paused,
        note=card.note,
        resumed_ms=now_ms if is_back or is_let_go else resumed_ms,
    )
    if not slot.is_held and (slot.due_ms == ABSENT or slot.rule != asked.rule):
        slot = replace(slot, due_ms=now_ms)
    return written, slot


def _first_slot(asked: Put, now_ms: int) -> Slot:
    if asked.last_ms is not None:
        return Slot(asked.rule, asked.slot_ms, asked.due_ms, last_ms=asked.last_ms)
    is_to_come = asked.slot_ms == ABSENT or (asked.slot_ms > now_ms and asked.due_ms > now_ms)
    if is_to_come and asked.reckoned_ms <= now_ms:
        return Slot(asked.rule, asked.slot_ms, asked.due_ms)
    return Slot("", ABSENT, now_ms)


def pause(
    card: Card, *, paused: bool, by: str, note: str, now_ms: int, revision: int
) -> Card | None:
    """Stop an entry, or let it go on; None if it is so already."""
    if card.is_paused == paused:
        return None
    return replace(
        card,
        revision=revision,
        is_paused=paused,
        resumed_ms=card.resumed_ms if paused else now_ms,
        by=clean(by),
        note=clean(note) if paused else "",
    )


def next_revision(last: int, *, now_ms: int) -> int:
    """Give the number of a change, or of a reconciliation."""
    return max(last + 1, now_ms * 1000)


def settle_stored(
    card: Card | None, slot: Slot | None, settlement: Settlement, *, now_ms: int
) -> tuple[Slot | None, Settled]:
    """End a hold on a stored entry; only the fence that took it may."""
    if card is None or slot is None:
        return slot, Settled.GONE
    if slot.fence != settlement.fence:
        return slot, Settled.LOST
    is_current = card.revision == settlement.revision
    verdict = Settled.CONFIRMED if is_current else Settled.STALE if card.is_on else Settled.GONE
    if not slot.is_held:
        return slot, verdict
    moved = replace(settlement.slot, fence=slot.fence, hold_until_ms=0)
    return (moved if is_current else replace(moved, due_ms=now_ms)), verdict


def look_ms(card: Card, slot: Slot) -> int | None:
    """Tell when to look at an entry: when it is due, or its hold is over; None: never."""
    if not card.is_on:
        return None
    if slot.is_held:
        return slot.hold_until_ms
    return None if slot.due_ms == ABSENT else slot.due_ms
