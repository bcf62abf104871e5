"""The plan for a claimed slot: which occurrences to publish, and what is next.

The next occurrence follows from the scheduled time, never from "now", so
intervals do not drift and no crontab time is passed over. What catch-up leaves
out is named, with the reason.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Final, NamedTuple

from celery_singleton_beat.protocol.claim import Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.entry import CatchUp, Timing
from celery_singleton_beat.protocol.occurrence import Occurrence
from celery_singleton_beat.protocol.recurrences.recurrence import (
    is_due_at,
    latest_until,
    occurrences,
)

LATE_MS: Final = 10_000
"""With ``catch_up="none"``, an occurrence later than this counts as missed."""

_COUNT_AT_MOST: Final = 10_000


class Reason(Enum):
    """Why occurrences were not dispatched."""

    LATE = "late"  # catch-up left them out
    PAUSED = "paused"  # they were due while the entry was paused
    OVERLAP = "overlap"  # the run before them was not over
    CHANGED = "changed"  # the entry's rule was changed before they were dispatched


@dataclass(frozen=True, slots=True)
class Missed:
    """Occurrences from ``first_ms`` to ``last_ms`` that will not be dispatched.

    ``by_ms`` names the later one that stands for them (None: none does).
    ``count`` stops at ten thousand.
    """

    first_ms: int
    last_ms: int
    count: int
    by_ms: int | None
    reason: Reason = Reason.LATE


class Plan(NamedTuple):
    """What to do about a claimed slot. ``slot`` is the slot when all of it is done."""

    publish: tuple[Occurrence, ...]
    slot: Slot
    missed: tuple[Missed, ...] = ()


def first_plan(timing: Timing, slot: Slot | None, *, now_ms: int) -> Slot | None:
    """Plan an entry that a configuration takes on; None: its slot is right as it is.

    Taking an entry on never fires it: its first occurrence is the first one
    after now. Two slots are kept: one of the same rule, and an overdue one of
    another rule that is also an occurrence of the new one. An occurrence that
    was dispatched before never comes again, whatever the clock does.
    """
    if slot is None:
        return slot_after(timing, Slot(timing.rule, ABSENT, ABSENT), now_ms)
    has_ended = slot.slot_ms == ABSENT
    is_scheduled = slot.due_ms != ABSENT
    if slot.rule == timing.rule and (is_scheduled or has_ended):
        return None
    if (
        is_scheduled
        and not has_ended
        and slot.slot_ms <= now_ms
        and not timing.has_run(slot.runs)
        and is_due_at(timing.recurrence, slot.slot_ms)
    ):
        return replace(slot, rule=timing.rule, due_ms=slot.slot_ms + timing.offset_ms)
    after_ms = max(now_ms, slot.last_ms)
    if not is_scheduled and not has_ended:
        after_ms = max(after_ms, slot.slot_ms - 1)
    return slot_after(timing, slot, after_ms)


def plan(
    timing: Timing, slot: Slot, *, now_ms: int, changed_ms: int | None = None, resumed_ms: int = 0
) -> Plan:
    """Plan a claimed slot by the definition that counts now.

    ``changed_ms`` is since when it does (None: it is a configuration's, which is
    taken on now). What was due before ``resumed_ms`` is passed over.
    """
    since_ms = now_ms if changed_ms is None else changed_ms
    replanned = first_plan(timing, slot, now_ms=since_ms)
    left: tuple[Missed, ...] = ()
    if replanned is not None:
        is_left = ABSENT < slot.slot_ms < since_ms and slot.slot_ms != replanned.slot_ms
        if is_left and changed_ms is not None:
            left = (Missed(slot.slot_ms, slot.slot_ms, 1, None, Reason.CHANGED),)
        slot = replanned
    slot, passed_over = _resumed(timing, slot, resumed_ms)
    passed_over = left + passed_over
    seen_ms = now_ms - timing.offset_ms
    if slot.slot_ms == ABSENT or slot.slot_ms > seen_ms:
        return Plan((), _scheduled(timing, slot), passed_over)
    if timing.has_run(slot.runs):
        return Plan((), _scheduled(timing, replace(slot, slot_ms=ABSENT)), passed_over)
    due, missed = _select(timing, slot.slot_ms, seen_ms)
    if timing.max_runs is not None:
        due = due[: timing.max_runs - slot.runs]
    after_ms = due[-1] if due else latest_until(timing.recurrence, seen_ms, slot.slot_ms)
    assert after_ms is not None  # noqa: S101  # the slot itself is one
    next_ms = timing.recurrence.next_after(after_ms)
    interval_ms = (next_ms - after_ms) if next_ms is not None else 0
    if timing.has_run(slot.runs + len(due)):
        next_ms = None
    done = Slot(
        timing.rule,
        ABSENT if next_ms is None else next_ms,
        ABSENT if next_ms is None else next_ms + timing.offset_ms,
        slot.fence,
        slot.hold_until_ms,
        runs=slot.runs + len(due),
        last_ms=due[-1] if due else slot.last_ms,
    )
    publish = _occurrences(timing, slot, due, now_ms, timing.window_ms(interval_ms))
    return Plan(publish, done, passed_over + missed)


def _occurrences(
    timing: Timing, slot: Slot, due: list[int], now_ms: int, window_ms: int
) -> tuple[Occurrence, ...]:
    return tuple(
        Occurrence(
            timing.name,
            at_ms,
            "",
            previous_ms,
            now_ms + window_ms,
            window_ms,
            timing.start_deadline_ms is not None,
        )
        for previous_ms, at_ms in zip([_known(slot.last_ms), *due], due, strict=False)
    )


def _resumed(timing: Timing, slot: Slot, resumed_ms: int) -> tuple[Slot, tuple[Missed, ...]]:
    """Pass over what was due before an entry was resumed."""
    last_ms = resumed_ms - timing.offset_ms
    if slot.slot_ms == ABSENT or slot.slot_ms > last_ms:
        return slot, ()
    latest_ms = latest_until(timing.recurrence, last_ms, slot.slot_ms)
    if latest_ms is None:
        return slot, ()
    count = _count(timing, slot.slot_ms, latest_ms)
    passed_over = Missed(slot.slot_ms, latest_ms, count, None, Reason.PAUSED)
    return slot_after(timing, slot, latest_ms), (passed_over,)


def resume_at(timing: Timing, slot: Slot, planned: Plan, sent: int) -> Slot:
    """Tell the slot when only the first ``sent`` occurrences of a plan were published."""
    if sent == len(planned.publish):
        return planned.slot
    last_ms = planned.publish[sent - 1].scheduled_ms if sent else slot.last_ms
    at_ms = planned.publish[sent].scheduled_ms
    left = replace(
        slot,
        rule=timing.rule,
        slot_ms=at_ms,
        runs=slot.runs + sent,
        last_ms=last_ms,
        failures=0 if sent else slot.failures,
    )
    return _scheduled(timing, left)


def _select(timing: Timing, slot_ms: int, seen_ms: int) -> tuple[list[int], tuple[Missed, ...]]:
    """Choose among the occurrences in ``[slot_ms, seen_ms]``; the slot is the first of them."""
    rule = timing.recurrence
    window_ms = timing.catch_up_window_ms
    if timing.catch_up is CatchUp.NONE:
        window_ms = LATE_MS if window_ms is None else min(window_ms, LATE_MS)
    from_ms = slot_ms if window_ms is None else max(slot_ms, seen_ms - window_ms)
    if timing.catch_up is CatchUp.ALL:
        due = _last(timing, from_ms, seen_ms)
    else:
        latest_ms = latest_until(rule, seen_ms, from_ms)
        due = [] if latest_ms is None else [latest_ms]
    if due and due[0] == slot_ms:
        return due, ()
    last_missed_ms = latest_until(rule, due[0] - 1 if due else seen_ms, slot_ms)
    if last_missed_ms is None:
        return due, ()
    count = _count(timing, slot_ms, last_missed_ms)
    return due, (Missed(slot_ms, last_missed_ms, count, due[0] if due else None),)


def _count(timing: Timing, first_ms: int, last_ms: int) -> int:
    walk = occurrences(timing.recurrence, first_ms - 1, last_ms)
    return sum(1 for _ in islice(walk, _COUNT_AT_MOST))


def _last(timing: Timing, from_ms: int, until_ms: int) -> list[int]:
    """List the last ``catch_up_max`` occurrences in ``[from_ms, until_ms]``, oldest first."""
    most = timing.catch_up_max
    found = list(islice(occurrences(timing.recurrence, from_ms - 1, until_ms), most + 1))
    if len(found) <= most:
        return found
    # Too many to walk from the far end: look back from the near one, ever further.
    back_ms = 2 * (found[-1] - found[0])
    while until_ms - back_ms > from_ms:
        found = list(occurrences(timing.recurrence, until_ms - back_ms, until_ms))
        if len(found) >= most:
            return found[-most:]
        back_ms *= 2
    return list(deque(occurrences(timing.recurrence, from_ms - 1, until_ms), maxlen=most))


def slot_after(timing: Timing, slot: Slot, after_ms: int) -> Slot:
    """Move a slot to the first occurrence after a time, if there is to be one."""
    next_ms = None if timing.has_run(slot.runs) else timing.recurrence.next_after(after_ms)
    moved = replace(
        slot, rule=timing.rule, slot_ms=ABSENT if next_ms is None else next_ms, failures=0
    )
    return _scheduled(timing, moved)


def _scheduled(timing: Timing, slot: Slot) -> Slot:
    due_ms = ABSENT if slot.slot_ms == ABSENT else slot.slot_ms + timing.offset_ms
    return replace(slot, due_ms=due_ms)


def _known(at_ms: int) -> int | None:
    return None if at_ms == ABSENT else at_ms
