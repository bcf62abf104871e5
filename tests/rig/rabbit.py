"""A RabbitMQ of our own, with its own name, ports, data and port mapper."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import shutil
import socket
import sys
import tempfile
import time
import uuid
from typing import TYPE_CHECKING, Final

import pytest

from celery_singleton_beat.demo.child import ChildProcess
from celery_singleton_beat.demo.server import HOST, PORTS
from tests.rig.absent import NotInstalled, skip_or_fail

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS: Final = 90.0

# Debian's /usr/sbin/rabbitmq-server changes to the rabbitmq user and its system-wide directories;
# the script behind it does neither.
SCRIPT_DIRECTORIES: Final = ("/usr/lib/rabbitmq/bin",)


class EmbeddedRabbit:
    """One broker node. `url` is for Celery; the default user is guest."""

    def __init__(self, server: str, epmd: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="singleton-beat-rabbit-")
        chance = random.SystemRandom()
        self.port, self._distribution_port, self._epmd_port = chance.sample(PORTS, 3)
        self._server, self._epmd = server, epmd
        self._name = f"rig{uuid.uuid4().hex[:8]}@localhost"
        self._children: list[ChildProcess] = []

    def url(self) -> str:
        """The broker's URL, virtual host /."""
        return f"amqp://guest:guest@{HOST}:{self.port}//"

    def start(self) -> None:
        """Return once AMQP is served.

        Raises:
            RuntimeError, TimeoutError: it did not start; the text has the node's output.
        """
        env = self._environment()
        # In the foreground, as our own child: one that the node starts itself stays for ever.
        mapper = ChildProcess([self._epmd, "-port", str(self._epmd_port)], env, name="epmd")
        self._children.append(mapper)
        self._await_mapper(mapper)
        self._start_node()

    def kill(self) -> None:
        """End the node as a crash would (SIGKILL); its ports and what is on disk are kept."""
        self._children.pop().kill()

    def restart(self) -> None:
        """Start a killed node again, with what it had on disk; return once AMQP is served."""
        self._start_node()

    def stop(self) -> None:
        """End the node, then its port mapper, and remove the data."""
        try:
            while self._children:
                self._children.pop().stop(timeout_seconds=30)
        finally:
            self._directory.cleanup()

    def _start_node(self) -> None:
        home = self._directory.name
        node = ChildProcess([self._server], self._environment(), home, name="rabbitmq-server")
        self._children.append(node)
        node.wait_for(r"Server startup complete|completed with \d+ plugins", START_SECONDS)

    def _await_mapper(self, mapper: ChildProcess) -> None:
        deadline = time.monotonic() + START_SECONDS
        while mapper.running and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection((HOST, self._epmd_port), timeout=1).close()
                return
            mapper.wait_changed(timeout_seconds=0.02)
        raise RuntimeError(f"epmd did not start:\n{mapper.output}")

    def _environment(self) -> dict[str, str]:
        home = pathlib.Path(self._directory.name)
        enabled_plugins, configuration = home / "enabled_plugins", home / "rabbitmq.conf"
        enabled_plugins.write_text("[].\n")
        configuration.write_text(
            f"listeners.tcp.1 = {HOST}:{self.port}\n"
            "log.console = true\nlog.console.level = info\nlog.file = false\n"
            # A test machine's full disk or small memory must not block publishers.
            "disk_free_limit.absolute = 1MB\nvm_memory_high_watermark.relative = 0.9\n"
        )
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(home),  # the Erlang cookie is written there
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_CONF_ENV_FILE": str(home / "no-such-file"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(enabled_plugins),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
        }


def find_rabbit() -> EmbeddedRabbit:
    """A broker, not started.

    Raises:
        NotInstalled: there is none on this machine.
    """
    path = os.pathsep.join([*SCRIPT_DIRECTORIES, os.environ.get("PATH", os.defpath)])
    server, epmd = shutil.which("rabbitmq-server", path=path), shutil.which("epmd")
    if sys.platform == "win32" or server is None or epmd is None:
        raise NotInstalled("rabbitmq-server")
    return EmbeddedRabbit(server, epmd)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[str]:
    """The URL of a RabbitMQ broker; absent: skipped here, failed in CI."""
    try:
        broker = find_rabbit()
    except NotInstalled as error:
        skip_or_fail(error)
    try:
        broker.start()
        yield broker.url()
    finally:
        broker.stop()
