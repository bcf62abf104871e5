"""`python -m tests.versions`: the tests that matter, on each Python and release we support.

Each row is an environment of its own in a temporary folder, made from the package's
own requirements. Printed is a table; the status is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
TESTS: Final = (
    "tests/contract",
    "tests/twins",
    "tests/unit/test_dispatcher.py",
    "tests/unit/test_definition.py",
    "tests/unit/test_convert.py",
    "tests/unit/test_lock_keys.py",
    "tests/unit/test_requirements.py",
    "tests/fuzz/test_message_headers.py",
    "tests/integration/test_scheduler.py",
    "tests/integration/test_connection_health.py",
    "tests/integration/test_timetable_dispatch.py",
    "tests/integration/test_worker_locked.py",
    "tests/integration/test_worker_discards.py",
    "tests/integration/test_worker_runs.py",
    "tests/integration/test_worker_leases.py",
    "tests/integration/test_worker_lease_loss.py",
    "tests/integration/test_worker_crash.py",
    "tests/integration/test_worker_redelivery.py",
    "tests/integration/test_worker_pools.py",
)
TOOLS: Final = (
    *("pytest", "pytest-celery", "pytest-randomly", "pytest-timeout", "pytest-xdist"),
    *("hypothesis", "setuptools", "python-dateutil"),
)
LONGEST_S: Final = 3600
SLOW: Final = ("-o", "timeout=600")
"""What is asked here is whether it works; how quickly, on a busy machine, is asked elsewhere."""

TOGETHER: Final = ("-n", "3")
"""Most of these tests wait for processes: as many at a time as in CI."""


class Row(NamedTuple):
    """One environment: a Python, and what is asked for beside the package."""

    python: str
    celery: str
    redis: str


ROWS: Final = (
    Row("3.10", "celery==5.5.*", "redis==5.0.*"),
    Row("3.11", "celery==5.6.*", "redis==6.*"),
    Row("3.12", "celery", "redis==7.*"),
    Row("3.13", "celery", "redis"),
)


def main() -> int:
    """Run the rows that were asked for, and print their table."""
    parser = argparse.ArgumentParser(prog="python -m tests.versions", description=__doc__)
    parser.add_argument("--only", metavar="PYTHON", help="one Python, such as 3.10")
    parser.add_argument("tests", nargs="*", default=TESTS, help="other tests than those chosen")
    asked = parser.parse_args()
    print("| Python | Celery | kombu | redis-py | result | seconds |\n|---|---|---|---|---|---|")
    has_failed = False
    for row in ROWS:
        if asked.only in {None, row.python}:
            line, failed = _outcome(row, asked.tests)
            has_failed |= failed
            print(line, flush=True)
    return int(has_failed)


def find_python(wanted: str) -> str | None:
    """Find a Python of such a version: on the PATH, or where pyenv puts them."""
    homes = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{wanted}.*/bin"))
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *map(str, reversed(homes))]
    for folder in folders:
        found = shutil.which(f"python{wanted}", path=folder)
        # What pyenv puts on the PATH for each version says that another one is set.
        if found and _version(found) == wanted:
            return found
    return None


def _version(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def _outcome(row: Row, tests: list[str]) -> tuple[str, bool]:
    """Run one row; tell its line of the table, and whether it failed."""
    python = find_python(row.python)
    if python is None:
        return f"| {row.python} | {row.celery} | | {row.redis} | not on this machine | |", False
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="versions-") as folder:
        own = _environment(python, Path(folder), row)
        installed = _installed(own)
        options = ("-q", "--tb=short", "-p", "no:cacheprovider", *SLOW, *TOGETHER)
        command = [own, "-m", "pytest", *options, *tests]
        ran = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LONGEST_S, check=False,
        )  # fmt: skip
    last = ran.stdout.strip().rpartition("\n")[2]
    result = ", ".join(re.findall(r"\d+ (?:passed|failed|skipped|errors?)", last)) or last
    if ran.returncode:
        sys.stderr.write(ran.stdout[-6000:])
    seconds = time.monotonic() - began
    return f"| {row.python} | {' | '.join(installed)} | {result} | {seconds:.0f} |", bool(
        ran.returncode
    )


def _environment(python: str, folder: Path, row: Row) -> str:
    """Make an environment with the package's requirements in these versions."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    own = str(folder / "bin" / "python")
    wanted = [f"{ROOT}[demo,solar]", row.celery, row.redis, *TOOLS]
    subprocess.run([own, "-m", "pip", "install", "-q", *wanted], check=True)
    return own


def _installed(python: str) -> list[str]:
    code = "from importlib.metadata import version as v; print(v('celery'), v('kombu'), v('redis'))"
    told = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return told.stdout.split()


if __name__ == "__main__":
    sys.exit(main())
