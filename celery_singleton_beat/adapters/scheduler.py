"""The scheduler that ``celery beat`` runs; run as many as you like.

Runs in: beat.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from celery import signals
from celery.beat import Scheduler, _evaluate_entry_args, _evaluate_entry_kwargs
from celery.utils.nodenames import anon_nodename
from kombu.utils.objects import cached_property

from celery_singleton_beat import events as happened
from celery_singleton_beat.adapters import check_ins
from celery_singleton_beat.adapters.about import about_process
from celery_singleton_beat.adapters.alerts import alerts_of
from celery_singleton_beat.adapters.celery_events import BeatEvents
from celery_singleton_beat.adapters.dry_run import DryPublisher
from celery_singleton_beat.adapters.entries import (
    SingletonEntry,
    absolute,
    defaults_of,
    read_entry,
    stored_entry,
    stored_timing,
    timing_of,
)
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.publisher import CeleryPublisher
from celery_singleton_beat.adapters.remote_control import serve_beat
from celery_singleton_beat.adapters.signals import SignalsDeferred
from celery_singleton_beat.engine.dispatcher import Dispatcher
from celery_singleton_beat.engine.introduction import Introduction
from celery_singleton_beat.engine.pace import Pace
from celery_singleton_beat.engine.publisher import Delivery, Sent
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.errors import ConfigurationError, EntryError, StoreError
from celery_singleton_beat.protocol import definition
from celery_singleton_beat.protocol.entry import Defaults, Timing, configuration_digest
from celery_singleton_beat.protocol.occurrence import HEADER, Occurrence
from celery_singleton_beat.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.engine.publisher import Publication, Publisher

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 1


class SingletonScheduler(Scheduler):
    """A beat scheduler without a leader: each occurrence is dispatched by one replica.

    Set ``beat_scheduler="celery_singleton_beat:SingletonScheduler"`` or start
    beat with ``-S singleton``. A tick never raises for anything that the store,
    the broker or an entry does.

    Raises:
        ConfigurationError: a setting is wrong, or no store is configured.
    """

    Entry = SingletonEntry
    # RedBeat asks every scheduler for it where it is installed still and imported, as by Sentry.
    lock_key = None
    max_interval = POLL_SECONDS

    def __init__(self, app: Celery, *args: Any, **kwargs: Any) -> None:
        self._extension = extension_of(app)
        self._pid = os.getpid()
        self._is_closed = False
        self._wake = threading.Event()
        self._error: BaseException | None = None
        self._checked_in: dict[str, dict[str, Any]] = {}
        self._service: Any = None
        self._celery_events: BeatEvents | None = None
        self._alerts = alerts_of(app)  # what is wrong in their settings is said now
        # Celery builds a second, lazy instance for its banner; neither does any I/O here.
        self._extension.store_url  # noqa: B018  # says now what is missing in the settings
        super().__init__(app, *args, **kwargs)
        self.max_interval = POLL_SECONDS
        signals.beat_init.connect(
            _introduce, weak=False, dispatch_uid="celery_singleton_beat.introduce"
        )

    def setup_schedule(self) -> None:
        """Read ``beat_schedule``; an entry that cannot be read is reported and left out."""
        self._read(self.app.conf.beat_schedule)
        self.install_default_entries(self.schedule)

    def update_from_dict(self, dict_: Mapping[str, Any]) -> None:
        self._read(dict_)

    def _read(self, given: Mapping[str, Any]) -> None:
        for name, fields in given.items():
            self._read_one(name, fields)

    def _read_one(self, name: str, fields: Any) -> None:
        try:
            entry = read_entry(self.app, name, fields)
            self.timings[name] = timing_of(self.app, entry, self._extension.settings)
        except EntryError as error:
            self._extension.events.emit(happened.EntrySetAside.because(str(name), error))
        else:
            self.schedule[name] = entry

    @cached_property
    def timings(self) -> dict[str, Timing]:
        return {}

    @cached_property
    def _origin(self) -> str:
        return anon_nodename()

    @cached_property
    def replica(self) -> Replica:
        """This replica, as all its parts know it."""
        extension, settings = self._extension, self._extension.settings
        publisher: Publisher
        if settings.dry_run:
            publisher, store = DryPublisher(self.schedule), MemoryStore()
        else:
            publisher = CeleryPublisher(self, settings.connect_timeout_ms / 1000)
            store = extension.store  # type: ignore[assignment]
        return Replica(
            name=extension.instance,
            store=store,
            publisher=publisher,
            events=extension.events,
            pace=Pace(
                hold_ms=settings.claim_hold_ms,
                poll_ms=min(settings.poll_interval_ms, POLL_SECONDS * 1000),
                replica_timeout_ms=settings.replica_timeout_ms,
                clock_jump_rest_ms=settings.lock_ttl_ms,
                batch=settings.claim_batch,
            ),
            timing_of=self._stored_timing,
            per_minute=extension.limits.quota.max_per_minute,
            address="memory:// (dry run)" if settings.dry_run else extension.address,
            introduction=Introduction(about_process(self.app)),
        )

    @cached_property
    def dispatcher(self) -> Dispatcher:
        digest = configuration_digest(self.timings.values())
        return Dispatcher(self.replica, self.timings, digest)

    def _stored_timing(self, entry: definition.Entry) -> Timing:
        return stored_timing(self.app, entry, self._extension.settings, self._defaults)

    @cached_property
    def _defaults(self) -> Defaults:
        return defaults_of(self.app, self._extension.settings)

    def tick(self, *_args: Any, **_kwargs: Any) -> float:
        """Dispatch what is due, then wait, at most a second, for what is due next.

        A signal to stop is handled between the two: what was claimed is settled.
        """
        if self._service is not None:
            # Not before the first tick: Celery makes the node between beat_init and it.
            self._service, service = None, self._service
            self._begin(service)
        try:
            with SignalsDeferred():
                wait_ms = self.dispatcher.tick()
        except ConfigurationError:
            raise
        except Exception as error:
            logger.exception("A tick met an error that nobody foresaw")
            self._extension.events.emit(happened.TickFailed(repr(error)))
            wait_ms = POLL_SECONDS * 1000
        if wait_ms > 0 and not self._waits_for_change(wait_ms / 1000):
            self._wake.wait(wait_ms / 1000)
        return 0

    def _begin(self, service: Any) -> None:
        """Open the channels of a beat; its first tick is about to come."""
        serve_beat(service)
        if self._extension.settings.send_events:
            self._celery_events = BeatEvents(self.app, self._extension.events)
        if self._alerts is not None and not self._extension.settings.dry_run:
            self._alerts.start(is_beat=True)

    def _waits_for_change(self, seconds: float) -> bool:
        """Wait for a change of stored entries; False at once where none can be heard of."""
        return not self._extension.settings.dry_run and self._extension.store.wait_change(seconds)

    def send(self, publication: Publication) -> tuple[str, BaseException | None]:
        """Publish one occurrence the way Celery does; tell its id, and why it failed, if so.

        ``apply_entry`` is what Sentry and Datadog hook into; it logs errors and
        keeps them to itself, so ``apply_async`` leaves them here.
        """
        occurrence = publication.occurrence
        task_id = self.task_id(occurrence)
        self._error = None
        try:
            entry = self._entry_of(publication)
            options = self._options(entry, publication, task_id)
            dispatched = entry.for_dispatch(options)
            # In a context of its own: a tracer that begins a span for each message does not
            # end it if the message cannot be sent, and would take the next ones for parts of it.
            copy_context().run(self.apply_entry, dispatched, producer=self.producer)
            if check_ins.is_opened(dispatched.options["headers"]):
                self._checked_in[task_id] = dispatched.options["headers"]
        except Exception as error:  # noqa: BLE001  # one entry's trouble is not the others'
            self._error = error
        return task_id, self._error

    def settle_check_ins(self, deliveries: Sequence[Delivery]) -> None:
        """Close the check-ins of messages that were not sent, for all that is known."""
        checked_in, self._checked_in = self._checked_in, {}
        for delivery in deliveries if checked_in else ():
            if delivery.sent is not Sent.SENT:
                check_ins.close(checked_in.get(delivery.task_id), is_well=False)

    def task_id(self, occurrence: Occurrence) -> str:
        """Tell the id that every message of an occurrence bears."""
        return occurrence.task_id(self._extension.prefix)

    def _entry_of(self, publication: Publication) -> SingletonEntry:
        if publication.entry is None:
            entry: SingletonEntry = self.schedule[publication.occurrence.entry]
            return entry
        return stored_entry(self.app, publication.entry)

    def _options(
        self, entry: SingletonEntry, publication: Publication, task_id: str
    ) -> dict[str, Any]:
        """Make the options of one message: a copy, for others write into it."""
        options = {"origin": self._origin, **entry.reprs, **entry.options}
        options["headers"] = {
            **(options.get("headers") or {}),
            "celery_beat_task": True,
            "periodic_task_name": entry.name,
            HEADER: publication.occurrence.to_header(),
        }
        options["task_id"] = task_id
        # A claim has its own way of trying again; retrying inside it could outlast its hold.
        options["retry"] = False
        if "expires" in options:
            options["expires"] = absolute(options["expires"], publication.now_ms)
        if "countdown" in options and "eta" not in options:
            options["eta"] = absolute(options.pop("countdown"), publication.now_ms)
        return options

    def apply_async(self, entry: Any, producer: Any = None, **_given: Any) -> Any:
        """Publish an entry as it stands; what goes wrong is kept for ``send``."""
        try:
            task = self.app.tasks.get(entry.task)
            args = _evaluate_entry_args(entry.args)
            kwargs = _evaluate_entry_kwargs(entry.kwargs)
            if task:
                return task.apply_async(args, kwargs, producer=producer, **entry.options)
            return self.send_task(entry.task, args, kwargs, producer=producer, **entry.options)
        except Exception as error:
            self._error = error
            raise

    def disconnect(self) -> None:
        """Drop the broker connection; the next tick makes a new one."""
        self.__dict__.pop("producer", None)
        connection = self.__dict__.pop("connection", None)
        if connection is not None:
            try:
                connection.release()
            except Exception:
                logger.debug("The broker connection did not close in order", exc_info=True)

    def sync(self) -> None:
        """Do nothing: the store is written where it changes."""

    def close(self) -> None:
        """Take leave of the other replicas. Celery calls this twice, also from a signal."""
        if self._is_closed:
            return
        self._is_closed = True
        if "dispatcher" in vars(self) and os.getpid() == self._pid:
            try:
                self.dispatcher.leave()
            except StoreError:
                logger.debug("The store was not told that this replica stops", exc_info=True)
        for part in (self._celery_events, self._alerts):
            if part is not None:
                part.stop()
        self.disconnect()

    @property
    def info(self) -> str:
        settings = self._extension.settings
        lines = [
            f"    . store -> {self._extension.address}",
            f"    . prefix -> {self._extension.prefix}",
        ]
        if settings.dry_run:
            lines.append("    . dry run -> nothing is claimed or sent")
        return "\n".join(lines)


def _introduce(sender: Any = None, **_: Any) -> None:
    """Let a scheduler know the service that runs it (``beat_init``)."""
    if isinstance(scheduler := getattr(sender, "scheduler", None), SingletonScheduler):
        scheduler._service = sender  # noqa: SLF001
