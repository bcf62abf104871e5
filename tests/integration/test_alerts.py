"""Alerts of real beats and workers, posted to a real server: once, and once when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.workers import ENOUGH
from tests.rig.hooks import Hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.workers import Shop
    from tests.rig.processes import Proc
    from tests.rig.proxy import FaultProxy

SECRET = "hunter2"
QUICK = {"every": 0.2, "store_away": 1, "not_obtained": 3, "quiet": 1}


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    """A server that takes webhooks."""
    made = Hooks()
    yield made
    made.close()


@pytest.fixture
def open_shop(make_shop: Callable[..., Shop], hooks: Hooks) -> Callable[..., Shop]:
    """A maker of shops that alert that server, soon: `open_shop(alerts={…}, **conf)`."""

    def make(alerts: dict[str, Any] | None = None, **conf: Any) -> Shop:
        entry = {"task": "shop.early", "schedule": 1.0, "args": ["tick"]}
        return make_shop(
            beat_scheduler="celery_singleton_beat:SingletonScheduler",
            beat_schedule={"often": entry},
            singleton_beat_alerts={**QUICK, **(alerts or {})},
            singleton_beat_alert_webhook=hooks.url,
            singleton_beat_alert_headers={"X-Token": SECRET},
            **conf,
        )

    return make


def beat(shop: Shop, name: str) -> Proc:
    """A beat that has dispatched something."""
    started = shop.run("beat", "-l", "DEBUG", name=name)
    started.wait_for("Ready: role='beat'", ENOUGH)
    return started


def statuses(hooks: Hooks, rule: str) -> list[str]:
    return [body["status"] for body in hooks.bodies if body["rule"] == rule]


def test_workers_alert_of_beats_that_are_gone_and_tell_when_one_is_back(
    open_shop: Callable[..., Shop], hooks: Hooks
) -> None:
    """S0-43: a dead beat alerts of nothing; two workers tell of it once."""
    shop = open_shop({"no_replica": 4})
    workers = [shop.worker("prefork", 1), shop.worker("solo", 1)]
    dead = [beat(shop, name) for name in ("beat1", "beat2")]
    shop.began("tick")
    for one in dead:
        one.kill()

    fired = hooks.of("no_replica", "firing")
    beat(shop, "beat3")
    hooks.of("no_replica", "resolved")
    for one in workers:
        one.terminate()

    assert fired["text"].startswith("[shop] no beat has reported for ")
    assert statuses(hooks, "no_replica") == ["firing", "resolved"]
    assert hooks.headers[0]["X-Token"] == SECRET


def test_a_store_that_is_away_is_alerted_of_by_one_process_and_so_is_its_return(
    open_shop: Callable[..., Shop],
    hooks: Hooks,
    own_redis: Any,
    make_proxy: Callable[[int], FaultProxy],
) -> None:
    """S0-39, S0-43: nothing else is alerted of because of it."""
    line = make_proxy(own_redis.port)
    shop = open_shop(
        {"no_replica": 20},
        singleton_beat_redis_url=line.url(2),
        singleton_beat_socket_timeout=0.5,
    )
    processes = [shop.worker("prefork", 1), beat(shop, "beat1"), beat(shop, "beat2")]
    shop.began("tick")

    line.refuse()
    fired = hooks.of("store_away", "firing")
    line.heal()
    hooks.of("store_away", "resolved")
    shop.began("tick", 4)
    for one in processes:
        one.terminate()

    assert [(body["rule"], body["status"]) for body in hooks.bodies] == [
        ("store_away", "firing"),
        ("store_away", "resolved"),
    ]
    assert "did not answer" in fired["about"]["error"]
    assert not any(SECRET in text for one in processes for text in one.lines)


def test_a_run_that_takes_too_long_is_alerted_of_while_it_runs(
    open_shop: Callable[..., Shop], hooks: Hooks
) -> None:
    """S1-22."""
    shop = open_shop({"long_run": 1, "no_replica": None, "late": None})
    workers = [shop.worker("prefork", 1), shop.worker("threads", 1)]
    run = shop.send("early", "long", ("gate", "g"))
    shop.began("long")

    fired = hooks.of("long_run", "firing")
    ended_before = shop.ended("long", 0).ended("long")
    shop.let("g")
    hooks.of("long_run", "resolved")
    for one in workers:
        one.terminate()

    assert (fired["subject"], fired["about"]["key"]) == (run.id, "early:long")
    assert fired["alert"].startswith("shop.early runs for ")
    assert ended_before == 0
    assert statuses(hooks, "long_run") == ["firing", "resolved"]


def test_a_key_that_is_refused_again_and_again_is_alerted_of_until_it_is_obtained(
    open_shop: Callable[..., Shop], hooks: Hooks
) -> None:
    """S1-27: whichever workers asked for it."""
    shop = open_shop({"no_replica": None, "late": None})
    for pool in ("prefork", "threads"):
        shop.worker(pool, 2)
    shop.send("early", "hot", ("gate", "g"))
    shop.began("hot")
    for _ in range(2):
        assert shop.send("early", "hot").get(timeout=ENOUGH)["singleton_skipped"] == "locked"
    below = list(hooks.bodies)
    shop.send("early", "hot").get(timeout=ENOUGH)

    fired = hooks.of("not_obtained", "firing")
    shop.let("g")
    shop.wait_free("early:hot")
    shop.send("early", "hot").get(timeout=ENOUGH)
    hooks.of("not_obtained", "resolved")

    assert below == []
    assert (fired["subject"], fired["about"]["times"]) == ("early:hot", 3)
    assert statuses(hooks, "not_obtained") == ["firing", "resolved"]


def test_a_lost_lease_is_alerted_of(open_shop: Callable[..., Shop], hooks: Hooks) -> None:
    """S1-22, C8."""
    shop = open_shop({"no_replica": None, "late": None}, singleton_beat_lock_ttl=1.2)
    shop.worker("prefork", 1)
    run = shop.send("early", "one", ("gate", "g"))
    shop.began("one")

    shop.store.delete(shop.keys.lock("early:one"))
    fired = hooks.of("lease_lost", "firing")
    hooks.of("lease_lost", "resolved")
    shop.let("g")

    assert (fired["subject"], fired["about"]["run"]) == ("early:one", run.id)
    assert statuses(hooks, "lease_lost") == ["firing", "resolved"]
