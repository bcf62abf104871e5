"""The slot of an entry, and the claim of an occurrence.

A slot says which occurrence of an entry is next. Taking it for a while is the
*hold*; publishing the occurrence and moving the slot on ends it. The claim of
an occurrence is compare-and-set on the slot: the fence that a claim was given
must still be the slot's when it is settled. Finishing the job never undoes it.

                  take                    settle (published)
    ready (due) --------> held (fence) ----------------------> ready (next occurrence)
        ^                    |  |
        |  hold is over      |  |  settle (surely not sent): same occurrence, later
        +--------------------+  +----------------------------> ready
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple

from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.codec import ABSENT, join, split
from celery_singleton_beat.protocol.history import Told

MOST_CLAIMS: Final = 1000
"""So much is claimed at once at most: one script must carry it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What the store keeps for one entry.

    ``slot_ms`` is the next occurrence (ABSENT: the rule has ended), ``due_ms``
    when to look at it (ABSENT: nobody does: ended, or the governing
    configuration does not know the entry), ``hold_until_ms`` is 0 while nobody
    holds it. ``failures`` counts attempts of this occurrence that the entry
    itself made impossible, ``runs`` the occurrences dispatched so far,
    ``last_ms`` the last of them.
    """

    rule: str
    slot_ms: int
    due_ms: int
    fence: int = 0
    hold_until_ms: int = 0
    failures: int = 0
    runs: int = 0
    last_ms: int = ABSENT

    def to_text(self) -> str:
        return join(
            self.slot_ms,
            self.due_ms,
            self.fence,
            self.hold_until_ms,
            self.failures,
            self.runs,
            self.last_ms,
            self.rule,
        )

    @classmethod
    def from_text(cls, text: str) -> Slot:
        *numbers, rule = split(text, 8)
        return cls(rule, *map(int, numbers))

    @property
    def is_held(self) -> bool:
        return self.hold_until_ms > 0

    def is_claimable(self, now_ms: int) -> bool:
        """Tell whether anybody may take it: it is due, and no live hold is on it."""
        return ABSENT < self.due_ms <= now_ms and self.hold_until_ms <= now_ms


class Claim(NamedTuple):
    """A slot as its holder sees it: the right to publish until the hold is over."""

    entry: str
    slot: Slot


class Settled(Enum):
    """How a settlement went."""

    CONFIRMED = "CONFIRMED"  # the slot has moved (or had, by a repeat of this request)
    STALE = "STALE"  # it has moved; another configuration governs and will look at once
    LOST = "LOST"  # somebody else claimed it since: not ours any more
    GONE = "GONE"  # the entry is not there any more


class Queued(NamedTuple):
    """A published run that counts as queued until it begins, or for ``for_ms`` at most."""

    run: str
    for_ms: int


class Settlement(NamedTuple):
    """What a holder says of its claim: the slot as it shall be from now on.

    ``awaited`` are the occurrences it published of which the begin is to be seen,
    ``told`` what is to be noted in the history, ``revision`` that of the stored
    entry by which it was planned, ``queued`` what counts as queued from now on,
    ``request`` the id of what was asked for.
    """

    entry: str
    fence: int
    slot: Slot
    awaited: tuple[Awaited, ...] = ()
    told: tuple[Told, ...] = ()
    revision: int = 0
    queued: tuple[Queued, ...] = ()
    request: str = ""


class Adopted(Enum):
    """How the re-planning of one entry went."""

    ADOPTED = "ADOPTED"
    CHANGED = "CHANGED"  # the record is not the one that was read: somebody was faster
    HELD = "HELD"  # a live hold is on it: its holder's settlement is STALE, and then it is due


def take(slot: Slot, *, now_ms: int, hold_ms: int, fence: int) -> Slot:
    """Put a hold on a claimable slot."""
    return replace(slot, fence=fence, hold_until_ms=now_ms + hold_ms)


def settle(
    slot: Slot | None, settlement: Settlement, *, now_ms: int, governs: bool
) -> tuple[Slot | None, Settled]:
    """End a hold; only the fence that took it may.

    A repeat of a settlement that was carried out answers the same and changes
    nothing. A holder whose configuration no longer governs moves the slot, and
    leaves it due at once, for the governor to re-plan: it may know an entry that
    the holder did not, or another rule of one that has ended by the holder's.
    """
    if slot is None:
        return None, Settled.GONE
    if slot.fence != settlement.fence:
        return slot, Settled.LOST
    verdict = Settled.CONFIRMED if governs else Settled.STALE
    if not slot.is_held:
        return slot, verdict
    due_ms = settlement.slot.due_ms if governs else now_ms
    return replace(settlement.slot, fence=slot.fence, hold_until_ms=0, due_ms=due_ms), verdict


def is_in_place(slot: Slot | None, rule: str, *, now_ms: int) -> bool:
    """Tell whether an entry of this rule need not be planned (any more).

    One under a live hold need not: what its holder settles is due at once, if the
    holder is none of the governor's.
    """
    if slot is None:
        return False
    has_ended = slot.slot_ms == ABSENT
    is_planned = slot.rule == rule and (slot.due_ms != ABSENT or has_ended)
    return is_planned or slot.hold_until_ms > now_ms


def adopt(
    slot: Slot | None, seen: Slot | None, planned: Slot, *, now_ms: int
) -> tuple[Slot | None, Adopted]:
    """Re-plan an entry by compare-and-set on the whole record that was read."""
    if slot != seen:
        return slot, Adopted.CHANGED
    if slot is not None and slot.hold_until_ms > now_ms:
        return slot, Adopted.HELD
    return replace(planned, fence=slot.fence if slot else 0, hold_until_ms=0), Adopted.ADOPTED
