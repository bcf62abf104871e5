"""A consumer of Celery events, as monitors are: it keeps what came, and what Celery makes of it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery


class Receiver:
    """Captures in a thread of its own, until `close`."""

    def __init__(self, app: Celery, state: Any = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.failures: list[BaseException] = []
        self.state = state if state is not None else app.events.State()
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._connection = app.connection_for_read()
        self._receiver = app.events.Receiver(self._connection, handlers={"*": self._keep})
        self._thread = threading.Thread(target=self._capture, name="receiver", daemon=True)
        self._thread.start()
        if not self._ready.wait(20):
            msg = "the receiver does not listen"
            raise TimeoutError(msg)

    def wait(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 40) -> dict[str, Any]:
        """The first event that is as wanted, once it came."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for event in self.events:
                    if wanted(event):
                        return event
                left = deadline - time.monotonic()
                if left <= 0:
                    came = [event["type"] for event in self.events]
                    msg = f"no such event came, but {came}"
                    raise TimeoutError(msg)
                self._changed.wait(left)

    def of(self, type_: str, **fields: Any) -> dict[str, Any]:
        """The first event of a type, with these fields, once it came."""
        return self.wait(lambda e: e["type"] == type_ and fields.items() <= e.items())

    def types(self, group: str) -> set[str]:
        """The types of a group that came."""
        return {event["type"] for event in self.events if event["type"].startswith(f"{group}-")}

    def close(self) -> None:
        self._receiver.should_stop = True
        self._thread.join(20)
        self._connection.release()

    def _capture(self) -> None:
        ready = self._receiver.on_consume_ready

        def on_consume_ready(*args: Any, **kwargs: Any) -> None:
            ready(*args, **kwargs)
            self._ready.set()

        self._receiver.on_consume_ready = on_consume_ready
        self._receiver.capture(limit=None, timeout=None, wakeup=True)

    def _keep(self, event: dict[str, Any]) -> None:
        try:
            self.state.event(event)
        except Exception as error:  # noqa: BLE001  # it is what the test asks about
            self.failures.append(error)
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()
