"""Live pages: one look for all who listen, and none while nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from celery_singleton_beat.errors import StoreUnavailable
from celery_singleton_beat.operate.dashboard.live import Live
from celery_singleton_beat.operate.dashboard.shared import Shared


class Looked:
    """A store that is looked at: what it answers, how often it was asked, and a pause by hand."""

    def __init__(self, *, most: int = 100) -> None:
        self.state = "one"
        self.error: Exception | None = None
        self.count = 0
        self._turn = asyncio.Event()
        self._waits = asyncio.Event()
        self.live = Live(self._look, every_ms=1000, most=most, pause=self._pause)

    async def _look(self) -> str:
        self.count += 1
        if self.error is not None:
            raise self.error
        return self.state

    async def _pause(self, _seconds: float) -> None:
        self._waits.set()
        await self._turn.wait()
        self._turn.clear()

    def go(self) -> None:
        """Let the pause be over, if there is one."""
        self._turn.set()

    async def go_on(self) -> None:
        """Let the pause be over, and wait for the next."""
        await self._waits.wait()
        self._waits.clear()
        self._turn.set()
        await self._waits.wait()


def run(steps: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(steps, 20))


async def next_kind(listening: AsyncIterator[str]) -> str:
    message = await anext(listening)
    return message.partition("\n")[0].removeprefix("event: ")


async def listen(live: Live) -> AsyncIterator[str]:
    listening = live.listen()
    assert (await anext(listening)).startswith("retry: ")
    return listening


def test_however_many_listen_the_store_is_looked_at_once_in_a_while() -> None:
    async def steps() -> None:
        looked = Looked()
        listeners = [await listen(looked.live) for _ in range(50)]
        await looked.go_on()
        before = looked.count

        looked.state = "two"
        await looked.go_on()

        assert looked.count == before + 1
        for listening in listeners:
            assert await next_kind(listening) == "tick"
            assert await next_kind(listening) == "change"
            await listening.aclose()  # type: ignore[attr-defined]

    run(steps())


def test_nothing_is_read_when_the_last_has_gone() -> None:
    async def steps() -> None:
        looked = Looked()
        listeners = [await listen(looked.live) for _ in range(2)]
        await looked.go_on()

        for listening in listeners:
            await listening.aclose()  # type: ignore[attr-defined]
        looked.go()
        count = looked.count
        for _ in range(10):
            await asyncio.sleep(0)

        assert looked.live.listeners == 0
        assert looked.count == count

    run(steps())


def test_a_store_that_is_away_is_told_once_and_so_is_its_return() -> None:
    async def steps() -> None:
        looked = Looked()
        listening = await listen(looked.live)
        kinds = [await next_kind(listening)]
        looked.error = StoreUnavailable("away")
        for _ in range(3):
            await looked.go_on()
        kinds.append(await next_kind(listening))
        looked.error = None
        await looked.go_on()
        kinds.append(await next_kind(listening))

        assert kinds == ["tick", "away", "change"]
        await listening.aclose()  # type: ignore[attr-defined]

    run(steps())


def test_time_goes_on_for_pages_although_nothing_changes() -> None:
    async def steps() -> None:
        looked = Looked()
        listening = await listen(looked.live)
        assert await next_kind(listening) == "tick"
        for _ in range(6):
            await looked.go_on()

        assert await next_kind(listening) == "tick"
        await listening.aclose()  # type: ignore[attr-defined]

    run(steps())


def test_one_more_than_may_is_not_listened_for() -> None:
    async def steps() -> None:
        looked = Looked(most=2)
        listeners = [await listen(looked.live) for _ in range(2)]

        assert looked.live.is_full
        assert [message async for message in looked.live.listen()] == []

        for listening in listeners:
            await listening.aclose()  # type: ignore[attr-defined]
        assert not looked.live.is_full

    run(steps())


def test_who_does_not_take_what_is_told_holds_up_nobody() -> None:
    async def steps() -> None:
        looked = Looked()
        slow, quick = await listen(looked.live), await listen(looked.live)
        told = []
        for number in range(10):
            looked.state = f"state {number}"
            await looked.go_on()
            told.append(await anext(quick))

        assert [await anext(slow), await anext(slow)] == told[-2:]
        for listening in (slow, quick):
            await listening.aclose()  # type: ignore[attr-defined]

    run(steps())


class Reads:
    """Counts how often something is read."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None

    def __call__(self) -> int:
        self.count += 1
        if self.error is not None:
            raise self.error
        return self.count


def test_those_who_ask_at_the_same_time_ask_once() -> None:
    async def steps() -> None:
        reads, shared = Reads(), Shared(1000)

        answers = await asyncio.gather(*(shared.get("key", reads) for _ in range(20)))

        assert answers == [1] * 20

    run(steps())


def test_an_answer_is_kept_for_a_while_and_an_error_too() -> None:
    async def steps() -> None:
        now = 100.0
        reads, shared = Reads(), Shared(1000, monotonic=lambda: now)
        reads.error = StoreUnavailable("away")
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await shared.get("key", reads)
        assert reads.count == 1

        reads.error, now = None, 101.0

        assert [await shared.get("key", reads) for _ in range(2)] == [2, 2]

    run(steps())


def test_after_a_change_everything_is_read_anew() -> None:
    async def steps() -> None:
        reads, shared = Reads(), Shared(60_000)
        await shared.get("key", reads)

        shared.forget()

        assert await shared.get("key", reads) == 2

    run(steps())


def test_a_reading_that_was_asked_before_a_change_is_not_kept() -> None:
    async def steps() -> None:
        reads, shared = Reads(), Shared(60_000)
        asked = asyncio.create_task(shared.get("key", reads))
        await asyncio.wait([asked], timeout=0)
        shared.forget()
        await asked

        assert await shared.get("key", reads) == 2

    run(steps())


def test_who_gives_up_waiting_takes_the_answer_from_nobody() -> None:
    async def steps() -> None:
        reads, shared = Reads(), Shared(60_000)
        first = asyncio.create_task(shared.get("key", reads))
        second = asyncio.create_task(shared.get("key", reads))
        await asyncio.wait([first], timeout=0)
        first.cancel()

        assert await second == 1

    run(steps())
