"""Shell completion of names that only the store knows; where it is away there are none."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from celery_singleton_beat.operate.reading import Reading

_MOST: Final = 200
"""So many are offered."""

_MOST_LOOKED_AT: Final = 20_000


def complete_entry(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer names of entries."""
    return _offer(ctx, incomplete, lambda reading: reading.entry_names())


def complete_tenant(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer names of tenants."""
    return _offer(ctx, incomplete, lambda reading: reading.tenant_names())


def complete_lock(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer lock keys that are held."""
    return _offer(ctx, incomplete, lambda reading: reading.lock_names())


def complete_request(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer ids of open requests."""
    return _offer(ctx, incomplete, lambda reading: (one.id for one in reading.requests()))


def _offer(
    ctx: click.Context, incomplete: str, names: Callable[[Reading], Iterable[str]]
) -> list[CompletionItem]:
    # Whatever goes wrong here would stand in the middle of a line that somebody types.
    with (
        contextlib.suppress(Exception, SystemExit),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        from celery_singleton_beat.operate.reading import Reading  # noqa: PLC0415  not for all

        known = islice(names(Reading(_app(ctx))), _MOST_LOOKED_AT)
        fitting = (name for name in known if name.startswith(incomplete) and name.isprintable())
        return [CompletionItem(name) for name in sorted(islice(fitting, _MOST))]
    return []


def _app(ctx: click.Context) -> Any:
    """Find the app: while a line is completed, no command of Celery's has run that found it."""
    if ctx.obj is not None:
        return ctx.obj.app
    params = ctx.find_root().params
    if params.get("redis_url"):
        from celery_singleton_beat.operate.remote import app_of_store  # noqa: PLC0415

        return app_of_store(params["redis_url"], params.get("prefix"))
    from celery.app.utils import find_app  # noqa: PLC0415

    given = params.get("app")
    return find_app(given) if isinstance(given, str) else given
