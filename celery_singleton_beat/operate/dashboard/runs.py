"""Runs as the history tells of them: who dispatched each, who ran it, when, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from celery_singleton_beat.protocol.history import Fact

_ENDS_BODY: Final = frozenset({"succeeded", "failed", "retrying", "interrupted", "lost"})
_NEVER_BEGAN: Final = frozenset(
    {"skipped", "spent", "cancelled", "refused", "given up", "discarded"}
)
_OF_RUNS: Final = _ENDS_BODY | _NEVER_BEGAN | {"published", "published_again", "started", "rerun"}

QUEUED: Final = "queued"
RUNNING: Final = "running"
DIED: Final = "died"
"""Its body had not ended when the run was begun or published anew."""


@dataclass(frozen=True, slots=True)
class Body:
    """One time that a run's body ran, by whom; ``ended_ms`` is None while nobody told of an end."""

    started_ms: int
    by: str
    attempt: int = 0
    ended_ms: int | None = None
    outcome: str = RUNNING


@dataclass(frozen=True, slots=True)
class Told:
    """Something that happened to a run besides its bodies."""

    at_ms: int
    kind: str
    by: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One occurrence, or one call by hand, as far as the history has it.

    ``outcome`` is how it stands: ``queued``, ``running``, or the last thing that is
    known. ``published_ms`` is None where the publish is not in the history.
    """

    run: str
    entry: str
    scheduled_ms: int
    published_ms: int | None = None
    dispatcher: str = ""
    cause: str = ""
    bodies: tuple[Body, ...] = ()
    events: tuple[Told, ...] = ()
    outcome: str = QUEUED

    @property
    def first_ms(self) -> int:
        """When it is to be drawn first."""
        known = [self.scheduled_ms] if self.scheduled_ms else []
        known += [body.started_ms for body in self.bodies[:1]]
        known += [told.at_ms for told in self.events[:1]]
        known += [] if self.published_ms is None else [self.published_ms]
        return min(known, default=0)

    @property
    def last_ms(self) -> int:
        """When something was last heard of it."""
        known = [body.ended_ms or body.started_ms for body in self.bodies]
        known += [told.at_ms for told in self.events]
        known += [] if self.published_ms is None else [self.published_ms]
        return max(known, default=self.scheduled_ms)

    @property
    def began_late_ms(self) -> int | None:
        """How long after its scheduled time its body began; None: it did not, or has no such."""
        if not self.bodies or not self.scheduled_ms:
            return None
        return max(self.bodies[0].started_ms - self.scheduled_ms, 0)

    @property
    def took_ms(self) -> int | None:
        """How long its last body ran; None if none has ended."""
        for body in reversed(self.bodies):
            if body.ended_ms is not None:
                return body.ended_ms - body.started_ms
        return None

    @property
    def worker(self) -> str:
        """Who ran it last, or had to do with it last without running it."""
        if self.bodies:
            return self.bodies[-1].by
        return next((told.by for told in reversed(self.events) if told.by), "")


@dataclass(slots=True)
class _Gathered:
    run: Run
    bodies: list[Body] = field(default_factory=list)
    events: list[Told] = field(default_factory=list)


def runs_of(facts: Iterable[Fact]) -> list[Run]:
    """Put facts together to runs, given the newest first as the store has them; oldest first."""
    found: dict[str, _Gathered] = {}
    for fact in reversed(list(facts)):
        if fact.run and fact.kind in _OF_RUNS:
            gathered = found.get(fact.run)
            if gathered is None:
                gathered = found[fact.run] = _Gathered(Run(fact.run, "", 0))
            if fact.entry and not gathered.run.entry:
                # Not every fact says of which entry its run is.
                gathered.run = replace(
                    gathered.run, entry=fact.entry, scheduled_ms=fact.scheduled_ms
                )
            _add(gathered, fact)
    whole = [
        replace(of.run, bodies=tuple(of.bodies), events=tuple(of.events)) for of in found.values()
    ]
    return sorted(whole, key=lambda run: (run.first_ms, run.run))


def _add(gathered: _Gathered, fact: Fact) -> None:
    run = gathered.run
    bodies = gathered.bodies
    if fact.kind == "published":
        # It is noted when the beat settles: a quick worker may have begun, or ended, before.
        gathered.run = replace(run, published_ms=fact.at_ms, dispatcher=fact.by, cause=fact.note)
    elif fact.kind == "started":
        _close(bodies, fact.at_ms)
        bodies.append(Body(fact.at_ms, fact.by, fact.attempt))
        gathered.run = replace(run, outcome=RUNNING)
    elif fact.kind in _ENDS_BODY:
        _end(bodies, fact)
        if fact.kind == "lost":
            gathered.events.append(Told(fact.at_ms, fact.kind, fact.by, fact.note))
        gathered.run = replace(run, outcome=fact.kind)
    else:
        if fact.kind == "rerun":
            _close(bodies, fact.at_ms)
        gathered.events.append(Told(fact.at_ms, fact.kind, fact.by, fact.note))
        if fact.kind != "published_again":  # noted after the publish, so as above
            outcome = QUEUED if fact.kind == "rerun" else fact.kind
            gathered.run = replace(run, outcome=outcome)


def _close(bodies: list[Body], at_ms: int) -> None:
    """End a body of which no end was told: its worker died, at some time until now."""
    if bodies and bodies[-1].ended_ms is None:
        bodies[-1] = replace(bodies[-1], ended_ms=at_ms, outcome=DIED)


def _end(bodies: list[Body], fact: Fact) -> None:
    if bodies and bodies[-1].ended_ms is None:
        bodies[-1] = replace(bodies[-1], ended_ms=fact.at_ms, outcome=fact.kind)
    elif not bodies and fact.note.isdigit():
        # Its begin is not in the history any more.
        bodies.append(
            Body(fact.at_ms - int(fact.note), fact.by, fact.attempt, fact.at_ms, fact.kind)
        )


def rows_of(bodies: Sequence[tuple[int, int]]) -> list[int]:
    """Give each of some spans, in the order of their begins, the first row that is free."""
    free_from: list[int] = []
    rows = []
    for begin, end in bodies:
        for row, free in enumerate(free_from):
            if free <= begin:
                free_from[row] = end
                rows.append(row)
                break
        else:
            rows.append(len(free_from))
            free_from.append(end)
    return rows


def overlaps_of(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Tell when more than one of some spans went on at the same time."""
    changes = sorted(
        [(begin, 1) for begin, end in spans if end > begin]
        + [(end, -1) for begin, end in spans if end > begin]
    )
    found, at_once, since = [], 0, 0
    for at, change in changes:
        if at_once == 1 and change == 1:
            since = at
        if at_once == 2 and change == -1 and at > since:  # noqa: PLR2004
            found.append((since, at))
        at_once += change
    return found
