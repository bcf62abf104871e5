"""Tables on a terminal: with rich where it is installed, else plain text in columns."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from celery_singleton_beat.operate.words import shown

Tone = Literal["plain", "good", "warning", "bad", "dim"]

_STYLES: Final = {"good": "green", "warning": "yellow", "bad": "bold red", "dim": "dim"}
_GAP: Final = "  "
_FOLDED: Final = 16


class Cell(NamedTuple):
    """A text with a tone: a colour where there are colours."""

    text: str
    tone: Tone = "plain"


Value = str | int | Cell | None
"""What may stand in a row: None is nothing, a number stands at the right."""


class Column(NamedTuple):
    """A column: its heading, and whether its texts may be cut on a narrow terminal."""

    title: str
    may_fold: bool = False
    is_number: bool = False


def as_lines(columns: Sequence[Column], rows: Iterable[Sequence[Value]]) -> list[str]:
    """Write a table as plain lines, its columns aligned, for any terminal, file or pipe."""
    cells = [[_text(value) for value in row] for row in rows]
    titles = [column.title.upper() for column in columns]
    widths = [max(map(len, texts)) for texts in zip(titles, *cells, strict=True)]

    def line(texts: Sequence[str]) -> str:
        return _GAP.join(
            text.rjust(width) if column.is_number else text.ljust(width)
            for text, width, column in zip(texts, widths, columns, strict=True)
        ).rstrip()

    return [line(titles), *map(line, cells)]


def print_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Value]], *, has_colour: bool
) -> bool:
    """Print a table with rich; False if it is not there, or nobody looks."""
    if not sys.stdout.isatty():
        return False
    try:
        from rich.console import Console  # noqa: PLC0415  an extra
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415
    except ImportError:
        return False
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    widths = _least_widths(columns, rows)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            no_wrap=not column.may_fold,
            overflow="fold",
            min_width=width,
        )
    for row in rows:
        # Text, not str: a name may look like rich's markup.
        table.add_row(*(Text(_text(value), style=_style(value)) for value in row))
    # Too narrow a terminal breaks lines by itself, which reads better than columns of three.
    width = max(shutil.get_terminal_size().columns, sum(widths) + len(_GAP) * len(widths))
    Console(no_color=not has_colour, width=width, highlight=False).print(table, soft_wrap=True)
    return True


def _least_widths(columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> list[int]:
    """Tell how narrow columns may get: as wide as their texts, or some of them folded."""
    found = []
    for number, column in enumerate(columns):
        longest = max((len(_text(row[number])) for row in rows), default=0)
        least = min(longest, _FOLDED) if column.may_fold else longest
        found.append(max(least, len(column.title)))
    return found


def _text(value: Value) -> str:
    if value is None:
        return ""
    return shown(value.text if isinstance(value, Cell) else value)


def _style(value: Value) -> str:
    return _STYLES.get(value.tone, "") if isinstance(value, Cell) else ""
