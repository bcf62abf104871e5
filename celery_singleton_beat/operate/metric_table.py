"""Metrics by Prometheus' conventions: their names, labels and help, and what each is read from.

What is counted comes from the store's statistics (``protocol/statistics.py``),
so every exporter tells the same numbers, whichever processes did the work. The
values of every label but ``entry`` are listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from celery_singleton_beat.operate.fleet_view import FleetView
from celery_singleton_beat.protocol.statistics import (
    BUSY,
    DUPLICATE,
    SUPERSEDED,
    Counts,
    Histogram,
)

NAMESPACE: Final = "celery_singleton_beat_"

OTHER: Final = "other"
"""The value of ``entry`` that stands for all entries that have no series of their own,
and for runs of no entry; also that of ``reason`` for one that is not listed."""


class Counter(NamedTuple):
    """Something that only grows; ``kinds`` of facts by the value of ``label`` (empty: no label)."""

    name: str
    help: str
    label: str
    kinds: dict[str, str]
    prefix: str = ""

    def values(self, counts: Counts) -> Iterator[tuple[str, int]]:
        """Tell how often it happened, by the label's values."""
        for value, kind in self.kinds.items():
            yield value, counts[kind]
        if self.prefix:
            listed = set(self.kinds.values())
            yield (
                OTHER,
                sum(
                    many
                    for kind, many in counts.facts.items()
                    if kind.startswith(self.prefix) and kind not in listed
                ),
            )


class Distribution(NamedTuple):
    """Durations, as a histogram in seconds."""

    name: str
    help: str
    of: Callable[[Counts], Histogram]


class Gauge(NamedTuple):
    """Something that is so now; by the values of ``label`` (empty: no label)."""

    name: str
    help: str
    label: str
    values: Callable[[FleetView], dict[str, float]]


def _counter(name: str, told: str, kind: str) -> Counter:
    return Counter(name, told, "", {"": kind})


def _by(name: str, told: str, label: str, *kinds: str, prefix: str = "") -> Counter:
    named = {kind.replace(" ", "_"): prefix + kind for kind in kinds}
    return Counter(name, told, label, named, prefix)


COUNTERS: Final = (
    _counter(
        "occurrences_published", "Occurrences that the broker has the message of.", "published"
    ),
    _counter(
        "occurrences_republished",
        "Occurrences published again, for nobody had begun them by their start deadline.",
        "published_again",
    ),
    _by(
        "occurrences_left_out",
        "Occurrences that beats left out, by reason: too late for catch-up, paused, or the run "
        "before not over.",
        "reason",
        *("late", "paused", "overlap", "changed"),
        prefix=SUPERSEDED,
    ),
    _counter(
        "occurrences_dropped",
        "Occurrences that can not be, or were delivered at most once and not sent.",
        "dropped",
    ),
    _counter("dispatch_failures", "Attempts to send an entry that failed.", "dispatch_failed"),
    _counter("requests", "Runs and backfills that somebody asked for.", "asked"),
    _counter("requests_cancelled", "Requests of these that were cancelled.", "called_off"),
    _counter("runs_started", "Bodies that began, under a lease.", "started"),
    _by(
        "runs_ended",
        "Bodies that ended, by outcome.",
        "outcome",
        *("succeeded", "failed", "retrying", "interrupted"),
    ),
    _by(
        "runs_skipped",
        "Runs that were closed without a body, by reason.",
        "reason",
        *("skipped", "spent", "cancelled", "refused", "given up", "discarded"),
    ),
    _counter("runs_republished", "Runs published again, for their worker died.", "rerun"),
    _counter("duplicates_dropped", "Messages of runs that had ended or gone on.", DUPLICATE),
    _counter("leases_lost", "Leases that were over while their body ran.", "lost"),
    _counter("lock_conflicts", "Times that a lock key was asked for and held.", BUSY),
    _counter("locks_forced", "Lock keys that somebody freed by hand.", "unlocked"),
)

DISTRIBUTIONS: Final = (
    Distribution(
        "dispatch_lag_seconds",
        "From when an occurrence of the timetable was scheduled to when it was published.",
        lambda counts: counts.lag,
    ),
    Distribution(
        "run_time_seconds",
        "How long bodies ran, from when they had their lock key.",
        lambda counts: counts.run_time,
    ),
)

# Powers of two: a bound of the store's own buckets, which are of whole milliseconds.
BOUNDS_MS: Final = tuple(
    1 << power for power in (4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 22)
)


def _plain(of: Callable[[FleetView], float]) -> Callable[[FleetView], dict[str, float]]:
    return lambda fleet: {"": of(fleet)}


GAUGES: Final = (
    Gauge(
        "replicas",
        "Beats that were heard of, by whether they live.",
        "state",
        lambda fleet: {
            "alive": len(fleet.alive),
            "silent": len(fleet.replicas) - len(fleet.alive),
        },
    ),
    Gauge(
        "configurations",
        "Configurations that live beats have; more than one while a deploy is under way.",
        "",
        _plain(lambda fleet: fleet.configurations),
    ),
    Gauge(
        "overdue_seconds",
        "For how long the most overdue entry is due; 0 while everything is paused.",
        "",
        _plain(lambda fleet: fleet.late_ms / 1000),
    ),
    Gauge("paused", "Whether everything is paused.", "", _plain(lambda fleet: fleet.is_paused)),
    Gauge(
        "entries",
        "Entries of the timetable: those of the governing beat_schedule, and stored ones.",
        "kind",
        lambda fleet: {"config": fleet.planned, "stored": fleet.stored},
    ),
    Gauge("tenants", "Tenants that have something.", "", _plain(lambda fleet: fleet.tenants)),
    Gauge("locks_held", "Lock keys that are held.", "", _plain(lambda fleet: fleet.locks)),
    Gauge(
        "runs_waiting",
        "Runs by what is waited for: those that count as queued, those whose begin is awaited, and "
        "those to be published again if their worker dies.",
        "state",
        lambda fleet: {
            "queued": fleet.queued,
            "awaited": fleet.awaited,
            "crashable": fleet.crashable,
        },
    ),
    Gauge(
        "requests_open",
        "Runs and backfills asked for and not published to their end.",
        "",
        _plain(lambda fleet: fleet.requests),
    ),
    Gauge(
        "store_born_timestamp_seconds",
        "When the store began to remember; a later one than before: it was emptied.",
        "",
        _plain(lambda fleet: fleet.born_at.timestamp()),
    ),
)

UP: Final = ("up", "Whether the store answered; of one that did not, there is nothing else.")
INFO: Final = (
    "build",
    "The app, the version of this package, and that of the form of its records in the store.",
)


def metrics_table() -> str:
    """The metrics as a table in Markdown, for the documentation."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    rows += [_row(UP[0], "gauge", [], UP[1])]
    rows += [_row(f"{INFO[0]}_info", "info", ["`app`", "`version`", "`schema`"], INFO[1])]
    rows += [_row(g.name, "gauge", _labels(g.label, _values_of(g)), g.help) for g in GAUGES]
    for one in COUNTERS:
        others = [OTHER] if one.prefix else []
        labels = ["`entry`", *_labels(one.label, [*one.kinds, *others])]
        rows.append(_row(f"{one.name}_total", "counter", labels, one.help))
    rows += [_row(one.name, "histogram", ["`entry`"], one.help) for one in DISTRIBUTIONS]
    return "\n".join(rows) + "\n"


def _values_of(gauge: Gauge) -> list[str]:
    return {
        "replicas": ["alive", "silent"],
        "entries": ["config", "stored"],
        "runs_waiting": ["queued", "awaited", "crashable"],
    }.get(gauge.name, [])


def _labels(label: str, values: list[str]) -> list[str]:
    return [f"`{label}`: {', '.join(values)}"] if label else []


def _row(name: str, kind: str, labels: list[str], told: str) -> str:
    return f"| `{NAMESPACE}{name}` | {kind} | {'; '.join(labels)} | {told} |"
