"""A resource that is no part of the lock: a table for each lock key, which refuses stale tokens.

A run enters, works, and leaves; its leaving is what it was asked to do. The table knows what came
before, in its own order: where another run's write stands between the entering and the leaving of
a body, two were in at once, whatever anybody's clock says.
"""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from tests.rig import witness

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

# A body may be frozen in the middle of a write; the others of its key wait for longer than that.
PATIENCE_SECONDS = 60.0
ENTER, LEAVE = "enter", "leave"

_TABLE = """
CREATE TABLE IF NOT EXISTS writes (
    place INTEGER PRIMARY KEY, step TEXT, run TEXT, body TEXT, token INTEGER, at_ns INTEGER,
    accepted INTEGER
)
"""
_HIGHEST = "SELECT COALESCE(MAX(token), 0) FROM writes WHERE accepted"
_WRITE = "INSERT INTO writes (step, run, body, token, at_ns, accepted) VALUES (?, ?, ?, ?, ?, ?)"
_READ = "SELECT step, run, body, token, at_ns, accepted FROM writes ORDER BY place"


class StaleToken(Exception):
    """A higher token has written here already."""


class Write(NamedTuple):
    """One attempt to write, and whether the resource took it."""

    step: str
    run: str
    body: str
    token: int
    at_ns: int
    accepted: bool


class Resource:
    """What one lock key stands for. Without a token (0) nothing is refused."""

    def __init__(self, directory: str | os.PathLike[str], key: str) -> None:
        self._path = pathlib.Path(directory, f"{key}.sqlite")

    def write(self, step: str, run: str, body: str, token: int) -> None:
        """Write in one transaction, which a kill cannot tear.

        Raises:
            StaleToken: the resource has seen a higher token; that the write was tried is kept.
        """
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            highest = connection.execute(_HIGHEST).fetchone()[0]
            accepted = token == 0 or token >= highest
            about = (step, run, body, token, witness.clock_ns(), accepted)
            connection.execute(_WRITE, about)
            connection.execute("COMMIT")
        if not accepted:
            raise StaleToken(f"token {token} after {highest}")

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=PATIENCE_SECONDS, isolation_level=None)
        with contextlib.closing(connection):
            # What has reached the kernel outlives a killed process.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(_TABLE)
            yield connection


def read(directory: str | os.PathLike[str]) -> dict[str, list[Write]]:
    """Every key's writes, in the order in which the resource saw them."""
    found: defaultdict[str, list[Write]] = defaultdict(list)
    for path in sorted(pathlib.Path(directory).glob("*.sqlite")):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            found[path.stem] = [Write(*row) for row in connection.execute(_READ)]
    return found


def overlaps(writes: list[Write]) -> int:
    """How many bodies entered and left with another run's accepted write in between."""
    entered: dict[str, int] = {}
    met, last = 0, ""
    changes = 0  # how often the writer has changed
    for write in writes:
        if not write.accepted:
            continue
        changes += write.body != last
        last = write.body
        if write.step == ENTER:
            entered[write.body] = changes
        elif write.body in entered:
            met += changes != entered.pop(write.body)
    return met
