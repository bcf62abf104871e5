"""The table of commands: light to load, true to what it loads, and as the documentation says."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from celery_singleton_beat.operate.cli import SECTIONS, command_of, singleton
from celery_singleton_beat.operate.cli_reference import cli_reference
from celery_singleton_beat.operate.output import Command
from tests.rig.processes import clean_environment

ROOT = Path(__file__).parents[2]
COMMANDS = [
    (name, module, told)
    for commands in SECTIONS.values()
    for name, (module, told) in commands.items()
]
OURS = "celery_singleton_beat.operate."
HEAVY = ["redis", "rich", "starlette", "jinja2", "uvicorn", "prometheus_client"]


def is_file(word: str) -> bool:
    return word.startswith("/") or word.endswith(".json")


def loaded_after(code: str) -> list[str]:
    """The modules that a new interpreter has loaded when it has run this."""
    program = f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    outcome = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env=clean_environment() | {"PYTHONPATH": str(ROOT)},
    )
    found: list[str] = json.loads(outcome.stdout.splitlines()[-1])
    return found


def test_loading_the_command_line_loads_nothing_that_is_slow() -> None:
    loaded = loaded_after("import celery_singleton_beat.operate.cli")

    assert [name for name in loaded if name in HEAVY] == []
    assert [name for name in loaded if name.startswith(OURS)] == [f"{OURS}cli"]


def test_the_list_of_commands_loads_none_of_them() -> None:
    loaded = loaded_after(
        "from click.testing import CliRunner\n"
        "from celery_singleton_beat.operate.cli import singleton\n"
        "assert 'unlock' in CliRunner().invoke(singleton, ['--help']).output"
    )

    assert [name for name in loaded if name.startswith(f"{OURS}commands")] == []


@pytest.mark.parametrize(("name", "module", "told"), COMMANDS, ids=[row[0] for row in COMMANDS])
def test_a_command_is_what_the_table_says_and_has_json_help_and_examples(
    name: str, module: str, told: str
) -> None:
    command = command_of(name, module)

    shown = CliRunner().invoke(singleton, [name, "--help"]).output

    assert (command.help or "").splitlines()[0] == told
    assert isinstance(command, Command)
    assert command.examples
    assert "--json" in shown
    assert f"singleton {command.examples[0]}" in shown


@pytest.mark.parametrize(
    ("name", "example"),
    [
        (name, example)
        for name, module, _ in COMMANDS
        for example in getattr(command_of(name, module), "examples", ())
    ],
)
def test_an_example_is_understood(name: str, example: str, tmp_path: Path) -> None:
    first, *given = shlex.split(example.partition(" < ")[0].partition(" > ")[0])
    words = [str(tmp_path / Path(word).name) if is_file(word) else word for word in given]
    for word in words:
        if is_file(word):
            Path(word).write_text("[]", encoding="utf-8")

    command = command_of(name, {row[0]: row[1] for row in COMMANDS}[name])
    context = command.make_context(name, words)
    context.close()

    assert first == name


def test_a_mistyped_command_is_told_the_right_one() -> None:
    result = CliRunner().invoke(singleton, ["lokcs"])

    assert result.exit_code == 2
    assert "Did you mean locks?" in result.stderr


def test_options_that_an_application_adds_to_all_of_celerys_commands_are_let_be() -> None:
    group = click.Group(
        "celery", commands={"singleton": singleton}, params=[click.Option(["--app"])]
    )
    singleton.params.append(click.Option(["--environment"]))
    try:
        words = ["singleton", "--environment", "test", "locks", "--help"]
        result = CliRunner().invoke(group, words)
    finally:
        singleton.params.pop()

    assert result.exit_code == 0, result.output


def test_the_documentation_has_every_command() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

    assert cli_reference() in page, (
        "write it anew: python -m tests.unit.test_cli_table puts it into docs/cli.md"
    )


def write_reference() -> None:
    """Put the reference into the documentation, from its first heading to the end."""
    page = ROOT / "docs" / "cli.md"
    written = page.read_text(encoding="utf-8")
    reference = cli_reference()
    heading = reference.splitlines()[0]
    page.write_text(written.partition(f"{heading}\n")[0] + reference, encoding="utf-8")


if __name__ == "__main__":
    write_reference()
