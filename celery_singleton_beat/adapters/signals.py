"""Signals that wait for the end of a tick.

Runs in: beat.

Celery's handler for SIGTERM closes the scheduler and raises SystemExit wherever
the process happens to be. In the middle of a tick that would close the broker's
connection under a flush, and leave claims to their holds. While a tick works, a
signal is only noted; it is handled the moment the tick is done.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Final

_DEFERRED: Final = (signal.SIGTERM, signal.SIGINT)


class SignalsDeferred:
    """A block in which SIGTERM and SIGINT wait. Outside the main thread it does nothing."""

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._noted: int | None = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in _DEFERRED:
                self._handlers[number] = signal.signal(number, self._note)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._noted is None:
            return
        handler = self._handlers[self._noted]
        if callable(handler):
            handler(self._noted, None)
        elif handler is not signal.SIG_IGN:
            signal.raise_signal(self._noted)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._noted = number
