"""Serving the dashboard by itself: where it may listen, and how it ends."""

from __future__ import annotations

import ipaddress

import uvicorn
from starlette.types import ASGIApp

from celery_singleton_beat.errors import ConfigurationError

_GRACE_SECONDS = 1


def check_place(host: str, *, has_token: bool) -> None:
    """See that it does not listen where others reach it, unless they must give a token.

    Raises:
        ConfigurationError: it would.
    """
    if not has_token and not is_loopback(host):
        raise ConfigurationError(
            f"the dashboard does not listen on {host!r} without a token, for others than this "
            "machine reach it there: give it --token-file, or the environment variable "
            "SINGLETON_BEAT_DASHBOARD_TOKEN, or let it listen on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def server_of(app: ASGIApp, host: str, port: int, *, root_path: str = "") -> uvicorn.Server:
    """Make the server; ``run()`` serves until a signal ends it."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host.strip("[]"),
            port=port,
            root_path=root_path.rstrip("/"),
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            # Live pages never end by themselves.
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
