"""Serving the dashboard by itself: where it may listen, and how it ends."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from celery_singleton_beat.errors import ConfigurationError

_GRACE_SECONDS: Final = 1
_BACKLOG: Final = 512


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


def listen(host: str, port: int) -> socket.socket:
    """Listen; whoever connects waits until there is a server. Port 0 is any that is free.

    Raises:
        OSError: it cannot be listened there.
    """
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def address_of(listening: socket.socket) -> str:
    """Tell where something listens, as it stands in a URL."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def server_of(app: ASGIApp, *, root_path: str = "") -> uvicorn.Server:
    """Make the server; ``run(sockets=[…])`` serves until a signal ends it."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
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
