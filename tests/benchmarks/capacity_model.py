"""The model of what one Redis carries: a second of a deployment, from unit costs and counts.

    looks      = (beats - 1) * min(10, 1 + moments) + 1
    dispatches = moments / (1 + moments / 150)
    busy       = looks * (tick + beats * replica) + dispatches * dispatch
                 + occurrences * (occurrence + run) + open runs / 10 * renewal

    rows       = 1 (several beats, from nine moments on: 10; without any moment: beats)
    visits     = rows + dispatches + moments + 0.3 * (looks + occurrences)
    pause      = (1 - busy) / visits
    pauses     = visits * visit * pause / (pause + cooling)

`moments` is at how many moments of a second something is due: as many as there are occurrences if
they are spread over it, one if all are due at the whole second. All replicas wait for the next
moment and ask in a row; who comes too late leaves the following moments to others for a tenth of a
second, who was in time gathers for 10 ms. `visits` is how often the server is called after a pause:
by replicas that look again, for the settlement, and for the runs of a moment; a call in a row, a
millisecond or so after the one before, is three tenths of one. A visit costs so much more than a
call that follows another without a pause; after one as short as the processor's caches take to get
cold (`cooling`), on the average half of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOOKS_A_SECOND = 10
DISPATCHES_A_SECOND = 150
RENEW_EVERY_S = 10
IN_A_ROW = 0.3
SECOND_US = 1e6
SHARE = 0.7


@dataclass(frozen=True)
class Units:
    """What the server spends, in microseconds of CPU (user + sys), with an append-only file.

    All are of calls that follow each other without a pause, but for `visit`, which is what a call
    after a long pause costs more; `cooling` is in microseconds too.
    """

    tick: float
    replica: float
    dispatch: float
    occurrence: float
    stored_dispatch: float
    stored_occurrence: float
    run: float
    renewal: float
    visit: float
    cooling: float


@dataclass(frozen=True)
class Load:
    """What a deployment does in a second."""

    beats: int
    moments: float = 0.0
    occurrences: float = 0.0
    open_runs: float = 0.0
    stored: bool = False

    @property
    def looks(self) -> float:
        """How often a replica asks in vain."""
        return (self.beats - 1) * min(LOOKS_A_SECOND, 1 + self.moments) + 1

    @property
    def dispatches(self) -> float:
        """How often one dispatches."""
        return self.moments / (1 + self.moments / DISPATCHES_A_SECOND)

    @property
    def visits(self) -> float:
        """How often the server is called after a pause."""
        rows = 1
        if not self.moments:
            rows = self.beats
        elif self.beats > 1 and 1 + self.moments >= LOOKS_A_SECOND:
            rows = LOOKS_A_SECOND
        in_a_row = IN_A_ROW * (self.looks + self.occurrences)
        return rows + self.dispatches + self.moments + in_a_row

    @property
    def calls(self) -> float:
        """How many scripts are called; renewals apart, of which there is one a process."""
        of_a_dispatch = 3 if self.stored else 2
        return self.looks + of_a_dispatch * self.dispatches + 2 * self.occurrences


def predicted(units: Units, load: Load) -> float:
    """Tell what a store spends on a second of that, beyond what it idles."""
    dispatch, occurrence = units.dispatch, units.occurrence
    if load.stored:
        dispatch, occurrence = units.stored_dispatch, units.stored_occurrence
    busy_us = (
        load.looks * (units.tick + load.beats * units.replica)
        + load.dispatches * dispatch
        + load.occurrences * (occurrence + units.run)
        + load.open_runs / RENEW_EVERY_S * units.renewal
    )
    return busy_us + pauses_us(units, load.visits, SECOND_US - busy_us)


def pauses_us(units: Units, visits: float, free_us: float) -> float:
    """Tell what visits cost more that come at any moment of the time that the server is free."""
    pause_us = max(free_us, 0) / visits
    return visits * units.visit * pause_us / (pause_us + units.cooling)


def most_occurrences(units: Units, beats: int, *, stored: bool = False) -> float:
    """Tell how many occurrences a second take the share of a core, spread over it."""
    return _most(lambda rate: predicted(units, Load(beats, rate, rate, stored=stored)))


def most_beats(units: Units, moments: float) -> float:
    """Tell how many replicas take the share of a core, with so many moments, by asking in vain."""
    return _most(lambda beats: predicted(units, Load(int(beats), moments)))


def _most(spent_us: Callable[[float], float]) -> float:
    low, high = 0.0, 1e6
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (middle, high) if spent_us(middle) <= SHARE * SECOND_US else (low, middle)
    return low
