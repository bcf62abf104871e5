"""Readings that are shared: whoever looks, however many, the store is asked once in a while."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from starlette.concurrency import run_in_threadpool

_Answer = TypeVar("_Answer")

_MOST_KEPT: Final = 256
_SHARE: Final = 20
"""A reading that took long is kept longer: reading takes a twentieth of the time at most."""


@dataclass(frozen=True, slots=True)
class _Kept:
    value: Any
    error: Exception | None
    until: float


class Shared:
    """Keeps answers for ``fresh_ms``, and lets those who ask at the same time ask once.

    An error is an answer, too: a store that is away is not asked by each for itself.
    """

    def __init__(self, fresh_ms: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fresh_s = fresh_ms / 1000
        self._monotonic = monotonic
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._asked: dict[Hashable, asyncio.Task[_Kept]] = {}
        self._age = 0

    async def get(
        self, key: Hashable, read: Callable[[], _Answer], *, for_seconds: float = 0
    ) -> _Answer:
        """Answer what ``read`` answers, in a thread, now or a moment ago; raise what it raises.

        It is kept for ``for_seconds`` at least.
        """
        kept = self._kept.get(key)
        if kept is None or kept.until <= self._monotonic():
            kept = await self._ask(key, read, for_seconds)
        if kept.error is not None:
            raise kept.error
        answer: _Answer = kept.value
        return answer

    def forget(self) -> None:
        """Read anew what is asked for next: something was changed."""
        self._age += 1
        self._kept.clear()
        self._asked.clear()

    async def _ask(self, key: Hashable, read: Callable[[], Any], least_s: float) -> _Kept:
        task = self._asked.get(key)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = self._asked[key] = asyncio.create_task(self._read(key, read, least_s))
        # Whoever goes away meanwhile does not take the answer from the others.
        return await asyncio.shield(task)

    async def _read(self, key: Hashable, read: Callable[[], Any], least_s: float) -> _Kept:
        begun, age = self._monotonic(), self._age
        value, error = None, None
        try:
            value = await run_in_threadpool(read)
        except Exception as raised:  # noqa: BLE001  # it is raised where it was asked for
            error = raised
        now = self._monotonic()
        kept = _Kept(value, error, now + max(self._fresh_s, least_s, _SHARE * (now - begun)))
        if age == self._age:
            self._asked.pop(key, None)
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return kept
