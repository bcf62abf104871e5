"""The ledger: what was due, and what became of it, counted from the facts alone.

Runs in: the demo.

- *Duplicate*: an occurrence with two bodies that ended, or two alive at once.
- *Rerun*: a body that began after an earlier one of its occurrence was cut short
  by the death of its process.
- *Lost*: a due occurrence of which no body ended, and which no record names as
  superseded by a later one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from celery_singleton_beat.demo.facts import Fact
    from celery_singleton_beat.demo.timetable import Occurrence


@dataclass
class Body:
    """One execution of a task's code; ``died_ms`` is when its process was known to be dead."""

    name: str
    group: int
    occurrence: Occurrence
    began_ms: int
    ended_ms: int | None = None
    died_ms: int | None = None

    @property
    def is_open(self) -> bool:
        return self.ended_ms is None and self.died_ms is None

    @property
    def was_cut_short(self) -> bool:
        return self.ended_ms is None and self.died_ms is not None

    def overlaps(self, later: Body) -> bool:
        """Whether it was still alive when a later one began."""
        over_ms = self.died_ms if self.ended_ms is None else self.ended_ms
        return over_ms is None or over_ms > later.began_ms


@dataclass(frozen=True)
class Counts:
    """The ledger's lines."""

    due: int
    dispatched: int
    executed: int
    rerun: int
    duplicates: int
    lost: int
    superseded: int
    never_due: int
    sent_again: int

    @property
    def is_clean(self) -> bool:
        """Whether the promise was kept."""
        return self.duplicates == self.lost == self.never_due == 0


@dataclass
class Ledger:
    """Takes facts in, in any order of their processes, and counts."""

    bodies: dict[str, Body] = field(default_factory=dict)
    published: dict[Occurrence, int] = field(default_factory=lambda: defaultdict(int))
    missed: list[tuple[str, int, int]] = field(default_factory=list)
    _ended_ms: dict[str, int] = field(default_factory=dict)
    _died_ms: dict[int, int] = field(default_factory=dict)

    def take(self, facts: Iterable[Fact]) -> None:
        """Enter facts."""
        for fact in facts:
            match fact["kind"]:
                case "begin":
                    occurrence = (fact["entry"], fact["scheduled_ms"])
                    name, group, at_ms = fact["body"], fact["group"], fact["at_ms"]
                    self.bodies[name] = Body(name, group, occurrence, at_ms)
                case "end":
                    self._ended_ms[fact["body"]] = fact["at_ms"]
                case "died":
                    self._died_ms[fact["dead_group"]] = fact["at_ms"]
                case "OccurrencePublished":
                    self.published[fact["entry"], fact["scheduled_ms"]] += 1
                case "OccurrencesMissed" if fact["by_ms"] is not None:
                    missed = (fact["entry"], fact["first_ms"], fact["last_ms"])
                    self.missed.append(missed)
        for body in self.bodies.values():
            body.ended_ms = self._ended_ms.get(body.name)
            body.died_ms = self._died_ms.get(body.group)

    def open_bodies(self) -> list[Body]:
        """Bodies that, as far as is known, are running."""
        return [body for body in self.bodies.values() if body.is_open]

    def unfinished(self, due: AbstractSet[Occurrence]) -> set[Occurrence]:
        """Due occurrences that have no end, and no later one that stands for them."""
        ended = {body.occurrence for body in self.bodies.values() if body.ended_ms is not None}
        return {one for one in due - ended if not self._is_superseded(one)}

    def counts(
        self, due: AbstractSet[Occurrence], *, settled: AbstractSet[Occurrence] | None = None
    ) -> Counts:
        """Count. ``settled`` are the due ones that may be called lost by now (None: all)."""
        by_occurrence: dict[Occurrence, list[Body]] = defaultdict(list)
        for body in sorted(self.bodies.values(), key=lambda body: body.began_ms):
            by_occurrence[body.occurrence].append(body)
        ended = {
            one
            for one, bodies in by_occurrence.items()
            if any(b.ended_ms is not None for b in bodies)
        }
        bounds = [at_ms for _, at_ms in due]
        return Counts(
            due=len(due),
            dispatched=len(due & set(self.published)),
            executed=len(due & ended),
            rerun=sum(_reruns(bodies) for bodies in by_occurrence.values()),
            duplicates=sum(_is_duplicate(bodies) for bodies in by_occurrence.values()),
            lost=len(self.unfinished(due if settled is None else settled)),
            superseded=sum(self._is_superseded(one) for one in due - ended),
            never_due=sum(
                min(bounds) <= one[1] <= max(bounds) and one not in due for one in by_occurrence
            )
            if due
            else 0,
            sent_again=sum(times - 1 for times in self.published.values()),
        )

    def _is_superseded(self, occurrence: Occurrence) -> bool:
        entry, at_ms = occurrence
        return any(of == entry and first <= at_ms <= last for of, first, last in self.missed)


def _reruns(bodies: list[Body]) -> int:
    return sum(
        any(earlier.was_cut_short and not earlier.overlaps(later) for earlier in bodies[:place])
        for place, later in enumerate(bodies)
    )


def _is_duplicate(bodies: list[Body]) -> bool:
    ended = sum(body.ended_ms is not None for body in bodies)
    together = any(
        earlier.overlaps(later) for place, later in enumerate(bodies) for earlier in bodies[:place]
    )
    return ended > 1 or together
