"""Facts: what the demo's processes write down about themselves, each in a file of its own.

Runs in: the demo, and its beats and workers.

A fact is one line, appended with one write, which no kill can tear. Its time is
of a clock that all processes of the machine share and that never steps.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import uuid
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.engine.clock import boot_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    Fact = dict[str, Any]

VARIABLE: Final = "SINGLETON_BEAT_DEMO_FACTS"
"""Names the directory of the facts; where it is not set, none are written."""


def write(kind: str, **facts: object) -> None:
    """Append a fact about this process. Its group tells which actor of the demo it is."""
    directory = os.environ.get(VARIABLE)
    if directory is not None:
        write_to(directory, kind, **facts)


def write_to(directory: str | os.PathLike[str], kind: str, **facts: object) -> None:
    """Append a fact about this process, in a directory that is known."""
    pid = os.getpid()
    fact = {"kind": kind, "at_ms": boot_ms(), "pid": pid, "group": os.getpgrp(), **facts}
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    file = os.open(pathlib.Path(directory, f"{pid}.facts"), flags, 0o644)
    try:
        os.write(file, json.dumps(fact).encode() + b"\n")
    finally:
        os.close(file)


@contextlib.contextmanager
def body(entry: str, scheduled_ms: int) -> Iterator[None]:
    """Write down when a task's body begins and when it ends, whatever way it ends."""
    name = uuid.uuid4().hex
    write("begin", body=name, entry=entry, scheduled_ms=scheduled_ms)
    try:
        yield
    finally:
        write("end", body=name)


class Reader:
    """Reads the facts of a directory, the new ones at each call."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = pathlib.Path(directory)
        self._offsets: dict[pathlib.Path, int] = {}

    def new(self) -> list[Fact]:
        """The facts since the last call, each file's in its order."""
        found: list[Fact] = []
        for path in sorted(self._directory.glob("*.facts")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                whole, newline, _ = file.read().rpartition(b"\n")
            if newline:
                self._offsets[path] = self._offsets.get(path, 0) + len(whole) + 1
                found.extend(json.loads(line) for line in whole.split(b"\n"))
        return found
