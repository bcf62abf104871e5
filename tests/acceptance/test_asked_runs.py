"""Runs that are asked for, with real beats and workers: each once, whoever dies meanwhile."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from celery_singleton_beat import Entry, Timetable
from tests.acceptance import timetable
from tests.acceptance.deployment import ENOUGH, GOVERNS, Deployment, account, told
from tests.acceptance.timetable import DAY_MS, Every
from tests.rig.witness import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.proxy import FaultProxy

DAILY = Every("daily", DAY_MS)
TICK = Every("tick", 500)
QUIET = {"singleton_beat_claim_hold": 5, "singleton_beat_lock_ttl": 10}


@pytest.fixture
def ask() -> Iterator[Callable[[str], Timetable]]:
    """A maker of timetables, as another process of the application has one: `ask(url)`."""
    made: list[Celery] = []

    def make(url: str) -> Timetable:
        app = Celery("acceptance", set_as_current=False)
        app.conf.update(singleton_beat_redis_url=url, timezone="UTC")
        app.conf.beat_schedule = timetable.schedule(DAILY, TICK)
        made.append(app)
        return Timetable(app)

    yield make
    for app in made:
        app.close()


def test_what_is_asked_for_while_two_beats_are_up_runs_once(
    make_deployment: Callable[..., Deployment],
    ask: Callable[[str], Timetable],
    redis_url: str,
) -> None:
    """C19: each is asked for twice; of stored entries, and of those of the configuration."""
    deployment = make_deployment(redis_url, timetable.schedule(DAILY), **QUIET)
    facts, table = deployment.facts, ask(redis_url)
    table.put(Entry("stored", "acceptance.work", DAY_MS // 1000))
    deployment.worker()
    for beat in [deployment.beat() for _ in range(2)]:
        beat.wait_for(GOVERNS, ENOUGH)

    ids = [
        table.run_now(name, request_id=f"{name}-{number}")
        for number in range(10)
        for name in ("stored", "daily")
        for _ in range(2)
    ]
    facts.wait_until(lambda facts: sum(facts.ended.values()) >= 20)

    assert len(set(ids)) == 20
    causes = sorted(key.partition("!")[2] for key in facts.ended)
    assert causes == sorted(f"{name}-{n}" for n in range(10) for name in ("stored", "daily"))
    assert (max(facts.begun.values()), max(facts.published.values())) == (1, 1)
    assert deployment.witness.tally().duplicates() == set()
    assert list(table.requests()) == []


def test_a_beat_killed_between_publish_and_settlement_leaves_a_second_message_of_the_same_id(
    make_deployment: Callable[..., Deployment],
    make_proxy: Callable[[int], FaultProxy],
    make_redis: Callable[..., EmbeddedServer],
    ask: Callable[[str], Timetable],
) -> None:
    """C14: the worker knows the run by its id, and drops what comes again."""
    store, broker = make_redis(), make_redis()
    line, schedule = make_proxy(store.port), timetable.schedule(DAILY)
    conf = {"singleton_beat_claim_hold": 12, "singleton_beat_socket_timeout": 10}
    deployment = make_deployment(store.url(), schedule, broker_url=broker.url(), **conf)
    facts, table = deployment.facts, ask(store.url())
    deployment.worker()
    on_the_line = told(line.url(), schedule, broker_url=broker.url(), **conf)
    doomed = deployment.beat(env={"ACCEPTANCE": on_the_line})
    doomed.wait_for(GOVERNS, ENOUGH)

    line.latency(1500)  # so long the settlement is on its way
    table.run_now("daily", request_id="r")
    facts.wait_until(lambda facts: sum(facts.begun.values()) == 1)
    line.refuse()
    doomed.kill()
    left = [one.id for one in table.requests()]
    deployment.beat()
    facts.wait_until(lambda facts: facts.events["DuplicateDropped"] >= 1)

    (key,) = facts.begun
    assert left == ["r"]
    assert key.endswith("!r")
    assert facts.begun[key] == 1
    assert deployment.witness.tally().duplicates() == set()


def test_a_backfill_goes_on_when_the_beat_that_sent_it_is_killed(
    make_deployment: Callable[..., Deployment],
    ask: Callable[[str], Timetable],
    redis_url: str,
    show: Callable[..., None],
) -> None:
    """C14: none is lost and none is repeated, and the timetable goes on beside it."""
    deployment = make_deployment(redis_url, timetable.schedule(TICK), **QUIET)
    facts, table = deployment.facts, ask(redis_url)
    deployment.worker()
    doomed, other = deployment.beat(), deployment.beat()
    for beat in (doomed, other):
        beat.wait_for(GOVERNS, ENOUGH)

    now_ms = deployment.now_ms() // 1000 * 1000
    first_ms, last_ms = now_ms - 180_000, now_ms - 60_000
    span = (datetime.fromtimestamp(ms / 1000, timezone.utc) for ms in (first_ms, last_ms))
    asked = table.backfill("tick", *span, request_id="b")
    due = {key_of("tick", ms, "b") for ms in range(first_ms, last_ms + 1, 500)}
    facts.wait_until(lambda facts: bool(due & facts.begun.keys()))
    doomed.kill()
    facts.wait_ended(due)
    facts.wait_past(deployment.now_ms())

    tally = deployment.witness.tally()
    show(
        "a backfill", account(tally, facts, due, may=due | {k for k in facts.begun if "!" not in k})
    )
    assert asked.count == len(due) == 241
    assert {key for key in facts.begun if "!" in key} == due
    assert tally.duplicates() == set()
    assert tally.lost(due) == set()
