"""Statistics: how often each fact happened, how late occurrences were, how long bodies ran.

They are counted by the very step that makes a fact true (see ``history``), for
three kinds of subject: all there is, an entry, and a lock key. Only so many
entries and keys are kept, those to which something happened last.

Durations are counted in buckets that grow with them, four to an octave, so that
a percentile is at most a quarter too high, and never too low: the log-linear
histogram of G. Tene's HdrHistogram, with two significant bits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.history import Fact

TOTAL: Final = ""
"""The subject of all that is counted."""

BUSY: Final = "busy"
"""Somebody asked for a lock key, and it was held."""

DUPLICATE: Final = "duplicate"
"""A message came of a run that has ended, or of an attempt that is over."""

SUPERSEDED: Final = "superseded:"
"""What begins the counters of occurrences that were left out; the reason follows."""

_LAG: Final = "sum:lag"
_RAN: Final = "sum:ran"
_LEFT_OUT: Final = re.compile(r"[^|]*\|([^|]*)\|([0-9]+)")
_WORD: Final = re.compile("[A-Za-z]+")
_ENDED: Final = ("succeeded", "failed", "retrying", "interrupted")


def entry_subject(name: str) -> str:
    """Name the subject that is an entry."""
    return f"e:{name}"


def key_subject(name: str) -> str:
    """Name the subject that is a lock key."""
    return f"k:{name}"


@dataclass(frozen=True)
class Histogram:
    """How often which durations were seen: (highest duration of a bucket, how many), rising."""

    count: int = 0
    sum_ms: int = 0
    buckets: tuple[tuple[int, int], ...] = ()

    def percentile(self, share: float) -> int | None:
        """Tell the milliseconds that this share (0 to 1) did not exceed; None if nothing is known.

        It is the highest duration of the bucket in which the true one is.
        """
        wanted, seen = share * self.count, 0
        for bound_ms, many in self.buckets:
            seen += many
            if seen >= wanted:
                return bound_ms
        return None

    def at_most(self, bound_ms: int) -> int:
        """Tell how many were no longer than this, as far as the buckets tell."""
        return sum(many for highest_ms, many in self.buckets if highest_ms <= bound_ms)


@dataclass(frozen=True)
class Counts:
    """What was counted of one subject.

    ``facts`` has the kinds of ``history`` (of ``superseded`` by their reasons, as
    ``superseded:late``), ``BUSY`` and ``DUPLICATE``. ``lag`` is of occurrences of the
    timetable: from when they were scheduled to when they were published.
    ``run_time`` is of bodies that ended.
    """

    facts: Mapping[str, int] = field(default_factory=dict)
    lag: Histogram = Histogram()
    run_time: Histogram = Histogram()

    @classmethod
    def of(cls, fields: Mapping[str, int]) -> Counts:
        """Read them from the numbers that a store keeps."""
        facts: Counter[str] = Counter()
        seen: dict[str, Counter[int]] = {_LAG: Counter(), _RAN: Counter()}
        for name, many in fields.items():
            kind, _, bucket = name.partition("@")
            if kind in seen:
                continue
            facts[kind] += many
            if bucket:
                seen[_sum_of(kind)][int(bucket)] += many
        lag, ran = (_histogram(seen[name], fields.get(name, 0)) for name in (_LAG, _RAN))
        return cls(dict(facts), lag, ran)

    def __getitem__(self, kind: str) -> int:
        return self.facts.get(kind, 0)

    @property
    def superseded(self) -> int:
        """How many occurrences were left out, whatever the reason."""
        return sum(many for kind, many in self.facts.items() if kind.startswith(SUPERSEDED))


def increments(fact: Fact) -> Iterator[tuple[str, int]]:
    """Tell which numbers of its subjects grow with a fact, and by how much."""
    if fact.kind == "superseded":
        read = _LEFT_OUT.fullmatch(fact.note)
        by, many = read.groups() if read else ("", "1")
        yield SUPERSEDED + (by if _WORD.fullmatch(by) else "late"), int(many)
        return
    if fact.kind == "published" and not fact.note:
        duration_ms = max(fact.at_ms - fact.scheduled_ms, 0)
    elif is_end(fact) and fact.note:
        duration_ms = int(fact.note)
    else:
        yield fact.kind, 1
        return
    # A fact and how long it took, in one number: each costs the store a command.
    yield f"{fact.kind}@{bucket_of(duration_ms)}", 1
    yield _sum_of(fact.kind), duration_ms


def is_end(fact: Fact) -> bool:
    """Tell whether a fact is the end of a body; its beginning was counted a moment before."""
    return fact.kind in _ENDED


def bucket_of(duration_ms: int) -> int:
    """Tell in which bucket a duration is."""
    octave, rest = 0, max(duration_ms, 0)
    while rest >= 8:  # noqa: PLR2004  # two octaves of four
        octave, rest = octave + 1, rest // 2
    return 4 * octave + rest


def highest_of(bucket: int) -> int:
    """Tell the longest duration of a bucket."""
    octave = max(bucket // 4 - 1, 0)
    return ((bucket - 4 * octave + 1) << octave) - 1


def _sum_of(kind: str) -> str:
    return _LAG if kind == "published" else _RAN


def _histogram(seen: Mapping[int, int], sum_ms: int) -> Histogram:
    buckets = tuple((highest_of(bucket), many) for bucket, many in sorted(seen.items()))
    return Histogram(sum(seen.values()), sum_ms, buckets)
