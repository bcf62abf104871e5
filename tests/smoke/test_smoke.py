"""Our scheduler and tasks in deployments that pytest-celery sets up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import redis
from pytest_celery import RESULT_TIMEOUT
from pytest_docker_tools.utils import wait_for_callable

from tests.smoke import tasks

if TYPE_CHECKING:
    from pytest_celery import CeleryTestCluster, CeleryTestSetup

PUBLISHED = re.compile(r"Occurrence published: entry='tick' scheduled_ms=(\d+)")
RECEIVED = re.compile(r"Task tests\.smoke\.tasks\.tick\[[^]]+\] received")
OCCURRENCES = 5
INTERVAL_MS = 1_000


def test_a_singleton_task_runs_and_its_result_is_right(celery_setup: CeleryTestSetup) -> None:
    assert celery_setup.ready(ping=True, control=True, docker=True)

    result = tasks.add.delay(2, 3).get(timeout=RESULT_TIMEOUT)

    assert result["sum"] == 5
    assert result["token"] > 0
    celery_setup.worker.assert_log_exists("Run ended: task='tests.smoke.tasks.add'")


def test_a_second_message_is_skipped_while_the_first_holds_its_key(
    celery_setup: CeleryTestSetup,
) -> None:
    first = tasks.count.delay("apples")
    celery_setup.worker.wait_for_log("Lock acquired: task='tests.smoke.tasks.count'")

    skipped = tasks.count.delay("apples").get(timeout=RESULT_TIMEOUT)
    with redis.Redis.from_url(celery_setup.app.conf.broker_url) as client:
        client.rpush(tasks.GATE, "open")

    assert skipped["singleton_skipped"] == "locked"
    assert skipped["lock_key"] == "stock:apples"
    assert first.get(timeout=RESULT_TIMEOUT) == "counted apples"


def test_two_beats_dispatch_each_occurrence_once(
    celery_setup: CeleryTestSetup, beats: CeleryTestCluster
) -> None:
    def published() -> list[int]:
        return sorted(int(ms) for beat in beats for ms in PUBLISHED.findall(beat.logs()))

    wait_for_callable("Waiting for occurrences", lambda: len(published()) >= OCCURRENCES)
    for beat in beats:
        beat.kill("SIGTERM")
    # Sent last, so the worker has received all the others before it.
    tasks.add.delay(2, 3).get(timeout=RESULT_TIMEOUT)

    dispatched = published()
    first = dispatched[0]
    assert dispatched == [first + nth * INTERVAL_MS for nth in range(len(dispatched))]
    assert len(RECEIVED.findall(celery_setup.worker.logs())) == len(dispatched)


def test_a_killed_worker_does_after_its_restart_what_was_sent_meanwhile(
    celery_setup: CeleryTestSetup,
) -> None:
    worker = celery_setup.worker

    worker.kill()
    ended = worker.container.status
    sent = tasks.add.delay(2, 3)
    worker.restart()

    assert ended == "exited"
    assert sent.get(timeout=RESULT_TIMEOUT)["sum"] == 5
