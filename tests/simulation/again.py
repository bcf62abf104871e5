"""What is published again: what nobody began in time, and runs whose workers died."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.protocol.codec import ABSENT
from tests.simulation.judge import Judge

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.awaited import Awaited, Postponed
    from celery_singleton_beat.protocol.entry import Timing
    from celery_singleton_beat.store.port import Crashed
    from tests.simulation.broker import Broker
    from tests.simulation.names import Names
    from tests.simulation.settings import Setting

GIVEN_UP_AFTER: Final = 3


class Again(Judge):
    """Sees what beats call back and take over, and that they give up nothing without a reason."""

    def __init__(self, broker: Broker, setting: Setting, names: Names) -> None:
        super().__init__(broker, setting, names)
        self.digests: dict[str, str] = {}
        self.unsendable: dict[str, int] = {}
        self._tried: set[str] = set()
        self._recalled: dict[str, str] = {}
        self._recalling: dict[str, set[str]] = {}
        self._missing: set[tuple[str, str]] = set()

    def saw_recall(self, who: str, recalled: list[Awaited], **_limits: int) -> None:
        """Know what one may publish without a claim."""
        self._recalling[who] = {one.run for one in recalled}
        self._recalled.update((one.run, one.entry) for one in recalled)

    def saw_kept(self, who: str, answers: Sequence[object], names: Sequence[str]) -> None:
        """What is stored is found, and what was removed is not."""
        for name, answer in zip(names, answers, strict=True):
            if (answer is None) == (name in self.memory.cards):
                self.broke(f"{who} asked for {name}, and was told wrong")
            if answer is None:
                self._missing.add((who, name))

    def saw_dismiss(self, who: str, _answer: None, runs: Sequence[str]) -> None:
        """Only of what is gone is nothing expected any longer."""
        for run in runs:
            entry = self._recalled.get(run)
            is_there = entry in self._entries_of(who) or (
                entry in self.memory.cards and (who, entry) not in self._missing
            )
            if entry is None or is_there:
                self.broke(f"{who} gives {self.names.run(run)} up, which nobody has begun")
        self.awaited.difference_update(runs)

    def saw_postpone(
        self, who: str, _answer: None, postponed: Sequence[Postponed], _by: str
    ) -> None:
        """Only what cannot be sent, however often it is tried, is given up."""
        for one in postponed:
            if one.for_ms == ABSENT:
                if self.unsendable.get(one.run, 0) < GIVEN_UP_AFTER and not self.has_forgotten:
                    self.broke(f"{who} gives {self.names.run(one.run)} up too soon")
                self.awaited.discard(one.run)

    def publishes_again(self, run: str, *, cannot: bool) -> None:
        """Know that a kept message was tried to be sent, and whether it cannot be."""
        self._tried.add(run)
        if cannot:
            self.hopeless[run] = True

    def saw_rerun(self, who: str, _answer: None, crashed: Sequence[Crashed], _by: str = "") -> None:
        """Only what was tried to be sent is taken for sent."""
        for run in (one.run for one in crashed):
            if run not in self._tried:
                self.broke(f"{who} puts {self.names.run(run)} off, whose worker died")
            self.memory.leases.run_again(run)

    def saw_give_up(self, who: str, _answer: None, crashed: Sequence[Crashed]) -> None:
        """Only the message that cannot be sent is kept no longer."""
        for run in (one.run for one in crashed):
            if run not in self.hopeless:
                self.broke(f"{who} gives {self.names.run(run)} up, whose worker died")
            if self.hopeless[run]:
                self.memory.leases.kept.pop(run, None)

    def _is_recall(self, who: str, run: str) -> bool:
        return run in self._recalling.get(who, ())

    def _entries_of(self, who: str) -> Mapping[str, Timing]:
        return self.configurations.get(self.digests.get(who, ""), self.timings)
