"""The plot of run times: a point for each run, by when it began and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from celery_singleton_beat.operate.dashboard.runs import Body, Run
from celery_singleton_beat.operate.words import duration

_SECOND: Final = 1000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_NICE: Final = (
    *(step * power for power in (1, 10, 100, _SECOND) for step in (2, 4, 10)),
    *(step * _SECOND for step in (20, 30)),
    *(step * _MINUTE for step in (1, 2, 4, 10, 20, 30)),
    *(step * _HOUR for step in (1, 2, 4, 12)),
)


class Dot(NamedTuple):
    """One body, in percent from the left and from the top."""

    kind: str
    x: float
    y: float
    took_ms: int
    run: Run
    body: Body


class Line(NamedTuple):
    """A line across, with what it stands for."""

    y: float
    text: str


class Plot(NamedTuple):
    """Dots from left (oldest) to right, and lines to read them by."""

    dots: tuple[Dot, ...]
    lines: tuple[Line, ...]
    median: Line | None
    from_ms: int
    until_ms: int


def plot_of(runs: Sequence[Run]) -> Plot | None:
    """Plot the bodies that have ended; None if none has."""
    bodies = [
        (run, body, body.ended_ms - body.started_ms)
        for run in runs
        for body in run.bodies
        if body.ended_ms is not None
    ]
    if not bodies:
        return None
    from_ms = min(body.started_ms for _, body, _ in bodies)
    until_ms = max(body.started_ms for _, body, _ in bodies)
    took = sorted(took_ms for *_, took_ms in bodies)
    top_ms = _nice(max(took[-1], 1))
    dots = tuple(
        Dot(
            body.outcome,
            _percent(body.started_ms - from_ms, until_ms - from_ms),
            _height(took_ms, top_ms),
            took_ms,
            run,
            body,
        )
        for run, body, took_ms in bodies
    )
    lines = tuple(
        Line(_height(value, top_ms), duration(value)) for value in (0, top_ms // 2, top_ms)
    )
    median_ms = took[(len(took) - 1) // 2]
    median = Line(_height(median_ms, top_ms), duration(median_ms)) if len(took) > 2 else None  # noqa: PLR2004
    return Plot(dots, lines, median, from_ms, until_ms)


def _percent(part: int, whole: int) -> float:
    return round(2 + 96 * part / whole, 3) if whole else 50.0


def _height(value_ms: int, top_ms: int) -> float:
    return round(96 - 90 * value_ms / top_ms, 3)


def _nice(largest: int) -> int:
    """A round duration that is no shorter, and whose half is round, too."""
    day = 24 * _HOUR
    return next((step for step in _NICE if step >= largest), -(-largest // day) * day)
