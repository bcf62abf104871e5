"""Hearing of changes at once: the wake-up channel of a store in Redis.

What is published there is only that something changed. Who misses it looks at
the store a poll later; nothing rests on a word that is heard.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.store.redis_wire import LINE_ERRORS

if TYPE_CHECKING:
    from celery_singleton_beat.store.redis_wire import Wire

_REST_SECONDS: Final = 5.0
"""After the server could not be listened to, it is not tried again for so long."""

_GAP_SECONDS: Final = 0.05
"""What is said within so long of what was heard last is heard together: whoever changes a
thousand entries does not have every replica look a thousand times."""


class Wake:
    """Listens to one channel on a connection of its own."""

    def __init__(self, wire: Wire, channel: str) -> None:
        self._wire = wire
        self._channel = channel
        self._connection: Any = None
        self._pid = 0
        self._rests_until = 0.0
        self._heard = 0.0
        self._silent_since = 0.0
        self._pinged = 0.0

    def wait(self, seconds: float) -> bool:
        """Wait until something is said, at most so long; False at once if nothing can be heard."""
        if time.monotonic() < self._rests_until:
            return False
        try:
            connection = self._listening()
            until = time.monotonic() + seconds
            if connection.can_read(timeout=seconds):
                self._gather(until)
                while connection.can_read(timeout=0):
                    connection.read_response()
                self._silent_since, self._pinged = time.monotonic(), 0.0
            else:
                self._check(connection)
        except LINE_ERRORS:
            self.close()
            self._rests_until = time.monotonic() + _REST_SECONDS
            return False
        return True

    def _check(self, connection: Any) -> None:
        """See from time to time that a silent line is not a dead one.

        Raises:
            ConnectionError: the last ping has had no answer for as long as any answer may take.
        """
        now, interval = time.monotonic(), connection.health_check_interval
        if self._pinged:
            if now - self._pinged > (connection.socket_timeout or interval):
                raise ConnectionResetError("the line is silent")
        elif interval and now - self._silent_since > interval:
            connection.send_command("PING", check_health=False)
            self._pinged = now

    def _gather(self, until: float) -> None:
        """Let more be said first if something was just heard, but not past a time."""
        time.sleep(max(min(self._heard + _GAP_SECONDS, until) - time.monotonic(), 0))
        self._heard = time.monotonic()

    def close(self) -> None:
        """Stop listening. It can be used again."""
        connection, self._connection = self._connection, None
        if connection is not None and self._pid == os.getpid():
            connection.disconnect()

    def _listening(self) -> Any:
        if self._connection is None or self._pid != os.getpid():
            # Kept before it is of use, so that it is closed where it cannot be.
            connection = self._connection = self._wire.new_connection()
            self._pid = os.getpid()
            connection.connect()
            connection.send_command("SUBSCRIBE", self._channel)
            connection.read_response()
            self._silent_since, self._pinged = time.monotonic(), 0.0
        return self._connection
