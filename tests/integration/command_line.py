"""The command line of an app, in this process: as Celery calls it, with the app given."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from celery_singleton_beat.operate.cli import singleton

if TYPE_CHECKING:
    from celery import Celery
    from click.testing import Result


class CommandLine:
    """Runs commands on one app."""

    def __init__(self, app: Celery) -> None:
        self.app = app

    def run(self, *words: str, given: str | None = None) -> Result:
        """Run a command, and let errors that are none of the command line's through."""
        context = SimpleNamespace(app=self.app, no_color=True)
        result = CliRunner().invoke(singleton, words, obj=context, input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def __call__(self, *words: str, given: str | None = None) -> str:
        """Run a command that succeeds; what it printed."""
        result = self.run(*words, given=given)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def data(self, *words: str, given: str | None = None) -> Any:
        """Run a command that succeeds, with ``--json``; what it printed, read."""
        return json.loads(self(*words, "--json", given=given))

    def refused(self, *words: str, code: int = 1, given: str | None = None) -> str:
        """Run a command that does not succeed; what it told."""
        result = self.run(*words, given=given)
        assert result.exit_code == code, (result.exit_code, result.output)
        assert "Traceback" not in result.output
        return result.stderr


def lines(text: str) -> list[list[str]]:
    """The cells of a table's lines, but for its heading; cells are parted by two spaces."""
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in text.splitlines()[1:]
    ]
