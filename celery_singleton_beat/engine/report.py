"""What came of rows that were to become entries: counts, names, and what was refused and why.

Runs in: any process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

MOST_NAMES: Final = 100
"""So many names of each kind are kept in a report, however many rows there are."""


class Refusal(NamedTuple):
    """A row that did not become an entry, and why not."""

    name: str
    reason: str


@dataclass
class Report:
    """What was done for a source, or with ``is_dry_run`` what would be done.

    The numbers count all rows; ``names`` and ``refusals`` hold the first hundred
    of each kind. ``rows`` is how many rows came in all.
    """

    source: str
    is_dry_run: bool = False
    rows: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    refused: int = 0
    names: dict[str, list[str]] = field(
        default_factory=lambda: {"added": [], "changed": [], "removed": []}
    )
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """How many entries are as their rows say."""
        return self.added + self.changed + self.unchanged

    def note(self, kind: str, name: str) -> None:
        """Count an entry, and keep its name while there is room."""
        setattr(self, kind, getattr(self, kind) + 1)
        kept = self.names.get(kind)
        if kept is not None and len(kept) < MOST_NAMES:
            kept.append(name)

    def refuse(self, name: str, reason: str) -> None:
        """Count a refused row, and keep why while there is room."""
        self.refused += 1
        if len(self.refusals) < MOST_NAMES:
            self.refusals.append(Refusal(name, reason))

    def __str__(self) -> str:
        what = "would be " if self.is_dry_run else ""
        return (
            f"{self.source}: {self.rows} rows, {what}{self.added} added, {self.changed} changed, "
            f"{self.unchanged} unchanged, {self.removed} removed, {self.refused} refused"
        )
