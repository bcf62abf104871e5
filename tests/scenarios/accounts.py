"""What came of a scenario, in figures: of ours by the occurrences' names, of the peers by gaps.

On both sides a dispatch is a message that the broker has answered for, as their beats' application
saw it: after Celery's `after_task_publish`, and where kombu collects a batch, after its flush. If
that flush failed, the broker may have got it: of ours it counts as dispatched, and what is sent
again for it as the second. Celery does not tell of a message of the peers that failed.

The peers' messages do not name the occurrence they stand for, and their intervals begin anew with
each dispatch. So of them, two dispatches (or two runs) of one entry closer than half its period
count as a duplicate, and in a gap of n periods between runs that ended n - 1 are lost. That is
kinder to them: what is late by a little is neither. Ours are late by the time from when an
occurrence was scheduled, by the store's clock, to its dispatch; the peers' by what a gap between
two dispatches has over its period.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.acceptance import timetable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tests.acceptance.timetable import Every
    from tests.rig.witness import Witness

HEADINGS = ("due", "dispatched twice", "executed twice", "lost", "worst lateness")


@dataclass(frozen=True)
class Account:
    """One row: how many were due, and what became of them."""

    due: int
    dispatched_twice: int
    executed_twice: int
    lost: int
    late_ms: float
    orphaned: int = 0
    """How many claims somebody had who was killed or frozen."""

    def cells(self) -> tuple[str, ...]:
        counts = (self.due, self.dispatched_twice, self.executed_twice, self.lost)
        return (*(f"{count:,}" for count in counts), f"{self.late_ms / 1000:.1f} s")


@dataclass(frozen=True)
class StoreTime:
    """What the store's clock said at a moment of the witness's, from which on it goes like that."""

    at_ns: int
    now_ms: int

    def of(self, at_ns: int) -> float:
        return self.now_ms + (at_ns - self.at_ns) / 1e6


def of_ours(
    witness: Witness,
    due: set[str],
    superseded: Collection[str],
    store_times: Sequence[StoreTime],
) -> Account:
    """Ours: what is counted has the occurrence's name."""
    tally, sent = witness.tally(), [f for f in witness.facts() if f["kind"] == "sent"]
    dispatched = Counter(fact["key"] for fact in sent)
    # Of what was sent twice, the first that surely was.
    surely = sorted(sent, key=lambda fact: (fact["is_sure"], -fact["at_ns"]))
    first_ns = {fact["key"]: fact["at_ns"] for fact in surely}
    return Account(
        due=len(due),
        dispatched_twice=sum(dispatched[key] > 1 for key in due),
        executed_twice=len(tally.duplicates()),
        lost=len(tally.lost(due, superseded)),
        late_ms=max(
            (
                _store_ms(store_times, first_ns[key]) - timetable.moment_of(key)
                for key in due & first_ns.keys()
            ),
            default=0,
        ),
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
        unsent, unrun = (
            [two - one for one, two in pairwise([from_ns, *times, until_ns])]
            for times in (sent, begun)
        )
        lost += sum(max(round(gap / period_ns) - 1, 0) for gap in unrun)
        worst_ns = max(worst_ns, *(gap - period_ns for gap in unsent))
    return Account(due, twice[0], twice[1], lost, worst_ns / 1e6)


def _store_ms(store_times: Sequence[StoreTime], at_ns: int) -> float:
    past = [one for one in store_times if one.at_ns <= at_ns]
    return (past[-1] if past else store_times[0]).of(at_ns)


def due_keys(entries: tuple[Every, ...], from_ms: int, until_ms: int) -> set[str]:
    """The occurrences that count, as the facts name them."""
    return timetable.keys(entries, from_ms, until_ms)
