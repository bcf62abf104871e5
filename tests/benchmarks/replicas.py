"""Real `celery beat` processes of each scheduler, started as a user starts them."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import Self

from celery_singleton_beat.demo.child import ChildProcess
from tests.benchmarks.bursts import ROOT, NotMeasured

if TYPE_CHECKING:
    from tests.benchmarks.bench_app import AppSpec

SCHEDULERS = {
    "ours": "celery_singleton_beat:SingletonScheduler",
    "stock": "tests.benchmarks.bench_app:MarkingScheduler",
    "redbeat": "redbeat.RedBeatScheduler",
}
_KIB = 1024


@dataclass
class Fleet:
    """Replicas of one scheduler on one app; its files are gone when it is stopped."""

    scheduler: str
    spec: AppSpec
    max_interval_s: int | None = None
    running: list[ChildProcess] = field(default_factory=list)
    folder: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="benchmark-fleet-"),
    )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for replica in self.running:
            replica.stop()
        self.folder.cleanup()

    def start(self, name: str = "beat-1") -> ChildProcess:
        """Start one more replica; a name that was used before finds its local file again."""
        command = [sys.executable, "-m", "celery", "-A", "tests.benchmarks.bench_app", "beat"]
        command += ["-S", SCHEDULERS[self.scheduler], "--loglevel", "WARNING", "--pidfile="]
        command += ["--schedule", str(Path(self.folder.name) / name)]
        if self.max_interval_s is not None:
            command += ["--max-interval", str(self.max_interval_s)]
        environment = self.spec.environment(PYTHONPATH=os.fspath(ROOT))
        replica = ChildProcess(command, environment, cwd=self.folder.name, name=name)
        self.running.append(replica)
        return replica

    def stop(self, replica: ChildProcess) -> None:
        """End one replica as an operator would, with SIGTERM."""
        replica.stop()
        self.running.remove(replica)

    def kill(self, replica: ChildProcess) -> None:
        """End one replica as a crash would."""
        replica.kill()
        self.running.remove(replica)

    def freeze(self, replica: ChildProcess) -> None:
        """Stop one replica in its tracks."""
        replica.send(signal.SIGSTOP)

    def thaw(self, replica: ChildProcess) -> None:
        """Let a frozen replica go on."""
        replica.send(signal.SIGCONT)


def resident_mib(pid: int) -> float:
    """Return the memory of a process that is in use now, in MiB (Linux).

    Raises:
        NotMeasured: this system has no /proc.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError as error:
        raise NotMeasured(f"no /proc/{pid}: memory is read on Linux only") from error
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(kib) / _KIB


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, user and system, all threads (Linux).

    Raises:
        NotMeasured: this system has no /proc.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError as error:
        raise NotMeasured(f"no /proc/{pid}: CPU time is read on Linux only") from error
    # The command's name, in parentheses, may hold blanks: count from behind it.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ended_early(replica: ChildProcess) -> NotMeasured:
    """Return the error of a replica that did not do what it should, with its own words."""
    state = "runs" if replica.running else f"ended ({replica.returncode})"
    return NotMeasured(f"{replica.name} {state}: {(replica.lines or ['no output'])[-1]}")
