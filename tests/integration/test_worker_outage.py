"""Workers whose store is away: nothing runs unlocked unless asked to, and nothing is lost."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from celery_singleton_beat import SingletonTask
from celery_singleton_beat.adapters import giving_way
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.in_hand import RunInHand
from celery_singleton_beat.demo.server import HOST
from celery_singleton_beat.protocol.run import Attempt
from tests.integration.workers import ENOUGH, occurrence
from tests.rig.proxy import TO_CLIENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.integration.workers import Shop
    from tests.rig.proxy import FaultProxy

AWAY = "store away: the store at"
FAR_OFF = datetime(2200, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def line(own_redis: EmbeddedServer, make_proxy: Callable[[int], FaultProxy]) -> FaultProxy:
    """The workers' line to the store; the broker and the results have another."""
    return make_proxy(own_redis.port)


@pytest.fixture
def shop(make_shop: Callable[..., Shop], line: FaultProxy) -> Shop:
    """A shop whose store is at the end of that line."""
    return make_shop(
        singleton_beat_redis_url=f"redis://{HOST}:{line.port}/2",
        singleton_beat_socket_timeout=0.5,
        singleton_beat_lock_ttl=1.5,
    )


@pytest.mark.parametrize("task", ["early", "late"])
def test_while_the_store_is_away_a_run_waits_in_the_queue(
    shop: Shop, line: FaultProxy, task: str
) -> None:
    """C1, S0-39, F7: nothing runs; it runs once when the store is back, with no restart."""
    worker = shop.worker()
    line.refuse()
    about: dict[str, Any] = {"task_id": str(uuid.uuid4()), "headers": occurrence()}
    run = shop.send(task, "waiting", **about)

    requeued = f"Run re-queued.*{AWAY}"
    first = worker.wait_for(requeued, ENOUGH)
    worker.wait_for(requeued, ENOUGH, since=worker.lines.index(first) + 1)
    before = shop.began("waiting", 0).started("waiting")
    line.heal()
    result = run.get(timeout=ENOUGH)

    assert before == 0
    assert (result["run"], result["retries"]) == (run.id, 0)
    assert shop.ended("waiting").started("waiting") == 1


def test_the_outage_is_said_once_and_so_is_its_end(shop: Shop, line: FaultProxy) -> None:
    """F7, S1-05: an error that a worker at its default log level shows, not one a message."""
    worker = shop.worker("solo", 1)
    line.refuse()
    for number in range(3):
        shop.send("early", f"waiting{number}")
    for number in range(3):
        worker.wait_for(f"Run re-queued.*waiting{number}.*{AWAY}", ENOUGH)
    line.heal()
    for number in range(3):
        shop.ended(f"waiting{number}")

    back = worker.wait_for("WARNING.*The store answers again", ENOUGH)
    said = [text for text in worker.lines if "ERROR" in text and "The store does not" in text]

    assert back
    assert len(said) == 1
    assert f"{HOST}:{line.port}" in said[0]


def test_a_run_may_go_on_without_its_store_and_says_so(shop: Shop, line: FaultProxy) -> None:
    """S1-15, S3-04, S3-14: and it locks again when the store is back."""
    worker = shop.worker()
    line.refuse()
    unlocked = shop.send("open", "open").get(timeout=ENOUGH)
    warned = worker.wait_for("WARNING.*Running without a lock", ENOUGH)

    line.heal()
    locked = shop.send("open", "open").get(timeout=ENOUGH)

    assert unlocked["token"] is None
    assert "key='open:open'" in warned
    assert locked["token"]


def test_a_run_may_be_forgone_without_its_store_and_says_so(shop: Shop, line: FaultProxy) -> None:
    """C1: the caller is told, too."""
    worker = shop.worker()
    line.refuse()

    result = shop.send("forgoing", "gone").get(timeout=ENOUGH)
    worker.wait_for(f"Run skipped.*{AWAY}", ENOUGH)

    assert AWAY in result["singleton_skipped"]
    assert shop.began("gone", 0).started("gone") == 0


def test_an_end_that_could_not_be_recorded_is_recorded_when_the_store_is_back(
    shop: Shop, line: FaultProxy
) -> None:
    """F7, S0-19: by the heartbeat; a later publish of the occurrence is recognised."""
    worker = shop.worker()
    about: dict[str, Any] = {"task_id": str(uuid.uuid4()), "headers": occurrence()}
    run = shop.send("late", "unheard", ("gate", "g"), **about)
    shop.began("unheard")

    line.refuse()
    shop.let("g")
    run.get(timeout=ENOUGH)
    worker.wait_for("Run ended.*outcome='succeeded' recorded=False", ENOUGH)
    line.heal()
    shop.wait_done(run.id)
    shop.send("late", "unheard", **about)

    worker.wait_for("Duplicate message dropped.*verdict='DONE'", ENOUGH)
    assert shop.lock("late:unheard") is None
    assert shop.ended("unheard").started("unheard") == 1


def test_a_run_that_ended_unheard_is_not_run_again_when_its_worker_is_back(
    shop: Shop, own_redis: EmbeddedServer, line: FaultProxy
) -> None:
    """F7: its lease was over meanwhile; whoever finds that gives its holder time to speak."""
    cut_off = shop.worker(concurrency=1)
    about: dict[str, Any] = {"task_id": str(uuid.uuid4()), "headers": occurrence()}
    run = shop.send("late", "unheard", ("gate", "g"), **about)
    shop.began("unheard")
    line.refuse()
    shop.let("g")
    cut_off.wait_for("Run ended.*outcome='succeeded' recorded=False", ENOUGH)

    shop.client.control.cancel_consumer("celery", destination=["worker1@rig"], reply=True)
    held = shop.lock("late:unheard")
    shop.wait_past(held.deadline_ms if held else 0)
    other = shop.worker(singleton_beat_redis_url=own_redis.url(2))
    shop.send("late", "unheard", **about)
    other.wait_for("Run re-queued.*reason='twin'|Lock acquired", ENOUGH)
    line.heal()
    shop.wait_done(run.id)

    other.wait_for("Duplicate message dropped.*verdict='DONE'", ENOUGH)
    assert shop.ended("unheard").started("unheard") == 1


def test_after_an_outage_a_run_that_goes_on_keeps_its_key(
    shop: Shop, own_redis: EmbeddedServer, line: FaultProxy
) -> None:
    """F5, F7: its lease was over meanwhile; the next run waits until its holder can have spoken."""
    cut_off = shop.worker(concurrency=1)
    lasting = shop.send("late", "kept", ("gate", "g"))
    shop.began("kept")
    line.refuse()
    cut_off.wait_for("ERROR.*A lease was lost while its task runs", ENOUGH)
    held = shop.lock("late:kept")
    shop.wait_past(held.deadline_ms if held else 0)

    other = shop.worker(singleton_beat_redis_url=own_redis.url(2))
    rival = shop.send("late", "kept")
    other.wait_for("Run re-queued.*reason='wait'|Lock acquired", ENOUGH)
    line.heal()
    skipped = rival.get(timeout=ENOUGH)
    shop.let("g")

    assert skipped["singleton_skipped"] == "locked"
    assert lasting.get(timeout=ENOUGH)["run"] == lasting.id
    assert shop.ended("kept").started("kept") == 1


def test_a_lease_survives_an_outage_shorter_than_its_ttl_and_is_lost_in_a_longer_one(
    make_shop: Callable[..., Shop], line: FaultProxy
) -> None:
    """C8, S0-24: the task can tell by itself; when nobody took the key it is its own again."""
    shop = make_shop(
        singleton_beat_redis_url=f"redis://{HOST}:{line.port}/2",
        singleton_beat_socket_timeout=0.5,
        singleton_beat_lock_ttl=1.5,
    )
    worker = shop.worker()
    shop.send("early", "cut", ("gate", "g1"), ("until lost", None), ("gate", "g2"))
    shop.began("cut")

    line.reset()
    shop.wait_renewed("early:cut", 2, ttl_ms=1500)
    shop.let("g1")
    trusted = shop.told("trusts", "cut")
    line.refuse()
    shop.told("lost", "cut")
    worker.wait_for("ERROR.*A lease was lost while its task runs", ENOUGH)
    line.heal()
    shop.wait_lock("early:cut", lambda lock: bool(lock and lock.deadline_ms > shop.store_now_ms()))
    shop.let("g2")

    assert trusted["lost"] is False
    shop.wait_free("early:cut")
    assert shop.ended("cut").started("cut") == 1


@pytest.mark.parametrize("task", ["early", "late"])
def test_a_run_whose_begin_was_done_but_not_answered_is_not_lost(
    shop: Shop, line: FaultProxy, task: str
) -> None:
    """F7, S0-01: the write happened and its reply was lost; the run comes back, and runs once."""
    worker = shop.worker()
    shop.send(task, "loads the scripts").get(timeout=ENOUGH)
    shop.wait_free(f"{task}:loads the scripts")
    line.blackhole(TO_CLIENT)
    about: dict[str, Any] = {"task_id": str(uuid.uuid4()), "headers": occurrence()}
    run = shop.send(task, "unanswered", **about)

    begun = shop.wait_run(run.id, bool)
    worker.wait_for(f"Run re-queued.*{AWAY}", ENOUGH)
    line.heal()

    assert begun is not None
    assert run.get(timeout=ENOUGH)["run"] == run.id
    assert shop.ended("unanswered").started("unanswered") == 1


def test_a_retry_that_could_not_be_recorded_runs_when_the_store_is_back(
    shop: Shop, line: FaultProxy
) -> None:
    """F7, S4-06: neither taken for the end of its run nor for a twin of it for ever."""
    worker = shop.worker()
    run = shop.send("stumbling", "retried", ("gate", "g"), ("stumble", 1))
    shop.began("retried")

    line.refuse()
    shop.let("g", 2)
    worker.wait_for("Run ended.*outcome='retrying' recorded=False", ENOUGH)
    worker.wait_for(f"Run re-queued.*{AWAY}", ENOUGH)
    line.heal()

    assert run.get(timeout=ENOUGH)["retries"] == 1
    assert shop.ended("retried").started("retried") == 2


def test_a_wiped_store_lets_live_holders_come_back_first(
    make_shop: Callable[..., Shop], make_redis: Callable[..., EmbeddedServer]
) -> None:
    """F10: a server that restarts empty starts no second run beside the first."""
    store = make_redis()
    shop = make_shop(
        singleton_beat_redis_url=store.url(2),
        singleton_beat_lock_ttl=3,
        singleton_beat_socket_timeout=0.5,
    )
    worker = shop.worker()
    first = shop.send("early", "kept", ("gate", "g"))
    shop.began("kept")

    store.restart(wipe=True)
    worker.wait_for("The store had forgotten a lease; it was taken back", ENOUGH)
    rival = shop.send("early", "kept").get(timeout=ENOUGH)
    shop.let("g")

    assert rival["singleton_skipped"] == "locked"
    assert first.get(timeout=ENOUGH)["run"] == first.id
    assert shop.ended("kept").started("kept") == 1


def test_a_message_that_cannot_be_queued_again_is_not_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S0-37: the broker is away just when a twin gives way; the twin may be all there is."""
    app = Celery("lonely", broker="memory://", set_as_current=False)
    app.conf.singleton_beat_redis_url = "memory://"
    sent: list[datetime] = []
    waits: list[float] = []

    @app.task(base=SingletonTask, shared=False, name="lonely.task")
    def lonely() -> None:
        pass

    class Message:
        def apply_async(self, **_: Any) -> None:
            if len(waits) < 3:
                raise OperationalError

    def signature(*_: Any, eta: datetime, **__: Any) -> Message:
        sent.append(eta)
        return Message()

    task = app.tasks["lonely.task"]
    monkeypatch.setattr(task, "signature_from_request", signature)
    monkeypatch.setattr("celery_singleton_beat.adapters.giving_way.time.sleep", waits.append)
    extension, attempt = extension_of(app), Attempt("run", "h1", "key", 1000)
    run = RunInHand(attempt, extension, extension.heartbeat, 0, is_own=False)

    with pytest.raises(Ignore):
        giving_way.postpone(task, run, "twin", 1000, int(FAR_OFF.timestamp()) * 1000 - 1000)

    assert (sent, waits) == ([FAR_OFF] * 4, [2] * 3)
