"""Runs whose worker died: beats publish their messages again, where the task asks for it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from celery_singleton_beat import GivenUp
from celery_singleton_beat.protocol.history import Fact
from tests.integration.workers import ENOUGH, occurrence

if TYPE_CHECKING:
    from tests.integration.workers import Shop
    from tests.rig.processes import Proc


@pytest.fixture
def beats(shop: Shop) -> list[Proc]:
    """Two replicas with nothing to dispatch."""
    scheduler = ("beat", "-S", "celery_singleton_beat:SingletonScheduler")
    return [shop.run(*scheduler, name=f"beat{number}") for number in range(2)]


def kill_body(shop: Shop, key: str, times: int = 1) -> None:
    """End, with SIGKILL, the process in which the last body of a key began."""
    shop.began(key, times)
    os.kill(shop.bodies(key)[times - 1]["pid"], signal.SIGKILL)


def kinds(facts: list[Fact], run: str) -> list[str]:
    """What happened to a run, in the order in which it did."""
    return [fact.kind for fact in reversed(facts) if fact.run == run]


@pytest.mark.usefixtures("beats")
@pytest.mark.parametrize("task", ["rerun", "rerun_late"])
def test_a_run_whose_child_was_killed_is_run_again(shop: Shop, task: str) -> None:
    """F6, S1-13, S0-21: also with early acknowledgement, where the broker has nothing any more."""
    shop.worker()
    run = shop.send(task, "killed", ("gate", "g"))

    kill_body(shop, "killed")
    shop.began("killed", 2)
    shop.let("g")

    assert shop.wait_result(run, "SUCCESS")["run"] == run.id
    tally = shop.ended("killed")
    assert (tally.started("killed"), tally.ended("killed")) == (2, 1)


@pytest.mark.usefixtures("beats")
def test_a_run_whose_worker_was_killed_is_run_again_by_another(shop: Shop) -> None:
    """F6, S0-37: nobody is left who could tell; its lease is over, then its notice."""
    doomed = shop.worker()
    about: dict[str, Any] = {"task_id": "run-1", "headers": occurrence()}
    run = shop.send("rerun", "orphan", ("gate", "g"), **about)
    shop.began("orphan")
    doomed.kill()
    shop.worker()

    shop.began("orphan", 2)
    # The beat may come to note what it published when that has begun already.
    shop.wait_history(lambda facts: "rerun" in kinds(facts, run.id))
    shop.let("g")
    shop.wait_done(run.id)

    facts = kinds(shop.history(), run.id)
    second = shop.bodies("orphan")[1]
    assert facts.count("rerun") == 1
    assert [kind for kind in facts if kind != "rerun"] == ["started", "started", "succeeded"]
    assert facts.index("rerun") > 0
    assert second["token"] > shop.bodies("orphan")[0]["token"]
    assert shop.store.zcard(shop.keys.crashable) == 0
    assert shop.store.hlen(shop.keys.messages) == 0


@pytest.mark.usefixtures("beats")
def test_a_run_that_kills_its_workers_is_given_up(shop: Shop) -> None:
    """A poisoned message does not go round for ever; who waits for its result is told."""
    worker = shop.worker()
    run = shop.send("rerun", "poison", ("gate", "g"))

    kill_body(shop, "poison")
    kill_body(shop, "poison", 2)
    worker.wait_for("ERROR.*Run given up: its workers died too often", ENOUGH)
    shop.wait_run(run.id, lambda record: bool(record and record.outcome == "given up"))

    with pytest.raises(Exception, match="max_attempts") as caught:
        # The first failure that Celery itself noted for this id was the lost worker.
        shop.wait_result(run, GivenUp.__name__)
    assert type(caught.value).__name__ == GivenUp.__name__
    assert shop.began("poison", 2).started("poison") == 2


def test_a_run_that_asks_for_nothing_leaves_no_message_behind(shop: Shop) -> None:
    """Only tasks with `on_crash="rerun"` pay for the keeping."""
    shop.worker()
    shop.send("early", "plain", ("gate", "g"))
    shop.began("plain")

    kept = shop.store.hlen(shop.keys.messages)
    shop.let("g")

    shop.ended("plain")
    assert kept == 0
