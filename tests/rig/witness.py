"""An outside witness of executions: facts in append-only files, with no server in between.

Tasks call `body(key)` in the worker; tests read with `Witness`. Times are nanoseconds of a clock
that is the same for all processes of the machine, counts suspend, and no skew reaches.

A body *ended* when it returned or raised. A body that began and did not end counts as alive until
its process is known dead, which only the rig (or a test) can say. Then:

- duplicate: two bodies of one occurrence that ended, or two that were alive at once;
- rerun: a body that began after an earlier one of that occurrence was cut short by its process's
  death;
- lost: a due occurrence of which no body ended and that was not recorded as superseded.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import socket
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

VARIABLE = "SINGLETON_BEAT_WITNESS"
BELL = "bell"

# An attempt that asked to be retried is no completed run; another body is meant to follow.
RETRIED = "retried"


def clock_ns() -> int:
    """Now, comparable between processes of this machine."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def born(pid: int) -> int:
    """When a process started, in the kernel's count: with its id, the identity of a process."""
    stat = pathlib.Path("/proc", str(pid), "stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])


def key_of(entry: str, scheduled_ms: int, cause: str = "") -> str:
    """The name of an occurrence in the facts."""
    return f"{entry}@{scheduled_ms}" + (f"!{cause}" if cause else "")


@functools.lru_cache(maxsize=8)
def _own_birth(pid: int) -> int:
    return born(pid)


def record(directory: str | os.PathLike[str], **fact: object) -> None:
    """Append one fact: a single write of a whole line, which a kill cannot tear."""
    pid = os.getpid()
    line = json.dumps({"at_ns": clock_ns(), "pid": pid, "born": _own_birth(pid), **fact}) + "\n"
    path = pathlib.Path(directory, f"{pid}-{_own_birth(pid)}.facts")
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
    _ring(str(pathlib.Path(directory, BELL)))


def _ring(bell: str) -> None:
    # Wakes a reader that waits. Nobody waiting, or enough calls already queued: fine as well.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller, contextlib.suppress(OSError):
        caller.settimeout(0)
        caller.sendto(b"!", bell)


@contextlib.contextmanager
def body(key: str, **extra: object) -> Iterator[str]:
    """Record the beginning and the end of a task's body, in the directory of the environment.

    With `is_tracked=True` the attempt is over only with `over`, some time after its body: a
    process that is killed between the two has cut the attempt off, not ended it.
    """
    directory, attempt = os.environ[VARIABLE], uuid.uuid4().hex
    record(directory, kind="begin", key=key, body=attempt, **extra)
    outcome = "succeeded"
    try:
        yield attempt
    except BaseException as error:
        outcome = RETRIED if type(error).__name__ == "Retry" else "failed"
        raise
    finally:
        record(directory, kind="end", key=key, body=attempt, outcome=outcome)


def over(attempt: str) -> None:
    """Record that the end of a body, by its name, is known to the system under test."""
    record(os.environ[VARIABLE], kind="over", body=attempt)


def dying() -> None:
    """Record that this process is about to end itself (`os._exit`) in the middle of a body."""
    pid = os.getpid()
    dead = {"dead_pid": pid, "dead_born": _own_birth(pid), "died_ns": clock_ns()}
    record(os.environ[VARIABLE], kind="died", **dead)


@dataclass(frozen=True)
class Body:
    """One execution of a task's code."""

    key: str
    process: tuple[int, int]
    began_ns: int
    ended_ns: int | None
    outcome: str | None
    died_ns: int | None
    is_over: bool = True

    @property
    def completed(self) -> bool:
        return self.ended_ns is not None and self.outcome != RETRIED

    @property
    def cut_off(self) -> bool:
        """Whether it was killed between its body's end and the moment when that was known."""
        return self.ended_ns is not None and not self.is_over and self.died_ns is not None

    @property
    def cut_short(self) -> bool:
        return self.cut_off or (self.ended_ns is None and self.died_ns is not None)

    def overlaps(self, other: Body) -> bool:
        """Whether both were alive at one moment."""
        first, second = sorted((self, other), key=lambda body: body.began_ns)
        over_ns = first.ended_ns if first.ended_ns is not None else first.died_ns
        return over_ns is None or over_ns > second.began_ns


class Tally:
    """What the facts amount to, per occurrence."""

    def __init__(self, facts: Iterable[dict[str, Any]]) -> None:
        facts = list(facts)
        ends = {fact["body"]: fact for fact in facts if fact["kind"] == "end"}
        overs = {fact["body"] for fact in facts if fact["kind"] == "over"}
        deaths: dict[tuple[int, int], int] = {}
        for fact in facts:
            if fact["kind"] == "died":
                process = (fact["dead_pid"], fact["dead_born"])
                deaths[process] = min(fact["died_ns"], deaths.get(process, fact["died_ns"]))
        self.bodies: defaultdict[str, list[Body]] = defaultdict(list)
        self.superseded = {fact["key"] for fact in facts if fact["kind"] == "superseded"}
        for fact in sorted(facts, key=lambda fact: fact["at_ns"]):
            if fact["kind"] == "begin":
                end, process = ends.get(fact["body"], {}), (fact["pid"], fact["born"])
                self.bodies[fact["key"]].append(
                    Body(
                        key=fact["key"],
                        process=process,
                        began_ns=fact["at_ns"],
                        ended_ns=end.get("at_ns"),
                        outcome=end.get("outcome"),
                        died_ns=deaths.get(process),
                        is_over=fact["body"] in overs or not fact.get("is_tracked"),
                    )
                )

    def started(self, key: str) -> int:
        """How many bodies began."""
        return len(self.bodies.get(key, []))

    def ended(self, key: str) -> int:
        """How many bodies came to their end, other than by asking for a retry."""
        return sum(body.completed for body in self.bodies.get(key, []))

    def overlapping(self, key: str) -> int:
        """How many pairs of bodies were alive at once."""
        return _overlaps(self.bodies.get(key, []))

    def duplicates(self) -> set[str]:
        """Occurrences with two bodies that ended, or two alive at once."""
        return {key for key in self.bodies if self._known(key) > 1 or self.overlapping(key)}

    def _known(self, key: str) -> int:
        """How many bodies came to an end that was known, or might have been."""
        return sum(body.completed and not body.cut_off for body in self.bodies[key])

    def reruns(self) -> int:
        """How many bodies began after an earlier one was cut short."""
        return sum(
            any(earlier.cut_short and not earlier.overlaps(later) for earlier in bodies[:place])
            for bodies in self.bodies.values()
            for place, later in enumerate(bodies)
        )

    def cut_off(self) -> int:
        """How many bodies had ended when they were killed, and nobody knew yet that they had."""
        return sum(body.cut_off for bodies in self.bodies.values() for body in bodies)

    def unfinished(self) -> list[Body]:
        """Bodies that are, as far as is known, still running."""
        bodies = (body for bodies in self.bodies.values() for body in bodies)
        return [body for body in bodies if body.ended_ns is None and body.died_ns is None]

    def lost(self, due: Iterable[str], superseded: Collection[str] = ()) -> set[str]:
        """Due occurrences of which no body ended, and that no record names as superseded."""
        excused = self.superseded | set(superseded)
        return {key for key in due if not self.ended(key) and key not in excused}

    def unexpected(self, due: Iterable[str]) -> set[str]:
        """Occurrences that began and were never due."""
        return set(self.bodies) - set(due)

    def ledger(self, due: Collection[str], superseded: Collection[str] = ()) -> dict[str, int]:
        """The counts to print and to compare."""
        return {
            "due": len(due),
            "begun": sum(len(bodies) for bodies in self.bodies.values()),
            "executed": sum(self.ended(key) > 0 for key in self.bodies),
            "rerun": self.reruns(),
            "duplicates": len(self.duplicates()),
            "lost": len(self.lost(due, superseded)),
            "unexpected": len(self.unexpected(due)),
        }


def _overlaps(bodies: list[Body]) -> int:
    return sum(
        one.overlaps(other) for place, one in enumerate(bodies) for other in bodies[place + 1 :]
    )


class Witness:
    """The reader's side: a directory that processes started with `env` write their facts to.

    The path must be short enough for a socket (about 90 characters).
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = pathlib.Path(directory)
        self._read: dict[pathlib.Path, int] = {}
        self._facts: list[dict[str, Any]] = []
        self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._bell.bind(str(self.directory / BELL))

    @property
    def env(self) -> dict[str, str]:
        """The variable by which a worker's tasks find the directory."""
        return {VARIABLE: str(self.directory)}

    def died(self, pid: int, pid_born: int, died_ns: int | None = None) -> None:
        """Record that a process is known to be dead since then (default: now)."""
        since_ns = clock_ns() if died_ns is None else died_ns
        record(self.directory, kind="died", dead_pid=pid, dead_born=pid_born, died_ns=since_ns)

    def superseded(self, key: str, by: str) -> None:
        """Record that the system itself said: not this occurrence, that later one instead."""
        record(self.directory, kind="superseded", key=key, by=by)

    def facts(self) -> list[dict[str, Any]]:
        """All facts so far, each file in its order."""
        for path in sorted(self.directory.glob("*.facts")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                whole, _, _ = file.read().rpartition(b"\n")
            if whole:
                self._read[path] = self._read.get(path, 0) + len(whole) + 1
                self._facts.extend(json.loads(line) for line in whole.split(b"\n"))
        return list(self._facts)

    def tally(self) -> Tally:
        """The facts so far, counted."""
        return Tally(self.facts())

    def wait_until(self, reached: Callable[[Tally], bool], timeout_seconds: float) -> Tally:
        """The first tally for which `reached` holds; woken by facts, not by a clock.

        Raises:
            TimeoutError: it did not come to that; the text has the counts.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            self._hear_all()
            tally = self.tally()
            if reached(tally):
                return tally
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {timeout_seconds:g} s: {tally.ledger(due=())}")
            self.hear(left)

    def hear(self, timeout_seconds: float) -> None:
        """Return when a fact was recorded since the last call, or when the time is over."""
        self._bell.settimeout(timeout_seconds)
        with contextlib.suppress(TimeoutError):
            self._bell.recv(1)
        self._hear_all()

    def close(self) -> None:
        """Stop listening. The facts stay."""
        self._bell.close()

    def _hear_all(self) -> None:
        # Before reading the files, so that no call for a later fact is taken for an earlier one.
        self._bell.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._bell.recv(1)
