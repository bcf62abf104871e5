"""The dashboard while everything goes wrong: it answers, and shows what the run records say."""

from __future__ import annotations

import contextlib
import os
import random
from typing import TYPE_CHECKING

from tests.acceptance import exported, on_pages, timetable
from tests.acceptance.deployment import Deployment
from tests.acceptance.storm import Storm
from tests.acceptance.timetable import Every

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.skew import ClockSkew

ENTRIES = (
    *(Every(f"every-1s-{number:02}", 1000) for number in range(28)),
    *(Every(f"every-2s-{number}", 2000, 0.5) for number in range(4)),
)
SECONDS = 15


def test_the_dashboard_shows_what_the_run_records_say_number_for_number(
    make_deployment: Callable[..., Deployment],
    make_skew: Callable[[int], ClockSkew],
    make_redis: Callable[..., EmbeddedServer],
    show: Callable[..., None],
) -> None:
    """While beats and workers are killed and frozen, and clocks are wrong."""
    seed = int(os.environ.get("SINGLETON_BEAT_SEED") or random.randrange(10**6))
    store_url = make_redis().url()
    deployment = make_deployment(
        store_url,
        timetable.schedule(*ENTRIES),
        singleton_beat_catch_up="all",
        singleton_beat_start_deadline=15,
        singleton_beat_on_crash="rerun",  # as in test_faults with this broker
        singleton_beat_history=exported.KEPT,
    )
    dashboard = on_pages.Dashboard(deployment)
    storm = Storm(deployment, make_skew, random.Random(seed))
    answers = []

    from_ms = deployment.now_ms()
    until_ms = from_ms + SECONDS * 1000
    while deployment.now_ms() < until_ms:
        deployment.facts.wait_past(min(deployment.now_ms() + 1000, until_ms))
        storm.strike()
        answers.append(dashboard.look("timeline"))
    due = timetable.keys(ENTRIES, from_ms, until_ms)
    with contextlib.suppress(TimeoutError):
        deployment.facts.wait_ended(due)
    for proc in (*storm.beats, *storm.workers):
        proc.terminate()

    facts = exported.facts_of(store_url)
    total, _ = on_pages.expected_counts(facts)
    show("on pages", {"seed": seed, "faults": storm.counts, "counted": total})
    assert set(answers) == {200}
    assert total["succeeded"] >= len(due)
    assert len(facts) < 10_000  # else the timeline could not have them all
    assert on_pages.Dashboard(deployment).counted() == on_pages.expected_counts(facts)
    assert on_pages.Dashboard(deployment).runs() == on_pages.expected_runs(facts)
