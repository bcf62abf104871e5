"""The part of the port that tells of the server itself: for people and their tools.

No promise rests on any of it. What a server does not tell, because it is not
allowed to or does not know, is None, and ``untold`` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from celery_singleton_beat.protocol.about import About


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """Another prefix on the same server that beats listen under.

    ``app`` is whose it is, and ``replicas`` what its beats tell of themselves; None and
    nothing if that is not to be found in this database.
    """

    prefix: str
    listeners: int
    app: str | None = None
    replicas: tuple[About, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Server:
    """What a store knows of its server.

    ``refused`` are commands that the scripts need and that this user may not give, with
    the server's words; ``listeners`` is how many connections wait for changes under this
    prefix, in any database; ``snapshots`` are the save points ("": none); ``set_aside`` is how
    many records could not be read and are kept for somebody to look at.
    """

    product: str
    version: str = ""
    role: str | None = None
    policy: str | None = None
    used_memory: int | None = None
    max_memory: int | None = None
    evicted: int | None = None
    clients: int | None = None
    max_clients: int | None = None
    append_only: bool | None = None
    snapshots: str | None = None
    write_errors: tuple[str, ...] = ()
    set_aside: int | None = None
    user: str | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    listeners: int | None = None
    neighbours: tuple[Neighbour, ...] | None = None
    untold: Mapping[str, str] = field(default_factory=dict)


class ServerStore(Protocol):
    """What can tell of its server."""

    def server(self) -> Server:
        """Ask the server about itself.

        It tries the commands that the scripts use, on keys of its own that are gone afterwards.
        """
