"""A client as docker-py has it whose containers are processes of this machine.

It knows what pytest-celery asks of it, and no more. Every image is one of two: a Redis, told by its
command, is a server of our own on a free port; anything else is a Celery command, run by this
Python in a volume's directory. What is printed is kept over restarts, as Docker keeps it.
"""

from __future__ import annotations

import signal
import sys
import tarfile
import tempfile
import uuid
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any

from celery_singleton_beat.demo.server import HOST, EmbeddedServer
from tests.rig.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.rig.processes import Proc

REDIS = "redis-server"
REDIS_PORT = 6379
LISTENS = "0A"


class Volume:
    """A directory of its own, which containers mount."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._directory = tempfile.TemporaryDirectory(prefix="singleton-beat-volume-")

    @property
    def path(self) -> str:
        """Where it is on this machine."""
        return self._directory.name

    def remove(self, force: bool = False) -> None:  # noqa: ARG002  # docker-py's signature
        """Delete it with all that is in it."""
        self._directory.cleanup()


class Container:
    """What all containers can be asked: their names, their state, the ports they listen on."""

    def __init__(self, network: str | None, environment: Mapping[str, str]) -> None:
        self.id = uuid.uuid4().hex
        self.name = f"local-{self.id[:12]}"
        self.labels: dict[str, str] = {}
        self.attrs: dict[str, Any] = {
            "Config": {
                "Hostname": self.id[:12],
                "Env": [f"{name}={value}" for name, value in environment.items()],
                "Labels": self.labels,
            },
            "HostConfig": {"PortBindings": {}},
            "NetworkSettings": {
                "Networks": {network: {"IPAddress": HOST}} if network else {},
                "Ports": {},
            },
        }

    def reload(self) -> None:
        """Nothing: what this object says is never out of date."""

    def wait(self, timeout: float = 0) -> dict[str, int]:  # noqa: ARG002  # docker-py's signature
        """The end, which `remove` has waited for."""
        return {"StatusCode": 0}


class RedisContainer(Container):
    """A Redis-compatible server on a free port."""

    def __init__(
        self, command: Sequence[str], network: str | None, environment: Mapping[str, str]
    ) -> None:
        super().__init__(network, environment)
        self._server = EmbeddedServer().start(extra=command[1:])
        # The name under which others reach it: on this machine a name needs the port.
        self.attrs["Config"]["Hostname"] = f"{HOST}:{self._server.port}"
        published = [{"HostIp": HOST, "HostPort": str(self._server.port)}]
        self.attrs["NetworkSettings"]["Ports"] = {f"{REDIS_PORT}/tcp": published}

    @property
    def status(self) -> str:
        """As Docker words it."""
        return "running" if self._server.running else "exited"

    def logs(self) -> bytes:
        """What the server printed."""
        return self._server.output.encode()

    def exec_run(self, command: str) -> tuple[int, bytes]:
        """The one command that is asked for: the sockets, as seen inside of the container."""
        if "/proc/net/tcp" not in command:
            raise NotImplementedError(command)
        return 0, f"0: 00000000:{REDIS_PORT:04X} 00000000:0000 {LISTENS}".encode()

    def remove(self, force: bool = False) -> None:  # noqa: ARG002  # docker-py's signature
        """End the server and forget its data."""
        self._server.stop()


class CeleryContainer(Container):
    """A Celery command: a worker, a beat."""

    def __init__(
        self,
        command: Sequence[str],
        network: str | None,
        environment: Mapping[str, str],
        mounts: Mapping[str, str],
    ) -> None:
        super().__init__(network, environment)
        program = command[0]
        if program != "celery":
            raise NotImplementedError(program)
        arguments = [argument.replace("%h", self.id[:12]) for argument in command[1:]]
        self._command = [sys.executable, "-m", program, *arguments]
        home = environment["PYTHONPATH"]
        self._home = mounts[home]
        self._env = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
        self._processes = Processes()
        self._start()

    @property
    def status(self) -> str:
        """As Docker words it."""
        return "running" if self._process.running else "exited"

    def logs(self) -> bytes:
        """All that was printed since the container was made."""
        lines = [line for process in self._processes.started for line in process.lines]
        return "\n".join(lines).encode()

    def kill(self, signal: str | int | None = None) -> None:
        """Send a signal to the main process, and wait for its end; SIGKILL ends all of them."""
        number = _signal(signal)
        if number is _SIGKILL:
            self._process.kill()
        else:
            self._process.send(number)
            self._process.wait_ended()

    def restart(self, timeout: float = 10) -> None:
        """End what still runs, and start the same command again."""
        self._process.terminate(timeout)
        self._start()

    def remove(self, force: bool = False) -> None:  # noqa: ARG002  # docker-py's signature
        """End all of its processes."""
        self._processes.close()

    def _start(self) -> None:
        # The interpreter puts the working directory first on its path for `-m`.
        self._process: Proc = self._processes.start(
            self._command, self._env, self._home, name=self.name
        )


class Seeder(Container):
    """A container that never runs: a volume is filled through it."""

    def __init__(self, mounts: Mapping[str, str]) -> None:
        super().__init__(None, {})
        self._mounts = mounts

    def put_archive(self, path: str, data: IO[bytes]) -> None:
        """Unpack an archive into what is mounted there."""
        with tarfile.open(fileobj=data) as archive:
            archive.extractall(self._mounts[path], filter="data")

    def remove(self, force: bool = False) -> None:
        """Nothing to end."""


class Containers:
    """`client.containers`."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    def run(
        self,
        image: str,  # noqa: ARG002  # docker-py's signature, as are the others
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        network: str | None = None,
        volumes: Mapping[str, Mapping[str, str]] | None = None,
        **_labels_and_ports: Any,
    ) -> RedisContainer | CeleryContainer:
        """A running container."""
        if command[0] == REDIS:
            return RedisContainer(command, network, environment or {})
        mounts = self._volumes.mounted(volumes or {})
        return CeleryContainer(command, network, environment or {}, mounts)

    def create(self, image: str, volumes: Mapping[str, Mapping[str, str]]) -> Seeder:  # noqa: ARG002
        """A container that is not started."""
        return Seeder(self._volumes.mounted(volumes))


class Volumes:
    """`client.volumes`."""

    def __init__(self) -> None:
        self._made: dict[str, Volume] = {}

    def create(self, name: str, **_labels: Any) -> Volume:
        """An empty volume."""
        return self._made.setdefault(name, Volume(name))

    def mounted(self, volumes: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """For each path inside a container the directory on this machine."""
        return {bound["bind"]: self._made[name].path for name, bound in volumes.items()}


class Images:
    """`client.images`: there are none, and nobody misses them."""

    def build(self, **_how: Any) -> tuple[SimpleNamespace, list[str]]:
        """A name for an image."""
        return SimpleNamespace(id="local"), []

    def pull(self, **_which: Any) -> SimpleNamespace:
        """The same."""
        return SimpleNamespace(id="local")


class Networks:
    """`client.networks`: the loopback is all of them."""

    def create(self, name: str, **_labels: Any) -> SimpleNamespace:
        """A name for the network."""
        return SimpleNamespace(name=name, remove=lambda: None)


class LocalDocker:
    """The client."""

    def __init__(self) -> None:
        self.volumes = Volumes()
        self.containers = Containers(self.volumes)
        self.images, self.networks = Images(), Networks()


_SIGKILL = signal.SIGKILL


def _signal(given: str | int | None) -> signal.Signals:
    if given is None:
        return _SIGKILL
    return signal.Signals[given] if isinstance(given, str) else signal.Signals(given)
