"""Workers that are asked to stop while messages flow: how long that takes, and what is left."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
from celery import Celery

from tests.rig.witness import clock_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.deployment import Deployment, Facts

STOPS: Final = 8
CALLS: Final = 400 * STOPS
BETWEEN: Final = 60
"""So many calls begin between a worker's start and the moment when it is asked to stop."""

EARLY_ACKS: Final = {"task_acks_late": False, "task_reject_on_worker_lost": False}
SLOW_S: Final = 5.0


@pytest.mark.campaign
@pytest.mark.timeout(900)
@pytest.mark.parametrize("task", ["acceptance.numbered", "acceptance.plain"])
def test_a_worker_that_is_asked_to_stop_in_the_middle_loses_nothing(
    task: str, make_deployment: Callable[..., Deployment], redis_url: str, show: Callable[..., None]
) -> None:
    """And repeats nothing of a SingletonTask, though Celery puts back what its child has run."""
    deployment = make_deployment(redis_url, {}, **EARLY_ACKS)
    due = {f"call-{number}" for number in range(CALLS)}
    with Celery("acceptance", broker=redis_url) as client:
        for number in range(CALLS):
            client.send_task(task, args=[number, number % 6 / 1000])

    stops_s = []
    for stop in range(1, STOPS + 1):
        worker = deployment.worker(concurrency=3)
        deployment.facts.wait_until(partial(_has_begun, stop * BETWEEN))
        asked_ns = clock_ns()
        assert worker.terminate() == 0
        stops_s.append((clock_ns() - asked_ns) / 1e9)
    deployment.worker(concurrency=3)
    deployment.facts.wait_ended(due)

    tally = deployment.witness.tally()
    slow_s = [f"{stop_s:.0f} s" for stop_s in stops_s if stop_s > SLOW_S]
    twice = len(tally.duplicates())
    counts = {"sent": CALLS, "lost": len(tally.lost(due)), "twice": twice}
    show(f"{task}, stopped {STOPS} times", {**counts, "slow stops": slow_s or "none"})
    assert tally.lost(due) == set()
    assert task == "acceptance.plain" or not twice


def _has_begun(count: int, facts: Facts) -> bool:
    return facts.begun.total() >= count
