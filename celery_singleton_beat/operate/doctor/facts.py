"""Facts about a deployment: all that the checks of the doctor look at, gathered before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.protocol.statistics import Counts

if TYPE_CHECKING:
    from celery_singleton_beat.operate.entry_rows import EntryRow
    from celery_singleton_beat.operate.fleet_view import FleetView
    from celery_singleton_beat.protocol.history import Fact
    from celery_singleton_beat.settings import Settings
    from celery_singleton_beat.store.server_port import Server

_INSTANCE: Final = re.compile(r"(.+):(\d+):[0-9a-f]{6}")
"""How a process that locks by hand is called: its name, its id, and something random."""


@dataclass(frozen=True, kw_only=True)
class HeldKey:
    """A lock key that somebody holds. ``usual_ms`` is how long its runs take, with few exceptions.

    ``is_gone`` tells that its holder was a process of this host, and is no more.
    """

    key: str
    owner: str
    acquired_ms: int
    deadline_ms: int
    usual_ms: int | None = None
    is_gone: bool = False

    @property
    def by_hand(self) -> bool:
        """Whether it was taken through a lock service, and not by a task."""
        return is_instance(self.owner)

    @property
    def pid(self) -> int:
        """The process that took it by hand."""
        match = _INSTANCE.fullmatch(self.owner)
        return int(match[2]) if match else 0


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker that answered. What it did not tell is empty; ``error`` is what it said instead."""

    name: str
    tasks: frozenset[str] = frozenset()
    about: About = field(default_factory=About)
    app: str = ""
    prefix: str = ""
    address: str = ""
    pool: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    lock_keys: Mapping[str, str] = field(default_factory=dict)
    lock_ttls: Mapping[str, int] = field(default_factory=dict)
    error: str = ""
    store_error: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a deployment. None: it could not be found out, and ``untold`` says why.

    ``command`` is how our commands are called here, and ``celery`` how Celery's are.
    ``here`` is this very process, ``scheduler`` what beats of this app run if nothing
    else is said. ``has_app`` is None where only the store's URL is known: then nothing
    can be said of what the application configures. ``refusal`` is why the store, which
    answers, is not ours to use.
    """

    command: str
    celery: str
    app: str
    here: About
    address: str
    prefix: str
    settings: Settings
    has_app: bool | None = True
    is_in_memory: bool = False
    scheduler: str = ""
    round_trip_ms: float | None = None
    refusal: str = ""
    server: Server | None = None
    fleet: FleetView | None = None
    replicas: Mapping[str, About] = field(default_factory=dict)
    entries: tuple[EntryRow, ...] | None = None
    has_more_entries: bool = False
    paused_tenants: tuple[str, ...] = ()
    locks: tuple[HeldKey, ...] | None = None
    history: tuple[Fact, ...] | None = None
    counts: Counts | None = None
    by_key: Mapping[str, Counts] = field(default_factory=dict)
    broker_error: str = ""
    transport: str = ""
    visibility_ms: int | None = None
    workers: tuple[Worker, ...] | None = None
    task_errors: tuple[str, ...] = ()
    untold: Mapping[str, str] = field(default_factory=dict)

    @property
    def now_ms(self) -> int:
        """The store's time."""
        assert self.fleet is not None  # noqa: S101  # a check that asks for it needs the fleet
        return round(self.fleet.now.timestamp() * 1000)


def is_instance(owner: str) -> bool:
    """Tell whether this is how a process calls itself that locks by hand, and not a worker."""
    return _INSTANCE.fullmatch(owner) is not None
