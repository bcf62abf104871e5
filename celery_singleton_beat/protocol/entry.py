"""What the protocol knows of an entry: when it is due and what to do about lateness.

Which task runs, and with what, is the claimer's business and is not here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from celery_singleton_beat.protocol.jitter import offset_ms
from celery_singleton_beat.protocol.recurrences.recurrence import Recurrence

MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * 60 * MINUTE_MS


class CatchUp(Enum):
    """What to do about occurrences that were missed."""

    LATEST = "latest"  # one run, for the last of them
    ALL = "all"  # one run for each, oldest first, up to a cap
    NONE = "none"  # no run for those that are late


class Overlap(Enum):
    """What becomes of an occurrence while the one before it is queued or runs."""

    ALLOW = "allow"  # it is published all the same
    SKIP = "skip"  # it is left out
    QUEUE = "queue"  # it waits


@dataclass(frozen=True, slots=True)
class Timing:
    """When an entry is due, and what happens to what was missed.

    ``catch_up_window_ms`` says how late is too late (None: never).
    ``dedupe_window_ms`` is how long after its publish a message of an
    occurrence may still begin (None: ten intervals, at least 10 minutes, at
    most a day). An occurrence that did not begin within ``start_deadline_ms`` of
    its publish (None: never mind) is published again. After ``max_runs``
    dispatched occurrences (None: no limit) the entry has ended. What is queued
    keeps the next back for ``overlap_limit_ms`` at most (None: two intervals, at
    least an hour). With ``is_at_most_once`` the slot moves on before the publish, and
    no start deadline counts: nothing is published again.
    """

    name: str
    recurrence: Recurrence
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_max: int = 1000
    catch_up_window_ms: int | None = None
    jitter_ms: int = 0
    dedupe_window_ms: int | None = None
    start_deadline_ms: int | None = None
    max_runs: int | None = None
    overlap: Overlap = Overlap.ALLOW
    overlap_limit_ms: int | None = None
    is_at_most_once: bool = False
    offset_ms: int = field(init=False)
    rule: str = field(init=False)

    def __post_init__(self) -> None:
        if self.is_at_most_once:
            object.__setattr__(self, "start_deadline_ms", None)
        object.__setattr__(self, "offset_ms", offset_ms(self.name, self.jitter_ms))
        object.__setattr__(
            self, "rule", rule_digest(self.recurrence.rule, self.jitter_ms, self.max_runs)
        )

    def queued_ms(self, interval_ms: int, window_ms: int) -> int:
        """Tell for how long a published occurrence counts as queued."""
        limit_ms = self.overlap_limit_ms
        if limit_ms is None:
            limit_ms = max(2 * interval_ms, 60 * MINUTE_MS)
        return min(limit_ms, window_ms)

    def has_run(self, runs: int) -> bool:
        """Tell whether so many dispatched occurrences are all that there shall be."""
        return self.max_runs is not None and runs >= self.max_runs

    def window_ms(self, interval_ms: int) -> int:
        """Tell the dedupe window, given the distance to the next occurrence."""
        if self.dedupe_window_ms is not None:
            return self.dedupe_window_ms
        return min(max(10 * interval_ms, 10 * MINUTE_MS), DAY_MS)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for an entry that does not say it itself."""

    catch_up: CatchUp = CatchUp.LATEST
    catch_up_max: int = 1000
    catch_up_window_ms: int | None = None
    dedupe_window_ms: int | None = None
    start_deadline_ms: int | None = None


@lru_cache(maxsize=4096)
def rule_digest(rule: str, jitter_ms: int, max_runs: int | None = None) -> str:
    """Name a rule shortly; equal rules have equal names on every host."""
    most = "" if max_runs is None else f" at most {max_runs} runs"
    return _digest([f"{rule} jitter {jitter_ms}ms{most}"], 8)


def configuration_digest(timings: Iterable[Timing]) -> str:
    """Name a configuration: its entries' names and rules, in any order."""
    return _digest(sorted(f"{t.name}\0{t.rule}" for t in timings), 16)


def _digest(parts: Iterable[str], size: int) -> str:
    return blake2b("\n".join(parts).encode(), digest_size=size).hexdigest()
