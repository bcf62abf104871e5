"""Our facts on Celery's own event channel, beside ``task-…`` and ``worker-…``.

Runs in: worker, main process; beat.

A worker sends them through its own dispatcher, while it sends task events
(``-E``, ``worker_send_task_events``, ``celery control enable_events``). What becomes
of a run its main process hears from the pool, as with Celery's own task events: a
child has no dispatcher. What the heartbeat's thread finds waits for the worker's
timer, for a dispatcher's connection is not to be shared with that thread.

Beats have no dispatcher. With ``singleton_beat_send_events`` they get one, in a
thread with a connection of its own: a broker that hangs delays no tick. What
cannot be sent is dropped, the oldest first.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from celery.utils.nodenames import anon_nodename

from celery_singleton_beat.observe.celery_events import BY_REQUEST, fields_of, type_of

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.events import Event, Events

_logger = logging.getLogger(__name__)

_MOST: Final = 10_000
_EVERY_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 2.0
_TOGETHER: Final = 100


class WorkerEvents:
    """Sends through the dispatcher of a worker, while that one sends task events."""

    def __init__(self, consumer: Any, events: Events) -> None:
        self._consumer = consumer
        self._pid = os.getpid()
        self._waiting: deque[Event] = deque(maxlen=_MOST)
        events.subscribe(self._note, wants=self._wants)
        consumer.timer.call_repeatedly(_EVERY_SECONDS, self.flush)

    @property
    def is_on(self) -> bool:
        """Tell whether events of tasks are sent, now."""
        return self._dispatcher is not None

    def send(self, event: Event) -> None:
        """Send a fact, in the thread that sends what Celery tells of the same run. Never raises."""
        dispatcher, kind = self._dispatcher, type_of(type(event))
        if dispatcher is None or kind is None:
            return
        try:
            # Not send(): the groups of a dispatcher that was switched on later are but Celery's.
            dispatcher.publish(kind, fields_of(event), dispatcher.publisher)
        except Exception:
            _logger.debug("A fact was not sent as a Celery event", exc_info=True)

    def flush(self) -> None:
        """Send what the heartbeat found; the worker's timer calls it."""
        while self._waiting:
            self.send(self._waiting.popleft())

    @property
    def _dispatcher(self) -> Any:
        dispatcher = self._consumer.event_dispatcher  # it comes and goes with the connection
        if dispatcher is None or not dispatcher.enabled:
            return None
        return dispatcher if not dispatcher.groups or "task" in dispatcher.groups else None

    def _wants(self, kind: type[Event]) -> bool:
        # Children inherit this listener.
        return _is_listened_for(kind) and self.is_on and os.getpid() == self._pid

    def _note(self, event: Event) -> None:
        if self._wants(type(event)):
            self._waiting.append(event)


class BeatEvents:
    """Sends from a thread of its own."""

    def __init__(self, app: Celery, events: Events) -> None:
        self._app = app
        self._waiting: deque[Event] = deque(maxlen=_MOST)
        self._changed = threading.Event()
        self._is_stopping = False
        self._unsubscribe = events.subscribe(self._note, wants=self._wants)
        self._thread = threading.Thread(target=self._run, name="singleton-events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send what is left, if that is soon done."""
        self._unsubscribe()
        self._is_stopping = True
        self._changed.set()
        self._thread.join(_STOP_SECONDS)

    def _wants(self, kind: type[Event]) -> bool:
        return type_of(kind) is not None

    def _note(self, event: Event) -> None:
        if self._wants(type(event)):
            self._waiting.append(event)
            self._changed.set()

    def _run(self) -> None:
        is_lost = False
        while not self._is_stopping:
            try:
                self._send_all()
            except Exception as error:  # noqa: BLE001  # whatever the broker's library raises
                if not is_lost:
                    _logger.warning("Facts cannot be sent as Celery events: %r", error)
                is_lost = True
                self._changed.clear()
                self._changed.wait(_RETRY_SECONDS)
            else:
                is_lost = False

    def _send_all(self) -> None:
        """Send while there is a connection, many facts in one message."""
        with self._app.connection_for_write() as connection:
            dispatcher = self._app.events.Dispatcher(
                connection,
                hostname=anon_nodename(prefix="beat"),
                buffer_while_offline=False,
                buffer_group={"singleton"},
                buffer_limit=_TOGETHER,
            )
            while True:
                self._changed.wait()
                self._changed.clear()
                while self._waiting:
                    event = self._waiting.popleft()
                    dispatcher.send(type_of(type(event)), **fields_of(event))
                dispatcher.flush()
                if self._is_stopping:
                    return


def _is_listened_for(kind: type[Event]) -> bool:
    return type_of(kind) is not None and kind not in BY_REQUEST
