"""A child process that we own: its output, its end, and its ending with us.

Runs in: the demo and the tests.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Wanted = str | re.Pattern[str] | Callable[[str], bool]

STOP_SECONDS: Final = 10.0
TAIL_LINES: Final = 60

# Runs in the child, then becomes the command: same pid, and no Python code between fork and exec.
_LAUNCHER: Final = """
import os, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent ended first")
os.execvp(command[0], command)
"""


def die_with_parent(command: Sequence[str]) -> list[str]:
    """The same command, ended by the kernel (SIGKILL) when the thread that started it ends.

    Linux only; elsewhere the command runs without that insurance. Start it from a thread that
    lives as long as the process should.
    """
    # -S and -I: nothing of the user's site is needed to call prctl, and it takes time.
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]


class ChildProcess:
    """A running command, leader of its own process group, with all that it printed.

    Standard output and error are one stream of lines. `env` is the whole environment.
    Killing this process (even with SIGKILL) kills the child; Ctrl-C in the terminal does not.

    Raises:
        OSError: the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None = None,
        name: str | None = None,
    ) -> None:
        self.command = list(command)
        self.name = name if name is not None else pathlib.Path(command[0]).name
        self._env, self._cwd = dict(env), cwd
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._failure: OSError | None = None
        self._returncode: int | None = None
        # The reader is the one that starts the process, because the parent-death signal comes
        # when the *thread* that forked ends; and this one outlives the process.
        self._reader = self._thread(self._start_and_read, "output")
        with self._changed:
            self._changed.wait_for(lambda: self._process is not None or self._failure is not None)
        if self._failure is not None:
            raise self._failure
        self._waiter = self._thread(self._wait, "end")

    @property
    def pid(self) -> int:
        """The process id; also the id of its process group."""
        return self._started.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; none while the process runs."""
        return self._returncode

    @property
    def running(self) -> bool:
        """Whether the process (the group's leader) has not ended."""
        return self._returncode is None

    @property
    def lines(self) -> list[str]:
        """What the process and its children printed so far."""
        with self._changed:
            return list(self._lines)

    @property
    def output(self) -> str:
        """The last lines printed, for messages."""
        return "\n".join(self.lines[-TAIL_LINES:])

    def wait_for(self, wanted: Wanted, timeout_seconds: float, since: int = 0) -> str:
        """The first line that matches, from line number `since` on.

        `wanted` is a regular expression, searched for, or a predicate.

        Raises:
            TimeoutError: no such line in time.
            RuntimeError: the process ended without printing one.
        """
        matches = wanted if callable(wanted) else re.compile(wanted).search
        seen, found = since, None

        def decided() -> bool:
            nonlocal seen, found
            for line in self._lines[seen:]:
                seen += 1
                if matches(line):
                    found = line
                    return True
            return not self.running and not self._reader.is_alive()

        with self._changed:
            self._changed.wait_for(decided, timeout_seconds)
        if found is not None:
            return found
        facts = f"{self.name} (pid {self.pid}) did not print {wanted!r}"
        if self.running:
            raise TimeoutError(f"{facts} within {timeout_seconds:g} s:\n{self.output}")
        raise RuntimeError(f"{facts} before it ended ({self.returncode}):\n{self.output}")

    def wait_changed(self, timeout_seconds: float) -> None:
        """Return at the next line or at the end, and in any case after that time."""
        with self._changed:
            if self.running:
                self._changed.wait(timeout_seconds)

    def wait_ended(self, timeout_seconds: float = STOP_SECONDS) -> int:
        """The exit status, once there is one and what was printed has been read.

        Raises:
            TimeoutError: the process still runs.
        """
        with self._changed:
            ended = self._changed.wait_for(lambda: not self.running, timeout_seconds)
        if not ended or self._returncode is None:
            raise TimeoutError(
                f"{self.name} (pid {self.pid}) still runs after {timeout_seconds:g} s:\n"
                f"{self.output}"
            )
        self._reader.join(1.0)  # children may hold the stream open for longer
        return self._returncode

    def send(self, number: signal.Signals) -> None:
        """Signal the process alone. Harmless when it has ended."""
        with self._changed:  # under which it is reaped: until then the id is nobody else's
            if self.running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the whole process group, also when its leader has ended; wait for the end."""
        # Nobody left in the group; on macOS, PermissionError when all that are left are zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait_ended()

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> int:
        """Ask with SIGTERM, insist with SIGKILL after that time; the exit status."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # it may be frozen
        with contextlib.suppress(TimeoutError):
            self.wait_ended(timeout_seconds)
        self.kill()
        return self.wait_ended()

    @property
    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process

    def _thread(self, target: Callable[[], None], what: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"{self.name}-{what}", daemon=True)
        thread.start()
        return thread

    def _start_and_read(self) -> None:
        try:
            process = subprocess.Popen(
                die_with_parent(self.command),
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            self._failure = error
            self._tell()
            return
        self._process = process
        self._tell()
        with cast("IO[str]", process.stdout) as stream:
            for line in stream:
                with self._changed:
                    self._lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        # The thread must outlive the process, which may have closed its output long before.
        with self._changed:
            self._changed.wait_for(lambda: not self.running)

    def _wait(self) -> None:
        if hasattr(os, "waitid"):  # on macOS since Python 3.13
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            with self._changed:
                self._returncode = self._started.wait()
        else:
            self._returncode = self._started.wait()
        self._tell()
        self._reader.join()
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
