"""The commands as the documentation shows them."""

from __future__ import annotations

import inspect

import click

from celery_singleton_beat.operate.cli import SECTIONS, command_of
from celery_singleton_beat.operate.output import Command

_EVERYWHERE = ("--json", "--help", "--by", "--yes")
PROGRAM = "celery -A shop singleton"


def cli_reference() -> str:
    """All commands in Markdown, by sections, for the documentation."""
    parts = []
    for title, commands in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name, (module, _) in commands.items():
            parts.append(_reference(command_of(name, module)))
    return "\n".join(parts)


def _reference(command: click.Command) -> str:
    ctx = click.Context(command, info_name=command.name)
    usage = " ".join([str(command.name), *command.collect_usage_pieces(ctx)])
    usage = usage.replace(" [OPTIONS]", "")
    parts = [f"### {command.name}\n", f"`{usage}`\n", _paragraphs(command.help or "")]
    rows = [row for option in _options(command, ctx) if (row := _row(option, ctx))]
    if rows:
        parts += ["| option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"]
    if isinstance(command, Command) and command.examples:
        lines = "\n".join(f"{PROGRAM} {line}" for line in command.examples)
        parts.append(f"```text\n{lines}\n```\n")
    return "\n".join(parts)


def _options(command: click.Command, ctx: click.Context) -> list[click.Option]:
    return [of for of in command.get_params(ctx) if isinstance(of, click.Option)]


def _row(option: click.Option, ctx: click.Context) -> str:
    if option.opts[0] in _EVERYWHERE:
        return ""
    kind = option.type.name.upper() if not option.is_flag else ""
    if isinstance(option.type, click.Choice):
        kind = "|".join(map(str, option.type.choices))
    kind = (option.metavar or kind) if not option.is_flag else ""
    default = option.get_default(ctx) if option.show_default else None
    told = (option.help or "") + ("" if default is None else f" Default: {default}.")
    names = ", ".join(option.opts)
    shown = f"{names} {kind}".strip().replace("|", "\\|")
    return f"| `{shown}` | {told} |"


def _paragraphs(text: str) -> str:
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs) + "\n"
