"""What a dashboard is told: who may look, who may change, and how it shows time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timezone, tzinfo
from typing import Final

from starlette.requests import Request

from celery_singleton_beat.errors import ConfigurationError

LEAST_TOKEN: Final = 16
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")

Authorize = Callable[[Request], "str | Awaitable[str | None] | None"]
"""Tells who asks, by a name that is recorded with changes; None: nobody who may look."""


@dataclass(frozen=True)
class Options:
    """Settings of one dashboard, checked.

    Raises:
        ConfigurationError: they contradict each other, or the token is too short.
    """

    token: str | None = None
    authorize: Authorize | None = None
    allow_changes: bool = False
    hosts: tuple[str, ...] | None = None
    by: str = "dashboard"
    every_ms: int = 2000
    viewers: int = 100
    zone: tzinfo = timezone.utc

    def __post_init__(self) -> None:
        if self.token is not None and self.authorize is not None:
            raise ConfigurationError("a dashboard has a token or authorize, not both")
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            raise ConfigurationError(
                f"the dashboard's token has {len(self.token)} characters, and needs at least "
                f"{LEAST_TOKEN}: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        if isinstance(self.hosts, str):
            raise ConfigurationError("the dashboard's hosts must be a list of names, not a text")

    @property
    def is_open(self) -> bool:
        """Whether whoever reaches it on this machine may look: there is nothing to say who asks."""
        return self.token is None and self.authorize is None

    @property
    def allowed_hosts(self) -> Sequence[str] | None:
        """The names it answers to; None: any, for then who asks must show a secret."""
        if self.hosts is not None:
            return self.hosts
        return LOOPBACK_HOSTS if self.is_open else None
