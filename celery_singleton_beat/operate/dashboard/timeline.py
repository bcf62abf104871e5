"""The timeline's geometry: facts and plans become lanes, with marks at percentages of a window.

Nothing here knows of pages. A mark has a shape (``kind``), a place, and a text
that says all that the shape means.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from celery_singleton_beat.operate.dashboard.marks import (
    AGAIN,
    TROUBLE,
    Bar,
    Lane,
    Names,
    Point,
    Span,
    Wait,
    Window,
    as_text,
    summary_of,
)
from celery_singleton_beat.operate.dashboard.runs import (
    DIED,
    QUEUED,
    RUNNING,
    Body,
    Run,
    overlaps_of,
    rows_of,
    runs_of,
)
from celery_singleton_beat.operate.dashboard.words import counted
from celery_singleton_beat.operate.words import duration
from celery_singleton_beat.protocol.history import Fact

MOST_RUNS: Final = 90
"""So many runs are drawn one by one in a lane; of more, those that are near become one mark."""

CELLS: Final = 72
"""Into so many cells a window is parted where runs are drawn together."""

MOST_PLANNED: Final = 60
MOST_ROWS: Final = 4
LEAST_WIDTH: Final = 0.4
LABEL_WIDTH: Final = 3.2
_BESIDE: Final = 1.3
_MOST_BESIDE: Final = 3

Clock = Callable[[int], str]


def lanes_of(
    facts: Sequence[Fact],
    planned: Mapping[str, Sequence[int]],
    window: Window,
    clock: Clock,
    only: Container[str] | None = None,
) -> tuple[list[Lane], Names]:
    """Draw all entries that have something in the window, or ``only`` some of them, by name.

    ``facts`` come the newest first, as from the store; ``planned`` are the times to come.
    The short names are those of everybody in the window.
    """
    runs = [run for run in runs_of(facts) if window.meets(run.first_ms, _until(run, window))]
    names = Names.of(runs)
    of_entry: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        of_entry[run.entry].append(run)
    others: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.kind in {"superseded", "dispatch_failed"} and window.meets(fact.at_ms, fact.at_ms):
            others[fact.entry].append(fact)
    entries = of_entry.keys() | others.keys() | planned.keys()
    drawing = _Drawing(window, names, clock)
    return [
        drawing.lane(name, of_entry[name], others[name], planned.get(name, ()))
        for name in sorted(entries)
        if only is None or name in only
    ], names


@dataclass(frozen=True, slots=True)
class _Drawing:
    window: Window
    names: Names
    clock: Clock

    def lane(self, name: str, runs: list[Run], others: list[Fact], planned: Sequence[int]) -> Lane:
        pairs = [(run, body) for run in runs for body in run.bodies]
        pairs.sort(key=lambda pair: pair[1].started_ms)
        spans = [(body.started_ms, self._end(body)) for _, body in pairs]
        together = overlaps_of(spans)
        rows = [min(row, MOST_ROWS - 1) for row in rows_of(spans)]
        waits: tuple[Wait, ...] = ()
        ahead, coming = self._planned(planned)
        points = [*self._points(runs), *self._points_of(others)]
        if len(runs) > MOST_RUNS:
            bars = self._cells(pairs)
            points = _thinned(points)
        else:
            bars = tuple(
                self._bar(run, body, row)
                for (run, body), row in zip(pairs, rows, strict=True)
                if self.window.meets(body.started_ms, self._end(body))
            )
            row_of = {id(body): row for (_, body), row in zip(pairs, rows, strict=True)}
            waits = tuple(self._waits(runs, row_of))
        depth = max((bar.row for bar in bars), default=0) + 1
        return Lane(
            name,
            depth,
            bars,
            (*_beside(points), *ahead),
            waits,
            tuple(self._overlap(span) for span in together if self.window.meets(*span)),
            coming,
            tuple(summary_of(runs, others, len(together))),
            tuple(runs),
        )

    def _end(self, body: Body) -> int:
        return max(body.started_ms, self.window.now_ms if body.ended_ms is None else body.ended_ms)

    def _bar(self, run: Run, body: Body, row: int) -> Bar:
        x = self.window.x(body.started_ms)
        width = max(self.window.x(self._end(body)) - x, LEAST_WIDTH)
        label = self.names.label(run, body) if width >= LABEL_WIDTH else ""
        return Bar(body.outcome, x, round(width, 3), row, label, self.told(run, body))

    def told(self, run: Run, body: Body | None = None) -> str:
        """A run in words: when it was due, who sent it, who ran it, how late, how it ended."""
        due = f"due {self.clock(run.scheduled_ms)}" if run.scheduled_ms else "called by hand"
        parts = [due + (", asked for" if run.cause else "")]
        if run.dispatcher:
            parts.append(f"dispatched by {run.dispatcher}")
        if body is None:
            return "; ".join([*parts, as_text(run.outcome)])
        parts.append(f"ran on {body.by} from {self.clock(body.started_ms)}")
        if run.scheduled_ms and body is run.bodies[0]:
            parts[-1] += f" ({duration(max(body.started_ms - run.scheduled_ms, 0))} late)"
        took = duration(self._end(body) - body.started_ms)
        ended = f"for {took} until now" if body.ended_ms is None else f"for {took}"
        return "; ".join([*parts, f"{as_text(body.outcome)} {ended}"])

    def _cells(self, pairs: list[tuple[Run, Body]]) -> tuple[Bar, ...]:
        width_ms = max((self.window.until_ms - self.window.from_ms) // CELLS, 1)
        cells: dict[int, Counter[str]] = defaultdict(Counter)
        for _, body in pairs:
            if self.window.meets(body.started_ms, self._end(body)):
                at = max(body.started_ms, self.window.from_ms) - self.window.from_ms
                cells[at // width_ms][body.outcome] += 1
        return tuple(
            self._cell(self.window.from_ms + cell * width_ms, width_ms, outcomes)
            for cell, outcomes in sorted(cells.items())
        )

    def _cell(self, from_ms: int, width_ms: int, outcomes: Counter[str]) -> Bar:
        worst = next((kind for kind in TROUBLE if outcomes[kind]), "")
        kind = worst or next((k for k in AGAIN if outcomes[k]), "") or outcomes.most_common(1)[0][0]
        x, until = self.window.x(from_ms), self.window.x(from_ms + width_ms)
        total = outcomes.total()
        told = ", ".join(f"{count} {as_text(of)}" for of, count in outcomes.most_common())
        title = (
            f"{counted(total, 'run')} from {self.clock(from_ms)} "
            f"to {self.clock(from_ms + width_ms)}: {told}"
        )
        width = round(max(until - x - 0.15, LEAST_WIDTH), 3)
        return Bar(f"{kind} many", x, width, 0, "", title)

    def _waits(self, runs: list[Run], row_of: Mapping[int, int]) -> Iterable[Wait]:
        for run in runs:
            if run.bodies and run.scheduled_ms and not run.cause:
                begin_ms = run.bodies[0].started_ms
                x = self.window.x(run.scheduled_ms)
                width = round(self.window.x(begin_ms) - x, 3)
                if width > LEAST_WIDTH:
                    late = f"waited {duration(begin_ms - run.scheduled_ms)} for its begin"
                    yield Wait(x, width, row_of[id(run.bodies[0])], late)

    def _points(self, runs: list[Run]) -> list[Point]:
        points = []
        for run in runs:
            for told in run.events:
                if self.window.meets(told.at_ms, told.at_ms):
                    by = f" by {told.by}" if told.by else ""
                    due = self.clock(run.scheduled_ms) if run.scheduled_ms else "by hand"
                    text = f"{as_text(told.kind)} at {self.clock(told.at_ms)}{by}; due {due}"
                    points.append(Point(told.kind, self.window.x(told.at_ms), text))
            points += [
                Point(b.outcome, self.window.x(self._end(b)), self.told(run, b))
                for b in run.bodies
                if b.outcome in {"failed", DIED}
            ]
            if run.outcome == QUEUED and not run.bodies and run.published_ms is not None:
                points.append(Point(QUEUED, self.window.x(run.first_ms), self.told(run)))
        return points

    def _points_of(self, others: list[Fact]) -> list[Point]:
        return [
            Point(
                fact.kind,
                self.window.x(fact.scheduled_ms or fact.at_ms),
                f"{as_text(fact.kind)}, due {self.clock(fact.scheduled_ms)}: {fact.note}",
            )
            for fact in others
        ]

    def _planned(self, planned: Sequence[int]) -> tuple[list[Point], Span | None]:
        window = self.window
        coming = [at for at in planned if window.now_ms - 1000 <= at < window.until_ms]
        if len(coming) < MOST_PLANNED:
            text = "to come at "
            return [Point("planned", window.x(at), text + self.clock(at)) for at in coming], None
        # There are more: as many marks would be a line, too.
        x = window.x(coming[0])
        every = duration((coming[-1] - coming[0]) // (len(coming) - 1))
        return [], Span(x, round(100 - x, 3), f"to come about every {every}")

    def _overlap(self, span: tuple[int, int]) -> Span:
        x = self.window.x(span[0])
        width = max(self.window.x(span[1]) - x, LEAST_WIDTH)
        told = f"more than one run at once from {self.clock(span[0])} for "
        return Span(x, round(width, 3), told + duration(span[1] - span[0]))


def _until(run: Run, window: Window) -> int:
    return window.now_ms if run.outcome == RUNNING else run.last_ms


def _thinned(points: list[Point]) -> list[Point]:
    """Of equal shapes that would lie upon each other, keep the first."""
    seen: set[tuple[str, int]] = set()
    kept = []
    for point in points:
        place = (point.kind, round(point.x))
        if place not in seen:
            seen.add(place)
            kept.append(point)
    return kept


def _beside(points: list[Point]) -> list[Point]:
    """Let no shape lie upon another."""
    placed: list[Point] = []
    for point in sorted(points, key=lambda point: point.x):
        last = placed[-1] if placed else None
        is_upon = last is not None and point.x - last.x < _BESIDE
        level = last.beside + 1 if is_upon and last is not None else 0
        placed.append(point._replace(beside=min(level, _MOST_BESIDE)))
    return placed
