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
from celery_singleton_beat.protocol.run import NOTICE_MS, Attempt, Begun, Outcome
from celery_singleton_beat.store.port import Ending
from celery_singleton_beat.testing import START_MS
from tests.unit.replicas import Deployment, timings

TTL_MS = 30_000
message: Any = Message  # kombu has no types


@pytest.fixture
def it() -> Deployment:
    return Deployment()


def kept(run: str = "run", holder: str = "holder", **fields: Any) -> Attempt:
    """An attempt whose message is kept while it runs."""
    return Attempt(run, holder, run, TTL_MS, message=f"message of {run}", **fields)


def crash(it: Deployment, run: str = "run", **fields: Any) -> None:
    """Let a worker begin a run, and be heard of no more."""
    assert begin(it, kept(run, **fields)) is Begun.RUN


def begin(it: Deployment, attempt: Attempt) -> Begun:
    """Let a run begin, after the notice of the one before."""
    it.store.begin(attempt, close_if_busy=False, grace_ms=0)
    it.clock.advance(NOTICE_MS)
    return it.store.begin(attempt, close_if_busy=False, grace_ms=0).verdict


def test_one_replica_publishes_the_message_again_and_once(it: Deployment) -> None:
    replicas = [it.replica(timings()) for _ in range(3)]
    it.run(2, *replicas)
    crash(it)

    it.run((TTL_MS + NOTICE_MS) // 1000 - 1, *replicas)
    before = list(it.broker.again)
    it.run(TTL_MS // 1000, *replicas)

    assert before == []
    assert it.broker.again == ["message of run"]
    assert len(it.heard(happened.RunRepublished)) == 1


def test_what_was_not_sent_is_tried_again_after_the_hold(it: Deployment) -> None:
    replica = it.replica(timings())
    it.run(2, replica)
    crash(it)
    it.broker.fate_again = Sent.UNSENT
    it.run(40, replica)
    it.broker.fate_again = Sent.SENT

    it.run(10, replica)

    assert it.broker.again == ["message of run"]
    assert len(it.heard(happened.RunRepublished)) == 1


def test_what_may_have_been_sent_is_tried_again_after_longer_each_time(it: Deployment) -> None:
    replica = it.replica(timings())
    it.run(2, replica)
    crash(it)
    it.broker.fate_again = Sent.UNKNOWN
    tried = []

    for _ in range(150):
        it.run(1, replica)
        tried.append(len(it.broker.again))
    it.broker.fate_again = Sent.SENT
    it.run(120, replica)

    first_s = (TTL_MS + NOTICE_MS) // 1000
    assert tried.count(1) == pytest.approx(first_s, abs=1)
    assert tried.count(2) == pytest.approx(2 * first_s, abs=1)
    assert len(it.heard(happened.RunRepublished)) == 1
    assert [fact.kind for fact in it.store.history(1000)].count("rerun") == 1


def test_a_message_that_the_broker_loses_as_well_is_published_once_more(it: Deployment) -> None:
    """The next worker was killed too, as it took the message: nobody but the store has the run."""
    replicas = [it.replica(timings()) for _ in range(2)]
    it.run(2, *replicas)
    crash(it)
    it.run(40, *replicas)

    it.run(3600, *replicas, step_ms=5000)
    tried = len(it.broker.again)
    crash(it, holder="another")
    it.store.finish([Ending(kept(holder="another"), Outcome.SUCCEEDED)])
    it.run(3600, *replicas, step_ms=5000)

    assert tried == 1 + 4
    assert len(it.broker.again) == tried
    assert len(it.heard(happened.RunRepublished)) == tried


def test_a_run_is_given_up_after_so_many_starts_however_often_it_was_published(
    it: Deployment,
) -> None:
    replica = it.replica(timings())
    it.run(2, replica)
    crash(it, max_starts=2)
    it.run(300, replica)
    crash(it, holder="second", max_starts=2)
    it.run(300, replica)
    published = len(it.broker.again)

    third = begin(it, kept(holder="third", max_starts=2))

    assert published > 5
    assert third is Begun.GIVEN_UP


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
    it.store.finish([Ending(kept(), Outcome.SUCCEEDED)])

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
