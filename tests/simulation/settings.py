"""The settings of a simulated deployment: what each history draws first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from celery_singleton_beat.protocol.entry import CatchUp, Overlap, Timing
from celery_singleton_beat.protocol.recurrences.bounds import Bounded
from celery_singleton_beat.protocol.recurrences.recurrence import Interval
from tests.simulation.choices import Choices
from tests.simulation.world import START_MS

EVERY_MS: Final = 2000

_KINDS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"catch_up": CatchUp.ALL},
    {"catch_up": CatchUp.ALL, "overlap": Overlap.QUEUE},
    {"overlap": Overlap.SKIP},
    {"is_at_most_once": True},
    {"start_deadline_ms": 4000},
    {"dedupe_window_ms": 9000},
    {"catch_up": CatchUp.NONE},
)


@dataclass(frozen=True)
class Setting:
    """Who takes part, and what is asked of them."""

    beats: int
    workers: int
    timings: Mapping[str, Timing]
    is_one_key: bool
    waits_for_key: bool
    acks_late: bool
    reruns: bool
    is_prompt: bool
    keeps_copies: bool
    body_ms: int
    batch: int
    ttl_ms: int = 3000

    @classmethod
    def drawn(cls, choices: Choices) -> Setting:
        """Draw one; with nothing but zeros, the simplest."""
        kind = choices.setting(len(_KINDS))
        names = ("x", "xy")[choices.setting(2)]
        return cls(
            beats=2 + choices.fault(2),
            workers=2,
            timings={name: _timing(name, kind, 1 + (choices.setting(4) == 1)) for name in names},
            is_one_key=choices.setting(2) == 1,
            waits_for_key=choices.setting(2) == 1,
            acks_late=choices.setting(4) != 1,
            reruns=choices.setting(4) == 1,
            is_prompt=choices.setting(2) == 0,
            keeps_copies=choices.fault(2) == 1,
            body_ms=(50, 1500)[choices.setting(4) == 1],
            batch=(100, 1)[choices.setting(4) == 1],
        )

    def key_of(self, entry: str) -> str:
        """Name the lock key of an entry's runs."""
        return "key" if self.is_one_key else f"key of {entry}"

    def described(self) -> str:
        """Say it in a line."""
        rules = "; ".join(
            f"{t.name}: {t.recurrence.rule}, catch up {t.catch_up.value}, overlap {t.overlap.value}"
            + (", at most once" if t.is_at_most_once else "")
            for t in self.timings.values()
        )
        ways = [
            f"{self.beats} beats, {self.workers} workers",
            "one key" if self.is_one_key else "a key each",
            "a locked run waits" if self.waits_for_key else "a locked run gives way",
            "late acks" if self.acks_late else "early acks",
            *(["crashed runs are run again"] if self.reruns else []),
            "prompt broker" if self.is_prompt else "broker with a visibility timeout",
        ]
        return f"{', '.join(ways)}. {rules}"


@cache
def _timing(name: str, kind: int, count: int) -> Timing:
    first_ms = Interval(EVERY_MS).next_after(START_MS)
    rule = Bounded(Interval(EVERY_MS), None, first_ms + (count - 1) * EVERY_MS)
    return Timing(name, rule, overlap_limit_ms=20_000, **_KINDS[kind])
