"""Who holds which key, from a machine that has only the URL, and freeing one by hand."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery

from celery_singleton_beat import LockService, Timetable
from celery_singleton_beat.adapters.extension import extension_of
from tests.integration.command_line import CommandLine
from tests.rig.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery_singleton_beat.demo.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
OTHER_KEYS = 1_000_000
LOCKS = 1000
HELLOS = ("HELLO", "AUTH", "SELECT", "CLIENT")
END = "that was all"


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    made = app_at(redis_url)
    yield made
    extension_of(made).store.close()


def app_at(url: str, main: str = "shop") -> Celery:
    app = Celery(main, broker="memory://", set_as_current=False)
    app.conf.update(singleton_beat_redis_url=url, singleton_beat_instance_id="till-1")
    return app


def at_url(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m celery_singleton_beat``, with nothing of the application's."""
    return subprocess.run(
        [sys.executable, "-m", "celery_singleton_beat", *words],
        check=False,
        capture_output=True,
        text=True,
        env=clean_environment() | {"PYTHONPATH": str(ROOT)},
    )


def test_locks_tell_key_holder_and_times(app: Celery) -> None:
    """S0-23, S1-17: who holds what can be seen."""
    lease = LockService(app).acquire("report:42")
    assert lease is not None
    line = CommandLine(app)

    (lock,) = line.data("locks")

    assert (lock["key"], lock["token"]) == ("report:42", lease.token)
    assert lock["owner"].startswith("till-1")
    assert lock["acquired"] < lock["expires"]
    assert "report:42" in line("locks")
    assert line.data("locks", "--key", "invoice:") == []


def test_a_key_is_freed_by_hand_and_it_is_noted_who_did_it(app: Celery) -> None:
    """S1-17: forced unlock, audited."""
    line, service = CommandLine(app), LockService(app)
    service.acquire("report:42")

    unasked = line.refused("unlock", "report:42", code=2)
    is_held = service.is_locked("report:42")
    freed = line.data("unlock", "report:42", "--by", "ann@till", "--yes")

    assert "held by till-1" in unasked
    assert is_held
    assert freed == {"key": "report:42", "unlocked": True, "by": "ann@till"}
    assert not service.is_locked("report:42")
    (fact,) = line.data("history", "--kind", "unlocked")
    assert (fact["note"], fact["by"]) == ("report:42", "ann@till")
    assert "nobody holds" in line.refused("unlock", "report:42", "--yes")


def test_a_machine_with_only_the_url_lists_and_frees_locks(app: Celery, redis_url: str) -> None:
    """S0-31: active locks can be listed from a process that has only the connection settings."""
    LockService(app).acquire("report:42")

    listed = at_url("--redis-url", redis_url, "locks", "--json")
    freed = at_url("--redis-url", redis_url, "--prefix", "csb:shop", "unlock", "report:42", "-y")

    assert [lock["key"] for lock in json.loads(listed.stdout)] == ["report:42"]
    assert freed.returncode == 0, freed.stderr
    assert CommandLine(app).data("locks") == []
    assert json.loads(at_url("--redis-url", redis_url, "status", "--json").stdout)["app"] == "shop"


def test_without_a_prefix_the_only_store_is_meant_and_of_several_none(
    app: Celery, redis_url: str
) -> None:
    client = redis.Redis.from_url(redis_url)
    nothing = at_url("--redis-url", redis_url, "locks")
    client.set("somebody:meta", "else's")
    client.hset("another:meta", "app", "else")
    LockService(app).acquire("report:42")
    one = at_url("--redis-url", redis_url, "locks")
    LockService(app_at(redis_url, "bakery")).acquire("report:42")
    many = at_url("--redis-url", redis_url, "locks")
    wrong = at_url("--redis-url", redis_url, "--prefix", "csb:pub", "locks", "--json")

    assert (nothing.returncode, many.returncode, wrong.returncode) == (2, 2, 2)
    assert "no store of celery-singleton-beat is at" in nothing.stderr
    assert "report:42" in one.stdout
    assert "{csb:bakery}, {csb:shop}" in many.stderr
    assert "no store with the prefix {csb:pub}" in json.loads(wrong.stderr)["error"]
    assert not client.exists("{csb:pub}:meta")  # whoever looks begins no store
    client.close()


def test_a_url_is_asked_for_and_one_that_leads_nowhere_is_one_line() -> None:
    missing = at_url("locks")
    away = at_url("--redis-url", "redis://127.0.0.1:1/0", "locks")
    own = at_url("--redis-url", "memory://", "locks")

    assert "--redis-url redis://" in missing.stderr
    assert missing.returncode == 2
    assert away.returncode == 1
    assert away.stderr.count("\n") == 1
    assert "redis://127.0.0.1:1/0 did not answer" in away.stderr
    assert "each process's own" in own.stderr


def test_stored_entries_are_operated_by_the_url_alone(app: Celery, redis_url: str) -> None:
    """S0-31: and so is all else that needs no code of the application's."""
    Timetable(app).put(entry("daily"))

    paused = at_url("--redis-url", redis_url, "pause", "daily", "--note", "incident")
    shown = at_url("--redis-url", redis_url, "entries", "--json")

    assert paused.returncode == 0, paused.stderr
    assert [(row["name"], row["state"]) for row in json.loads(shown.stdout)] == [
        ("daily", "paused")
    ]
    assert Timetable(app).get("daily").note == "incident"


def entry(name: str) -> Any:
    from celery_singleton_beat import Entry  # noqa: PLC0415  beside its use

    return Entry(name, "shop.add", "0 8 * * *")


def test_a_thousand_locks_among_a_million_keys_are_listed_with_three_commands(
    make_redis: Callable[..., EmbeddedServer], record_property: Callable[[str, object], None]
) -> None:
    """F11: however many keys there are."""
    server = make_redis()
    app = app_at(server.url(0))
    extension = extension_of(app)
    client: Any = redis.Redis.from_url(server.url(0))
    take_locks(app)
    client.execute_command("DEBUG", "POPULATE", OTHER_KEYS, "other", 10)
    line, by_url = CommandLine(app), ("--redis-url", server.url(0), "--prefix", "csb:shop")
    line.data("locks")  # by now the server has the scripts, as where beats run
    at_url(*by_url, "locks")

    with client.monitor() as monitor:
        began = time.perf_counter()
        found = line.data("locks")
        elapsed_ms = (time.perf_counter() - began) * 1000
        by_app = commands_of(client, monitor)
        from_afar = json.loads(at_url(*by_url, "locks", "--json").stdout)
        by_process = commands_of(client, monitor)

    assert len(found) == len(from_afar) == LOCKS
    assert client.dbsize() >= OTHER_KEYS + LOCKS
    assert len(by_app) <= 3, by_app
    assert len(by_process) <= 3, by_process
    assert not any(command.startswith(("SCAN", "KEYS")) for command in by_app + by_process)
    record_property("shown", f"F11: {LOCKS} locks, {len(by_app)} commands, {elapsed_ms:.0f} ms")
    extension.store.close()
    client.close()


def take_locks(app: Celery) -> None:
    service = LockService(app)
    for number in range(LOCKS):
        assert service.acquire(f"report:{number}") is not None


def commands_of(client: Any, monitor: Any) -> list[str]:
    """What clients asked until now; not how they said hello, nor what scripts do inside."""
    client.echo(END)
    asked: list[str] = []
    for told in monitor.listen():
        command = str(told["command"])
        if END in command:
            return asked
        if told["client_type"] != "lua" and not command.startswith(HELLOS):
            asked.append(command[:60])
    raise AssertionError("the monitor ended")
