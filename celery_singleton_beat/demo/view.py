"""What the demo shows: lines, or a live table where there is a terminal and rich.

Runs in: the demo.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from celery_singleton_beat.demo.timeline import LEGEND

if TYPE_CHECKING:
    from celery_singleton_beat.demo.ledger import Counts
    from celery_singleton_beat.demo.timeline import Lane

_PROGRESS_SECONDS: Final = 5.0
_STYLES: Final = {"x": "bold red", "~": "yellow", "=": "cyan", ".": "dim", " ": ""}
_CONDITIONS: Final = {
    "running": "green",
    "frozen": "yellow",
    "killed": "bold red",
    "stopped": "dim",
}


@dataclass(frozen=True)
class Scene:
    """One moment of the demo."""

    at_seconds: float
    lanes: list[Lane]
    counts: Counts


class View(Protocol):
    """Where the demo is shown."""

    def say(self, at_seconds: float, text: str) -> None:
        """Tell of something that happened."""

    def show(self, scene: Scene) -> None:
        """Bring the picture up to date."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def view_for(*, plain: bool) -> View:
    """The live view where it can be had and is wanted, else lines."""
    if plain or not sys.stdout.isatty() or importlib.util.find_spec("rich") is None:
        return PlainView()
    return LiveView()


def rows(counts: Counts) -> list[tuple[str, int, str]]:
    """The ledger: what is counted, how many, and what that means."""
    return [
        ("due", counts.due, "computed from the intervals alone"),
        ("dispatched", counts.dispatched, "published by some beat"),
        ("executed", counts.executed, "a task's body ran to its end"),
        ("rerun", counts.rerun, "begun again after a worker was killed"),
        ("duplicates", counts.duplicates, "two bodies ended, or two alive at once"),
        ("lost", counts.lost, "no body ended, and no later one stands for it"),
    ]


def print_ledger(counts: Counts, lanes: list[Lane]) -> None:
    """Print the timeline and the ledger, as plain text."""
    print()
    for lane in lanes:
        print(f"  {lane.name:<9} {lane.cells}  {lane.done}")
    print(f"  {LEGEND}\n")
    for what, count, meaning in rows(counts):
        print(f"  {what:<11} {count:>5}   {meaning}")
    print()
    if counts.sent_again:
        print(f"  {counts.sent_again} published a second time, with the same task id")
    if counts.superseded:
        print(f"  {counts.superseded} superseded by a named later occurrence")
    if counts.never_due:
        print(f"  {counts.never_due} executed that were never due")
    print("  The promise was kept." if counts.is_clean else "  THE PROMISE WAS BROKEN.")


class PlainView:
    """Lines, for a file or a pipe."""

    def __init__(self) -> None:
        self._next_seconds = 0.0

    def say(self, at_seconds: float, text: str) -> None:
        print(f"{at_seconds:6.1f} s  {text}", flush=True)

    def show(self, scene: Scene) -> None:
        if scene.at_seconds < self._next_seconds:
            return
        self._next_seconds = scene.at_seconds + _PROGRESS_SECONDS
        self.say(scene.at_seconds, _progress(scene.counts))

    def close(self) -> None:
        """Nothing is to be put back."""


class LiveView:
    """A table that is drawn anew several times a second; what was said stands below it."""

    def __init__(self) -> None:
        from rich.live import Live  # noqa: PLC0415  # an extra: only where it is there

        self._said: deque[str] = deque(maxlen=8)
        self._scene: Scene | None = None
        self._live = Live(refresh_per_second=8, get_renderable=self._picture)
        self._live.start()

    def say(self, at_seconds: float, text: str) -> None:
        self._said.append(f"{at_seconds:6.1f} s  {text}")

    def show(self, scene: Scene) -> None:
        self._scene = scene

    def close(self) -> None:
        self._live.stop()

    def _picture(self) -> Any:
        from rich.console import Group  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        said = Text("\n".join(self._said))
        if self._scene is None:
            return said
        return Group(
            _lanes_table(self._scene.lanes),
            Text(f"{LEGEND}\n", style="dim"),
            Text(f"{_progress(self._scene.counts)}\n", style="bold"),
            said,
        )


def _lanes_table(lanes: list[Lane]) -> Any:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for title in ("process", "state", "half a second a character", "done"):
        table.add_column(title, no_wrap=True, justify="right" if title == "done" else "left")
    for lane in lanes:
        cells = Text()
        for cell in lane.cells:
            cells.append(cell, style=_STYLES.get(cell, "bold green"))
        condition = Text(lane.condition, style=_CONDITIONS[lane.condition])
        table.add_row(lane.name, condition, cells, str(lane.done))
    return table


def _progress(counts: Counts) -> str:
    return "   ".join(f"{what} {count}" for what, count, _ in rows(counts))
