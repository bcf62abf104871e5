"""The settings of a simulated deployment: what each history draws first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from celery_singleton_beat.protocol.entry import CatchUp, Overlap, Timing, configuration_digest
from celery_singleton_beat.protocol.recurrences.bounds import Bounded
from celery_singleton_beat.protocol.recurrences.recurrence import Interval
from celery_singleton_beat.protocol.tenant import Quota
from tests.simulation.choices import Choices
from tests.simulation.world import START_MS

HOLD_MS: Final = 1000
EVERY_MS: Final = 2000
FIRST_MS: Final = Interval(EVERY_MS).next_after(START_MS)
_ONE_IN: Final = 16
"""In so many histories one thing that is not in all of them takes part."""

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

QUOTAS: Final = (
    Quota(max_entries=2),
    Quota(max_entries=1, min_interval_ms=4000),
    Quota(max_per_minute=3),
    Quota(max_entries=2, max_per_minute=2),
)
"""What tenants may have, by default or for themselves."""

_NO_LIMITS: Final = Quota()


@dataclass(frozen=True)
class Deploy:
    """From when on the replicas, one after another, are replaced by those of a version."""

    at_ms: int
    version: int
    gap_ms: int
    crashes: int = 0


@dataclass(frozen=True)
class Setting:
    """Who takes part, and what is asked of them."""

    beats: int
    workers: int
    is_one_key: bool
    waits_for_key: bool
    acks_late: bool
    reruns: bool
    is_prompt: bool
    keeps_copies: bool
    body_ms: int
    batch: int
    versions: tuple[Mapping[str, Timing], ...]
    deploys: tuple[Deploy, ...] = ()
    replica_timeout_ms: int = 6000
    kind: int = 0
    has_client: bool = False
    lag_ms: int = 0
    has_asker: bool = False
    has_hand: bool = False
    owners: int = 0
    has_operator: bool = False
    limits: Quota = _NO_LIMITS
    ttl_ms: int = 3000

    @classmethod
    def drawn(cls, choices: Choices) -> Setting:
        """Draw one; with nothing but zeros, the simplest."""
        kind = choices.setting(len(_KINDS))
        deploys, timeout_ms = _deploys(choices) if choices.setting(_ONE_IN) == 1 else ((), 6000)
        versions = _versions(kind) if deploys else (_alone(choices, kind),)
        owners = 1 + (choices.setting(4) == 1) if choices.setting(_ONE_IN) == 1 else 0
        has_client = choices.setting(_ONE_IN) == 1
        return cls(
            versions=versions,
            kind=kind,
            has_client=has_client,
            lag_ms=1500 if has_client and choices.setting(2) == 1 else 0,
            has_asker=choices.setting(_ONE_IN) == 1,
            has_hand=choices.setting(_ONE_IN) == 1,
            owners=owners,
            has_operator=choices.setting(_ONE_IN) == 1,
            limits=QUOTAS[choices.setting(len(QUOTAS))] if owners else _NO_LIMITS,
            deploys=deploys,
            replica_timeout_ms=timeout_ms,
            beats=2 + choices.fault(2),
            workers=2,
            is_one_key=choices.setting(2) == 1,
            waits_for_key=choices.setting(2) == 1,
            acks_late=choices.setting(4) != 1,
            reruns=choices.setting(4) == 1,
            is_prompt=choices.setting(2) == 0,
            keeps_copies=choices.fault(2) == 1,
            body_ms=(50, 1500)[choices.setting(4) == 1],
            batch=(100, 1)[choices.setting(4) == 1],
        )

    @property
    def has_deadline(self) -> bool:
        """Whether what nobody begins is published again."""
        return any(one.start_deadline_ms for one in self.timings.values())

    @property
    def timings(self) -> Mapping[str, Timing]:
        """The timetable that was there first."""
        return self.versions[0]

    @property
    def last(self) -> Mapping[str, Timing]:
        """The timetable that is there in the end."""
        return self.versions[self.deploys[-1].version if self.deploys else 0]

    @property
    def configurations(self) -> Mapping[str, Mapping[str, Timing]]:
        """All timetables by their digests."""
        return {digest_of(version): version for version in self.versions}

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
        for deploy in self.deploys:
            rules += f". From {deploy.at_ms / 1000:g} s on, {deploy.gap_ms / 1000:g} s apart: " + (
                "; ".join(
                    f"{t.name}: {t.recurrence.rule}" for t in self.versions[deploy.version].values()
                )
            )
        ways = [
            f"{self.beats} beats, {self.workers} workers",
            "one key" if self.is_one_key else "a key each",
            "a locked run waits" if self.waits_for_key else "a locked run gives way",
            "late acks" if self.acks_late else "early acks",
            *(["crashed runs are run again"] if self.reruns else []),
            "prompt broker" if self.is_prompt else "broker with a visibility timeout",
            *(["a client of stored entries"] if self.has_client else []),
            *(["a queue that is behind"] if self.lag_ms else []),
            *(["one that asks for runs"] if self.has_asker else []),
            *([f"{self.owners} that own tenants"] if self.owners else []),
            *(["an operator"] if self.has_operator else []),
            *(["locks by hand"] if self.has_hand else []),
        ]
        return f"{', '.join(ways)}. {rules}"


def digest_of(timings: Mapping[str, Timing]) -> str:
    """Name a timetable."""
    return _digest(tuple(timings.values()))


@cache
def _digest(timings: tuple[Timing, ...]) -> str:
    return configuration_digest(timings)


def _deploys(choices: Choices) -> tuple[tuple[Deploy, ...], int]:
    """Draw what is deployed when, and after how long a replica is settled, or dead."""
    at_ms = (2000, 300, 4000, 5500)[choices.setting(4)]
    gap_ms = (700, 50, 4000, 7000)[choices.setting(4)]
    timeout_ms = (3000, 6000)[choices.setting(2)]
    how = choices.setting(3)
    forward = Deploy(at_ms, 1, gap_ms, crashes=2 if how == 1 else 0)
    if how != 2:
        return (forward,), timeout_ms
    back_ms = at_ms + (4500, 1500, 7500)[choices.setting(3)]
    return (forward, Deploy(back_ms, 0, gap_ms)), timeout_ms


@cache
def _versions(kind: int) -> tuple[Mapping[str, Timing], ...]:
    """Make the old timetable and the new one."""
    stays, other = _until("stays", kind, 4000, 8000), _until("other", kind, 4000, 8000)
    return (
        {"stays": stays, "other": other, "goes": _until("goes", kind, 4000, 12_000)},
        {"stays": stays, "other": _until("other", kind, 3000, 11_000),
         "comes": _until("comes", kind, 4000, 12_000)},
    )  # fmt: skip


def _alone(choices: Choices, kind: int) -> Mapping[str, Timing]:
    names = ("x", "xy")[choices.setting(2)]
    return {name: _timing(name, kind, 1 + (choices.setting(4) == 1)) for name in names}


@cache
def _timing(name: str, kind: int, count: int) -> Timing:
    return _until(name, kind, EVERY_MS, (count - 1) * EVERY_MS)


@cache
def _until(name: str, kind: int, every_ms: int, until_ms: int) -> Timing:
    rule = Bounded(Interval(every_ms), None, FIRST_MS + until_ms)
    return Timing(name, rule, overlap_limit_ms=20_000, **_KINDS[kind])
