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

_LAG: Final = "lag"
_RAN: Final = "ran"
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
        own = {n: v for n, v in fields.items() if not n.startswith((f"{_LAG}@", f"{_RAN}@"))}
        return cls(own, _histogram(fields, _LAG), _histogram(fields, _RAN))

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
    yield fact.kind, 1
    if fact.kind == "published" and not fact.note:
        yield from _measured(_LAG, fact.at_ms - fact.scheduled_ms)
    elif fact.kind in _ENDED and fact.note:
        yield from _measured(_RAN, int(fact.note))


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


def _measured(name: str, duration_ms: int) -> Iterator[tuple[str, int]]:
    yield f"{name}@{bucket_of(duration_ms)}", 1
    yield f"{name}@", max(duration_ms, 0)


def _histogram(fields: Mapping[str, int], name: str) -> Histogram:
    start = f"{name}@"
    found = sorted(
        (int(key.removeprefix(start)), many)
        for key, many in fields.items()
        if key.startswith(start) and key != start
    )
    buckets = tuple((highest_of(bucket), many) for bucket, many in found)
    return Histogram(sum(many for _, many in buckets), fields.get(start, 0), buckets)
