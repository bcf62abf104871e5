"""Flower beside us: it is told of every run, and how it ended."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from celery_singleton_beat.demo.server import HOST, PORTS
from tests.integration.timetabled import Timetabled
from tests.integration.workers import ENOUGH

if TYPE_CHECKING:
    import pathlib

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.processes import Processes


class Flowered(Timetabled):
    """A shop whose workers and beats send events, and Flower's view of it."""

    def flower(self) -> None:
        """Start Flower; return when it hears events."""
        port = random.choice(PORTS)
        self._api = httpx.Client(base_url=f"http://{HOST}:{port}/api")
        flower = self.run(
            *("flower", f"--address={HOST}", f"--port={port}", "--persistent=false"),
            name="flower",
            worker_send_task_events=True,
        )
        flower.wait_for("Visit me at", ENOUGH)
        flower.wait_for("Connected to", ENOUGH)

    def wait_task(self, run: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What Flower says of a run, once it is as wanted: it tells of changes to nobody."""
        deadline = time.monotonic() + ENOUGH
        while True:
            answer = self._api.get(f"/task/info/{run}")
            found = answer.json() if answer.status_code == 200 else {}
            if reached(found):
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"Flower says: {found}")

    def close(self) -> None:
        self._api.close()
        super().close()


@pytest.fixture
def flowered(
    own_redis: EmbeddedServer,
    processes: Processes,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Flowered]:
    monkeypatch.setenv("FLOWER_UNAUTHENTICATED_API", "true")
    events = {"worker_send_task_events": True, "task_send_sent_event": True}
    shop = Flowered(own_redis, processes, tmp_path, result_expires=None, **events)
    shop.flower()
    shop.beat()
    shop.worker()
    yield shop
    shop.close()


def succeeded(task: dict[str, Any]) -> bool:
    return task.get("state") == "SUCCESS"


def test_flower_sees_who_sent_a_run_and_how_it_ended(flowered: Flowered) -> None:
    run = flowered.asked("seen", "shop.early", "one")

    task = flowered.wait_task(run, succeeded)

    assert task["name"] == "shop.early"
    assert task["sent"]
    assert task["received"]
    assert "'run'" in task["result"]
    assert task["args"].startswith("['one'")


def test_flower_sees_that_a_run_was_skipped_and_why(flowered: Flowered) -> None:
    """Celery sends no event of a run that is ignored: it would be shown as running for ever."""
    flowered.send("early", "one", ("gate", "g"))
    flowered.began("one")

    run = flowered.asked("second", "shop.early", "one")

    task = flowered.wait_task(run, succeeded)
    assert "'singleton_skipped': 'locked'" in task["result"]


def test_flower_sees_that_a_run_failed(flowered: Flowered) -> None:
    run = flowered.asked("failing", "shop.early", "one", ("fail", "no more paper"))

    task = flowered.wait_task(run, lambda task: task.get("state") == "FAILURE")

    assert "no more paper" in task["exception"]
