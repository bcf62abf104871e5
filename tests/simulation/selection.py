"""Catch-up as it is promised: which occurrences a claim is to publish, and which not.

This is "Catch-up" of ``docs/guarantees.md`` in other words than the planner's.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.protocol.entry import CatchUp
from celery_singleton_beat.protocol.recurrences.recurrence import latest_until, occurrences

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.entry import Timing

_LATE_MS: Final = 10_000


def is_selected(timing: Timing, at_ms: int, now_ms: int) -> bool:
    """Tell whether a claim at this time is to publish an occurrence that it finds undispatched.

    Of what is not too late these are the last one, or the last so many.
    """
    seen_ms = now_ms - timing.offset_ms
    if at_ms > seen_ms or _is_too_late(timing, seen_ms - at_ms):
        return False
    most = timing.catch_up_max if timing.catch_up is CatchUp.ALL else 1
    return sum(1 for _ in islice(occurrences(timing.recurrence, at_ms, seen_ms), most)) < most


def amiss_with_left_out(timing: Timing, at_ms: int, by_ms: int | None, now_ms: int) -> str:
    """Tell what is wrong with leaving this out for a later one (None: for none)."""
    if at_ms > now_ms - timing.offset_ms:
        return "which is not due yet"
    if is_selected(timing, at_ms, now_ms):
        return "which catch-up selects"
    if by_ms is None:
        last_ms = latest_until(timing.recurrence, now_ms - timing.offset_ms, at_ms)
        is_alone = last_ms is None or not is_selected(timing, last_ms, now_ms)
        return "" if is_alone else "and no later one is told to stand for it"
    stands = at_ms < by_ms and is_selected(timing, by_ms, now_ms)
    return "" if stands else "and what is told to stand for it does not"


def _is_too_late(timing: Timing, late_ms: int) -> bool:
    window_ms = timing.catch_up_window_ms
    if timing.catch_up is CatchUp.NONE and late_ms > _LATE_MS:
        return True
    return window_ms is not None and late_ms > window_ms
