"""The first contact of a worker with its store: said when it is made, and when it is not.

Runs in: worker, main process, in a thread that ends once the store has answered.

Without it a worker that cannot reach its store says so with its first run.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.adapters.ticket import is_singleton
from celery_singleton_beat.errors import SingletonBeatError
from celery_singleton_beat.events import Ready, StoreBack, StoreConnected, StoreLost

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.adapters.extension import Extension

_RETRY_SECONDS: Final = 5.0


class FirstContact:
    """Asks until there is an answer, or the worker stops."""

    def __init__(self, app: Celery, extension: Extension) -> None:
        self._app = app
        self._extension = extension
        self._is_over = threading.Event()
        thread = threading.Thread(target=self._run, name="singleton-contact", daemon=True)
        thread.start()

    def stop(self) -> None:
        self._is_over.set()

    def _run(self) -> None:
        while not self._is_made() and not self._is_over.wait(_RETRY_SECONDS):
            pass

    def _is_made(self) -> bool:
        extension = self._extension
        events = extension.events
        try:
            extension.store.ping()
        except SingletonBeatError as error:
            if extension.guard.is_first_failure():  # a body in this process may have said so
                events.emit(StoreLost(str(error)))
            return False
        if (away_ms := extension.guard.ended_failure_ms()) is not None:
            events.emit(StoreBack(away_ms))
        events.emit(StoreConnected(extension.address))
        count = sum(map(is_singleton, self._app.tasks.values()))
        events.emit(Ready("worker", extension.instance, count))
        return True
