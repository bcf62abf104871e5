"""What was counted of everything, an entry or a lock key, as people ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from celery_singleton_beat.protocol.statistics import (
    BUSY,
    DUPLICATE,
    TOTAL,
    Counts,
    Histogram,
    entry_subject,
    key_subject,
)

SubjectKind = Literal["all", "entry", "key"]

_SKIPPED: Final = ("skipped", "spent", "cancelled", "refused", "discarded", "given up")
_SHARES: Final = (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99), ("max_ms", 1.0))


@dataclass(frozen=True)
class Figures:
    """The counters of one subject, and what follows from them."""

    kind: SubjectKind
    name: str
    counts: Counts

    @property
    def facts(self) -> Mapping[str, int]:
        return self.counts.facts

    @property
    def lag(self) -> Histogram:
        return self.counts.lag

    @property
    def run_time(self) -> Histogram:
        return self.counts.run_time

    @property
    def sent(self) -> int:
        """Occurrences that were published, those that were asked for included."""
        return self.counts["published"]

    @property
    def begun(self) -> int:
        return self.counts["started"]

    @property
    def succeeded(self) -> int:
        return self.counts["succeeded"]

    @property
    def failed(self) -> int:
        """Bodies that ended with an error, and occurrences that could not be sent."""
        return self.counts["failed"] + self.counts["dispatch_failed"]

    @property
    def skipped(self) -> int:
        """Messages that were not executed, whatever the reason; ``facts`` has each."""
        return sum(self.counts[kind] for kind in _SKIPPED)

    @property
    def left_out(self) -> int:
        """Occurrences that were not published, as catch-up, a pause or an overlap has it."""
        return self.counts.superseded

    @property
    def lost(self) -> int:
        return self.counts["lost"]

    @property
    def duplicates(self) -> int:
        return self.counts[DUPLICATE]

    @property
    def got(self) -> float | None:
        """The share of the tries to take a lock key that had it; None: there were none."""
        tries = self.begun + self.counts[BUSY]
        return self.begun / tries if tries else None

    def to_data(self) -> dict[str, Any]:
        """The figures for JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "facts": dict(self.facts),
            "skipped": self.skipped,
            "left_out": self.left_out,
            "duplicates": self.duplicates,
            "acquisition_rate": self.got,
            "lag": _histogram(self.lag),
            "run_time": _histogram(self.run_time),
        }


def subject_of(kind: SubjectKind, name: str) -> str:
    """Name a subject as the store does."""
    if kind == "all":
        return TOTAL
    return entry_subject(name) if kind == "entry" else key_subject(name)


def named(subject: str) -> tuple[SubjectKind, str]:
    """Tell what a subject of the store's is."""
    if subject == TOTAL:
        return "all", ""
    return ("entry" if subject.startswith("e:") else "key"), subject[2:]


def _histogram(histogram: Histogram) -> dict[str, Any]:
    return {
        "count": histogram.count,
        "sum_ms": histogram.sum_ms,
        **{name: histogram.percentile(share) for name, share in _SHARES},
    }
