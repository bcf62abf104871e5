"""The extension of one Celery app: its settings, store, events and leases, wired once.

Runs in: beat, worker.

Nothing here happens on import or on construction; each part is made when it is
first asked for, in the process that asks.
"""

from __future__ import annotations

import os
import socket
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.adapters.redelivery import Redelivery
from celery_singleton_beat.adapters.requirements import check_requirements
from celery_singleton_beat.engine.board import Board
from celery_singleton_beat.engine.guard import Guard
from celery_singleton_beat.engine.heartbeat import Heartbeat
from celery_singleton_beat.errors import ConfigurationError
from celery_singleton_beat.events import Events, Listener
from celery_singleton_beat.observe.logs import is_logged, log_event
from celery_singleton_beat.protocol.limits import TenantLimits
from celery_singleton_beat.settings import Settings
from celery_singleton_beat.store.keys import Keys
from celery_singleton_beat.store.memory_store import MemoryStore
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.store_url import redacted

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from celery_singleton_beat.adapters.alerts import Alerts
    from celery_singleton_beat.adapters.celery_events import WorkerEvents
    from celery_singleton_beat.adapters.first_contact import FirstContact
    from celery_singleton_beat.store.port import Store

_ATTRIBUTE: Final = "_singleton_beat"
_guard = threading.Lock()


def extension_of(app: Celery) -> Extension:
    """Find the extension of an app; there is one, and it lives on the app."""
    try:
        found: Extension = vars(app)[_ATTRIBUTE]
    except KeyError:
        with _guard:
            found = vars(app).setdefault(_ATTRIBUTE, Extension(app))
    return found


def subscribe(app: Celery, listener: Listener) -> Callable[[], None]:
    """Let ``listener`` be told of every event in this process; call the answer to end it.

    A listener is called where the event happens and must be quick; its
    exceptions are logged and go no further.
    """
    return extension_of(app).events.subscribe(listener)


class Extension:
    """What this package is for one app, in one process and its children."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self.events = Events()
        self.events.subscribe(log_event, wants=is_logged)
        self.lock_keys: dict[str, str] = {}
        self.celery_events: WorkerEvents | None = None
        self.first_contact: FirstContact | None = None
        self.alerts: Alerts | None = None

    @cached_property
    def settings(self) -> Settings:
        """The app's settings, checked.

        Raises:
            ConfigurationError: one of them is wrong, or what is installed is too old.
        """
        check_requirements()
        return Settings.read(self._app.conf, os.environ)

    @cached_property
    def limits(self) -> TenantLimits:
        """The limits of a tenant that was given none of its own.

        Raises:
            ConfigurationError: they cannot be so.
        """
        try:
            return TenantLimits.from_data(self.settings.tenant_limits or {})
        except ConfigurationError as error:
            msg = f"singleton_beat_tenant_limits: {error}"
            raise ConfigurationError(msg) from error

    @property
    def app_name(self) -> str:
        return self._app.main or "celery"

    @cached_property
    def prefix(self) -> str:
        """The key prefix with its hash tag; part of the identity of every occurrence."""
        return Keys(self.settings.key_prefix or f"csb:{self.app_name}").prefix

    @cached_property
    def store_url(self) -> str:
        conf = self._app.conf
        return self.settings.redis_url_for(conf.broker_url, conf.result_backend)

    @property
    def address(self) -> str:
        """Where the store is, without secrets."""
        return redacted(self.store_url)

    @property
    def is_in_memory(self) -> bool:
        return self.store_url.startswith("memory:")

    @cached_property
    def store(self) -> Store:
        """The store. It connects when it is first asked something."""
        # Threads that ask for it at once get the same one: one in memory is all that they share.
        one: Store = vars(self).setdefault("store", self._new_store())
        return one

    def _new_store(self) -> Store:
        if self.is_in_memory:
            return MemoryStore(app=self.app_name)
        settings = self.settings
        return RedisStore(
            self.new_wire(),
            prefix=self.prefix,
            app=self.app_name,
            history=settings.history,
            entry_history=settings.entry_history,
            statistics=settings.statistics,
        )

    def new_wire(self) -> Wire:
        """Make a way to the store's server; it connects when it is first used."""
        settings = self.settings
        options = dict(settings.redis_options or {})
        if self.store_url.startswith("sentinel"):
            transport = dict(self._app.conf.broker_transport_options or {})
            for name in ("master_name", "sentinel_kwargs"):
                if name in transport:
                    options.setdefault(name, transport[name])
        return Wire(
            self.store_url,
            options=options,
            connect_timeout_ms=settings.connect_timeout_ms,
            socket_timeout_ms=settings.socket_timeout_ms,
            health_check_ms=settings.health_check_interval_ms,
            wait_replicas=settings.wait_replicas,
            wait_timeout_ms=settings.wait_timeout_ms,
        )

    @property
    def instance(self) -> str:
        """This process's name in listings. Unique even where the configured one is shared."""
        made: dict[int, str] = self.__dict__.setdefault("_instances", {})
        pid = os.getpid()
        if pid not in made:
            name = self.settings.instance_id or socket.gethostname()
            made.setdefault(pid, f"{name}:{pid}:{os.urandom(3).hex()}")
        return made[pid]

    @cached_property
    def guard(self) -> Guard:
        return Guard(self.store)

    @cached_property
    def heartbeat(self) -> Heartbeat:
        """The heartbeat of the worker's main process; made before its pool forks."""
        return Heartbeat(self.store, self.events, Board())

    @cached_property
    def redelivery(self) -> Redelivery:
        """What keeps the messages of living runs from coming again, in the main process."""
        return Redelivery()

    @property
    def own_heartbeat(self) -> Heartbeat:
        """A heartbeat of this very process, for runs that no main process has in hand."""
        made: dict[int, Any] = self.__dict__.setdefault("_own_heartbeats", {})
        pid = os.getpid()
        if pid not in made:
            made[pid] = Heartbeat(self.store, self.events, Board(1024))
        heartbeat: Heartbeat = made[pid]
        return heartbeat
