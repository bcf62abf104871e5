"""The command ``python -m celery_singleton_beat``: commands by a store's URL alone, and a demo.

From a machine that has only the connection settings, and not the application.
"""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Final

import click

from celery_singleton_beat.operate.cli import LazyGroup

if TYPE_CHECKING:
    from celery import Celery

PROGRAM: Final = "python -m celery_singleton_beat"


class AtUrl:
    """What commands know of where they are to work: the app is made when one asks for it."""

    def __init__(self, url: str | None, prefix: str | None, *, no_color: bool) -> None:
        self._url = url
        self._prefix = prefix
        self.no_color = no_color

    @cached_property
    def app(self) -> Celery:
        """An app that stands for the one whose store it is."""
        if self._url is None:
            msg = "give the URL of the store: --redis-url redis://host:6379/0"
            raise click.UsageError(msg)
        from celery_singleton_beat.operate.remote import app_of_store  # noqa: PLC0415  not for help

        return app_of_store(self._url, self._prefix)


class UrlGroup(LazyGroup):
    """The commands of ``celery singleton``, and the demo."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), "demo"]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        with formatter.section("Try it"):
            told = "Show three beats and two workers on this machine, and what befalls them."
            formatter.write_dl([("demo".ljust(9), told)])


@click.group(cls=UrlGroup)
@click.option(
    "--redis-url",
    envvar="SINGLETON_BEAT_REDIS_URL",
    help="Where the store is: redis://, rediss://, unix:// or sentinel://.",
)
@click.option(
    "--prefix",
    envvar="SINGLETON_BEAT_KEY_PREFIX",
    help="The store's key prefix; left out, the only store at the URL is meant.",
)
@click.option("--no-color", envvar="NO_COLOR", is_flag=True, help="Print without colours.")
@click.pass_context
def main(ctx: click.Context, *, redis_url: str | None, prefix: str | None, no_color: bool) -> None:
    """Look at a store and operate it, with no more than its URL.

    The commands are those of `celery -A app singleton`. What only the application
    knows, its beat_schedule above all, is not known here.
    """
    ctx.obj = AtUrl(redis_url, prefix, no_color=no_color)


if __name__ == "__main__":
    if sys.argv[1:2] == ["demo"]:
        from celery_singleton_beat.demo.command import main as demo

        sys.exit(demo())
    main(prog_name=PROGRAM)
