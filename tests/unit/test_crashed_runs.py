"""Replicas and the runs whose workers died; what is told to the history on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kombu.message import Message

from celery_singleton_beat import events as happened
from celery_singleton_beat.adapters import messages
from celery_singleton_beat.engine.publisher import Sent
from celery_singleton_beat.protocol.entry import CatchUp
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.run import NOTICE_MS, Attempt, Outcome
from celery_singleton_beat.store.port import Ending
from celery_singleton_beat.testing import START_MS
from tests.unit.replicas import Deployment, timings

TTL_MS = 30_000
message: Any = Message  # kombu has no types


@pytest.fixture
def it() -> Deployment:
    return Deployment()


def crash(it: Deployment, run: str = "run") -> None:
    """Let a worker begin a run, and be heard of no more."""
    attempt = Attempt(run, f"holder of {run}", run, TTL_MS, message=f"message of {run}")
    it.store.begin(attempt, close_if_busy=False, grace_ms=0)


def test_one_replica_publishes_the_message_again_and_once(it: Deployment) -> None:
    replicas = [it.replica(timings()) for _ in range(3)]
    it.run(2, *replicas)
    crash(it)

    it.run((TTL_MS + NOTICE_MS) // 1000 - 1, *replicas)
    before = list(it.broker.again)
    it.run(60, *replicas)

    assert before == []
    assert it.broker.again == ["message of run"]
    assert len(it.heard(happened.RunRepublished)) == 1


@pytest.mark.parametrize("fate", [Sent.UNKNOWN, Sent.UNSENT])
def test_what_may_not_have_been_sent_is_tried_again_after_the_hold(
    it: Deployment, fate: Sent
) -> None:
    replica = it.replica(timings())
    it.run(2, replica)
    crash(it)
    it.broker.fate_again = fate
    it.run(40, replica)
    it.broker.fate_again = Sent.SENT
    tried = len(it.broker.again)

    it.run(10, replica)

    assert len(it.broker.again) == tried + 1
    assert len(it.heard(happened.RunRepublished)) == 1


def test_a_message_that_cannot_be_sent_is_reported_and_let_go(it: Deployment) -> None:
    replica = it.replica(timings())
    it.run(2, replica)
    crash(it)
    it.broker.fate_again = Sent.FAILED

    it.run(90, replica)

    assert len(it.heard(happened.RunNotRepublished)) == 1
    assert "rerun" not in [fact.kind for fact in it.store.history(1000)]
    assert it.store.reclaim(limit=10, hold_ms=1) == []


def test_a_run_that_ends_in_time_is_not_published_again(it: Deployment) -> None:
    replica = it.replica(timings())
    it.run(2, replica)
    crash(it)
    attempt = Attempt("run", "holder of run", "run", TTL_MS, message="message of run")
    it.store.finish([Ending(attempt, Outcome.SUCCEEDED)])

    it.run(90, replica)

    assert it.broker.again == []


def test_the_history_tells_what_was_published_left_out_and_not_sent(it: Deployment) -> None:
    replica = it.replica(timings(catch_up=CatchUp.LATEST))
    it.run(2, replica)
    it.clock.advance(3000)
    it.run(1, replica)
    it.broker.fates["x"] = Sent.FAILED
    it.run(1, replica)

    facts = [Fact(0, *fact[1:]) for fact in reversed(it.store.history(10))]

    at = [START_MS + second * 1000 for second in range(8)]
    ids = {o.scheduled_ms: o.task_id("test") for o in it.broker.sent}
    assert facts[:2] == [
        Fact(0, "published", "x", at[1], ids[at[1]], by="r1"),
        Fact(0, "published", "x", at[2], ids[at[2]], by="r1"),
    ]
    assert Fact(0, "superseded", "x", at[3], by="r1", note=f"{at[4]}|{at[5]}|2") in facts
    assert facts[-1].kind == "dispatch_failed"


@pytest.mark.parametrize("body", ['[[1], {}, {"chain": null}]', b"\x80\x00binary"])
def test_a_message_is_published_as_it_came(body: str | bytes) -> None:
    class Producer:
        def publish(self, body: object, **options: object) -> None:
            sent.append((body, options))

    sent: list[tuple[object, dict[str, object]]] = []
    came = message(
        body=body,
        content_type="application/json",
        content_encoding="utf-8",
        headers={"id": "run", "task": "shop.tick", "é": ["|", None]},
        properties={"correlation_id": "run", "priority": 3, "delivery_tag": "gone"},
        delivery_info={"exchange": "", "routing_key": "celery"},
    )

    messages.publish(Producer(), messages.to_text(came))

    assert sent == [
        (
            body,
            {
                "exchange": "",
                "routing_key": "celery",
                "headers": {"id": "run", "task": "shop.tick", "é": ["|", None]},
                "content_type": "application/json",
                "content_encoding": "utf-8",
                "retry": False,
                "correlation_id": "run",
                "priority": 3,
            },
        )
    ]


def test_a_message_that_json_cannot_hold_is_refused_when_it_is_kept() -> None:
    came = message(body="[]", headers={"id": object()})

    with pytest.raises(TypeError):
        messages.to_text(came)
    with pytest.raises(ValueError, match="Expecting"):
        messages.publish(None, "{")
    assert json.loads(messages.to_text(message(body="[]")))["properties"] == {}
