"""Whatever is typed after a command: it is done or refused, in plain words, and only that is so."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
import redis
from celery import Celery
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, note, settings

from celery_singleton_beat import Entry, LockService, Timetable
from celery_singleton_beat.__main__ import main
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.operate.cli import SECTIONS, command_of, singleton
from celery_singleton_beat.store.keys import Keys
from tests.fuzz.typed import ANY, FORGED, documents, each_in_turn, lines

if TYPE_CHECKING:
    from pathlib import Path

FEW, MANY = 6, 1500
LEFT_OUT: Final = {
    "exporter": "it answers until it is stopped",
    "dashboard": "the same; tests/fuzz/test_http.py asks it",
}
BY_URL: Final = ("doctor",)
"""Commands that wait for workers, but for nobody where only the store's URL is known."""

COMMANDS: Final = {
    name: command_of(name, module)
    for commands in SECTIONS.values()
    for name, (module, _) in commands.items()
    if name not in LEFT_OUT
}
LOOKS: Final = {*SECTIONS["Look"], "export"}
LONGEST_ERROR: Final = 2500
ROWS: Final = '[{"name": "new", "task": "some.task", "recurrence": 60}, 7]'


class Console:
    """The command line of an app whose store has something of each kind."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.app = Celery("typed", broker=url, set_as_current=False)
        self.app.conf.update(singleton_beat_redis_url=url, result_expires=None)
        self.client = redis.Redis.from_url(url)
        timetable = Timetable(self.app)
        timetable.put(Entry("kept", "some.task", 3600, tenant="acme", description=f"x\n{FORGED}"))
        timetable.put(Entry("other", "some.task", "0 8 * * *", kwargs={"a": "\x1b[2J"}))
        timetable.pause("other", note=f"\x1b[2J\n{FORGED}", by="\u202eeve")
        timetable.run_now("kept", request_id="asked")
        locks = LockService(self.app)
        for key in ("held", f"\x1b[2J\n{FORGED}"):
            locks.acquire(key, ttl=3600)
        # Somebody is on duty: whoever only looks takes it from nobody.
        extension_of(self.app).store.watch("watcher", 3_600_000)
        self._meta = Keys(extension_of(self.app).prefix).meta.encode()
        self._dumps = self._dump()
        self.whole = self.stored()

    def stored(self) -> dict[bytes, Any]:
        """All that is in the store, as it is, but for the number that the next revision has."""
        meta = self.client.hgetall(self._meta)
        return {**self._dump(), self._meta: {k: meta[k] for k in meta if k != b"revision"}}

    def put_back(self) -> None:
        """Let the store have again what it had."""
        self.client.flushdb()
        for name, value in self._dumps.items():
            self.client.restore(name, 0, value)
        self.whole = self.stored()  # a hash that was restored may be in another order

    def _dump(self) -> dict[bytes, Any]:
        names: list[Any] = self.client.keys()
        with self.client.pipeline(transaction=False) as asked:
            for name in names:
                asked.dump(name)
            return dict(zip(names, asked.execute(), strict=True))

    def type(self, name: str, typed: list[str], given: str) -> Result:
        """Run a command as its process would."""
        group, before, obj = singleton, [], SimpleNamespace(app=self.app, no_color=True)
        if name in BY_URL:
            group, before = main, ["--redis-url", self.url]
        data = given.encode("utf-8", "surrogateescape")
        return CliRunner().invoke(group, [*before, name, *typed], obj=obj, input=data)

    def close(self) -> None:
        extension_of(self.app).store.close()
        self.client.close()
        self.app.close()


@pytest.fixture
def console(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    """The command line, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    console = Console(redis_url)
    yield console
    console.close()


def assert_plain(result: Result) -> None:
    """It ended as a command ends, and its words steer no terminal and forge no line."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in {0, 1, 2}
    for line in f"{result.stdout}\n{result.stderr}".split("\n"):
        assert line.removeprefix("\t").isprintable(), line  # click's lists have one
        assert not line.strip().startswith(FORGED), line
    if result.exit_code == 2:
        (error,) = [line for line in result.stderr.split("\n") if "rror" in line[:9]]
        assert len(error) <= LONGEST_ERROR
        assert result.stdout == ""


def assert_done_or_refused(console: Console, name: str, typed: list[str], given: str) -> None:
    """What only looks, was refused or tells of nothing has changed nothing."""
    result = console.type(name, typed, given)
    is_changed = console.stored() != console.whole
    if is_changed:
        console.put_back()

    assert_plain(result)
    is_told = result.stdout != "" and "--dry-run" not in typed
    assert not is_changed or (name not in LOOKS and is_told), typed


def type_anything(console: Console, name: str, examples: int) -> None:
    @settings(deadline=None, max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(lines(COMMANDS[name]), documents)
    def check(typed: list[str], given: str) -> None:
        note(f"{name} {typed!r} < {given!r}")
        assert_done_or_refused(console, name, typed, given)

    check()


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_typed_is_done_or_refused(console: Console, name: str) -> None:
    """S2-12: in plain words, and nobody's entry is lost by it."""
    for typed in each_in_turn(COMMANDS[name]):
        assert_done_or_refused(console, name, typed, ROWS)
    type_anything(console, name, FEW)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_typed_thousands_of_times_is_done_or_refused(console: Console, name: str) -> None:
    type_anything(console, name, MANY)


def test_what_click_says_of_a_word_steers_no_terminal(console: Console) -> None:
    """It repeats options and words too many as they were typed: a script may type a tenant's."""
    for typed in (["--\x1b[2J"], ["kept", f"x\n{FORGED}"], ["--next", "1\x9b"]):
        result = console.type("show", typed, "")

        assert_plain(result)
        assert result.exit_code == 2


@pytest.mark.parametrize("option", ["--redis-url", "--prefix"])
def test_whatever_store_is_named_the_answer_is_plain(console: Console, option: str) -> None:
    """C18: of a store that is none nothing is looked up, and none is begun."""
    for text in ANY:
        words = {"--redis-url": console.url, option: text.replace("\0", "")}
        result = CliRunner().invoke(main, [*chain.from_iterable(words.items()), "status"])

        assert_plain(result)
        assert result.exit_code == 2 or words[option] == ""  # which is as left out
    assert console.stored() == console.whole


def test_commands_that_are_left_out_are_commands() -> None:
    assert set(LEFT_OUT) == {name for of in SECTIONS.values() for name in of} - set(COMMANDS)
