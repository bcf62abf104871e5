"""What came of a scenario, in figures: of ours by the occurrences' names, of the peers by gaps.

The peers' messages do not name the occurrence they stand for, and their intervals begin anew with
each dispatch. So of them, two dispatches (or two runs) of one entry closer than half its period
count as a duplicate, and in a gap of n periods between runs that ended n - 1 are lost. That is
kinder to them: what is late by a little is neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.acceptance import timetable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tests.acceptance.deployment import Facts
    from tests.acceptance.timetable import Every
    from tests.rig.witness import Tally

HEADINGS = ("due", "dispatched twice", "executed twice", "lost", "worst lateness")


@dataclass(frozen=True)
class Account:
    """One row: how many were due, and what became of them."""

    due: int
    dispatched_twice: int
    executed_twice: int
    lost: int
    late_ms: float

    def cells(self) -> tuple[str, ...]:
        counts = (self.due, self.dispatched_twice, self.executed_twice, self.lost)
        return (*(f"{count:,}" for count in counts), f"{self.late_ms / 1000:.1f} s")


def of_ours(
    tally: Tally, facts: Facts, due: Collection[str], superseded: Collection[str]
) -> Account:
    """Ours: what is counted has the occurrence's name."""
    return Account(
        due=len(due),
        dispatched_twice=sum(facts.published[key] > 1 for key in due),
        executed_twice=len(tally.duplicates()),
        lost=len(tally.lost(due, superseded)),
        late_ms=max(facts.late_ms.values(), default=0),
    )


def of_peers(
    facts: Sequence[dict[str, Any]],
    entries: Sequence[Every],
    from_ns: int,
    until_ns: int,
) -> Account:
    """The peers: what is counted has the entry's name, and a time."""
    ends = {fact["body"] for fact in facts if fact["kind"] == "end"}
    twice = [0, 0]
    due = lost = 0
    worst_ns = 0.0
    for entry in entries:
        period_ns = entry.period_ms * 1_000_000
        due += (until_ns - from_ns) // period_ns
        own = [f for f in facts if f.get("entry", f.get("key")) == entry.name]
        own = [fact for fact in own if from_ns <= fact["at_ns"] <= until_ns]
        sent = sorted(fact["at_ns"] for fact in own if fact["kind"] == "sent")
        begun = sorted(
            fact["at_ns"] for fact in own if fact["kind"] == "begin" and fact["body"] in ends
        )
        for place, times in enumerate((sent, begun)):
            twice[place] += sum(two - one < period_ns / 2 for one, two in pairwise(times))
        gaps = [two - one for one, two in pairwise([from_ns, *begun, until_ns])]
        lost += sum(max(round(gap / period_ns) - 1, 0) for gap in gaps)
        worst_ns = max(worst_ns, *(gap - period_ns for gap in gaps))
    return Account(due, twice[0], twice[1], lost, worst_ns / 1e6)


def due_keys(entries: tuple[Every, ...], from_ms: int, until_ms: int) -> set[str]:
    """The occurrences that count, as the facts name them."""
    return timetable.keys(entries, from_ms, until_ms)
