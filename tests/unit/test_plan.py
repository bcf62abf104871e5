"""Plans: which occurrences are dispatched, which are left out, and what is next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_singleton_beat.protocol.claim import Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.entry import CatchUp, Timing, configuration_digest
from celery_singleton_beat.protocol.plan import Reason, first_plan, plan, resume_at
from celery_singleton_beat.protocol.recurrences.recurrence import Interval

EVERY_MS = 1000


def timing(**fields: object) -> Timing:
    return replace(Timing("tick", Interval(EVERY_MS)), **fields)  # type: ignore[arg-type]


def slot_at(timing: Timing, at_ms: int, **fields: int) -> Slot:
    return Slot(timing.rule, at_ms, at_ms + timing.offset_ms, fence=7, hold_until_ms=1, **fields)


def times(planned: object) -> list[int]:
    return [occurrence.scheduled_ms for occurrence in planned.publish]  # type: ignore[attr-defined]


def test_a_slot_on_time_is_dispatched_and_the_next_follows_from_it_not_from_now() -> None:
    tick = timing()

    planned = plan(tick, slot_at(tick, 5000), now_ms=5999)

    assert times(planned) == [5000]
    assert (planned.slot.slot_ms, planned.slot.due_ms, planned.slot.runs) == (6000, 6000, 1)
    assert planned.missed == ()


def test_latest_dispatches_the_last_missed_and_names_it_for_the_others() -> None:
    tick = timing(catch_up=CatchUp.LATEST)

    planned = plan(tick, slot_at(tick, 5000), now_ms=9500)

    assert times(planned) == [9000]
    (missed,) = planned.missed
    assert (missed.first_ms, missed.last_ms, missed.count, missed.by_ms) == (5000, 8000, 4, 9000)


def test_all_dispatches_each_missed_one_oldest_first() -> None:
    tick = timing(catch_up=CatchUp.ALL)

    planned = plan(tick, slot_at(tick, 5000, last_ms=4000), now_ms=8500)

    assert times(planned) == [5000, 6000, 7000, 8000]
    assert [o.previous_ms for o in planned.publish] == [4000, 5000, 6000, 7000]
    assert planned.missed == ()


@pytest.mark.parametrize("away_ms", [4000, 60_000, 40_000_000])
def test_all_is_capped_and_names_the_first_of_the_kept_for_the_rest(away_ms: int) -> None:
    tick = timing(catch_up=CatchUp.ALL, catch_up_max=3)
    until_ms = 5000 + away_ms

    planned = plan(tick, slot_at(tick, 5000), now_ms=until_ms)

    assert times(planned) == [until_ms - 2000, until_ms - 1000, until_ms]
    (missed,) = planned.missed
    assert missed.by_ms == until_ms - 2000
    assert missed.last_ms == until_ms - 3000


def test_what_is_older_than_the_window_is_left_out() -> None:
    tick = timing(catch_up=CatchUp.ALL, catch_up_window_ms=2000)

    planned = plan(tick, slot_at(tick, 5000), now_ms=9000)

    assert times(planned) == [7000, 8000, 9000]
    assert [missed.last_ms for missed in planned.missed] == [6000]


def test_none_dispatches_what_is_on_time_and_nothing_that_is_late() -> None:
    daily = replace(timing(catch_up=CatchUp.NONE), recurrence=Interval(86_400_000))
    on_time = plan(daily, slot_at(daily, 86_400_000), now_ms=86_400_000 + 500)

    late = plan(daily, slot_at(daily, 86_400_000), now_ms=86_400_000 + 3_600_000)

    assert times(on_time) == [86_400_000]
    assert times(late) == []
    assert [(missed.count, missed.by_ms) for missed in late.missed] == [(1, None)]
    assert late.slot.slot_ms == 2 * 86_400_000


def test_jitter_moves_when_it_is_due_and_not_what_it_is_called() -> None:
    tick = timing(jitter_ms=900, recurrence=Interval(10_000))
    offset_ms = tick.offset_ms
    assert 0 < offset_ms < 900

    early = plan(tick, slot_at(tick, 20_000), now_ms=20_000 + offset_ms - 1)
    planned = plan(tick, slot_at(tick, 20_000), now_ms=20_000 + offset_ms)

    assert times(early) == []
    assert times(planned) == [20_000]
    assert planned.slot.due_ms == 30_000 + offset_ms


def test_the_window_of_a_message_is_ten_intervals_within_bounds() -> None:
    def window_ms(every_ms: int) -> int:
        rule = timing(recurrence=Interval(every_ms))
        planned = plan(rule, slot_at(rule, every_ms), now_ms=every_ms)
        return planned.publish[0].not_after_ms - every_ms

    windows = [window_ms(every_ms) for every_ms in (1000, 600_000, 86_400_000)]

    assert windows == [600_000, 6_000_000, 86_400_000]


def test_taking_an_entry_on_never_fires_it() -> None:
    tick = timing()

    planned = first_plan(tick, None, now_ms=5000)

    assert planned is not None
    assert (planned.slot_ms, planned.due_ms) == (6000, 6000)


def test_a_slot_of_the_same_rule_stays_as_it_is_however_overdue() -> None:
    tick = timing()

    assert first_plan(tick, slot_at(tick, 5000), now_ms=900_000) is None


def test_a_changed_rule_keeps_an_overdue_slot_that_is_also_its_own() -> None:
    tick = timing()
    both = replace(slot_at(tick, 6000), rule="old")
    neither = replace(slot_at(tick, 6500), rule="old")

    kept, moved = first_plan(tick, both, now_ms=8200), first_plan(tick, neither, now_ms=8200)

    assert kept is not None
    assert moved is not None
    assert (kept.slot_ms, moved.slot_ms) == (6000, 9000)


def test_a_changed_rule_brings_forward_what_lies_ahead() -> None:
    tick = timing()
    tomorrow = replace(slot_at(tick, 86_400_000), rule="old")

    planned = first_plan(tick, tomorrow, now_ms=8200)

    assert planned is not None
    assert planned.slot_ms == 9000


def test_what_comes_back_after_it_was_unknown_is_not_caught_up() -> None:
    tick = timing()
    disowned = replace(slot_at(tick, 6000, last_ms=5000), due_ms=ABSENT)

    planned = first_plan(tick, disowned, now_ms=20_500)

    assert planned is not None
    assert planned.slot_ms == 21_000


def test_a_clock_that_steps_back_repeats_no_occurrence() -> None:
    tick = timing()
    ran = replace(slot_at(tick, 90_000, last_ms=89_000), rule="old")

    planned = first_plan(tick, ran, now_ms=20_500)

    assert planned is not None
    assert planned.slot_ms == 90_000


@given(
    away=st.integers(0, 30),
    cap=st.integers(1, 10),
    policy=st.sampled_from(CatchUp),
    sent=st.integers(0, 10),
)
def test_every_occurrence_is_dispatched_left_out_by_name_or_next(
    away: int, cap: int, policy: CatchUp, sent: int
) -> None:
    tick = timing(catch_up=policy, catch_up_max=cap)
    slot = slot_at(tick, 5000)
    planned = plan(tick, slot, now_ms=5000 + away * EVERY_MS)
    published = times(planned)
    sent = min(sent, len(published))

    left = resume_at(tick, slot, planned, sent)

    accounted = published[:sent]
    for missed in planned.missed:
        accounted += range(missed.first_ms, missed.last_ms + 1, EVERY_MS)
    later = published[sent:] or [left.slot_ms]
    assert left.slot_ms == later[0]
    due = range(5000, left.slot_ms, EVERY_MS)
    assert sorted(accounted) == list(due)
    assert left.runs == sent


@pytest.mark.parametrize("policy", CatchUp)
def test_an_entry_ends_with_its_last_run(policy: CatchUp) -> None:
    tick = timing(max_runs=3, catch_up=policy)

    last = plan(tick, slot_at(tick, 5000, runs=2), now_ms=5100)
    after = first_plan(tick, last.slot, now_ms=99_000)

    assert times(last) == [5000]
    assert (last.slot.slot_ms, last.slot.due_ms, last.slot.runs) == (ABSENT, ABSENT, 3)
    assert last.publish[0].window_ms == timing().window_ms(EVERY_MS)
    assert after is None


def test_catching_up_stops_at_the_last_run_and_begins_with_the_oldest() -> None:
    tick = timing(max_runs=3, catch_up=CatchUp.ALL)
    slot = slot_at(tick, 5000, runs=1)

    planned = plan(tick, slot, now_ms=9500)
    cut_short = resume_at(tick, slot, planned, 1)

    assert times(planned) == [5000, 6000]
    assert planned.slot.slot_ms == ABSENT
    assert (cut_short.slot_ms, cut_short.runs) == (6000, 2)


def test_an_entry_that_may_run_more_often_than_before_goes_on_and_catches_nothing_up() -> None:
    ended = replace(slot_at(timing(max_runs=3), 5000, runs=3), slot_ms=ABSENT, due_ms=ABSENT)

    longer = first_plan(timing(max_runs=4), ended, now_ms=20_500)
    shorter = first_plan(timing(max_runs=2), ended, now_ms=20_500)
    overdue = replace(slot_at(timing(max_runs=9), 5000, runs=3))
    cut = plan(timing(max_runs=2), overdue, now_ms=20_500)

    assert longer is not None
    assert longer.slot_ms == 21_000
    assert shorter is not None
    assert shorter.slot_ms == ABSENT
    assert times(cut) == []
    assert cut.slot.slot_ms == ABSENT


def test_a_configuration_is_known_by_names_and_rules_alone() -> None:
    one, two = timing(), replace(timing(), name="tock")

    digest = configuration_digest([one, two])

    assert digest == configuration_digest([two, replace(one, catch_up_max=5)])
    assert digest != configuration_digest([one])
    assert digest != configuration_digest([one, replace(two, recurrence=Interval(2000))])
    assert digest != configuration_digest([one, replace(two, jitter_ms=5)])


def test_what_an_old_rule_left_undone_is_told() -> None:
    """Of what is not selected there is a record, with the reason."""
    every_7, every_5 = Timing("tick", Interval(7000)), Timing("tick", Interval(5000))
    overdue = slot_at(every_7, 7000)

    changed = plan(every_5, overdue, now_ms=9000, changed_ms=8000)
    kept = plan(every_7, overdue, now_ms=9000, changed_ms=8000)

    told = [(missed.first_ms, missed.last_ms, missed.reason) for missed in changed.missed]
    assert told == [(7000, 7000, Reason.CHANGED)]
    assert changed.slot.slot_ms == 10_000
    assert times(kept) == [7000]
    assert kept.missed == ()
