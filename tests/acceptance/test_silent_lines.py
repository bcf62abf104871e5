"""A firewall forgets idle connections: beats and workers find out before it costs a run."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from celery_singleton_beat.demo.server import EmbeddedServer
from tests.acceptance import timetable
from tests.acceptance.deployment import ENOUGH, GOVERNS, Deployment
from tests.acceptance.timetable import Every
from tests.rig.proxy import FaultProxy

COUNTS = "{csb:acceptance}:history:counts:"


@pytest.mark.parametrize(("seconds", "is_noticed_in_time"), [(0.05, True), (0, False)])
def test_no_run_is_put_off_by_lines_that_died_while_they_were_idle(
    make_deployment: Callable[..., Deployment],
    make_proxy: Callable[[int], FaultProxy],
    own_redis: EmbeddedServer,
    seconds: float,
    is_noticed_in_time: bool,
) -> None:
    """S0-13, S0-25: the health check; switched off, the first to use such a line pays."""
    between = make_proxy(own_redis.port)
    deployment = make_deployment(
        between.url(),
        timetable.schedule(Every("rare", 3000)),
        broker_url=own_redis.url(),
        singleton_beat_health_check_interval=seconds,
    )
    facts = deployment.facts
    deployment.worker(concurrency=1)
    deployment.beat().wait_for(GOVERNS, ENOUGH)
    facts.wait_until(lambda facts: len(facts.ended) == 1)
    idle(deployment)

    between.forget()
    facts.wait_until(lambda facts: len(facts.ended) >= 3)

    trouble = facts.postponed.total() + facts.events["StoreLost"]
    assert (trouble == 0) == is_noticed_in_time


def idle(deployment: Deployment) -> None:
    """Return when all of the first run is recorded: what is asked next is asked a while later.

    A line that was used a moment ago is not asked for its health before it is used again.
    """
    deadline = time.monotonic() + ENOUGH
    while deployment.holds() or not deployment.store.hexists(COUNTS, "sum:ran"):
        assert time.monotonic() < deadline
