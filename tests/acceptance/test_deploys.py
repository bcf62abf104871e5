"""Rolling deploys: two configurations side by side, and one that keeps crashing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance import timetable
from tests.acceptance.deployment import ENOUGH, GOVERNS, STANDS_BY, Deployment, account, told
from tests.acceptance.timetable import Every

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND_MS = 1000
SETTLED_MS = 5 * SECOND_MS  # longer than a replica counts as live, after which it is established
# A machine that stands still for a second must not be taken for a fault: nothing is superseded.
PATIENT = {"singleton_beat_catch_up": "all"}
KEPT = (Every("kept", 500), Every("kept-slow", 2 * SECOND_MS))
REMOVED, ADDED = Every("removed", SECOND_MS), Every("added", SECOND_MS)
BEFORE, AFTER = Every("changed", SECOND_MS), Every("changed", 3 * SECOND_MS)
OLD, NEW = (*KEPT, BEFORE, REMOVED), (*KEPT, AFTER, ADDED)


def test_a_rolling_deploy_hands_over_once_and_fires_and_resets_nothing(
    make_deployment: Callable[..., Deployment], redis_url: str, show: Callable[..., None]
) -> None:
    """F20: entries kept, changed, added and removed, between versions that run side by side."""
    deployment = make_deployment(redis_url, timetable.schedule(*OLD), **PATIENT)
    facts, begun_ms = deployment.facts, deployment.now_ms()
    deployment.worker()
    old = [deployment.beat(), deployment.beat()]
    for beat in old:
        beat.wait_for(GOVERNS, ENOUGH)
    from_ms = deployment.now_ms()
    facts.wait_past(from_ms + SETTLED_MS)

    before_ms = deployment.now_ms()
    newer = {"ACCEPTANCE": told(redis_url, timetable.schedule(*NEW), **PATIENT)}
    new = [deployment.beat(env=newer), deployment.beat(env=newer)]
    new[0].wait_for(STANDS_BY, ENOUGH)
    standing_by_ms = deployment.now_ms()
    for beat in new:
        beat.wait_for(GOVERNS, ENOUGH)
    after_ms = deployment.now_ms()
    facts.wait_past(after_ms + 2 * SECOND_MS)
    for beat in old:
        beat.terminate()
    until_ms = deployment.now_ms() + 3 * SECOND_MS
    due = timetable.keys(KEPT, from_ms, until_ms)
    due |= timetable.keys((BEFORE, REMOVED), from_ms, standing_by_ms)
    due |= timetable.keys((AFTER, ADDED), after_ms, until_ms)
    facts.wait_accounted(due)

    tally, ended_ms = deployment.witness.tally(), deployment.now_ms()
    may = timetable.keys(KEPT, begun_ms, ended_ms)
    may |= timetable.keys((BEFORE, REMOVED), begun_ms, after_ms)
    may |= timetable.keys((AFTER, ADDED), before_ms, ended_ms)
    show("rolling deploy", account(tally, facts, due, may=may))
    assert tally.unexpected(may) == set()
    assert tally.duplicates() == set()
    assert {key: facts.published[key] for key in due} == dict.fromkeys(due, 1)


def test_a_new_version_that_keeps_crashing_stops_nothing(
    make_deployment: Callable[..., Deployment], redis_url: str
) -> None:
    """F20: it never governs; killed hard each time, as soon as it has been heard of."""
    deployment = make_deployment(redis_url, timetable.schedule(*OLD), **PATIENT)
    facts, begun_ms = deployment.facts, deployment.now_ms()
    deployment.worker()
    steady = deployment.beat()
    steady.wait_for(GOVERNS, ENOUGH)
    from_ms = deployment.now_ms()
    facts.wait_past(from_ms + SETTLED_MS)

    newer = {"ACCEPTANCE": told(redis_url, timetable.schedule(*NEW), **PATIENT)}
    lives = []
    for _ in range(4):
        lives.append(deployment.beat(env=newer))
        lives[-1].wait_for(STANDS_BY, ENOUGH)
        lives[-1].kill()
    until_ms = deployment.now_ms() + 4 * SECOND_MS  # longer than a replica counts as live
    due = timetable.keys(OLD, from_ms, until_ms)
    facts.wait_ended(due)

    tally = deployment.witness.tally()
    assert not any(GOVERNS in line for life in lives for line in life.lines)
    assert sum("standing=" in line for line in steady.lines) == len(["ADOPTS", GOVERNS])
    assert tally.unexpected(timetable.keys(OLD, begun_ms, deployment.now_ms())) == set()
    assert tally.duplicates() == set()
    assert tally.lost(due) == set()
