"""Tables of measurements: rich in a terminal, plain lines elsewhere, Markdown on request."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HEADINGS = ("measured", "min", "median", "max", "unit", "target", "")


@dataclass(frozen=True)
class Target:
    """A figure that the project aims at; missing it fails nothing."""

    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"

    def met_by(self, value: float) -> bool:
        """Say whether `value` reaches this target."""
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most is not None and value <= self.at_most


@dataclass(frozen=True)
class Row:
    """One measured quantity: a value for each round."""

    what: str
    values: Sequence[float]
    unit: str
    target: Target | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the row as text; the target is judged by the median."""
        if not self.values:
            return (self.what, "-", "-", "-", self.unit, str(self.target or ""), "not measured")
        median = statistics.median(self.values)
        verdict = "" if self.target is None else "met" if self.target.met_by(median) else "MISSED"
        low, middle, high = (figure(v) for v in (min(self.values), median, max(self.values)))
        return (self.what, low, middle, high, self.unit, str(self.target or ""), verdict)


@dataclass
class Table:
    """The rows of one benchmark, and notes on what exactly they mean."""

    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        what: str,
        values: Sequence[float],
        unit: str,
        target: Target | None = None,
    ) -> None:
        """Append one row."""
        self.rows.append(Row(what, values, unit, target))


def ratios(upper: Sequence[float], lower: Sequence[float]) -> list[float]:
    """Return the ratio of each round's pair: neighbours in time, so a busy minute hits both."""
    return [above / below for above, below in zip(upper, lower, strict=True)]


def figure(value: float) -> str:
    """Return `value` with about three significant digits and no exponent."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}"


def show(table: Table) -> None:
    """Print `table` for whoever looks: a terminal or a log."""
    if sys.stdout.isatty() and _show_rich(table):
        return
    cells = [HEADINGS, *(row.cells() for row in table.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEADINGS))]
    print(f"\n{table.title}")
    for row in cells:
        print("  " + "  ".join(_padded(row[i], widths[i], i) for i in range(len(row))).rstrip())
    for note in table.notes:
        print(f"  - {note}")
    sys.stdout.flush()


def markdown(tables: Sequence[Table], heading: str, path: Path) -> None:
    """Write all tables to `path` as Markdown."""
    lines = [f"# {heading}", ""]
    for table in tables:
        lines += [f"## {table.title}", "", "| " + " | ".join(HEADINGS) + " |"]
        lines += ["|---|---:|---:|---:|---|---|---|"]
        lines += ["| " + " | ".join(row.cells()) + " |" for row in table.rows]
        lines += ["", *(f"- {note}" for note in table.notes), ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def _padded(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in {1, 2, 3} else cell.ljust(width)


def _show_rich(table: Table) -> bool:
    try:
        from rich.console import Console  # noqa: PLC0415 (an extra: plain lines do without it)
        from rich.table import Table as RichTable  # noqa: PLC0415
    except ImportError:
        return False
    drawn = RichTable(title=table.title, title_justify="left")
    for index, heading in enumerate(HEADINGS):
        drawn.add_column(heading, justify="right" if index in {1, 2, 3} else "left")
    for row in table.rows:
        *cells, verdict = row.cells()
        colour = {"met": "[green]met", "MISSED": "[red]MISSED"}.get(verdict, verdict)
        drawn.add_row(*cells, colour)
    console = Console()
    console.print(drawn)
    for note in table.notes:
        console.print(f"  - {note}", markup=False, highlight=False)
    return True
