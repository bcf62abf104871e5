"""django-celery-results beside us: what a run returned, and that one was left out."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.timetabled import Timetabled
from tests.integration.workers import ENOUGH

if TYPE_CHECKING:
    import pathlib

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.processes import Processes

MIGRATE = (
    "import {module}; from django.core.management import call_command; "
    "call_command('migrate', verbosity=0)"
)


class Stored(Timetabled):
    """A shop whose results are rows of a table of Django's."""

    module = "tests.integration.django_app"

    def __init__(self, server: EmbeddedServer, processes: Processes, cwd: pathlib.Path) -> None:
        super().__init__(server, processes, cwd)
        migrate = [sys.executable, "-c", MIGRATE.format(module=self.module)]
        assert processes.start(migrate, cwd=cwd, name="migrate").wait_ended(ENOUGH) == 0
        self._rows = sqlite3.connect(cwd / "results.sqlite3", timeout=ENOUGH)
        self._rows.row_factory = sqlite3.Row

    def wait_row(self, run: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The row of a run, once it is as wanted: a file tells of changes to nobody."""
        deadline = time.monotonic() + ENOUGH
        query = "SELECT * FROM django_celery_results_taskresult WHERE task_id = ?"
        while True:
            row = dict(self._rows.execute(query, (run,)).fetchone() or {})
            if row and reached(row):
                return row
            if time.monotonic() > deadline:
                raise TimeoutError(f"the row is {row}")

    def close(self) -> None:
        self._rows.close()
        super().close()


@pytest.fixture
def stored(
    own_redis: EmbeddedServer, processes: Processes, tmp_path: pathlib.Path
) -> Iterator[Stored]:
    shop = Stored(own_redis, processes, tmp_path)
    shop.beat()
    shop.worker()
    yield shop
    shop.close()


def test_what_a_run_returned_is_a_row_with_the_name_of_its_entry(stored: Stored) -> None:
    run = stored.asked("nightly", "shop.early", "one")

    row = stored.wait_row(run, lambda row: row["status"] == "SUCCESS")

    assert row["periodic_task_name"] == "nightly"
    assert row["task_name"] == "shop.early"
    assert json.loads(row["result"])["run"] == run


def test_a_run_that_was_left_out_is_a_row_that_says_so(stored: Stored) -> None:
    stored.send("early", "one", ("gate", "g"))
    stored.began("one")

    run = stored.asked("second", "shop.early", "one")

    row = stored.wait_row(run, lambda row: row["status"] == "SUCCESS")
    assert json.loads(row["result"])["singleton_skipped"] == "locked"
    assert row["periodic_task_name"] == "second"


def test_a_run_that_failed_is_a_row_with_its_error(stored: Stored) -> None:
    run = stored.asked("failing", "shop.early", "one", ("fail", "no more paper"))

    row = stored.wait_row(run, lambda row: row["status"] == "FAILURE")

    assert json.loads(row["result"])["exc_message"] == ["no more paper"]
