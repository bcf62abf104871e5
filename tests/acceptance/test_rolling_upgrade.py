"""Rolling upgrade: an earlier release's beat and worker beside this one's, on one store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from celery import Celery

from celery_singleton_beat import Entry, Timetable
from tests.acceptance import timetable
from tests.acceptance.deployment import ENOUGH, GOVERNS, Deployment, account
from tests.acceptance.timetable import Every
from tests.rig.absent import skip_or_fail

if TYPE_CHECKING:
    from collections.abc import Callable

EARLY: Final = "f53801c"
"""A commit that has been installed: no statistics, no facts of each entry, no words for them."""

PACKAGE: Final = "celery_singleton_beat"
ROOT: Final = Path(__file__).parents[2]
SECOND_MS: Final = 1000
CONFIGURED: Final = (Every("kept", 500), Every("slow", 2 * SECOND_MS))
STORED: Final = (Every("stored-earlier", SECOND_MS), Every("stored-here", SECOND_MS))
# A machine that stands still for a second must not be taken for a fault: nothing is superseded.
PATIENT: Final = {"singleton_beat_catch_up": "all"}

PUT: Final = """
import sys
from celery import Celery
from celery_singleton_beat import Entry, Timetable
import celery_singleton_beat
name, url = sys.argv[1:]
app = Celery("acceptance", broker=url)
app.conf.singleton_beat_catch_up = "all"
Timetable(app).put(Entry(name, "acceptance.work", 1, args=[0]))
print(celery_singleton_beat.__file__)
"""


@pytest.fixture(params=["an early commit", "the last one"])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The package as it was, in a folder."""
    commit = EARLY if request.param == "an early commit" else before_the_last_change()
    folder, archive = tmp_path / request.param, tmp_path / "earlier.tar"
    if git("archive", "-o", str(archive), commit, PACKAGE).returncode:
        skip_or_fail(f"the history back to {commit}")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder


def before_the_last_change() -> str:
    """Find the nearest commit of which the package is another one than here, changed or not."""
    commits = git("rev-list", "HEAD", "--", PACKAGE).stdout.split()
    differs = (git("diff", "--quiet", one, "--", PACKAGE).returncode == 1 for one in commits)
    found = next((one for one, other in zip(commits, differs, strict=True) if other), None)
    return found or skip_or_fail("a history in which the package changed")


def git(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask git about this tree."""
    program = shutil.which("git") or skip_or_fail("git")
    return subprocess.run([program, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_replicas_and_workers_of_an_earlier_release_work_beside_these(
    make_deployment: Callable[..., Deployment],
    redis_url: str,
    earlier: Path,
    show: Callable[..., None],
) -> None:
    """F20: once in each interval, before, while and after both are there; nothing is said wrong."""
    deployment = make_deployment(redis_url, timetable.schedule(*CONFIGURED), **PATIENT)
    facts, env = deployment.facts, {"PYTHONPATH": f"{earlier}{os.pathsep}{ROOT}"}
    told = subprocess.run(
        [sys.executable, "-c", PUT, "stored-earlier", redis_url],
        env={**os.environ, **env}, cwd=earlier.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.startswith(str(earlier))
    begun_ms = deployment.now_ms()
    old = [deployment.worker(env=env), deployment.beat(env=env)]
    old[1].wait_for(GOVERNS, ENOUGH)
    from_ms = deployment.now_ms()
    facts.wait_past(from_ms + 3 * SECOND_MS)

    new = [deployment.worker(), deployment.beat()]
    new[1].wait_for(GOVERNS, ENOUGH)
    app = Celery("acceptance", broker=redis_url)
    Timetable(app).put(Entry("stored-here", "acceptance.work", 1, args=[0]))
    put_ms = deployment.now_ms()
    facts.wait_past(put_ms + 8 * SECOND_MS)
    assert [proc.terminate() for proc in old] == [0, 0]
    until_ms = deployment.now_ms() + 4 * SECOND_MS
    due = timetable.keys((*CONFIGURED, STORED[0]), from_ms, until_ms)
    due |= STORED[1].keys(put_ms + SECOND_MS, until_ms)
    facts.wait_accounted(due)

    tally = deployment.witness.tally()
    may = timetable.keys((*CONFIGURED, *STORED), begun_ms - 2 * SECOND_MS, deployment.now_ms())
    show(f"rolling upgrade from {earlier.name}", account(tally, facts, due, may=may))
    assert tally.unexpected(may) == set()
    assert tally.duplicates() == set()
    for proc in (*old, *new):
        assert not [line for line in proc.lines if "ERROR" in line or "Traceback" in line]
    for beat in (old[1], new[1]):
        assert any("Sending due task stored-" in line for line in beat.lines)
    app.close()
