"""Redelivery: keeping a Redis broker from giving out again the message of a run that is alive.

Runs in: worker, main process.

On a Redis broker kombu notes when it handed out a message, and any worker puts
one back into its queue that was not acknowledged for the visibility timeout:
that is how the message of a killed worker comes back, and how that of a long
task comes twice. For as long as a run lives a thread here writes the present
time into that note, a third of the timeout apart, one command for all runs. A
worker that is killed or stands still writes nothing, and loses its messages as
before. Nothing is written anew, only what is still noted is changed: a message
that was acknowledged or put back meanwhile stays so.

A run lives from when the pool accepted it until its message is acknowledged or
its end is known. Messages that only wait in the worker, prefetched or for their
time, are left to the timeout on purpose: another worker may take them over (the
first to begin runs, the other message is dropped), and no list of ours could
keep one back that Celery has forgotten, as it forgets those that wait when it
loses its connection.

Other transports know by the connection whether a worker lives: there is nothing to do.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from kombu.transport.redis import Channel

if TYPE_CHECKING:
    from celery.worker.request import Request

_logger = logging.getLogger(__name__)

_PER_TIMEOUT: Final = 3
_ANSWER_S: Final = 2.0
# Runs that were accepted within so many seconds are told of together, and most have ended by then.
_GATHER_S: Final = 1.0
_RETRY_S: Final = 1.0


class Redelivery:
    """Holds the messages of accepted runs; a thread of its own tells their broker."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[Request, _Line] = {}
        self._lines: dict[Channel, _Line] = {}
        self._thread: threading.Thread | None = None
        self._due_at = math.inf
        self._is_stopping = False

    def hold(self, request: Request) -> None:
        """Keep the message of a run that was just accepted from coming again while it lives."""
        channel = request.message.channel
        if not isinstance(channel, Channel) or not channel.ack_emulation:
            return
        with self._changed:
            if channel not in self._lines:
                if channel.closed:  # and with it the way to its broker is forgotten
                    return
                self._lines[channel] = _Line(channel)
            line = self._held[request] = self._lines[channel]
            # It may have waited in this worker for most of its time.
            self._is_due_in(min(line.every_s, _GATHER_S))
            self._start()

    def let_go(self, request: Request) -> None:
        """Leave a message to its broker again."""
        with self._changed:
            self._held.pop(request, None)

    def stop(self) -> None:
        """End the thread, without waiting for an answer it may be waiting for."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()

    def beat(self) -> float:
        """Tell the brokers once; answer in how many seconds to do so again."""
        tags, unused = self._sort()
        for line in unused:
            line.close()
        waits = [math.inf]
        for line, its_tags in tags.items():
            try:
                line.touch(its_tags)
                waits.append(line.every_s)
            except Exception:  # whatever the broker's library raises
                _logger.debug("The broker was not told which runs are alive", exc_info=True)
                waits.append(min(line.every_s, _RETRY_S))
        return min(waits)

    def _sort(self) -> tuple[dict[_Line, list[str]], list[_Line]]:
        """List the tags to tell of by connection, and the connections that nobody needs."""
        tags: dict[_Line, list[str]] = defaultdict(list)
        with self._changed:
            for request, line in self._held.items():
                if not request.message.acknowledged:
                    tags[line].append(request.message.delivery_tag)
            in_use = set(self._held.values())
            over = [c for c, line in self._lines.items() if c.closed and line not in in_use]
            return tags, [self._lines.pop(channel) for channel in over]

    def _is_due_in(self, seconds: float) -> None:
        at = time.monotonic() + seconds
        if at < self._due_at:
            self._due_at = at
            self._changed.notify()

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._run, name="singleton-redelivery", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._is_stopping and (left := self._due_at - time.monotonic()) > 0:
                    self._changed.wait(None if left == math.inf else left)
                if self._is_stopping:
                    return
                self._due_at = math.inf
            try:
                wait_s = self.beat()
            except Exception:
                _logger.exception("Keeping messages from redelivery met an error and goes on")
                wait_s = _RETRY_S
            with self._changed:
                self._is_due_in(wait_s)


class _Line:
    """A connection of our own to the broker of one channel, made as that one was made.

    It has its own short timeouts, and is no part of Celery's event loop.
    """

    def __init__(self, channel: Channel) -> None:
        self.every_s = channel.visibility_timeout / _PER_TIMEOUT
        client = channel.connection.client
        options = dict(client.transport_options or {})
        for name in ("socket_timeout", "socket_connect_timeout"):
            options[name] = min(options.get(name) or _ANSWER_S, _ANSWER_S)
        # With its address, credentials, TLS, Sentinels and key prefix. It is not asked to connect
        # by itself: then it might turn to another address, and there the messages are not.
        self._connection = client.clone(transport_options=options)
        self._channel: Any = None

    def touch(self, tags: list[str]) -> None:
        """Note that these messages are in good hands now; those no longer noted stay so."""
        if self._channel is None:
            transport = self._connection.transport
            self._channel = transport.create_channel(transport.establish_connection())
        scores = dict.fromkeys(tags, time.time())  # as kombu: all workers compare their clocks
        self._channel.client.zadd(self._channel.unacked_index_key, scores, xx=True)

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            try:
                channel.close()
            except Exception:
                _logger.debug("A connection to the broker was not closed", exc_info=True)
