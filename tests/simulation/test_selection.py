"""Two who reckon what catch-up selects, in other words: the planner, and the simulation's judge."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as some

from celery_singleton_beat.protocol.claim import Slot
from celery_singleton_beat.protocol.entry import CatchUp, Timing
from celery_singleton_beat.protocol.plan import plan
from celery_singleton_beat.protocol.recurrences.recurrence import Interval, occurrences
from tests.simulation.selection import amiss_with_left_out, is_selected

_ALL = Timing("x", Interval(2000), catch_up=CatchUp.ALL)

timings = some.builds(
    Timing,
    some.just("x"),
    some.just(Interval(2000)),
    catch_up=some.sampled_from(CatchUp),
    catch_up_max=some.integers(1, 4),
    catch_up_window_ms=some.none() | some.sampled_from((0, 1999, 2000, 2001, 9000, 10_000, 30_000)),
)


@given(timings, some.integers(0, 30_001))
@example(replace(_ALL, catch_up=CatchUp.NONE), 10_000)
@example(replace(_ALL, catch_up=CatchUp.NONE), 10_001)
@example(replace(_ALL, catch_up_max=2), 6000)
@example(replace(_ALL, catch_up_window_ms=2000), 4000)
def test_the_planner_publishes_what_the_judge_finds_selected_and_says_why_not_the_rest(
    timing: Timing, late_ms: int
) -> None:
    first_ms = 2000
    now_ms = first_ms + late_ms

    planned = plan(timing, Slot(timing.rule, first_ms, first_ms), now_ms=now_ms)

    published = {one.scheduled_ms for one in planned.publish}
    for at_ms in occurrences(timing.recurrence, first_ms - 1, now_ms):
        assert is_selected(timing, at_ms, now_ms) == (at_ms in published)
        if at_ms not in published:
            (missed,) = (one for one in planned.missed if one.first_ms <= at_ms <= one.last_ms)
            assert not amiss_with_left_out(timing, at_ms, missed.by_ms, now_ms)
