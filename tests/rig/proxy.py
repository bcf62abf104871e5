"""A network that can go wrong: a TCP proxy whose faults a test switches from its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import pytest

from celery_singleton_beat.demo.server import HOST, PORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

TO_SERVER: Final = "to_server"
TO_CLIENT: Final = "to_client"
Direction = Literal["to_server", "to_client"]
T = TypeVar("T")

CALL_SECONDS: Final = 10.0
BIND_ATTEMPTS: Final = 20


class FaultProxy:
    """A loopback port that leads to another, with faults that are in effect when a call returns.

    - `latency(ms)`: each chunk is that much later, each way.
    - `refuse()`: connections are reset and new ones refused, until `heal()`.
    - `reset()`: those that are open are reset, once.
    - `blackhole(direction)`: bytes of that direction vanish, connections stay open. With
      `TO_CLIENT` the write happens and its reply is lost.
    - `hold(direction)`: bytes of that direction wait, and arrive late, on `heal()`.
    - `tear_reply(after_bytes)`: of what the server sends next, so many bytes pass, then the
      connection is reset. With 0: the write happened, the client sees a broken connection.
    - `forget()`: what is open now goes silent for ever, and what is opened later is not; as a
      firewall does that has dropped its table.
    - `heal()`: ends all of it. A connection that has lost bytes is reset, not resumed.
    """

    def __init__(self, target_port: int, target_host: str = HOST) -> None:
        self._target = (target_host, target_port)
        self._changed = threading.Condition()
        self.passed: dict[Direction, int] = {TO_SERVER: 0, TO_CLIENT: 0}
        self.swallowed: dict[Direction, int] = {TO_SERVER: 0, TO_CLIENT: 0}
        self.held: dict[Direction, int] = {TO_SERVER: 0, TO_CLIENT: 0}
        self.connections = 0
        self.torn = 0
        self._links: set[_Link] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        try:
            self.port = self._call(self._choose_port())
        except BaseException:
            self._end_loop()
            raise

    def url(self, db: int = 0) -> str:
        """The Redis URL of the server, through this proxy."""
        return f"redis://{HOST}:{self.port}/{db}"

    def latency(self, delay_ms: float) -> None:
        self._call(self._set(_delay_seconds=delay_ms / 1000))

    def refuse(self) -> None:
        self._call(self._refuse())

    def reset(self) -> None:
        self._call(self._reset(lambda _: True))

    def blackhole(self, direction: Direction | None = None) -> None:
        """Of one direction, or of both."""
        self._call(self._set(_blackholes={direction} if direction else {TO_SERVER, TO_CLIENT}))

    def forget(self) -> None:
        self._call(self._forget())

    def hold(self, direction: Direction | None = None) -> None:
        """Of one direction, or of both."""
        self._call(self._hold({direction} if direction else {TO_SERVER, TO_CLIENT}))

    def tear_reply(self, after_bytes: int) -> None:
        self._call(self._set(_tear_after=after_bytes))

    def heal(self) -> None:
        self._call(self._heal())

    def wait_until(
        self, reached: Callable[[FaultProxy], bool], timeout_seconds: float = CALL_SECONDS
    ) -> None:
        """Wait for what has passed, was swallowed, was held or torn, or is connected.

        Raises:
            TimeoutError: it did not come to that.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: reached(self), timeout_seconds):
                raise TimeoutError(
                    f"passed {self.passed}, swallowed {self.swallowed}, held {self.held}, "
                    f"torn {self.torn}, connections {self.connections}"
                )

    def close(self) -> None:
        """Reset everything and give the port back."""
        self._call(self._refuse())
        self._call(self._settle())
        self._end_loop()

    # What follows runs in the proxy's own thread, apart from _call and _end_loop.

    _delay_seconds: float = 0.0
    _blackholes: frozenset[Direction] | set[Direction] = frozenset()
    _tear_after: int | None = None

    async def _choose_port(self) -> int:
        self._open = {TO_SERVER: asyncio.Event(), TO_CLIENT: asyncio.Event()}
        for event in self._open.values():
            event.set()
        chance = random.SystemRandom()
        for _ in range(BIND_ATTEMPTS):
            self.port = chance.choice(PORTS)
            with contextlib.suppress(OSError):
                await self._listen()
                return self.port
        raise RuntimeError("no free port for the proxy")

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, HOST, self.port)

    async def _set(self, **faults: object) -> None:
        for name, value in faults.items():
            setattr(self, name, value)

    async def _forget(self) -> None:
        for link in self._links:
            link.forgotten = link.lossy = True

    async def _hold(self, directions: set[Direction]) -> None:
        for direction in directions:
            self._open[direction].clear()

    async def _refuse(self) -> None:
        if self._listener is not None:
            listener, self._listener = self._listener, None
            for listening in listener.sockets:
                self._loop.remove_reader(listening.fileno())
            # A server that is closed under an accept leaves its socket open (CPython gh-109564).
            for _ in range(5):
                await asyncio.sleep(0)
            listener.close()
        await self._reset(lambda _: True)

    async def _settle(self) -> None:
        """Let what was just being accepted, or cut, come to its end while the loop runs."""
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        for _ in range(3):
            await asyncio.sleep(0)

    async def _heal(self) -> None:
        self._delay_seconds, self._blackholes, self._tear_after = 0.0, frozenset(), None
        await self._reset(lambda link: link.lossy)
        for event in self._open.values():
            event.set()
        if self._listener is None:
            await self._listen()

    async def _reset(self, chosen: Callable[[_Link], bool]) -> None:
        links = [link for link in self._links if chosen(link)]
        for link in links:
            link.cut()
        await asyncio.gather(*(link.done.wait() for link in links))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        if self._listener is None:  # refused while it was being accepted
            link.cut()
            return
        self._links.add(link)
        self._count(connections=1)
        try:
            server_reader, link.to_server = await asyncio.open_connection(*self._target)
            link.pumps = [
                asyncio.ensure_future(self._pump(link, TO_SERVER, reader, link.to_server)),
                asyncio.ensure_future(self._pump(link, TO_CLIENT, server_reader, writer)),
            ]
            await asyncio.wait(link.pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:  # the server is not there
            pass
        finally:
            link.cut()
            self._links.discard(link)
            self._count(connections=-1)
            link.done.set()

    async def _pump(
        self,
        link: _Link,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                if not self._open[direction].is_set():
                    self._count(self.held, direction, len(data))
                    await self._open[direction].wait()
                if link.forgotten or direction in self._blackholes:
                    link.lossy = True
                    self._count(self.swallowed, direction, len(data))
                    continue
                torn = direction == TO_CLIENT and self._tear_after is not None
                if torn:
                    data, self._tear_after = data[: self._tear_after], None
                writer.write(data)
                await writer.drain()
                self.torn += torn
                self._count(self.passed, direction, len(data))
                if torn:
                    return

    def _count(
        self,
        counts: dict[Direction, int] | None = None,
        direction: Direction = TO_SERVER,
        amount: int = 0,
        connections: int = 0,
    ) -> None:
        with self._changed:
            if counts is not None:
                counts[direction] += amount
            self.connections += connections
            self._changed.notify_all()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()


class _Link:
    """One client's connection and the one to the server behind it."""

    def __init__(self, to_client: asyncio.StreamWriter) -> None:
        self.to_client = to_client
        self.to_server: asyncio.StreamWriter | None = None
        self.pumps: list[asyncio.Future[None]] = []
        self.lossy = False
        self.forgotten = False
        self.done = asyncio.Event()

    def cut(self) -> None:
        """Reset both ends: a RST, not an orderly end."""
        for pump in self.pumps:
            pump.cancel()
        for writer in (self.to_client, self.to_server):
            if writer is not None:
                end: socket.socket = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()


@pytest.fixture
def make_proxy() -> Iterator[Callable[[int], FaultProxy]]:
    """A maker of proxies: `make_proxy(target_port)`."""
    made: list[FaultProxy] = []

    def make(target_port: int) -> FaultProxy:
        made.append(FaultProxy(target_port))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()
