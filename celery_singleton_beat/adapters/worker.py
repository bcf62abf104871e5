"""The worker's part: what is checked and made before its pool starts.

Runs in: worker, main process.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from celery import bootsteps, signals
from celery.concurrency.prefork import TaskPool as PreforkPool

from celery_singleton_beat.adapters import remote_control  # noqa: F401  # its commands register
from celery_singleton_beat.adapters.alerts import alerts_of
from celery_singleton_beat.adapters.celery_events import WorkerEvents
from celery_singleton_beat.adapters.discards import discard_unknown
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.first_contact import FirstContact
from celery_singleton_beat.adapters.ticket import is_singleton
from celery_singleton_beat.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.store.port import Store

_logger = logging.getLogger(__name__)

_STOPS_NOBODY: Final = (
    "on_lease_lost = 'stop' needs --pool prefork: in this worker these tasks are only told of a "
    "lost lease, and have to look at self.lease themselves: %s"
)


def wire(app: Celery) -> None:
    """Connect an app's workers, once; nothing is opened before a worker starts."""
    app.steps["worker"].add(SingletonStep)
    signals.task_unknown.connect(
        discard_unknown, weak=False, dispatch_uid="celery_singleton_beat.discard_unknown"
    )
    signals.worker_ready.connect(_begin, weak=False, dispatch_uid="celery_singleton_beat.begin")
    signals.worker_shutdown.connect(
        _stop_heartbeat, weak=False, dispatch_uid="celery_singleton_beat.stop_heartbeat"
    )


class SingletonStep(bootsteps.StartStopStep):
    """Checks the configuration and makes the board; stops the heartbeat at the end.

    Raises:
        ConfigurationError: a setting or an option of a task is wrong.
        StoreTooOld: the store's server is.
    """

    label = "SingletonTasks"
    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        extension = extension_of(worker.app)
        if extension.is_in_memory and issubclass(worker.pool_cls, PreforkPool):
            msg = (
                "singleton_beat_redis_url = 'memory://' coordinates one process, and a prefork "
                "worker has several: start it with --pool solo or threads, or set a Redis"
            )
            raise ConfigurationError(msg)
        alerts_of(worker.app)  # checks what is set for them
        to_be_stopped = []
        has_singletons = False
        for name, task in sorted(worker.app.tasks.items()):
            if not is_singleton(task):
                continue
            has_singletons = True
            # Reading a SingletonTask's options checks them: now, not at the first run.
            options = getattr(task, "singleton_options", None)
            if options and options.on_lease_lost == "stop":
                to_be_stopped.append(name)
        if to_be_stopped and not issubclass(worker.pool_cls, PreforkPool):
            # Not refused: one application often has workers of several pools, and each imports
            # all tasks, also those that are routed elsewhere.
            _logger.warning(_STOPS_NOBODY, ", ".join(to_be_stopped))
        if has_singletons:
            _see_store(extension.store)
        extension.heartbeat  # noqa: B018  # its board must be there before the pool forks

    def stop(self, worker: Any) -> None:
        del worker


def _see_store(store: Store) -> None:
    """See that the store is one that can be used; that it is away is no reason not to start."""
    try:
        store.ping()
    except StoreError:
        _logger.debug("The store does not answer yet", exc_info=True)
    finally:
        store.close()  # before the pool forks: nobody shares a connection


def _begin(sender: Any = None, **_: Any) -> None:
    """Open the channels of the main process; its pool has forked by now."""
    if sender is not None:
        extension = extension_of(sender.app)
        extension.celery_events = WorkerEvents(sender, extension.events)
        extension.first_contact = FirstContact(sender.app, extension)
        extension.alerts = alerts_of(sender.app)
        if extension.alerts is not None:
            extension.alerts.start()


def _stop_heartbeat(sender: Any = None, **_: Any) -> None:
    app = getattr(sender, "app", None)
    if app is not None and "heartbeat" in vars(extension_of(app)):
        for part in (extension_of(app).first_contact, extension_of(app).alerts):
            if part is not None:
                part.stop()
        extension_of(app).redelivery.stop()
        extension_of(app).heartbeat.stop()
