"""What Celery's own remote control tells: of a worker, of a beat, and with the store away."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery, beat

from celery_singleton_beat.adapters.remote_control import singleton_locks
from celery_singleton_beat.demo.server import HOST
from tests.acceptance.deployment import GOVERNS
from tests.integration.workers import ENOUGH, TTL_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.workers import Shop
    from tests.rig.proxy import FaultProxy

WORKER, BEAT = "worker1@rig", "celerybeat@rig"
SECRET = "hunter2"


def asked(shop: Shop, command: str, node: str = WORKER, **arguments: Any) -> dict[str, Any]:
    """What one node answers; asked until it hears commands."""
    deadline = time.monotonic() + ENOUGH
    while time.monotonic() < deadline:
        inspect = shop.client.control.inspect(destination=[node], timeout=2.0, limit=1)
        if answer := (inspect._request(command, **arguments) or {}).get(node):  # noqa: SLF001
            assert isinstance(answer, dict)
            return answer
    msg = f"{node} does not answer {command}"
    raise TimeoutError(msg)


@pytest.fixture
def line(own_redis: Any, make_proxy: Callable[[int], FaultProxy]) -> FaultProxy:
    """The workers' line to the store, and nobody else's."""
    return make_proxy(own_redis.port)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_worker_lists_the_keys_that_its_runs_hold(shop: Shop, pool: str) -> None:
    """S0-23, S1-17."""
    shop.worker(pool)
    run = shop.send("early", "one", ("gate", "g") if pool != "solo" else ("tell", None))
    shop.began("one")
    if pool == "solo":  # its only thread hears commands between two runs
        shop.wait_done(run.id)

    locks = asked(shop, "singleton_locks")
    limited = asked(shop, "singleton_locks", limit=0)
    shop.let("g")

    held = [] if pool == "solo" else ["early:one"]
    assert [one["key"] for one in locks["held_here"]] == held
    assert [one["key"] for one in locks["store"]["locks"]] == held
    if held:
        assert locks["held_here"][0]["run"] == run.id
        assert locks["held_here"][0]["seconds"] >= 0
        assert locks["store"]["locks"][0]["expires"] > locks["store"]["locks"][0]["acquired"]
    assert limited["store"] == {"locks": [], "has_more": bool(held)}


def test_a_worker_tells_its_settings_without_secrets(make_shop: Callable[..., Shop]) -> None:
    """S0-42: and versions, tasks and the clock."""
    options = {"client_name": SECRET}
    shop = make_shop(singleton_beat_redis_options=options, singleton_beat_redis_password=SECRET)
    shop.worker()

    told = asked(shop, "singleton_settings")

    assert SECRET not in json.dumps(told)
    assert told["prefix"] == "{csb:shop}"
    assert told["settings"]["lock_ttl_ms"] == TTL_MS
    assert told["tasks"]["shop.early"]["lock_key"] == "'early:{key}'"
    assert {"celery", "kombu", "redis", "python"} <= told["versions"].keys()
    assert abs(told["store"]["clock_ahead_ms"]) <= told["store"]["clock_within_ms"] + 50


def test_with_the_store_away_a_worker_answers_at_once_and_says_so(
    make_shop: Callable[..., Shop], line: FaultProxy
) -> None:
    """S0-23: a store that swallows every word holds nothing up; what is known here is told."""
    shop = make_shop(singleton_beat_redis_url=line.url(2), singleton_beat_socket_timeout=30)
    shop.worker()
    shop.send("early", "one", ("gate", "g"))
    shop.began("one")
    before = asked(shop, "singleton_locks")
    line.blackhole()

    during = [asked(shop, f"singleton_{what}") for what in ("locks", "entries", "settings")]
    line.refuse()
    refused = asked(shop, "singleton_settings")
    shop.let("g")

    assert before["store"]["locks"]
    assert [one["key"] for one in during[0]["held_here"]] == ["early:one"]
    assert all(
        "did not answer" in d["store"]["error"] or "yet" in d["store"]["error"] for d in during
    )
    assert "error" in refused["store"]


def test_the_client_knows_the_commands_before_the_app_has_imported_its_tasks(shop: Shop) -> None:
    """S1-17: the names come with the package's own ``celery`` commands."""
    shop.worker()
    asked(shop, "singleton_settings")

    client = shop.run("inspect", "-t", "5", "-j", "singleton_entries", "5", name="client")
    line = client.wait_for(r"^\{.*worker1@rig", ENOUGH)
    client.wait_ended()

    told = json.loads(line[line.index("{") :])
    assert told[WORKER]["beat_schedule"] == []
    assert told[WORKER]["store"] == {"planned": [], "stored": [], "has_more": False}


@pytest.mark.skipif(not hasattr(beat, "BeatPidbox"), reason="beats take commands since Celery 5.7")
def test_a_beat_that_takes_commands_answers_them_too(make_shop: Callable[..., Shop]) -> None:
    """S1-17."""
    shop = make_shop(
        beat_scheduler="celery_singleton_beat:SingletonScheduler",
        beat_schedule={"often": {"task": "shop.early", "schedule": 3600.0, "args": ["k"]}},
    )
    one = shop.run("beat", "-l", "INFO", "--enable-remote-control", "-n", "rig", name="beat")
    one.wait_for("beat pidbox: Connected", ENOUGH)
    one.wait_for(GOVERNS, ENOUGH)  # which it does once its entries are planned

    entries = asked(shop, "singleton_entries", BEAT)
    settings = asked(shop, "singleton_settings", BEAT)

    assert {"name": "often", "task": "shop.early", "is_known_here": True} in entries[
        "beat_schedule"
    ]
    assert [one["name"] for one in entries["store"]["planned"]] == ["often"]
    assert settings["address"].startswith(f"redis://{HOST}")


def test_an_app_that_has_nothing_to_do_with_us_is_told_so() -> None:
    app = Celery("elsewhere", broker="memory://")

    answer = singleton_locks(_State(app))

    assert answer == {"error": "this app has no SingletonTask, and no SingletonScheduler"}
    assert "_singleton_beat" not in vars(app)


class _State:
    def __init__(self, app: Celery) -> None:
        self.app = app
