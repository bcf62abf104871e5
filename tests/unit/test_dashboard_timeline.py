"""The timeline's geometry: what happened becomes marks that say it by shape, place and text."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_singleton_beat.operate.dashboard.marks import Lane, Names, Window, ticks
from celery_singleton_beat.operate.dashboard.plot import plot_of
from celery_singleton_beat.operate.dashboard.runs import (
    DIED,
    QUEUED,
    RUNNING,
    overlaps_of,
    rows_of,
    runs_of,
)
from celery_singleton_beat.operate.dashboard.timeline import MOST_PLANNED, MOST_RUNS, lanes_of
from celery_singleton_beat.protocol.history import Fact

NOW = 1_700_000_000_000
HOUR = 3_600_000
WINDOW = Window(NOW - HOUR, NOW + HOUR, NOW)


def clock(at_ms: int) -> str:
    return f"t{(at_ms - NOW) // 1000}"


def fact(at_s: float, kind: str, run: str = "r", **more: object) -> Fact:
    """A fact so many seconds before (or after) now."""
    given = {"entry": "e", "scheduled_ms": NOW - 600_000, "by": "worker", **more}
    return Fact(NOW + round(at_s * 1000), kind, run=run, **given)  # type: ignore[arg-type]


def newest_first(facts: Iterable[Fact]) -> list[Fact]:
    return list(facts)[::-1]


def lane_of(*facts: Fact, planned: tuple[int, ...] = ()) -> Lane:
    """The lane of the one entry, of facts in their order."""
    (lane,), _ = lanes_of(newest_first(facts), {"e": planned} if planned else {}, WINDOW, clock)
    return lane


def ran(run: str, begin_s: float, end_s: float, outcome: str = "succeeded") -> list[Fact]:
    return [
        fact(
            begin_s - 1, "published", run, by="beat", scheduled_ms=NOW + round(begin_s - 1) * 1000
        ),
        fact(begin_s, "started", run, scheduled_ms=NOW + round(begin_s - 1) * 1000),
        fact(end_s, outcome, run, scheduled_ms=NOW + round(begin_s - 1) * 1000),
    ]


def test_a_run_is_a_bar_from_its_begin_to_its_end() -> None:
    lane = lane_of(*ran("r", -1800, -900))

    (bar,) = lane.bars
    assert (bar.kind, bar.x, bar.width, bar.row) == ("succeeded", 25.0, 12.5, 0)
    assert bar.label == "1A"
    assert bar.title == (
        "due t-1801; dispatched by beat; ran on worker from t-1800 (1 s late); succeeded for 15 min"
    )
    assert [note.text for note in lane.summary] == ["1 succeeded", "late at most 1 s"]
    assert not lane.has_trouble


def test_a_run_that_goes_on_reaches_until_now() -> None:
    lane = lane_of(fact(-360, "started"))

    (bar,) = lane.bars
    assert (bar.kind, bar.x, bar.x + bar.width) == (RUNNING, 45.0, 50.0)
    assert "until now" in bar.title


def test_one_that_waited_has_a_line_from_its_time_to_its_begin() -> None:
    lane = lane_of(fact(-360, "started"), fact(-300, "succeeded"))

    (wait,) = lane.waits
    assert (wait.x, round(wait.x + wait.width, 3)) == (41.667, 45.0)
    assert wait.title == "waited 4 min for its begin"


def test_a_worker_may_be_quicker_than_its_beat_can_tell() -> None:
    """The publish is noted when the beat settles."""
    (run,) = runs_of(
        newest_first([fact(-3, "started"), fact(-2, "succeeded"), fact(-1, "published", by="beat")])
    )

    assert (run.outcome, run.dispatcher, run.took_ms) == ("succeeded", "beat", 1000)


@pytest.mark.parametrize("kind", ["failed", "lost"])
def test_trouble_is_a_shape_above_the_bar_and_a_word(kind: str) -> None:
    lane = lane_of(*ran("r", -1800, -900, kind))

    (point,) = lane.points
    assert point.kind == kind
    assert point.x == lane.bars[0].x + lane.bars[0].width
    assert lane.has_trouble
    assert lane.summary[0].weight == "bad"


def test_a_worker_that_died_and_the_run_that_followed_are_two_bars() -> None:
    lane = lane_of(
        fact(-1800, "started", by="a"),
        fact(-900, "rerun", by="beat", entry="", scheduled_ms=0),
        fact(-880, "started", by="b", attempt=0),
        fact(-800, "succeeded", by="b"),
    )

    assert [bar.kind for bar in lane.bars] == [DIED, "succeeded"]
    assert {point.kind for point in lane.points} == {DIED, "rerun"}
    assert {point.beside for point in lane.points} == {0, 1}
    assert [note.text for note in lane.summary][:2] == ["1 worker died", "1 run again"]


def test_a_second_message_may_have_run_before_the_beat_says_that_it_sent_it() -> None:
    (run,) = runs_of(newest_first([*ran("r", -60, -59), fact(-58, "published_again", by="beat")]))

    assert (run.outcome, [told.kind for told in run.events]) == ("succeeded", ["published_again"])


def test_a_run_begun_anew_without_a_word_had_a_worker_that_died() -> None:
    """Its message came again: nobody published it a second time."""
    (run,) = runs_of(newest_first([fact(-60, "started", by="a"), fact(-30, "started", by="b")]))

    assert [body.outcome for body in run.bodies] == [DIED, RUNNING]
    assert run.worker == "b"


def test_runs_at_once_are_in_two_rows_and_marked() -> None:
    lane = lane_of(*ran("one", -1800, -900), *ran("two", -1200, -600), *ran("three", -500, -400))

    assert [bar.row for bar in lane.bars] == [0, 1, 0]
    assert lane.rows == 2
    (overlap,) = lane.overlaps
    assert (overlap.x, overlap.x + overlap.width) == (33.333, 37.5)
    assert "more than one run at once" in overlap.title
    assert lane.summary[0].text == "1 overlap"


@pytest.mark.parametrize("kind", ["skipped", "spent", "cancelled", "given up", "refused"])
def test_a_run_that_never_began_is_a_shape_without_a_bar(kind: str) -> None:
    lane = lane_of(fact(-61, "published", by="beat"), fact(-60, kind))

    assert lane.bars == ()
    assert [point.kind for point in lane.points] == [kind]


def test_what_was_passed_over_or_could_not_be_sent_is_shown_at_its_time() -> None:
    lane = lane_of(
        fact(-60, "superseded", run="", scheduled_ms=NOW - 1_800_000, note="1|late|3"),
        fact(-30, "dispatch_failed", run="", scheduled_ms=NOW - 900_000, note="TypeError"),
    )

    assert [(point.kind, point.x) for point in lane.points] == [
        ("superseded", 25.0),
        ("dispatch_failed", 37.5),
    ]
    assert "TypeError" in lane.points[1].title


def test_what_is_published_and_waits_is_queued() -> None:
    lane = lane_of(fact(-60, "published", by="beat"))

    assert [point.kind for point in lane.points] == [QUEUED]
    assert lane.summary[0].text == "1 queued"


def test_what_is_to_come_is_on_the_right() -> None:
    lane = lane_of(planned=(NOW + HOUR // 2, NOW + 2 * HOUR))

    assert [(point.kind, point.x) for point in lane.points] == [("planned", 75.0)]


def test_very_many_to_come_are_one_line() -> None:
    lane = lane_of(planned=tuple(NOW + n * 10_000 for n in range(MOST_PLANNED)))

    assert lane.points == ()
    assert lane.coming is not None
    assert (lane.coming.x, lane.coming.title) == (50.0, "to come about every 10 s")


def test_very_many_runs_become_one_mark_where_they_are_near() -> None:
    runs = [
        one for n in range(MOST_RUNS * 10) for one in ran(f"r{n}", -3500 + 3 * n, -3499 + 3 * n)
    ]
    runs += ran("bad", -1000.5, -1000, "failed")

    lane = lane_of(*runs)

    assert len(lane.bars) <= 73
    assert {bar.kind for bar in lane.bars} == {"succeeded many", "failed many"}
    (bad,) = [bar for bar in lane.bars if bar.kind == "failed many"]
    assert bad.x <= WINDOW.x(NOW - 1000_500) <= bad.x + bad.width + 0.2
    assert "1 failed" in bad.title
    assert lane.summary[0].text == "1 failed"


def test_a_run_by_hand_has_a_lane_without_a_name() -> None:
    (lane,), _ = lanes_of([fact(-60, "started", entry="", scheduled_ms=0)], {}, WINDOW, clock)

    assert lane.name == ""
    assert "called by hand" in lane.bars[0].title


def test_what_is_outside_of_the_window_is_not_drawn() -> None:
    lanes, _ = lanes_of(newest_first(ran("r", -8000, -7000)), {}, WINDOW, clock)

    assert lanes == []


def test_a_run_from_before_the_window_begins_at_its_edge() -> None:
    lane = lane_of(*ran("r", -7200, -1800))

    assert (lane.bars[0].x, lane.bars[0].width) == (0.0, 25.0)


def test_short_names_go_on_after_z() -> None:
    runs = runs_of([fact(-n, "started", run=f"r{n}", by=f"w{n:03}") for n in range(30)])

    names = Names.of(runs)

    assert list(names.workers.values())[24:28] == ["Y", "Z", "AA", "AB"]


@given(
    st.lists(
        st.builds(
            fact,
            st.floats(-7200, 0),
            st.sampled_from(
                [
                    *("published", "started", "succeeded", "failed", "retrying", "interrupted"),
                    *("skipped", "lost", "rerun", "published_again", "given up", "superseded"),
                ]
            ),
            st.sampled_from(["r1", "r2", "r3", ""]),
        ),
        max_size=30,
    )
)
def test_whatever_the_facts_every_mark_is_inside_and_says_something(facts: list[Fact]) -> None:
    """Also where some are missing: the history keeps the last ones only."""
    facts.sort(key=lambda one: -one.at_ms)

    lanes, _ = lanes_of(facts, {}, WINDOW, clock)

    for lane in lanes:
        for bar in lane.bars:
            assert 0 <= bar.x <= 100
            assert 0 < bar.width <= 100.4
            assert bar.title
        for wait in lane.waits:
            assert wait.width > 0
        for point in lane.points:
            assert 0 <= point.x <= 100
            assert point.title


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20))))
def test_no_two_in_a_row_meet_and_overlaps_are_where_two_rows_are(
    pairs: list[tuple[int, int]],
) -> None:
    spans = sorted((begin, begin + length) for begin, length in pairs)

    rows = rows_of(spans)
    overlaps = overlaps_of(spans)

    at_once = {t for t in range(70) if sum(begin <= t < end for begin, end in spans) > 1}
    assert {t for begin, end in overlaps for t in range(begin, end)} == at_once
    for row in set(rows):
        own = [span for span, of in zip(spans, rows, strict=True) if of == row]
        assert all(one[1] <= other[0] for one, other in pairwise(own))


@pytest.mark.parametrize("minutes", [20, 120, 720])
def test_times_along_a_window_are_round_and_few(minutes: int) -> None:
    window = Window(NOW - minutes * 30_000, NOW + minutes * 30_000, NOW)

    found = ticks(window)

    assert 5 <= len(found) <= 13
    assert all(at % 60_000 == 0 for at in found)


def test_run_times_are_plotted_from_the_oldest_to_the_newest() -> None:
    runs = runs_of(newest_first([*ran("a", -90, -80), *ran("b", -60, -40, "failed")]))

    plot = plot_of(runs)

    assert plot is not None
    assert [(dot.kind, dot.x, dot.y, dot.took_ms) for dot in plot.dots] == [
        ("succeeded", 2.0, 51.0, 10_000),
        ("failed", 98.0, 6.0, 20_000),
    ]
    assert [line.text for line in plot.lines] == ["0 ms", "10 s", "20 s"]


def test_where_nothing_has_ended_there_is_no_plot() -> None:
    assert plot_of(runs_of([fact(-60, "started")])) is None


def test_an_end_whose_begin_is_forgotten_is_known_by_its_note() -> None:
    (run,) = runs_of([fact(-60, "succeeded", note="5000")])

    assert (run.took_ms, run.bodies[0].started_ms) == (5000, NOW - 65_000)
