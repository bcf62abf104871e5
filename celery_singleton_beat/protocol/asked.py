"""Runs that somebody asks for: one now (*run now*), or those of times past (*backfill*).

A request stands beside its entry. It has a slot of its own, with a hold and a fence
like any other, and never touches the entry's: asking for runs moves no schedule. Its
id is the *cause* of the occurrences it makes, so that these are others than the
timetable's, for the same scheduled time, too, and the same on every replica.

             ask            take              settle
    (nobody) --------> open --------> held -----------------> over (remembered for a day)
                       |  ^            |
         it is dropped |  +------------+ there is more to publish, or the hold is over
                       v
                     over: it was cancelled, or its entry was removed

While its entry, the tenant or everything is paused, a request waits. What a tenant may
have in a minute counts for it, too. Jitter, catch-up, a start deadline and a maximum
number of runs are of the timetable, and not for what is asked for; the dedupe window
and the lock key are the entry's own. Where an entry has an ``overlap`` other than
``allow``, each occurrence of a request waits for the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Final, NamedTuple

from celery_singleton_beat.protocol.claim import Settled, Settlement, Slot
from celery_singleton_beat.protocol.codec import ABSENT, clean, join, split
from celery_singleton_beat.protocol.entry import DAY_MS, Overlap, Timing
from celery_singleton_beat.protocol.occurrence import Occurrence
from celery_singleton_beat.protocol.plan import Plan
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences
from celery_singleton_beat.protocol.stored import Card
from celery_singleton_beat.protocol.tenant import Tenant

MOST_AT_ONCE: Final = 100
"""So many occurrences of a request are published by one claim at most."""

KEEP_MS: Final = DAY_MS
"""For so long a request that is over is known, and not taken for a new one."""

_LONGEST_LOOK_MS: Final = 60_000


class Asking(NamedTuple):
    """A question: let an entry run, by the id of its request.

    A backfill is of all occurrences in ``[from_ms, until_ms]``; the entry's rule has
    ``total`` of these when it is asked for, and were it changed, ``most`` would be
    published in all. ``step`` is how many at a time.
    """

    request: str
    entry: str
    is_backfill: bool = False
    from_ms: int = 0
    until_ms: int = 0
    total: int = 1
    most: int = 1
    step: int = 1
    by: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """What the store keeps of a request, apart from its slot.

    ``is_config`` tells that its entry is one of ``beat_schedule``, so that only a
    replica whose configuration governs may take it.
    """

    entry: str
    is_backfill: bool
    is_config: bool
    from_ms: int
    until_ms: int
    asked_ms: int
    total: int
    most: int
    step: int
    by: str = ""

    def to_text(self) -> str:
        return join(
            int(self.is_backfill),
            int(self.is_config),
            self.from_ms,
            self.until_ms,
            self.asked_ms,
            self.total,
            self.most,
            self.step,
            self.by,
            self.entry,
        )

    @classmethod
    def from_text(cls, text: str) -> Ask:
        *numbers, by, entry = split(text, 10)
        is_backfill, is_config, from_ms, until_ms, asked_ms, total, most, step = map(int, numbers)
        return cls(
            entry,
            is_backfill == 1,
            is_config == 1,
            from_ms,
            until_ms,
            asked_ms,
            total,
            most,
            step,
            by,
        )


class Asked(Enum):
    """How a question went."""

    ASKED = "ASKED"  # the request is open (or was opened by a repeat of this question)
    UNKNOWN = "UNKNOWN"  # there is no such entry
    STOPPED = "STOPPED"  # the entry is not to run now: the answer says what stopped it
    CONFLICT = "CONFLICT"  # the id is known, and was given to another question


class AskAnswer(NamedTuple):
    """The verdict, the request's first scheduled time, and what stopped its entry.

    That is ``"disabled"``, ``"paused"``, ``"tenant"`` or ``"all"``.
    """

    verdict: Asked
    from_ms: int = 0
    stopped_by: str = ""


def repeated(asking: Asking, known: Ask) -> AskAnswer:
    """Answer a question whose id is known."""
    is_same = (asking.entry, asking.is_backfill) == (known.entry, known.is_backfill)
    if asking.is_backfill and is_same:
        is_same = (asking.from_ms, asking.until_ms) == (known.from_ms, known.until_ms)
    return AskAnswer(Asked.ASKED, known.from_ms) if is_same else AskAnswer(Asked.CONFLICT)


def is_scheduled(slot: Slot | None) -> bool:
    """Tell whether an entry with this slot is one of the governing configuration."""
    return slot is not None and (slot.due_ms != ABSENT or slot.slot_ms == ABSENT)


def stopped_by(card: Card | None, tenant: Tenant, *, is_all_paused: bool) -> str:
    """Tell what keeps an entry from running; nothing, if it may."""
    if is_all_paused:
        return "all"
    if card is None:
        return ""
    if tenant.is_paused:
        return "tenant"
    if card.is_paused:
        return "paused"
    return "" if card.is_enabled else "disabled"


def ask(asking: Asking, *, is_config: bool, now_ms: int) -> tuple[Ask, Slot]:
    """Open a request. What is to run now is scheduled for the time when it was asked for."""
    from_ms = asking.from_ms if asking.is_backfill else now_ms
    opened = Ask(
        asking.entry,
        asking.is_backfill,
        is_config,
        from_ms,
        asking.until_ms if asking.is_backfill else now_ms,
        now_ms,
        asking.total,
        asking.most,
        asking.step,
        clean(asking.by),
    )
    return opened, Slot("", from_ms, now_ms)


def look_again_ms(open_requests: int) -> int:
    """Tell after how long a request that waits for a pause to end is looked at again.

    The more there are, the longer: so that looking is no work to speak of.
    """
    return min(1000 + 10 * open_requests, _LONGEST_LOOK_MS)


def portion(asked: Ask, slot: Slot, *, budget: int, allowed: int | None) -> int:
    """Tell how many occurrences a claim on a request is for; 0: it must wait."""
    left = max(asked.total - slot.runs, 1)
    return min(asked.step, left, budget, budget if allowed is None else allowed)


def timing_asked(timing: Timing) -> Timing:
    """Make of an entry's timing that of what is asked for."""
    apart = timing.overlap is not Overlap.ALLOW
    return replace(
        timing,
        jitter_ms=0,
        start_deadline_ms=None,
        overlap=Overlap.QUEUE if apart else Overlap.ALLOW,
    )


def plan_asked(
    timing: Timing, request: str, asked: Ask, slot: Slot, *, portion: int, now_ms: int
) -> Plan:
    """Plan a claim on a request, by the rule that its entry has now."""
    due, next_ms = [slot.slot_ms], None
    if asked.is_backfill:
        room = max(min(portion, asked.most - slot.runs), 0)
        walk = occurrences(timing.recurrence, slot.slot_ms - 1, asked.until_ms)
        due = list(islice(walk, room + 1))
        next_ms = due[room] if len(due) > room and slot.runs + room < asked.most else None
        due = due[:room]
    done = replace(
        slot,
        rule=timing.rule,
        slot_ms=ABSENT if next_ms is None else next_ms,
        due_ms=ABSENT if next_ms is None else now_ms,
        failures=0,
        runs=slot.runs + len(due),
        last_ms=due[-1] if due else slot.last_ms,
    )
    before = [None if slot.last_ms == ABSENT else slot.last_ms, *due]
    publish = []
    for previous_ms, at_ms in zip(before, due, strict=False):
        window_ms = timing.window_ms(_interval_ms(timing, at_ms, is_one=asked.is_backfill))
        publish.append(
            Occurrence(timing.name, at_ms, request, previous_ms, now_ms + window_ms, window_ms)
        )
    return Plan(tuple(publish), done)


def _interval_ms(timing: Timing, at_ms: int, *, is_one: bool) -> int:
    """Tell the distance from an occurrence to the next; from a time that is none, of the next."""
    from_ms = at_ms if is_one else timing.recurrence.next_after(at_ms)
    next_ms = None if from_ms is None else timing.recurrence.next_after(from_ms)
    return 0 if from_ms is None or next_ms is None else next_ms - from_ms


def settle_asked(
    slot: Slot | None, settlement: Settlement, *, now_ms: int
) -> tuple[Slot | None, Settled]:
    """End a hold on a request; only the fence that took it may. One that was dropped is gone."""
    if slot is None:
        return None, Settled.GONE
    if slot.fence != settlement.fence:
        return slot, Settled.LOST
    if not slot.is_held:
        return slot, Settled.CONFIRMED
    told = settlement.slot
    # A scheduled time is long over: it says nothing about whose turn it is.
    due_ms = ABSENT if told.slot_ms == ABSENT else max(told.due_ms, now_ms)
    return replace(told, fence=slot.fence, hold_until_ms=0, due_ms=due_ms), Settled.CONFIRMED
