"""Several replicas without any fault: each occurrence is dispatched once and executed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance import timetable
from tests.acceptance.deployment import GOVERNS, Deployment, account
from tests.acceptance.timetable import Every

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.proxy import FaultProxy
    from tests.rig.skew import ClockSkew

SECOND_MS = 1000
# A machine that stands still for a second must not be taken for a fault: nothing is superseded.
QUIET = {
    "singleton_beat_claim_hold": 5,
    "singleton_beat_lock_ttl": 10,
    "singleton_beat_catch_up": "all",
}


def test_short_jobs_run_once_on_replicas_whose_clocks_differ_by_little_or_much(
    make_deployment: Callable[..., Deployment],
    make_skew: Callable[[int], ClockSkew],
    redis_url: str,
    show: Callable[..., None],
) -> None:
    """F1, F2 and F4: no skew, then 50 ms, 500 ms and 2 s, with lock retries configured.

    S0-26, S0-29, S0-38, C9, C11.
    """
    entries = (Every("instant", 500), Every("ten-ms", SECOND_MS, 0.01), Every("slow", 2000, 0.3))
    deployment = make_deployment(
        redis_url, timetable.schedule(*entries), singleton_beat_lock_retries=3, **QUIET
    )
    facts, clocks = deployment.facts, [make_skew(0) for _ in range(3)]
    begun_ms = deployment.now_ms()
    deployment.worker()
    beats = [deployment.beat(skew=clock) for clock in clocks]
    for beat in beats:
        beat.wait_for(GOVERNS, 60)

    from_ms = deployment.now_ms()
    for apart_ms in (0, 50, 500, 2000):
        for clock, side in zip(clocks, (-1, 0, 1), strict=True):
            clock.set_ms(side * apart_ms)
        facts.wait_past(deployment.now_ms() + 3 * SECOND_MS)
    until_ms = deployment.now_ms()
    due = timetable.keys(entries, from_ms, until_ms)
    facts.wait_accounted(due)

    tally = deployment.witness.tally()
    may = timetable.keys(entries, begun_ms, deployment.now_ms())
    show("clocks apart", account(tally, facts, due, may=may))
    assert tally.duplicates() == set()
    assert tally.unexpected(may) == set()
    assert {key: facts.published[key] for key in due} == dict.fromkeys(due, 1)
    assert {key: facts.begun[key] for key in due} == dict.fromkeys(due, 1)


def test_many_jobs_due_in_the_same_second_are_each_dispatched_once(
    make_deployment: Callable[..., Deployment], redis_url: str, show: Callable[..., None]
) -> None:
    """F3, S0-35: 300 jobs, 3 replicas, two rounds."""
    entries = tuple(Every(f"same-second-{number}", 5 * SECOND_MS) for number in range(300))
    deployment = make_deployment(redis_url, timetable.schedule(*entries), **QUIET)
    facts = deployment.facts
    deployment.worker()
    for beat in [deployment.beat() for _ in range(3)]:
        beat.wait_for(GOVERNS, 60)

    from_ms = deployment.now_ms()
    due = timetable.keys(entries, from_ms, from_ms + 10 * SECOND_MS)
    facts.wait_accounted(due)

    tally = deployment.witness.tally()
    show("same second", account(tally, facts, due))
    assert len(due) == 600
    assert tally.duplicates() == set()
    assert {key: facts.published[key] for key in due} == dict.fromkeys(due, 1)
    assert {key: facts.begun[key] for key in due} == dict.fromkeys(due, 1)


def test_dispatch_goes_on_while_the_result_backend_does_not_answer(
    make_deployment: Callable[..., Deployment],
    make_proxy: Callable[[int], FaultProxy],
    own_redis: EmbeddedServer,
) -> None:
    """Beat never waits for results: the backend accepts connections and stays silent."""
    silent = make_proxy(own_redis.port)
    silent.hold()
    entries = (Every("a", SECOND_MS), Every("b", SECOND_MS))
    deployment = make_deployment(
        own_redis.url(),
        timetable.schedule(*entries),
        result_backend=silent.url(),
        task_ignore_result=False,
        **QUIET,
    )

    deployment.beat().wait_for(GOVERNS, 60)
    from_ms = deployment.now_ms()
    due = timetable.keys(entries, from_ms, from_ms + 5 * SECOND_MS)
    deployment.facts.wait_until(lambda facts: due <= facts.published.keys())

    assert {key: deployment.facts.published[key] for key in due} == dict.fromkeys(due, 1)
