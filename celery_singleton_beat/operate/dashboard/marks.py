"""Marks of the timeline: what can be drawn in a lane, where, and what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from celery_singleton_beat.operate.dashboard.runs import DIED, QUEUED, RUNNING, Body, Run
from celery_singleton_beat.operate.dashboard.words import counted
from celery_singleton_beat.operate.words import duration
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.statistics import SUPERSEDED

TROUBLE: Final = ("failed", "lost", "died", "given up", "dispatch_failed", "refused", "discarded")
"""What a person should look at, the shapes of which stand out."""

LEFT_OUT: Final = ("skipped", "spent", "cancelled", "superseded")
AGAIN: Final = ("rerun", "published_again", "retrying", "interrupted")

_AS_TEXT: Final = {
    "spent": "had its run of the interval",
    "published_again": "published again",
    "dispatch_failed": "could not be sent",
    "superseded": "passed over",
    DIED: "worker died",
    "lost": "lease lost",
    "rerun": "run again",
}


class Window(NamedTuple):
    """What is looked at: from, until, and what time it is."""

    from_ms: int
    until_ms: int
    now_ms: int

    def x(self, at_ms: int) -> float:
        """Where a time is, in percent of the width; what is outside is at the edge."""
        share = (at_ms - self.from_ms) / max(self.until_ms - self.from_ms, 1)
        return round(100 * min(max(share, 0.0), 1.0), 3)

    def meets(self, begin_ms: int, end_ms: int) -> bool:
        return begin_ms < self.until_ms and end_ms >= self.from_ms


class Bar(NamedTuple):
    """A body that ran (or several, near each other), in a row; ``kind`` is how it ended."""

    kind: str
    x: float
    width: float
    row: int
    label: str
    title: str


class Point(NamedTuple):
    """Something that happened, or is to come, at one moment."""

    kind: str
    x: float
    title: str
    beside: int = 0
    """It would lie upon so many others: it is drawn beside them."""


class Wait(NamedTuple):
    """From the scheduled time to the begin: how late it was."""

    x: float
    width: float
    row: int
    title: str


class Span(NamedTuple):
    """Some time: of more than one run at once, or of runs to come that lie close together."""

    x: float
    width: float
    title: str


class Note(NamedTuple):
    """A piece of a lane's summary, and how much it matters: ``plain``, ``notice`` or ``bad``."""

    text: str
    weight: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One entry's line."""

    name: str
    rows: int = 1
    bars: tuple[Bar, ...] = ()
    points: tuple[Point, ...] = ()
    waits: tuple[Wait, ...] = ()
    overlaps: tuple[Span, ...] = ()
    coming: Span | None = None
    summary: tuple[Note, ...] = ()
    runs: tuple[Run, ...] = ()

    @property
    def has_trouble(self) -> bool:
        return any(note.weight == "bad" for note in self.summary)


@dataclass(slots=True)
class Names:
    """Short names of dispatchers (1, 2 …) and workers (A, B …), as bars bear them."""

    dispatchers: dict[str, str] = field(default_factory=dict)
    workers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: Iterable[Run]) -> Names:
        runs = list(runs)
        beats = sorted({run.dispatcher for run in runs if run.dispatcher})
        workers = sorted({body.by for run in runs for body in run.bodies if body.by})
        return cls(
            {name: str(number) for number, name in enumerate(beats, 1)},
            {name: _letters(number) for number, name in enumerate(workers)},
        )

    def label(self, run: Run, body: Body) -> str:
        return self.dispatchers.get(run.dispatcher, "") + self.workers.get(body.by, "")


def as_text(kind: str) -> str:
    """A kind of fact, or an outcome, in words."""
    if kind.startswith(SUPERSEDED):
        return f"{_AS_TEXT['superseded']} ({kind.removeprefix(SUPERSEDED)})"
    return _AS_TEXT.get(kind, kind.replace("_", " "))


def ticks(window: Window, most: int = 12) -> list[int]:
    """Round times to write along a window."""
    span_ms = window.until_ms - window.from_ms
    for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440):
        step_ms = minutes * 60_000
        if span_ms / step_ms <= most:
            break
    first = -(-window.from_ms // step_ms) * step_ms
    return list(range(first, window.until_ms, step_ms))


def summary_of(runs: list[Run], others: list[Fact], overlaps: int) -> Iterable[Note]:
    """Say in words what the marks show, what matters first."""
    counts = Counter(body.outcome for run in runs for body in run.bodies)
    counts.update(told.kind for run in runs for told in run.events if told.kind != "lost")
    counts.update(fact.kind for fact in others)
    for kind in TROUBLE:
        if counts[kind]:
            yield Note(f"{counts[kind]} {as_text(kind)}", "bad")
    if overlaps:
        yield Note(counted(overlaps, "overlap"), "notice")
    for kind in (*AGAIN, *LEFT_OUT):
        if counts[kind]:
            yield Note(f"{counts[kind]} {as_text(kind)}", "notice")
    waiting = sum(run.outcome == QUEUED and not run.bodies for run in runs)
    if waiting:
        yield Note(f"{waiting} queued", "plain")
    if counts[RUNNING]:
        yield Note(f"{counts[RUNNING]} running", "plain")
    if counts["succeeded"]:
        yield Note(f"{counts['succeeded']} succeeded", "plain")
    late = [run.began_late_ms for run in runs if run.began_late_ms is not None and not run.cause]
    if late:
        yield Note(f"late at most {duration(max(late))}", "plain")


def _letters(number: int) -> str:
    """Count in letters: A, B … Z, AA, AB …, and so on."""
    text = ""
    while number >= 0:
        text = chr(ord("A") + number % 26) + text
        number = number // 26 - 1
    return text
