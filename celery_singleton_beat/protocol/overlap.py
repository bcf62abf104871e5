"""Overlap: what becomes of an occurrence while the one before it is queued or runs.

A lock key keeps two runs apart when they begin. This keeps the second message from
being sent at all, so that nothing piles up while the workers are away. It is decided
when the occurrence is claimed, from the record of the run before it:

- what was published counts as queued until it begins, for so long as its entry says and
  never longer than its message may begin (`Settlement.queued`);
- what has begun counts until it has ended, or until its worker is known to be dead and
  nobody will run it again;
- what nobody knows anything of does not count.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from celery_singleton_beat.protocol.claim import Slot
from celery_singleton_beat.protocol.entry import Overlap, Timing
from celery_singleton_beat.protocol.plan import Missed, Plan, Reason, resume_at, slot_after
from celery_singleton_beat.protocol.run import NOTICE_MS, Run, State

LOOK_AGAIN_MS: Final = 1000
"""How soon an occurrence that waits for the one before it is looked at again."""


def is_busy(run: Run | None, *, queued_until_ms: int, has_message: bool, now_ms: int) -> bool:
    """Tell whether a run is queued, runs, or will be run again."""
    if run is None:
        return queued_until_ms > now_ms
    is_alive = run.deadline_ms + NOTICE_MS > now_ms
    return run.state is not State.DONE and (is_alive or has_message)


def give_way(timing: Timing, slot: Slot, planned: Plan, *, is_busy: bool, now_ms: int) -> Plan:
    """Plan again what was planned, in view of the run before it.

    Of several occurrences at once only the first does not overlap. What waits is
    left as it was claimed, and planned anew when it is looked at again.
    """
    keeps = 0 if is_busy else 1
    if timing.overlap is Overlap.ALLOW or len(planned.publish) <= keeps:
        return planned
    if timing.overlap is Overlap.QUEUE:
        left = resume_at(timing, slot, planned, keeps) if keeps else slot
        waiting = replace(left, due_ms=now_ms + LOOK_AGAIN_MS)
        return Plan(planned.publish[:keeps], waiting, planned.missed if keeps else ())
    held_back = planned.publish[keeps:]
    first_ms, last_ms = held_back[0].scheduled_ms, held_back[-1].scheduled_ms
    skipped = Missed(first_ms, last_ms, len(held_back), None, Reason.OVERLAP)
    last_run_ms = planned.publish[0].scheduled_ms if keeps else slot.last_ms
    moved = slot_after(timing, replace(slot, runs=slot.runs + keeps, last_ms=last_run_ms), last_ms)
    return Plan(planned.publish[:keeps], moved, (*planned.missed, skipped))
