"""What is to be delivered at most once: who moved its slot on is to publish it, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.judge import Judge
from tests.simulation.settings import HOLD_MS

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.occurrence import Occurrence
    from tests.simulation.broker import Broker
    from tests.simulation.names import Names
    from tests.simulation.settings import Setting


@dataclass(frozen=True)
class Debt:
    """What a replica has settled and not published yet. ``is_sure``: it got its answer at once."""

    who: str
    at_ms: int
    is_sure: bool


class Once(Judge):
    """Knows for whom something went wrong: who stood still may be too late, and nobody else is."""

    def __init__(self, broker: Broker, setting: Setting, names: Names) -> None:
        super().__init__(broker, setting, names)
        self.debts: dict[str, Debt] = {}
        self._troubled_ms: dict[str, int] = {}
        self._in_trouble: set[str] = set()

    @contextmanager
    def trouble(self, who: str) -> Iterator[None]:
        """Know that something goes wrong for somebody, from now on until it is over."""
        was_before = who in self._in_trouble
        self._in_trouble.add(who)
        self._troubled_ms[who] = self.world.now_ms
        try:
            yield
        finally:
            if not was_before:
                self._in_trouble.discard(who)
            self._troubled_ms[who] = self.world.now_ms

    def holds_back(self, who: str, occurrence: Occurrence) -> None:
        """Nobody is too late for what it claimed for whom nothing went wrong in its hold."""
        run = self.names.task_id(occurrence.entry, occurrence.scheduled_ms, occurrence.cause)
        troubled_ms = self._troubled_ms.get(who)
        if troubled_ms is None or self.world.now_ms - troubled_ms > HOLD_MS:
            self.broke(f"{who} holds {self.names.run(run)} back, and is not late")
        self.debts.pop(run, None)

    def _owes(self, who: str, run: str) -> None:
        is_sure = who not in self._in_trouble
        self.debts[run] = Debt(who, self.world.now_ms, is_sure)

    def _owes_nothing(self, who: str) -> None:
        self.debts = {run: debt for run, debt in self.debts.items() if debt.who != who}

    def _pays(self, who: str, run: str, *, is_strict: bool) -> None:
        debt = self.debts.pop(run, None)
        if is_strict and (debt is None or debt.who != who):
            self.broke(f"{who} publishes {self.names.run(run)}, and has not moved its slot on")

    def has_paid(self, who: str = "") -> None:
        """Judge what one still owes who goes on to something else; or, in the end, everybody."""
        for run, debt in list(self.debts.items()):
            if who in ("", debt.who):
                del self.debts[run]
                if debt.is_sure and self._troubled_ms.get(debt.who, -1) < debt.at_ms:
                    self.broke(f"{debt.who} moved past {self.names.run(run)} and never sent it")
