"""Real processes under test: Celery beats and workers that can be killed, frozen and read."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import signal
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any, Final, TypedDict

from celery_singleton_beat.demo.child import STOP_SECONDS, ChildProcess
from tests.rig import witness as witnesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from typing_extensions import Unpack

    from tests.rig.skew import ClockSkew

ROOT = pathlib.Path(__file__).parents[2]
MARK = "SINGLETON_BEAT_RIG"
PROC = pathlib.Path("/proc")

# What a developer's shell may hold that would change what is tested.
FOREIGN = ("SINGLETON_BEAT_", "CELERY_", "LD_PRELOAD", "CLOCK_SKEW_FILE")

WARM_STOP_SECONDS: Final = 45.0
"""How long a stop may take. A pool child waits up to 30 s for its last result to be read, and a
main process that was stopped in a busy moment does not read it (docs/operations.md)."""

Process = tuple[int, int]
"""Process id and birth: ids are used again, the pair is not."""


class Proc(ChildProcess):
    """A child process in its own group, and what may be done to it.

    `watched_by`, a witness, is told who died when this process (or one of its group) is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None = None,
        name: str | None = None,
        watched_by: witnesses.Witness | None = None,
    ) -> None:
        self._watched_by = watched_by
        super().__init__(command, env, cwd, name)

    def group(self) -> list[Process]:
        """The living processes of the group: a worker's pool children too."""
        return [process for process, fields in _processes() if fields.group == self.pid]

    def kill(self) -> None:
        """SIGKILL to the whole group; returns when nobody of it is left."""
        self._end_group(super().kill)

    def terminate(self, timeout_seconds: float = WARM_STOP_SECONDS) -> int:
        """The exit status, after SIGTERM to the process alone, as an init system sends it.

        After that time, and to what is left of the group then, SIGKILL.
        """
        self._end_group(lambda: super(Proc, self).stop(timeout_seconds))
        return self.wait_ended()

    def freeze(self, *, group: bool = False) -> None:
        """SIGSTOP to the process, or to its whole group; returns when they stand still."""
        targets = [pid for pid, _ in self.group()] if group else [self.pid]
        for pid in targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        _until(lambda: all(_state(pid) in "TZX" for pid in targets), "stop on SIGSTOP")

    def wait_still(self) -> None:
        """Return when the process, which stops itself, stands still."""
        _until(lambda: _state(self.pid) in "TZX", "stop by itself")

    def thaw(self) -> None:
        """SIGCONT to the whole group, frozen or not; returns when they can run."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)
        _until(lambda: all(_state(pid) != "T" for pid, _ in self.group()), "go on on SIGCONT")

    def kill_child(self, child: Process) -> None:
        """SIGKILL to one process of the group, such as a worker's pool child."""
        if child not in self.group():
            raise ProcessLookupError(f"{child} is not in the group of {self.name}")
        at_ns = witnesses.clock_ns()
        os.kill(child[0], signal.SIGKILL)
        _wait_gone([child])
        self._report([child], at_ns)

    def _end_group(self, end: Callable[[], Any]) -> None:
        members, at_ns = self.group(), witnesses.clock_ns()
        end()
        _wait_gone(members)
        # Dead since the kill for a kill. For a stop that took its time: since now.
        killed = self.returncode == -signal.SIGKILL
        self._report(members, at_ns if killed else witnesses.clock_ns())

    def _report(self, dead: Iterable[Process], at_ns: int) -> None:
        if self._watched_by is not None:
            for pid, birth in dead:
                self._watched_by.died(pid, birth, at_ns)


class Processes:
    """The processes of one test: started here, dumped when the test fails, gone when it is over."""

    def __init__(self, witness: witnesses.Witness | None = None) -> None:
        self.started: list[Proc] = []
        self.witness = witness
        self._mark = uuid.uuid4().hex

    def start(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        name: str | None = None,
        skew: ClockSkew | None = None,
    ) -> Proc:
        """A running command: `env` is added to a clean environment, `skew` is its wrong clock."""
        whole = clean_environment() | {MARK: self._mark}
        for addition in (self.witness, skew):
            whole |= addition.env if addition is not None else {}
        whole |= env or {}
        proc = Proc(command, whole, cwd, name, self.witness)
        self.started.append(proc)
        return proc

    def close(self) -> None:
        """Kill all that was started, and what it started, group or not."""
        for proc in self.started:
            proc.kill()
        # Whoever left its group (a daemon) still bears the mark in its environment.
        strays = [process for process, _ in _processes() if _bears(process[0], self._mark)]
        for pid, _ in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _wait_gone(strays)


class Circumstances(TypedDict, total=False):
    """What may differ between processes of one application."""

    env: Mapping[str, str]
    skew: ClockSkew


class CeleryRig:
    """Beats and workers of one application module, each a real `python -m celery`."""

    def __init__(
        self,
        processes: Processes,
        module: str,
        env: Mapping[str, str],
        cwd: str | os.PathLike[str],
        python: str = sys.executable,
    ) -> None:
        self._processes, self._module, self._python = processes, module, python
        self._env, self._cwd = dict(env), pathlib.Path(cwd)
        self._count = 0

    def beat(self, *arguments: str, name: str | None = None, **more: Unpack[Circumstances]) -> Proc:
        """A replica. Not awaited: `wait_for` a line of its log."""
        name = name or self._next("beat")
        schedule = self._cwd / f"{name}.schedule"  # for the stock scheduler, which keeps a file
        return self.run("beat", "-l", "INFO", "-s", str(schedule), *arguments, name=name, **more)

    def worker(
        self,
        *arguments: str,
        name: str | None = None,
        concurrency: int = 1,
        ready_within_seconds: float = 30.0,
        **more: Unpack[Circumstances],
    ) -> Proc:
        """A worker that is ready."""
        name = name or self._next("worker")
        about = ("-l", "INFO", "-n", f"{name}@rig", "-c", str(concurrency))
        proc = self.run("worker", *about, *arguments, name=name, **more)
        proc.wait_for(r" ready\.", ready_within_seconds)
        return proc

    def run(
        self,
        *arguments: str,
        name: str,
        env: Mapping[str, str] | None = None,
        skew: ClockSkew | None = None,
    ) -> Proc:
        """Any Celery command of this application."""
        command = [self._python, "-m", "celery", "-A", self._module, *arguments]
        whole = {**self._env, **(env or {})}
        return self._processes.start(command, whole, self._cwd, name, skew)

    def _next(self, role: str) -> str:
        self._count += 1
        return f"{role}{self._count}"


def clean_environment() -> dict[str, str]:
    """An environment without what would change the tested program, with this tree on its path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(paths)}


class _Fields:
    """What /proc/PID/stat says."""

    def __init__(self, stat: str) -> None:
        fields = stat.rpartition(")")[2].split()
        self.state, self.group, self.born = fields[0], int(fields[2]), int(fields[19])


def _processes() -> list[tuple[Process, _Fields]]:
    found = []
    for path in PROC.iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                fields = _Fields((path / "stat").read_text())
                if fields.state not in "ZX":
                    found.append(((int(path.name), fields.born), fields))
    return found


def _state(pid: int) -> str:
    try:
        return _Fields((PROC / str(pid) / "stat").read_text()).state
    except OSError:
        return "X"


def _bears(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _wait_gone(processes: Iterable[Process], timeout_seconds: float = STOP_SECONDS) -> None:
    """Wait for the ends of processes that need not be our children: the kernel tells."""
    deadline = time.monotonic() + timeout_seconds
    for pid, birth in processes:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if witnesses.born(pid) != birth:
                continue  # the id was given to somebody else already
            left = max(0.0, deadline - time.monotonic())
            if not select.select([handle], [], [], left)[0]:
                raise TimeoutError(f"process {pid} did not end within {timeout_seconds:g} s")
        except (FileNotFoundError, ProcessLookupError):
            continue
        finally:
            os.close(handle)


def _until(reached: Callable[[], bool], what: str) -> None:
    """Wait for a change of state that the kernel makes at once but announces to nobody."""
    deadline = time.monotonic() + STOP_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"a process did not {what}")
        os.sched_yield()
