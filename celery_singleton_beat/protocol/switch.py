"""The switch from another scheduler: what it owes when its timetable is taken over.

What the other one dispatched is not dispatched again; what was due there and
was not dispatched is due here. For rules of the calendar both count the same
occurrences. Intervals do not: there they are counted from the last run, here
from the Unix epoch. One that was overdue there is due at once, and one that was
not comes with its next time here, at most an interval after the switch.
"""

from __future__ import annotations

from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.recurrences.bounds import Bounded
from celery_singleton_beat.protocol.recurrences.recurrence import Interval, Recurrence, latest_until
from celery_singleton_beat.protocol.recurrences.relative import RelativeInterval


def first_slot_ms(rule: Recurrence, since_ms: int, now_ms: int) -> int | None:
    """Tell the first occurrence that is left, by what was dispatched until ``since_ms``."""
    inner = rule.inner if isinstance(rule, Bounded) else rule
    if isinstance(inner, Interval | RelativeInterval) and since_ms + inner.every_ms > now_ms:
        return rule.next_after(max(since_ms, now_ms))
    return rule.next_after(since_ms)


def last_slot_ms(rule: Recurrence, since_ms: int) -> int:
    """Tell the occurrence that a dispatch at ``since_ms`` stood for; ABSENT if there is none."""
    last_ms = latest_until(rule, since_ms, 0)
    return ABSENT if last_ms is None else last_ms
