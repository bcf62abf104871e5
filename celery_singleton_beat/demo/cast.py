"""The cast: the demo's server, beats and workers, and what is done to them.

Runs in: the demo.

Every process leads a group of its own, and none outlives the demo: `close` ends
them all, and where the demo itself is killed the kernel does (on Linux).
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.demo import facts
from celery_singleton_beat.demo.child import ChildProcess
from celery_singleton_beat.demo.server import EmbeddedServer
from celery_singleton_beat.engine.clock import boot_ms

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

APP: Final = "celery_singleton_beat.demo.app"
STOP_SECONDS: Final = 8.0

# What a shell may hold that would change what the demo shows.
_FOREIGN: Final = ("CELERY_", "SINGLETON_BEAT_", "REDIS_")


class Condition(Enum):
    """What an actor is doing."""

    RUNNING = "running"
    FROZEN = "frozen"
    DEAD = "killed"
    STOPPED = "stopped"


@dataclass
class Actor:
    """One beat or worker: a name, and the processes that have borne it so far."""

    name: str
    command: tuple[str, ...]
    child: ChildProcess
    condition: Condition = Condition.RUNNING
    changes: list[tuple[int, Condition]] = field(default_factory=list)

    @property
    def is_beat(self) -> bool:
        return self.command[0] == "beat"

    def turn(self, condition: Condition) -> None:
        """Note what it does from now on."""
        self.condition = condition
        self.changes.append((boot_ms(), condition))


class Cast:
    """All processes of a demo. As a context it begins with the server and ends with nobody left.

    Raises:
        FileNotFoundError: (on entering) no server program is found; the text says what to install.
        RuntimeError: (on entering) the server does not start.
    """

    def __init__(self, *, beats: int = 3, workers: int = 2) -> None:
        self.server = EmbeddedServer()
        self.actors: dict[str, Actor] = {}
        self.actor_of: dict[int, Actor] = {}
        self._names = [f"beat-{n}" for n in range(1, beats + 1)]
        self._names += [f"worker-{n}" for n in range(1, workers + 1)]
        self._scratch = tempfile.TemporaryDirectory(prefix="singleton-beat-demo-")
        self._environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self.server.start()
            self._environment = self._clean_environment()
            for name in self._names:
                command = _command(name)
                self._bear(Actor(name, command, self._start(name, command)))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def facts(self) -> str:
        """The directory where the processes write."""
        return self._scratch.name

    def kill(self, name: str) -> None:
        """SIGKILL to an actor's main process; its pool's children end with it."""
        actor = self.actors[name]
        actor.turn(Condition.DEAD)
        actor.child.send(signal.SIGKILL)
        self._bury(actor)

    def restart(self, name: str) -> None:
        """Start a killed actor anew: another process under the same name."""
        actor = self.actors[name]
        actor.child = self._start(name, actor.command)
        actor.turn(Condition.RUNNING)
        self._bear(actor)

    def freeze(self, name: str) -> None:
        """SIGSTOP: it stands still, with all its connections open."""
        self.actors[name].child.send(signal.SIGSTOP)
        self.actors[name].turn(Condition.FROZEN)

    def thaw(self, name: str) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        self.actors[name].turn(Condition.RUNNING)
        self.actors[name].child.send(signal.SIGCONT)

    def stop(self) -> None:
        """Ask all to stop in an orderly way, beats first; insist after a while."""
        for beats in (True, False):
            group = [a for a in self.actors.values() if a.is_beat is beats and a.child.running]
            for actor in group:
                actor.child.send(signal.SIGTERM)
                actor.child.send(signal.SIGCONT)
            for actor in group:
                actor.child.stop(STOP_SECONDS)
                actor.turn(Condition.STOPPED)
                self._bury(actor)

    def close(self) -> None:
        """End everything at once. May be called repeatedly."""
        for actor in self.actors.values():
            actor.child.kill()
        self.server.stop()
        self._scratch.cleanup()

    def fallen(self) -> Actor | None:
        """An actor that ended although nobody killed it."""
        for actor in self.actors.values():
            if actor.condition is Condition.RUNNING and not actor.child.running:
                return actor
        return None

    def _bear(self, actor: Actor) -> None:
        self.actors[actor.name] = actor
        self.actor_of[actor.child.pid] = actor

    def _bury(self, actor: Actor) -> None:
        """See that nobody of a group is left, and write down since when."""
        actor.child.wait_ended()
        actor.child.kill()
        facts.write_to(self.facts, "died", dead_group=actor.child.pid)

    def _start(self, name: str, command: tuple[str, ...]) -> ChildProcess:
        whole = [sys.executable, "-m", "celery", "-A", APP, *command]
        return ChildProcess(whole, self._environment, cwd=self.facts, name=name)

    def _clean_environment(self) -> dict[str, str]:
        kept = {key: of for key, of in os.environ.items() if not key.startswith(_FOREIGN)}
        # The package may lie in a folder that is not installed.
        home = str(pathlib.Path(__file__).parents[2])
        paths = os.pathsep.join(filter(None, [home, kept.get("PYTHONPATH")]))
        return kept | {
            "CELERY_BROKER_URL": self.server.url(),
            "PYTHONPATH": paths,
            "PYTHONUNBUFFERED": "1",
            # Killed processes leave their temporary files; here they go with ours.
            "TMPDIR": self.facts,
            facts.VARIABLE: self.facts,
        }


def _command(name: str) -> tuple[str, ...]:
    if name.startswith("beat"):
        return ("beat", "-l", "INFO")
    lean = ("--without-gossip", "--without-mingle")
    return ("worker", "-l", "INFO", "-n", f"{name}@demo", "-c", "1", "-P", "prefork", *lean)
