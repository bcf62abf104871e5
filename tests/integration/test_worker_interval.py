"""Keys that have one run in an interval, stay held for a while, or through retries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.workers import ENOUGH

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.history import Fact
    from tests.integration.workers import Shop


def started(facts: list[Fact]) -> list[Fact]:
    """The runs that began."""
    return [fact for fact in facts if fact.kind == "started"]


def left_out(facts: list[Fact]) -> list[Fact]:
    """The runs that were one too many for their interval."""
    return [fact for fact in facts if fact.kind in ("spent", "skipped")]


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_of_many_messages_in_an_interval_one_runs(shop: Shop, pool: str) -> None:
    """S3-13, S0-16: whoever sent them; those left out have a result that says so."""
    shop.worker(pool)
    runs = [shop.send("yearly", "once") for _ in range(5)]

    results = [run.get(timeout=ENOUGH) for run in runs]

    skipped = [result["singleton_skipped"] for result in results if "singleton_skipped" in result]
    assert skipped == ["its key has had its run of this interval"] * 4
    assert shop.ended("once").started("once") == 1


def test_three_stock_beats_give_one_run_in_each_interval(shop: Shop) -> None:
    """F1, F2, S0-01: without our beat, by the server's clock."""
    every_second = {"task": "shop.each_second", "schedule": 1.0, "args": ["ticks"]}
    shop.worker()
    for number in range(3):
        schedule_file = str(shop.witness.directory / f"schedule{number}")
        shop.run(
            "beat",
            "-s",
            schedule_file,
            name=f"beat{number}",
            beat_schedule={"every-second": every_second},
        )

    # The beats start one after another: for a while there may be nothing to leave out.
    facts = shop.wait_history(lambda facts: min(len(started(facts)), len(left_out(facts))) >= 5)

    seconds = [fact.at_ms // 1000 for fact in started(facts)]
    assert len(set(seconds)) == len(seconds)


def test_a_key_stays_held_for_as_long_as_its_task_says(shop: Shop) -> None:
    """S0-20: also after a run that was shorter."""
    shop.worker()
    first = shop.send("lingering", "held")
    shop.wait_done(first.id)

    second = shop.send("lingering", "held").get(timeout=ENOUGH)

    assert first.get(timeout=ENOUGH)["token"]
    assert second["singleton_skipped"] == "locked"
    lock = shop.lock("lingering:held")
    assert lock is not None
    assert lock.deadline_ms == lock.acquired_ms + 3_600_000


def test_a_key_can_stay_held_while_a_retry_waits(shop: Shop) -> None:
    """S4-06: nobody comes between two attempts; the next one begins at once."""
    worker = shop.worker()
    first = shop.send("kept_through", "mine", ("retry in", 2), ("gate", "g"))
    worker.wait_for("Run ended.*outcome='retrying'", ENOUGH)

    rival = shop.send("kept_through", "mine").get(timeout=ENOUGH)
    shop.let("g")

    assert rival["singleton_skipped"] == "locked"
    assert first.get(timeout=ENOUGH)["retries"] == 1
    shop.wait_free("kept_through:mine")
