"""Server-sent events: one look at the store in a while, told to everybody who looks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from celery_singleton_beat.errors import SingletonBeatError

_RETRY_MS: Final = 3000
_TICK_EVERY: Final = 5
"""After so many looks without news the pages are told all the same: time goes on."""

Look = Callable[[], Awaitable[str]]
Pause = Callable[[float], Awaitable[None]]


class Live:
    """Looks while somebody listens, and tells: ``change``, ``tick``, or ``away`` (no store).

    ``look`` answers a text that is another one when something changed. Nothing is
    read while nobody listens.
    """

    def __init__(
        self, look: Look, *, every_ms: int, most: int, pause: Pause = asyncio.sleep
    ) -> None:
        self._look = look
        self._every_s = every_ms / 1000
        self._most = most
        self._pause = pause
        self._listeners: set[asyncio.Queue[str]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    @property
    def is_full(self) -> bool:
        """Whether as many listen as may."""
        return len(self._listeners) >= self._most

    async def listen(self) -> AsyncIterator[str]:
        """Listen: messages as they go over the wire, until it is closed; none where it is full."""
        if self.is_full:
            return
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=2)
        self._listeners.add(queue)
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._run())
            yield f"retry: {_RETRY_MS}\n\n"
            while True:
                yield await queue.get()
        finally:
            self._leave(queue)

    def _leave(self, queue: asyncio.Queue[str]) -> None:
        self._listeners.discard(queue)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        known, quiet = "", 0
        while True:
            kind, seen = await self._seen()
            quiet = 0 if seen != known else quiet + 1
            if seen != known and known:
                self._tell(kind, seen)
            elif quiet >= _TICK_EVERY or not known:
                quiet = 0
                self._tell("away" if kind == "away" else "tick", seen)
            known = seen
            await self._pause(self._every_s)

    async def _seen(self) -> tuple[str, str]:
        try:
            return "change", await self._look()
        except SingletonBeatError as error:
            return "away", type(error).__name__

    def _tell(self, kind: str, seen: str) -> None:
        # What changed is read from the page, by whoever may still look.
        digest = hashlib.sha256(seen.encode()).hexdigest()[:16]
        message = f"event: {kind}\ndata: {digest}\n\n"
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()  # who is slow needs the latest, and not what was before
            queue.put_nowait(message)
