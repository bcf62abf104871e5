"""The commands ``celery -A app singleton …``.

Celery loads this module with every ``celery`` command: it imports nothing that is slow,
and each command's module only when that command is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

# With it the client of ``celery inspect`` knows our commands, whatever the app has imported.
from celery_singleton_beat.adapters import remote_control  # noqa: F401
from celery_singleton_beat.errors import SingletonBeatError

if TYPE_CHECKING:
    from celery_singleton_beat.operate.output import Failure

# Section: {command: (its module in operate/commands, the first line of its help)}.
# A test compares the first lines.
SECTIONS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Look": {
        "status": ("status", "Tell how the deployment stands: replicas, timetable, store."),
        "doctor": ("doctor", "Look for what is wrong with the deployment, and tell the way out."),
        "health": ("health", "Tell by the exit code whether beats do their work: for a probe."),
        "replicas": ("status", "List the beats and the configurations that they have."),
        "entries": ("entries", "List the entries of the timetable."),
        "show": ("entries", "Show all of one entry, and its next runs."),
        "preview": ("preview", "List what will be due in the next days."),
        "history": ("history", "List what happened, the newest first: of one entry, or of all."),
        "stats": (
            "history",
            "Tell how often what happened, how late, and for how long bodies ran.",
        ),
        "requests": ("asked", "List the runs that are asked for and not published yet."),
        "locks": ("locks", "List the lock keys that are held, and by whom."),
        "alerts": ("alerts", "List the alerts that are open, the oldest first."),
        "tenants": ("tenants", "List the tenants, what they have, and their limits."),
    },
    "Change the timetable": {
        "add": ("changes", "Store a new entry."),
        "update": ("changes", "Change some fields of a stored entry."),
        "remove": ("changes", "Remove a stored entry."),
        "enable": ("switches", "Let a stored entry be dispatched, from now on."),
        "disable": ("switches", "Keep a stored entry without dispatching it."),
        "limit": ("tenants", "Give a tenant limits of its own, or the default again."),
        "reconcile": ("sources", "Bring the entries of a source in line with a JSON file."),
        "import": ("sources", "Take over the timetable of another scheduler."),
        "export": ("dump", "Write the stored timetable as JSON."),
        "restore": ("dump", "Put back a timetable that `export` wrote."),
    },
    "Operate": {
        "pause": ("switches", "Stop dispatching an entry, a tenant's entries, or everything."),
        "resume": ("switches", "Dispatch again what was paused, from now on."),
        "run-now": ("asked", "Let an entry run once, at once."),
        "backfill": ("asked", "Let an entry run for all its occurrences of a time past."),
        "cancel": ("asked", "Publish nothing more of a request."),
        "unlock": ("locks", "Free a lock key, whoever holds it."),
        "exporter": ("exporter", "Answer Prometheus with the metrics of this deployment."),
        "dashboard": ("dashboard", "Serve pages about the deployment, for a browser."),
    },
}

_MODULES: Final = "celery_singleton_beat.operate.commands."
_EPILOG: Final = """\
Every command has --help with examples, and --json.

\b
Exit codes:
  0  it was done
  1  it was not done, or not known to be: the store does not answer, there is
     no such entry, somebody was quicker
  2  it cannot be done as it was asked: a wrong option, setting or entry
"""


class LazyGroup(click.Group):
    """Commands that are loaded when they are called; an error of ours is one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *(name for name, _, _ in _table())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = next((module for name, module, _ in _table() if name == cmd_name), None)
        if module is None:
            return super().get_command(ctx, cmd_name)
        return command_of(cmd_name, module)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or say which one may be meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib  # noqa: PLC0415  only where somebody mistyped

            near = difflib.get_close_matches(args[0], self.list_commands(ctx))
            if near and "did you mean" not in error.message.lower():
                text = f"{error.message} Did you mean {near[0]}?"
                raise click.UsageError(text, ctx) from error
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read what was typed: texts, and no bytes that are none."""
        with _in_plain_words():
            for word in args:
                if not ctx.resilient_parsing and word.encode(errors="replace").decode() != word:
                    raise click.UsageError(f"{word!r} is not UTF-8", ctx)
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _in_plain_words():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by sections, without loading them."""
        longest = max(len(name) for name in self.list_commands(ctx))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(longest), told) for name, (_, told) in commands.items()]
                )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer commands without loading them."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=told)
            for name, _, told in _table()
            if name.startswith(incomplete)
        ]


def command_of(name: str, module: str) -> click.Command:
    """Load a command."""
    for found in vars(import_module(_MODULES + module)).values():
        if isinstance(found, click.Command) and found.name == name:
            return found
    msg = f"module {module!r} has no command {name!r}"
    raise LookupError(msg)


def _table() -> Iterator[tuple[str, str, str]]:
    for commands in SECTIONS.values():
        for name, (module, told) in commands.items():
            yield name, module, told


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """Let what goes wrong be one line, which steers no terminal.

    Click repeats some of what was typed as it is, and a script may type what others wrote.
    """
    try:
        yield
    except SingletonBeatError as error:
        raise _failure(error) from error
    except click.ClickException as error:
        from celery_singleton_beat.operate.words import told  # noqa: PLC0415  as above

        error.message = told(error.message)  # type: ignore[misc]  # so is what it says
        raise


def _failure(error: SingletonBeatError) -> Failure:
    from celery_singleton_beat.operate.output import failure_of  # noqa: PLC0415  as above

    return failure_of(error)


@click.group(cls=LazyGroup, epilog=_EPILOG)
def singleton(**_preload: object) -> None:
    """Look at the singleton beat of this app, and operate it."""
