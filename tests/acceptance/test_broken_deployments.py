"""Deployments that are broken, each in one way: the doctor names it, with a cure that cures.

Real beats, workers and servers; `celery -A … singleton doctor` as a user calls it.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from celery_singleton_beat.demo.server import EmbeddedServer
from tests.acceptance import on_pages, timetable
from tests.acceptance.deployment import ENOUGH, GOVERNS, MODULE, Deployment, told
from tests.acceptance.timetable import Every
from tests.rig.processes import Proc, Processes
from tests.rig.skew import ClockSkew

PREFIX: Final = "{csb:acceptance}"
HOUR_MS: Final = 3_600_000
WELL: Final[dict[str, Any]] = {
    "beat_scheduler": "celery_singleton_beat:SingletonScheduler",
    "broker_transport_options": {"visibility_timeout": 3600},
    "singleton_beat_lock_ttl": 30,
    "singleton_beat_replica_timeout": 15,
}
SCHEDULE: Final = timetable.schedule(Every("every-second", 1000, 0.0))

Finding = Mapping[str, Any]


def cures(found: Mapping[str, Finding]) -> dict[str, str]:
    """What to do about each; a page may be mounted anywhere, and does not name the app's module."""
    return {check: one["cure"].replace(MODULE, "APP") for check, one in found.items()}


class Broken:
    """A deployment on a server of its own, to be broken, and the doctor's word on it."""

    def __init__(self, server: EmbeddedServer, deployment: Deployment) -> None:
        self.server = server
        self.deployment = deployment
        self.store: Any = deployment.store

    def start(self) -> Proc:
        """Start a worker and a beat, and return when they have done something to judge."""
        self.deployment.worker(concurrency=1)
        beat = self.deployment.beat()
        self.deployment.facts.wait_until(lambda facts: len(facts.ended) >= 2)
        return beat

    def listening(self, prefix: str, count: int) -> None:
        """Return when so many beats listen for changes under a prefix."""
        deadline = time.monotonic() + ENOUGH
        while self.store.pubsub_numsub(f"{prefix}:wake")[0][1] != count:
            assert time.monotonic() < deadline

    def command(self, *words: str, **more: Any) -> Proc:
        """Run one of our commands to its end."""
        proc = self.deployment.rig.run("singleton", *words, name=words[0], **more)
        proc.wait_ended(ENOUGH)
        return proc

    def doctor(self, **more: Any) -> tuple[int | None, dict[str, Finding]]:
        """Ask the doctor, by command and page: the exit code, and the findings that are not ok."""
        proc = self.command("doctor", "--json", "--timeout", "3", **more)
        told = json.loads("\n".join(proc.lines))
        found = {one["check"]: one for one in told if one["verdict"] != "ok"}
        on_page = on_pages.Dashboard(self.deployment, **more).doctor()
        assert cures(on_page) == cures(found)
        return proc.returncode, found


@pytest.fixture
def broken(
    make_redis: Callable[..., EmbeddedServer], make_deployment: Callable[..., Deployment]
) -> Callable[..., Broken]:
    """A maker of deployments where all is well at first: `broken(**conf)`."""

    def make(schedule: Mapping[str, Any] = SCHEDULE, **conf: Any) -> Broken:
        server = make_redis(appendonly=True)
        return Broken(server, make_deployment(server.url(), schedule, **{**WELL, **conf}))

    return make


def test_where_nothing_is_broken_the_doctor_finds_nothing(broken: Callable[..., Broken]) -> None:
    """S0-42..44."""
    it = broken()
    it.start()

    exit_code, found = it.doctor()

    assert found == {}
    assert exit_code == 0


def test_a_beat_under_a_wrong_prefix_is_named(broken: Callable[..., Broken]) -> None:
    """S0-42..44: all replicas, one prefix."""
    it = broken()
    it.start()
    wrong = it.deployment.beat(env={"SINGLETON_BEAT_KEY_PREFIX": "typo"})
    wrong.wait_for(GOVERNS, ENOUGH)
    it.listening("{typo}", 1)

    exit_code, found = it.doctor()

    assert (exit_code, set(found)) == (1, {"same-prefix"})
    assert "{typo}" in found["same-prefix"]["found"]
    assert f"singleton_beat_key_prefix ({PREFIX})" in found["same-prefix"]["cure"]


def test_whoever_looks_under_a_wrong_prefix_is_told_of_the_right_one(
    broken: Callable[..., Broken],
) -> None:
    """S0-42..44: the beats are alive, only not where one looks."""
    it = broken()
    it.start()
    it.listening(PREFIX, 1)

    exit_code, found = it.doctor(env={"SINGLETON_BEAT_KEY_PREFIX": "typo"})

    assert exit_code == 1
    assert found["beat-alive"]["verdict"] == "problem"
    assert PREFIX in found["beat-alive"]["cure"]
    assert found["workers-store"]["verdict"] == "problem"


def test_a_beat_on_another_database_is_noticed(broken: Callable[..., Broken]) -> None:
    """S0-42..44: all replicas, one store."""
    it = broken(singleton_beat_redis_url=None)
    it.start()
    elsewhere = it.deployment.beat(env={"SINGLETON_BEAT_REDIS_URL": it.server.url(5)})
    elsewhere.wait_for(GOVERNS, ENOUGH)
    it.listening(PREFIX, 2)

    exit_code, found = it.doctor()

    assert (exit_code, set(found)) == (1, {"same-database"})
    assert "singleton_beat_redis_url" in found["same-database"]["cure"]


def test_a_server_that_evicts_is_named_and_the_cure_cures(broken: Callable[..., Broken]) -> None:
    """S0-42..44: memory limits."""
    it = broken()
    it.start()
    it.store.config_set("maxmemory", "100mb")
    it.store.config_set("maxmemory-policy", "allkeys-lru")

    exit_code, found = it.doctor()
    assert (exit_code, set(found)) == (1, {"store-eviction"})
    assert "allkeys-lru" in found["store-eviction"]["found"]
    command, _, _ = found["store-eviction"]["cure"].partition(" (")
    it.store.execute_command(*shlex.split(command))

    assert it.doctor() == (0, {})


def test_a_beat_whose_clock_is_off_by_an_hour_is_named(
    broken: Callable[..., Broken], make_skew: Callable[[int], ClockSkew]
) -> None:
    """S0-42..44, S0-38: clock skew between instances."""
    it = broken()
    it.start()
    it.deployment.beat(skew=make_skew(-HOUR_MS - 30_000)).wait_for(GOVERNS, ENOUGH)
    it.deployment.facts.wait_until(lambda facts: len(facts.ended) >= 2)

    exit_code, found = it.doctor()

    assert (exit_code, set(found)) == (1, {"clock-elsewhere"})
    assert "1 h behind" in found["clock-elsewhere"]["found"]
    assert "set-ntp" in found["clock-elsewhere"]["cure"]


def test_the_clock_of_this_very_host_is_judged_too(
    broken: Callable[..., Broken], make_skew: Callable[[int], ClockSkew]
) -> None:
    """S0-42..44."""
    it = broken()
    it.start()

    exit_code, found = it.doctor(skew=make_skew(HOUR_MS + 30_000))

    assert exit_code == 1
    assert "1 h ahead" in found["clock-here"]["found"]


def test_a_task_that_no_worker_knows_is_named(broken: Callable[..., Broken]) -> None:
    """S0-42..44: jobs that do not execute."""
    ghost = {"task": "acceptance.wrok", "schedule": 3600.0}
    it = broken({**SCHEDULE, "ghost": ghost})
    it.start()

    exit_code, found = it.doctor()

    assert (exit_code, set(found)) == (1, {"tasks-known"})
    assert "acceptance.wrok" in found["tasks-known"]["found"]
    assert found["tasks-known"]["details"] == ["acceptance.wrok: entries ghost"]


def test_a_key_that_nobody_will_free_is_named_and_the_cure_cures(
    broken: Callable[..., Broken], processes: Processes
) -> None:
    """S0-42..44, S1-17: a lock that is never released."""
    it = broken()
    it.start()
    take = (
        "from celery_singleton_beat import LockService; from tests.acceptance.app import app; "
        "assert LockService(app).acquire('report', ttl=86400)"
    )
    env = {"ACCEPTANCE": told(it.server.url(), SCHEDULE, **WELL)}
    taker = processes.start([sys.executable, "-c", take], env, name="taker")
    assert taker.wait_ended(ENOUGH) == 0

    exit_code, found = it.doctor()
    assert (exit_code, set(found)) == (1, {"stuck-keys", "lock-holders"})
    assert "report is locked for another" in found["stuck-keys"]["found"]
    command, _, _ = found["lock-holders"]["cure"].partition(";")
    words = shlex.split(command)
    unlocked = it.command(*words[words.index("singleton") + 1 :], "--yes")

    assert unlocked.returncode == 0
    assert it.doctor() == (0, {})


def test_that_no_beat_is_alive_is_named_and_the_cure_cures(broken: Callable[..., Broken]) -> None:
    """S0-42..44: jobs that do not execute."""
    it = broken()
    beat = it.start()
    it.deployment.facts.wait_until(lambda facts: len(facts.ended) >= 1)
    beat.terminate()

    exit_code, found = it.doctor()
    assert exit_code == 1
    assert found["beat-alive"]["verdict"] == "problem"
    words = shlex.split(found["beat-alive"]["cure"])
    assert words[:2] == ["celery", "-A"]
    it.deployment.rig.run(*words[3:], "-l", "INFO", name="cure").wait_for(GOVERNS, ENOUGH)

    assert it.doctor() == (0, {})


def test_a_worker_that_locks_elsewhere_is_named(broken: Callable[..., Broken]) -> None:
    """S0-42..44: all instances, one store."""
    it = broken()
    it.deployment.beat().wait_for(GOVERNS, ENOUGH)
    it.deployment.worker(concurrency=1, env={"SINGLETON_BEAT_KEY_PREFIX": "typo"})

    exit_code, found = it.doctor()

    assert exit_code == 1
    assert "{typo}" in found["workers-store"]["found"]
    assert PREFIX in found["workers-store"]["cure"]


def test_a_server_that_does_not_answer_is_told_within_seconds(
    broken: Callable[..., Broken],
) -> None:
    """S0-42..44: the store can be reached from all instances."""
    it = broken()
    it.server.stop()

    exit_code, found = it.doctor()

    problems = {name for name, one in found.items() if one["verdict"] == "problem"}
    assert (exit_code, problems) == (1, {"store-reachable", "broker"})
    assert "singleton_beat_redis_url" in found["store-reachable"]["cure"]
