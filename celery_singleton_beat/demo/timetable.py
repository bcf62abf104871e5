"""The demo's timetable, and which of its occurrences are due: counted on its own.

Runs in: the demo, and its beats and workers.

What is due is computed here from the intervals alone (they count from the Unix
epoch), so that the ledger does not take the scheduler's word for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Occurrence = tuple[str, int]
"""An entry's name and the scheduled time in milliseconds."""


@dataclass(frozen=True)
class Line:
    """An entry: how often it is due, and how long its task works."""

    entry: str
    every_ms: int
    work_ms: int


TIMETABLE: Final = (
    Line("pulse", 500, 50),
    Line("sync", 1000, 200),
    Line("report", 5000, 2000),
)
LONGEST: Final = max(TIMETABLE, key=lambda line: line.work_ms)


def due_between(from_ms: int, until_ms: int) -> set[Occurrence]:
    """Every occurrence in ``[from_ms, until_ms)``."""
    return {
        (line.entry, at_ms)
        for line in TIMETABLE
        for at_ms in range(-(-from_ms // line.every_ms) * line.every_ms, until_ms, line.every_ms)
    }
