"""The main job under faults: every occurrence once, whoever is killed, frozen or wrong about time.

The seed is printed; `SINGLETON_BEAT_SEED` sets it, `SINGLETON_BEAT_FAULT_SECONDS` the length.
"""

from __future__ import annotations

import contextlib
import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.acceptance import exported, on_pages, timetable
from tests.acceptance.deployment import Deployment, account
from tests.acceptance.storm import Storm
from tests.acceptance.timetable import Every

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.skew import ClockSkew

ENTRIES = (
    *(Every(f"every-1s-{number:02}", 1000, 0.0 if number % 10 else 0.25) for number in range(38)),
    *(Every(f"every-half-{number}", 500) for number in range(3)),
    *(Every(f"every-2s-{number}", 2000, 0.5) for number in range(4)),
    # They outlast the visibility timeout and the lease: their messages come again meanwhile. Their
    # keys are free for half the time: who waits for one that hardly ever is may wait for ever.
    *(Every(f"every-10s-{number}", 10_000, 5.0) for number in range(2)),
)
START_DEADLINE_S = 15
SHOWN = ("published", "started", "succeeded")
# Redis as the broker may lose what comes again of a run whose worker died, with the next that dies.
RERUN = {"singleton_beat_on_crash": "rerun"}
CONFIRMED = {"broker_transport_options": {"confirm_publish": True}}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("broker", "seconds"), [("redis", 44), ("rabbitmq", 20)])
def test_every_occurrence_runs_once_through_kills_freezes_and_wrong_clocks(  # noqa: PLR0917  # fixtures
    request: pytest.FixtureRequest,
    make_deployment: Callable[..., Deployment],
    make_skew: Callable[[int], ClockSkew],
    make_redis: Callable[..., EmbeddedServer],
    show: Callable[..., None],
    broker: str,
    seconds: int,
) -> None:
    """The main job, and what is shown of it, number for number.

    S0-01, S0-16..18, S0-21, S0-37, S0-38, S1-11..13, S2-01, S3-13, F4, F6.
    """
    seed = int(os.environ.get("SINGLETON_BEAT_SEED") or random.randrange(10**6))
    seconds = int(os.environ.get("SINGLETON_BEAT_FAULT_SECONDS") or seconds)
    show(f"faults on {broker}", {"seed": seed, "seconds": seconds})
    is_rabbit = broker == "rabbitmq"
    conf = CONFIRMED | {"broker_url": request.getfixturevalue("rabbitmq")} if is_rabbit else RERUN
    schedule, store_url = timetable.schedule(*ENTRIES), make_redis().url()
    deployment = make_deployment(
        store_url,
        schedule,
        singleton_beat_catch_up="all",
        singleton_beat_start_deadline=START_DEADLINE_S,
        singleton_beat_history=exported.KEPT,
        **conf,
    )
    exporter = exported.Exported(deployment)
    facts, begun_ms = deployment.facts, deployment.now_ms()
    storm = Storm(deployment, make_skew, random.Random(seed))

    from_ms = deployment.now_ms()
    until_ms = from_ms + seconds * 1000
    while deployment.now_ms() < until_ms:
        facts.wait_past(min(deployment.now_ms() + 1000, until_ms))
        storm.strike()
    due = timetable.keys(ENTRIES, from_ms, until_ms)
    with contextlib.suppress(TimeoutError):  # the ledger says better what is missing
        facts.wait_ended(due, 120.0)
    for proc in (*storm.beats, *storm.workers):
        proc.terminate()

    told = exported.facts_of(store_url)
    tally = deployment.witness.tally()
    may = timetable.keys(ENTRIES, begun_ms, deployment.now_ms())
    show("faults", storm.counts | {"orphaned claims": storm.orphaned})
    show("events", facts.events)
    show("ledger", account(tally, facts, due, may=may))
    show("exported", {kind: len(exported.occurrences(told, kind)) for kind in SHOWN})
    assert storm.orphaned
    assert 0 not in storm.orphaned
    assert exporter.counted() == pytest.approx(exported.expected(told))
    assert on_pages.Dashboard(deployment).counted() == on_pages.expected_counts(told)
    assert due - exported.occurrences(told, "published") == set()
    assert due - exported.occurrences(told, "succeeded") == set()
    assert exported.occurrences(told, "succeeded") <= {key for key in may if tally.ended(key)}
    assert tally.unexpected(may) == set()
    assert tally.duplicates() == set()
    assert tally.lost(due) == set()
