"""What goes wrong is one line with the way out, and nothing that others wrote steers a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from celery_singleton_beat import LockService
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.operate.cli import SECTIONS
from tests.integration.command_line import CommandLine
from tests.integration.stored import daily

if TYPE_CHECKING:
    from tests.integration.stored import Replica

NOBODY = "redis://127.0.0.1:1/0"
DOCUMENT = {"format": "celery-singleton-beat timetable", "version": 1}
ASKING = {
    "show": ["daily"],
    "add": ["one", "shop.add", "60"],
    "update": ["daily", "--jitter", "1"],
    "remove": ["daily", "--yes"],
    "enable": ["daily"],
    "disable": ["daily"],
    "limit": ["acme", "--default"],
    "reconcile": ["-", "--source", "crm"],
    "import": ["redbeat", "--url", NOBODY],
    "restore": ["-"],
    "pause": ["--all"],
    "resume": ["--all"],
    "run-now": ["daily"],
    "backfill": ["daily", "2026-01-01", "2026-01-02"],
    "cancel": ["one"],
    "unlock": ["report:42", "--yes"],
}
GIVEN = {
    "reconcile": '[{"name": "a", "task": "b", "recurrence": 60}]',
    "restore": json.dumps(DOCUMENT),
}
OWN_ANSWER = {"doctor", "health", "exporter", "dashboard"}
"""Commands for which a store that is away is a finding, or which go on without it."""

COMMANDS = [name for commands in SECTIONS.values() for name in commands if name not in OWN_ANSWER]


def app_at(url: str, **conf: Any) -> Celery:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update({"singleton_beat_redis_url": url, **conf})
    return app


@pytest.mark.parametrize("name", COMMANDS)
def test_a_store_that_is_away_is_one_line_and_exit_code_1(name: str) -> None:
    line = CommandLine(app_at(NOBODY))
    words = [name, *ASKING.get(name, ())]

    told = line.refused(*words, code=1, given=GIVEN.get(name))
    as_json = line.refused(*words, "--json", code=1, given=GIVEN.get(name))

    assert len(told.splitlines()) == 1
    assert told.startswith("Error: ")
    assert "127.0.0.1:1" in told
    error = json.loads(as_json.splitlines()[-1])
    assert error["kind"] in {"StoreUnavailable", "ReconcileStopped"}
    assert "127.0.0.1:1" in error["error"]


def test_with_an_error_nothing_stands_on_the_standard_output() -> None:
    result = CommandLine(app_at(NOBODY)).run("locks", "--json")

    assert result.stdout == ""


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ({"singleton_beat_lock_tll": 3}, "singleton_beat_lock_ttl"),
        ({"singleton_beat_lock_ttl": -3}, "singleton_beat_lock_ttl"),
        ({"singleton_beat_redis_url": "http://nowhere"}, "redis://"),
        ({"singleton_beat_redis_url": None}, "singleton_beat_redis_url"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    conf: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    line = CommandLine(app_at(NOBODY, **conf))

    assert told in line.refused("status", code=2)


def test_another_apps_store_is_named(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily())
    other = Celery("bakery", broker="memory://", set_as_current=False)
    other.conf.update(
        singleton_beat_redis_url=replica.app.conf.singleton_beat_redis_url,
        singleton_beat_key_prefix="csb:shop",
    )

    told = CommandLine(other).refused("entries")

    assert "belongs to the app 'shop'" in told
    assert line("entries") != ""
    extension_of(other).store.close()


def test_a_message_tells_no_password() -> None:
    line = CommandLine(app_at("redis://ann:s3cret@127.0.0.1:1/0"))

    assert "s3cret" not in line.refused("status")


@pytest.mark.parametrize("words", [["locks"], ["history"], ["stats", "--keys"]])
def test_what_others_wrote_is_shown_without_its_control_characters(
    line: CommandLine, words: list[str]
) -> None:
    evil = "report\x1b]0;owned\x07\nError: \x9b31m\u202ered"
    service = LockService(line.app)
    service.acquire(evil)
    service.acquire("plain")

    plain, as_json = line(*words), line(*words, "--json")

    for printed in (plain, as_json):
        assert not any((ord(one) < 32 and one != "\n") or one in "\x9b\u202e" for one in printed)
    assert "report\\x1b]0;owned\\x07\\nError: \\x9b31m\\u202ered" in plain
    assert any(evil in row.values() for row in json.loads(as_json))


def test_an_error_forges_no_second_line(line: CommandLine) -> None:
    told = line.refused("cancel", "x\nError: store is gone\x1b[2J")

    assert len(told.splitlines()) == 1
    assert "\x1b" not in told


def test_names_that_look_like_markup_are_names(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily("[red]daily[/red]"))

    assert "[red]daily[/red]" in line("entries")
