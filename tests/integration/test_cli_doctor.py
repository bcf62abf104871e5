"""``doctor`` and ``health`` on a real store: what they print, and their exit codes."""

from __future__ import annotations

import json
import socket

import pytest
from celery import Celery
from click.testing import CliRunner

from celery_singleton_beat import SingletonScheduler
from celery_singleton_beat.__main__ import main
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.operate.doctor.checks import CHECKS
from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.store.port import ClaimRequest
from tests.integration.command_line import CommandLine

QUICK = ("--timeout", "0.2")


@pytest.fixture
def app(redis_url: str) -> Celery:
    app = Celery("shop", broker=redis_url, set_as_current=False)
    app.conf.update(singleton_beat_redis_url=redis_url, result_expires=None)
    app.conf.beat_scheduler = "celery_singleton_beat:SingletonScheduler"
    app.conf.beat_schedule = {"nightly": {"task": "shop.work", "schedule": 3600.0}}
    return app


@pytest.fixture
def line(app: Celery) -> CommandLine:
    return CommandLine(app)


@pytest.fixture
def beat(app: Celery) -> SingletonScheduler:
    """A beat of this process that has made its first ticks."""
    scheduler = SingletonScheduler(app=app)
    while scheduler.dispatcher.tick() == 0:
        pass
    scheduler.dispatcher.tick()
    return scheduler


@pytest.fixture
def nowhere() -> CommandLine:
    """The command line of an app whose store refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"redis://127.0.0.1:{port}/0"
    app = Celery("shop", broker=url, set_as_current=False)
    app.conf.update(singleton_beat_redis_url=url)
    return CommandLine(app)


def test_the_doctor_makes_every_check(line: CommandLine, beat: SingletonScheduler) -> None:
    """S0-42..44."""
    result = line.run("doctor", "--json", *QUICK)

    found = {one["check"]: one for one in json.loads(result.stdout)}
    assert list(found) == [check.name for check in CHECKS]
    assert all(found[name]["verdict"] == "ok" for name in ("store-reachable", "broker", "lag"))
    assert socket.gethostname() in found["clock-elsewhere"]["found"]
    assert beat.replica.name in found["beat-alive"]["found"]
    assert found["workers-answer"]["verdict"] == "problem"
    assert result.exit_code == 1


@pytest.mark.usefixtures("beat")
def test_the_worst_stands_last_with_its_cure(line: CommandLine) -> None:
    told = line.run("doctor", *QUICK).stdout.splitlines()

    assert told[0].startswith("ok")
    assert told[-3].startswith("problem")
    assert told[-2].strip().startswith("->")
    assert told[-1].startswith("1 problem, ")


def test_warnings_fail_only_where_they_are_to(line: CommandLine, app: Celery) -> None:
    app.conf.singleton_beat_on_store_outage = "run"

    lenient = line.run("doctor", "--only", "store-outage", *QUICK)
    strict = line.run("doctor", "--only", "store-outage", "--strict", *QUICK)

    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert "1 warning" in lenient.stdout


def test_a_check_that_does_not_exist_is_refused(line: CommandLine) -> None:
    assert "There are: store-reachable" in line.refused("doctor", "--only", "nothing", code=2)


def test_what_cannot_be_known_without_a_store_is_said_once(nowhere: CommandLine) -> None:
    result = nowhere.run("doctor", *QUICK)

    told = [one for one in result.stdout.splitlines() if one.startswith("unknown")]
    assert sum("the store does not answer: " in one for one in told) == 1
    assert len(told) <= 3
    assert "Connection refused" in result.stdout
    assert result.exit_code == 1


def test_a_beat_that_reports_is_healthy(line: CommandLine, beat: SingletonScheduler) -> None:
    assert line.data("health")["healthy"] is True
    assert "healthy: " in line("health", "--here")
    line.refused("health", "--beats", "2")

    beat.close()

    line.refused("health")
    line.refused("health", "--here")


def test_a_beat_of_another_host_does_not_make_this_one_healthy(
    line: CommandLine, app: Celery
) -> None:
    about = About(host="elsewhere").to_text()
    store = extension_of(app).store
    store.claim(ClaimRequest("r", "digest", "q", 10, 5000, 15_000, about))

    line("health")
    told = line.run("health", "--here")

    assert told.exit_code == 1
    assert f"no beat on host {socket.gethostname()}" in told.stdout


def test_a_store_that_is_away_is_let_pass_only_where_it_is_to(nowhere: CommandLine) -> None:
    nowhere.refused("health")
    nowhere.refused("health", "--here")

    assert "let pass" in nowhere("health", "--here", "--tolerate-outage")


@pytest.mark.usefixtures("beat")
def test_with_the_stores_url_alone_the_doctor_says_what_it_cannot_know(redis_url: str) -> None:
    """S0-31."""
    result = CliRunner().invoke(main, ["--redis-url", redis_url, "doctor", "--json"])

    found = {one["check"]: one for one in json.loads(result.stdout)}
    unknown = {name for name, one in found.items() if one["verdict"] == "unknown"}
    assert {"broker", "settings", "beat-scheduler", "workers-answer", "tasks-known"} <= unknown
    assert found["beat-alive"]["verdict"] == found["same-configuration"]["verdict"] == "ok"
    assert result.exit_code == 0


@pytest.mark.usefixtures("beat")
def test_two_apps_under_one_prefix_are_told_apart(redis_url: str) -> None:
    """S0-42..44: one prefix for each app."""
    other = Celery("warehouse", broker=redis_url, set_as_current=False)
    other.conf.update(singleton_beat_redis_url=redis_url, singleton_beat_key_prefix="{csb:shop}")

    result = CommandLine(other).run("doctor", "--json", "--only", "store-ours", *QUICK)

    (found,) = json.loads(result.stdout)
    assert "'shop'" in found["found"]
    assert "singleton_beat_key_prefix" in found["cure"]
    assert result.exit_code == 1
