"""The command line as Celery's own subcommand, in processes of its own."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from celery_singleton_beat import LockService, Timetable
from celery_singleton_beat.adapters.extension import extension_of
from tests.integration.stored import daily
from tests.rig.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os
from celery import Celery
from celery_singleton_beat import SingletonTask

print("an application that prints while it is loaded")
app = Celery("shop", broker="memory://")
app.conf.singleton_beat_redis_url = os.environ["STORE"]
app.conf.result_expires = None  # else Celery adds an entry of its own
app.conf.beat_schedule = {"fixed": {"task": "shop.add", "schedule": 30.0, "args": (1,)}}

@app.task(name="shop.add", base=SingletonTask)
def add(x):
    return x
"""
OPTION = 'app.user_options["preload"].add(click.Option(["--environment"], default="test"))'


@pytest.fixture
def timetable(redis_url: str) -> Iterator[Timetable]:
    """The timetable of the same app, in this process."""
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.singleton_beat_redis_url = redis_url
    yield Timetable(app)
    extension_of(app).store.close()


@pytest.fixture
def environment(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """An environment in which `-A shopkeeping` is the application."""
    (tmp_path / "shopkeeping.py").write_text(PROGRAM.replace("print(", "pass  # print("))
    (tmp_path / "talkative.py").write_text(PROGRAM)
    (tmp_path / "optional.py").write_text(f"import click\n{PROGRAM}\n{OPTION}\n")
    path = f"{ROOT}:{tmp_path}"
    return clean_environment() | {"PYTHONPATH": path, "STORE": redis_url, "COLUMNS": "200"}


@pytest.fixture
def celery(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A runner of `celery -A shopkeeping singleton …`."""

    def run(*words: str, app: str = "shopkeeping") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "celery", "-A", app, "singleton", *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    return run


def completed(environment: dict[str, str], words: str) -> list[str]:
    """What the shell offers for the last word of a line, as bash asks for it."""
    asked = {
        "_CELERY_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    outcome = subprocess.run(
        [Path(sys.executable).with_name("celery")],
        check=False,
        capture_output=True,
        text=True,
        env=environment | asked,
    )
    assert outcome.returncode == 0, outcome.stderr
    return [line.partition(",")[2] for line in outcome.stdout.splitlines() if line]


def test_it_is_a_subcommand_of_celery(
    celery: Callable[..., subprocess.CompletedProcess[str]], timetable: Timetable
) -> None:
    added = celery("add", "daily", "shop.add", "0 8 * * *", "--args", "[1]")
    listed = celery("entries", "--json")
    unknown = celery("show", "dayly")
    wrong = celery("show")

    assert added.returncode == 0, added.stderr
    assert [row["name"] for row in json.loads(listed.stdout)] == ["daily", "fixed"]
    assert timetable.get("daily").entry.args == (1,)
    assert (unknown.returncode, wrong.returncode) == (1, 2)
    assert unknown.stderr.startswith("Error: there is no entry 'dayly'")
    assert "Traceback" not in unknown.stderr + wrong.stderr


def test_options_that_an_app_adds_to_celerys_commands_do_no_harm(
    celery: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    outcome = celery("--environment", "test", "entries", "--json", app="optional")

    assert outcome.returncode == 0, outcome.stderr
    assert "fixed" in outcome.stdout


def test_a_reader_that_has_seen_enough_is_no_error(
    environment: dict[str, str], timetable: Timetable
) -> None:
    timetable.put(daily())
    command = f"{sys.executable} -m celery -A shopkeeping singleton entries | head -c 1"

    outcome = subprocess.run(
        ["/bin/sh", "-c", command], check=False, capture_output=True, text=True, env=environment
    )

    assert outcome.stderr == ""


def test_the_shell_completes_commands_and_what_only_the_store_knows(
    environment: dict[str, str], timetable: Timetable
) -> None:
    timetable.put(daily("acme:daily", tenant="acme"))
    timetable.put(daily("globex:daily", tenant="globex"))
    LockService(timetable._app).acquire("report:42")  # noqa: SLF001  # the one that made it
    line = "celery -A shopkeeping singleton "

    assert completed(environment, f"{line}un") == ["unlock"]
    assert "--json" in completed(environment, f"{line}show --j")
    assert completed(environment, f"{line}show ") == ["acme:daily", "fixed", "globex:daily"]
    assert completed(environment, f"{line}pause gl") == ["globex:daily"]
    assert completed(environment, f"{line}entries --tenant ") == ["acme", "globex"]
    assert completed(environment, f"{line}unlock ") == ["report:42"]


def test_completion_is_silent_where_the_store_or_the_app_is_away(
    environment: dict[str, str],
) -> None:
    away = environment | {"STORE": "redis://127.0.0.1:1/0"}

    assert completed(away, "celery -A shopkeeping singleton unlock ") == []
    assert completed(environment, "celery -A nowhere singleton show ") == []
    assert completed(environment, "celery -A talkative singleton show ") == ["fixed"]


def on_a_terminal(command: list[str], environment: dict[str, str], typed: bytes = b"") -> str:
    """Run a command on a terminal of its own; all that the terminal shows."""
    ours, its = pty.openpty()
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    shown = b""
    while True:
        readable, _, _ = select.select([ours], [], [], 30)
        assert readable, shown
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        shown += part
        if typed and b"[y/N]" in shown:
            os.write(ours, typed)
            typed = b""
    os.close(ours)
    process.wait()
    return shown.decode()


def test_on_a_terminal_tables_have_colours_and_names_are_no_markup(
    environment: dict[str, str], timetable: Timetable
) -> None:
    timetable.put(daily("[red]daily[/red]"))
    command = [sys.executable, "-m", "celery", "-A", "shopkeeping", "singleton", "entries"]
    plain = [*command[:3], "--no-color", *command[3:]]
    environment = environment | {"TERM": "xterm-256color"}

    coloured, bare = on_a_terminal(command, environment), on_a_terminal(plain, environment)

    assert "[red]daily[/red]" in coloured
    assert "\x1b[32mon" in coloured
    assert "\x1b[3" not in bare


@pytest.mark.parametrize(("typed", "is_freed"), [(b"y\n", True), (b"n\n", False)])
def test_on_a_terminal_unlock_asks(
    environment: dict[str, str],
    timetable: Timetable,
    typed: bytes,
    is_freed: bool,
) -> None:
    """S1-17: a lock is removed by hand only if it is meant."""
    service = LockService(timetable._app)  # noqa: SLF001  # the one that made it
    service.acquire("report:42")
    command = [sys.executable, "-m", "celery", "-A", "shopkeeping", "singleton"]

    shown = on_a_terminal([*command, "unlock", "report:42"], environment, typed)

    assert "Free lock key 'report:42', held by" in shown
    assert service.is_locked("report:42") is not is_freed
    assert ("nothing was done" in shown) is not is_freed


def test_an_import_from_django_where_there_is_no_project_tells_what_to_set(
    celery: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    outcome = celery("import", "django-celery-beat")

    assert outcome.returncode == 2
    assert "DJANGO_SETTINGS_MODULE" in outcome.stderr
    assert "Traceback" not in outcome.stderr
