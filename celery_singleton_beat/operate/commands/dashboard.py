"""``dashboard``: pages about the deployment, for a browser."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from celery_singleton_beat.operate.given import Span
from celery_singleton_beat.operate.output import WRONG, command, done, stop, the_app, who_option

PORT: Final = 5556
TOKEN_VARIABLE: Final = "SINGLETON_BEAT_DASHBOARD_TOKEN"  # noqa: S105  # its name


@command(
    "dashboard",
    examples="dashboard\ndashboard --allow-changes --by ann@shop.example\n"
    "dashboard --host 0.0.0.0 --token-file /run/secrets/dashboard",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"A file with the token that visitors must give; or set {TOKEN_VARIABLE}.",
)
@click.option("--token", envvar=TOKEN_VARIABLE, hidden=True)
@click.option("--allow-changes", is_flag=True, help="Let visitors pause, resume, run and unlock.")
@click.option(
    "--allowed-host",
    "hosts",
    multiple=True,
    help="A name it answers to (default: those of this machine; any with a token). Repeatable.",
)
@click.option("--root-path", default="", help="The path under which a proxy serves it.")
@click.option(
    "--every",
    type=Span(0.2, 3600),
    default=2.0,
    show_default=True,
    help="Look into the store so often, in seconds, while anybody looks.",
)
@click.option(
    "--viewers",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="So many pages may be live at a time; others read themselves anew.",
)
@who_option
@click.pass_context
def dashboard(
    ctx: click.Context,
    /,
    *,
    host: str,
    port: int,
    token_file: Path | None,
    token: str | None,
    root_path: str,
    **more: Any,
) -> None:
    """Serve pages about the deployment, for a browser.

    They show replicas, the timeline, entries, locks, tenants and figures. It listens on
    this machine alone unless there is a token, and changes nothing unless it is allowed
    to. It needs the extra: pip install celery-singleton-beat[dashboard].
    """
    try:
        from celery_singleton_beat.operate.dashboard import dashboard_app  # noqa: PLC0415  optional
        from celery_singleton_beat.operate.dashboard.serving import (  # noqa: PLC0415  as above
            address_of,
            check_place,
            listen,
            server_of,
        )
    except ImportError as error:
        stop(f"{error}: pip install celery-singleton-beat[dashboard]", WRONG)
    if token_file is not None:
        token = token_file.read_text(encoding="utf-8").strip()
    check_place(host, has_token=token is not None)
    hosts = more.pop("hosts") or None
    more["has_app"] = "redis_url" not in ctx.find_root().params
    site = dashboard_app(the_app(), token=token, hosts=hosts, **more)
    try:
        listening = listen(host, port)
    except OSError as error:
        stop(f"it cannot listen on {host}:{port}: {error.strerror or error}")
    can = "it may change things" if more["allow_changes"] else "read only"
    where = f"http://{address_of(listening)}{root_path.rstrip('/')}/"
    done(f"The dashboard is at {where} ({can}). Ctrl-C ends it.", {"url": where})
    with listening, suppress(KeyboardInterrupt):  # which ends it, as was said
        server_of(site, root_path=root_path).run(sockets=[listening])
