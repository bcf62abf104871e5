"""The timeline: what each actor did, half a second in a character.

Runs in: the demo.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.demo.cast import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery_singleton_beat.demo.cast import Actor
    from celery_singleton_beat.demo.facts import Fact
    from celery_singleton_beat.demo.ledger import Body

CELL_MS: Final = 500
WIDTH: Final = 52
LEGEND: Final = "1-9 sent or finished   = working   ~ frozen   x killed   . idle"

_MARKS: Final = {Condition.DEAD: "x", Condition.FROZEN: "~", Condition.STOPPED: " "}


@dataclass(frozen=True)
class Lane:
    """One actor's row."""

    name: str
    condition: str
    cells: str
    done: int


class Timeline:
    """Remembers who published what when; told of the bodies, it draws lanes."""

    def __init__(self, from_ms: int) -> None:
        self._from_ms = from_ms
        self._sent: dict[int, list[int]] = defaultdict(list)

    def take(self, facts: Iterable[Fact]) -> None:
        """Enter facts."""
        for fact in facts:
            if fact["kind"] == "OccurrencePublished":
                self._sent[fact["group"]].append(fact["at_ms"])

    def lanes(
        self,
        actors: Iterable[Actor],
        actor_of: dict[int, Actor],
        bodies: Iterable[Body],
        now_ms: int,
    ) -> list[Lane]:
        """Draw the last while of every actor."""
        bodies = list(bodies)
        groups: dict[str, list[int]] = defaultdict(list)
        for group, actor in actor_of.items():
            groups[actor.name].append(group)
        return [self._lane(actor, groups[actor.name], bodies, now_ms) for actor in actors]

    def _lane(self, actor: Actor, groups: list[int], bodies: list[Body], now_ms: int) -> Lane:
        own = [body for body in bodies if body.group in groups]
        done_ms = [at_ms for group in groups for at_ms in self._sent[group]]
        done_ms += [body.ended_ms for body in own if body.ended_ms is not None]
        last = (now_ms - self._from_ms) // CELL_MS
        cells = "".join(
            _cell(actor, own, done_ms, self._from_ms + place * CELL_MS)
            for place in range(max(last - WIDTH + 1, 0), last + 1)
        )
        return Lane(actor.name, actor.condition.value, cells, len(done_ms))


def _cell(actor: Actor, bodies: list[Body], done_ms: list[int], from_ms: int) -> str:
    until_ms = from_ms + CELL_MS
    if count := sum(from_ms <= at_ms < until_ms for at_ms in done_ms):
        return str(min(count, 9))
    past = [condition for at_ms, condition in actor.changes if at_ms < until_ms]
    if past and past[-1] in _MARKS:
        return _MARKS[past[-1]]
    return "=" if any(_spans(body, from_ms, until_ms) for body in bodies) else "."


def _spans(body: Body, from_ms: int, until_ms: int) -> bool:
    over_ms = body.died_ms if body.ended_ms is None else body.ended_ms
    return body.began_ms < until_ms and (over_ms is None or over_ms > from_ms)
