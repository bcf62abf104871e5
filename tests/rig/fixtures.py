"""Fixtures for processes and the witness, and what a failed test says about them."""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.rig.processes import CeleryRig, Processes
from tests.rig.witness import Witness

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Generator, Iterator

KEPT: pytest.StashKey[Processes] = pytest.StashKey()


@pytest.fixture
def witness() -> Iterator[Witness]:
    """An outside witness, with a directory of its own whose path is short enough for a socket."""
    directory = tempfile.mkdtemp(prefix="witness-")
    reader = Witness(directory)
    yield reader
    reader.close()
    shutil.rmtree(directory)


@pytest.fixture
def processes(request: pytest.FixtureRequest, witness: Witness) -> Iterator[Processes]:
    """The starter of processes; all of them are killed when the test is over."""
    started = Processes(witness)
    request.node.stash[KEPT] = started
    yield started
    started.close()


@pytest.fixture
def make_celery(processes: Processes, tmp_path: pathlib.Path) -> Callable[..., CeleryRig]:
    """A maker of Celery rigs: `make_celery("tests.rig.app", {"BROKER": …})`."""

    def make(module: str, env: dict[str, str], cwd: pathlib.Path = tmp_path) -> CeleryRig:
        return CeleryRig(processes, module, env, cwd)

    return make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the last lines of every process to the report of a failed test."""
    report = yield
    started = item.stash.get(KEPT, None)
    if report.when == "call" and report.failed and started is not None:
        for proc in started.started:
            state = "running" if proc.running else f"ended with {proc.returncode}"
            report.sections.append((f"{proc.name}, pid {proc.pid}, {state}", proc.output))
    return report
