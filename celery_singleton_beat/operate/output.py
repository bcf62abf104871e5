"""What commands share: results as tables or JSON, errors, exit codes, and asking before acting.

A command is declared with `command`, which gives it ``--json`` and its examples; it
shows what it has with `table`, `record` or `done`, which know whether JSON is
wanted, and raises errors of this package's tree as they are.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

from celery_singleton_beat.errors import ConfigurationError, SingletonBeatError, StoreUnavailable
from celery_singleton_beat.operate.tables import Cell, Column, Value, as_lines, print_table
from celery_singleton_beat.operate.words import shown, told

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.adapters.timetable import Timetable
    from celery_singleton_beat.operate.reading import Reading

__all__ = [
    "NOT_DONE",
    "WRONG",
    "Cell",
    "Column",
    "Failure",
    "command",
    "confirm",
    "done",
    "failure_of",
    "is_json",
    "note",
    "print_json",
    "record",
    "stop",
    "table",
    "the_app",
    "the_reading",
    "the_timetable",
    "who",
    "who_option",
    "yes_option",
]

NOT_DONE: Final = 1
"""The exit code of what was not done, or is not known to be."""

WRONG: Final = 2
"""The exit code of what cannot be done as it was asked; click's own for wrong usage."""

_JSON: Final = "celery_singleton_beat.json"
_Item = TypeVar("_Item")
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Failure(click.ClickException):
    """An error of a command: one line on stderr, or an object with ``--json``."""

    def __init__(self, text: str, exit_code: int = NOT_DONE, kind: str = "Error") -> None:
        super().__init__(told(text))
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance
        self.kind = kind
        self.is_json = is_json()  # it is shown when no context is there any more

    def show(self, file: Any = None) -> None:
        """Write it to stderr."""
        text = f"Error: {self.message}"
        if self.is_json:
            text = json.dumps({"error": self.message, "kind": self.kind})
        click.echo(text, file=file, err=file is None)


def failure_of(error: SingletonBeatError) -> Failure:
    """Make of an error of ours what is told, and the exit code."""
    text = str(error)
    if isinstance(error, StoreUnavailable):
        text += " (does it run, and may this host reach it? is singleton_beat_redis_url right?)"
    code = WRONG if isinstance(error, ConfigurationError) else NOT_DONE
    return Failure(text, code, type(error).__name__)


class Command(click.Command):
    """A command with examples at the end of its help."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = [line.strip() for line in examples.strip().splitlines()]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they would be typed."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            before = (ctx.parent or ctx).command_path
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{before} {line}\n")


def command(name: str, *, examples: str) -> Callable[[Callable[..., Any]], Command]:
    """Declare a command; ``examples`` are lines without the program and the group."""

    def declare(function: Callable[..., Any]) -> Command:
        made = click.command(name, cls=Command, examples=examples)(_json_option(function))
        assert isinstance(made, Command)  # noqa: S101  # as its class was given
        return made

    return declare


def _json_option(function: _Function) -> _Function:
    return click.option(
        "--json",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_note_json,
        help="Print JSON.",
    )(function)


def _note_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001
    ctx.meta[_JSON] = value


def is_json() -> bool:
    """Tell whether the running command is to print JSON."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(_JSON))


def the_app() -> Celery:
    """Give the app that the running command is for."""
    app: Celery = click.get_current_context().obj.app
    return app


def the_reading() -> Reading:
    """Give the read model of that app."""
    from celery_singleton_beat.operate.reading import Reading  # noqa: PLC0415  not for --help

    return Reading(the_app())


def the_timetable() -> Timetable:
    """Give the stored timetable of that app."""
    from celery_singleton_beat.adapters.timetable import Timetable  # noqa: PLC0415  not for --help

    return Timetable(the_app())


def table(
    columns: Sequence[Column],
    items: Iterable[_Item],
    row: Callable[[_Item], Sequence[Value]],
    data: Callable[[_Item], Any],
    *,
    empty: str,
) -> None:
    """Show items: a line each, or a list of JSON; ``empty`` is said where there are none."""
    if is_json():
        _print_list(data(item) for item in items)
        return
    rows = [row(item) for item in items]
    if not rows:
        note(empty)
    elif not print_table(columns, rows, has_colour=_has_colour()):
        for line in as_lines(columns, rows):
            click.echo(line)


def record(pairs: Iterable[tuple[str, Value]], data: Any) -> None:
    """Show one thing: a line for each of its labels, or one object of JSON."""
    if is_json():
        print_json(data)
        return
    known = [(label, value) for label, value in pairs if value not in (None, "")]
    longest = max((len(label) for label, _ in known), default=0)
    for label, value in known:
        cell = value if isinstance(value, Cell) else Cell(str(value))
        click.echo(f"{label.ljust(longest)}  {_coloured(cell)}")


def done(text: str | Sequence[str], data: Any) -> None:
    """Say what was done: a line for each text, or one object of JSON."""
    if is_json():
        print_json(data)
    else:
        for line in [text] if isinstance(text, str) else text:
            click.echo(shown(line))


def note(text: str) -> None:
    """Tell people something beside the result: on stderr."""
    click.echo(told(text), err=True)


def stop(text: str, exit_code: int = NOT_DONE) -> NoReturn:
    """End the command with an error."""
    raise Failure(text, exit_code)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is done that somebody may regret; go on only if it is meant.

    Where nobody can be asked, or JSON is wanted, ``--yes`` has to say so.
    """
    if yes:
        return
    if is_json() or not sys.stdin.isatty():
        stop(f"{question} Nobody can be asked here: say --yes if it is meant", WRONG)
    if not click.confirm(shown(question), err=True):
        stop("nothing was done")


def who() -> str:
    """Name who is at work: user and host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user id without a name, as in containers
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def who_option(function: _Function) -> _Function:
    """Give a command ``--by``: who makes the change; by default user and host."""
    return click.option(
        "--by",
        default=who,
        show_default="user@host",
        help="Who does it, for whoever asks later.",
    )(function)


def yes_option(function: _Function) -> _Function:
    """Give a command ``--yes``: it does not ask."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(function)


def print_json(data: Any) -> None:
    """Print one value of JSON."""
    click.echo(json.dumps(data, indent=2))


def _print_list(items: Iterable[Any]) -> None:
    """Print a list an item a line, as they come: there may be a million."""
    is_first = True
    for item in items:
        click.echo(("[\n  " if is_first else ",\n  ") + json.dumps(item), nl=False)
        is_first = False
    click.echo("[]" if is_first else "\n]")


_COLOURS: Final[dict[str, dict[str, Any]]] = {
    "good": {"fg": "green"},
    "warning": {"fg": "yellow"},
    "bad": {"fg": "red", "bold": True},
    "dim": {"dim": True},
}


def _coloured(cell: Cell) -> str:
    text = shown(cell.text)
    if cell.tone == "plain" or not _has_colour():
        return text
    return click.style(text, **_COLOURS[cell.tone])


def _has_colour() -> bool:
    context = click.get_current_context().obj
    return sys.stdout.isatty() and not getattr(context, "no_color", False)
