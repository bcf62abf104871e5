"""Messages that will not be executed: their runs are closed, and nobody waits for them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.workers import ENOUGH, occurrence

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.run import Run
    from tests.integration.workers import Shop


def awaited(shop: Shop) -> dict[str, Any]:
    """What is given with a message that the beats want to see begin."""
    run = str(uuid.uuid4())
    shop.store.zadd(shop.keys.awaited, {run: shop.store_now_ms() + 3_600_000})
    return {"task_id": run, "headers": occurrence(awaited=True)}


def is_closed(run: Run | None) -> bool:
    return run is not None and run.outcome == "discarded"


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_an_expired_message_closes_its_run(shop: Shop, pool: str) -> None:
    """Nobody waits for it to begin, and a second message of it is dropped."""
    worker = shop.worker(pool)
    about = awaited(shop)
    past = datetime.now(timezone.utc) - timedelta(seconds=5)
    run = shop.send("early", "stale", expires=past, **about)
    shop.wait_run(run.id, is_closed)

    worker.terminate()
    other = shop.worker(pool)  # the first one remembers the id, and would drop it by itself
    shop.send("early", "stale", **about)
    other.wait_for("Duplicate message dropped.*verdict='DONE'", ENOUGH)

    facts = [(fact.kind, fact.note) for fact in shop.history() if fact.run == run.id]
    assert facts == [("discarded", "expired")]
    assert shop.store.zcard(shop.keys.awaited) == 0
    assert shop.began("stale", 0).started("stale") == 0


def test_a_revoked_message_closes_its_run(shop: Shop) -> None:
    """Sidekiq and others leave the lock of a revoked job; here there is none, and it is said."""
    worker = shop.worker()
    shop.wait_reachable()
    about = awaited(shop)
    shop.client.control.revoke(about["task_id"])
    worker.wait_for("Tasks flagged as revoked", ENOUGH)

    run = shop.send("early", "unwanted", **about)

    assert is_closed(shop.wait_run(run.id, is_closed))
    assert shop.store.zcard(shop.keys.awaited) == 0
    assert shop.began("unwanted", 0).started("unwanted") == 0


def test_a_message_of_no_known_task_closes_its_run(shop: Shop) -> None:
    """An entry whose task is not in these workers is not published again and again."""
    shop.worker()
    about = awaited(shop)

    run = shop.client.send_task("shop.nobody_knows_it", **about)

    assert is_closed(shop.wait_run(run.id, is_closed))
    assert shop.store.zcard(shop.keys.awaited) == 0


def test_a_run_that_goes_on_is_not_closed_by_a_second_message(shop: Shop) -> None:
    """The first one ends as it would have."""
    worker = shop.worker()
    about = awaited(shop)
    run = shop.send("early", "alive", ("gate", "g"), **about)
    shop.began("alive")
    past = datetime.now(timezone.utc) - timedelta(seconds=5)

    shop.send("early", "alive", expires=past, **about)
    worker.wait_for("Message discarded", ENOUGH)
    shop.let("g")

    shop.wait_run(run.id, lambda record: bool(record and record.outcome == "succeeded"))
    assert shop.ended("alive").started("alive") == 1
