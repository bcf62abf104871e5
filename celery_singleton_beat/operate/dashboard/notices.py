"""What a person must know before all else: told at the top of every page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from celery_singleton_beat.operate.dashboard.words import counted
from celery_singleton_beat.operate.entry_rows import OVERDUE_MS
from celery_singleton_beat.operate.fleet_view import FleetView
from celery_singleton_beat.operate.words import duration
from celery_singleton_beat.protocol.history import Fact

RECENT_MS: Final = 600_000
_REBORN_SECONDS: Final = 24 * 3600
_CLOCK_MS: Final = 10_000
_MOST_NAMED: Final = 3

# Kind of fact: (weight, what it is said of, what is said, what to do).
_TROUBLES: Final = {
    "dispatch_failed": ("bad", "attempt", "to send failed", "The history says why."),
    "lost": (
        "bad",
        "run",
        "lost the lease",
        "Another may have run beside it: its worker stood still, or could not reach the store.",
    ),
    "given up": ("bad", "run", "given up", "Their workers died each time."),
    "failed": ("notice", "run", "failed", "The workers' logs have the tracebacks."),
    "rerun": ("notice", "run", "begun anew after a worker died", ""),
    "published_again": ("notice", "run", "published again", "No worker had begun them in time."),
}


class Notice(NamedTuple):
    """One thing, and what to do about it; ``bad`` if runs are late for it."""

    weight: str
    text: str
    hint: str = ""


def notices_of(fleet: FleetView, facts: Sequence[Fact] = ()) -> list[Notice]:
    """Tell what is not as it should be, the worst first."""
    found = [*_found(fleet), *_clocks(fleet), *_lately(fleet, facts)]
    return sorted(found, key=lambda notice: notice.weight != "bad")


def headline_of(fleet: FleetView, notices: list[Notice]) -> str:
    """Say it all in a line."""
    if any(notice.weight == "bad" for notice in notices):
        return "Something is wrong."
    if fleet.is_paused:
        return "Everything is paused."
    return "All is well." if not notices else "It runs; there is something to look at."


def _found(fleet: FleetView) -> Iterator[Notice]:
    if not fleet.alive:
        yield Notice(
            "bad",
            "No beat is alive: nothing is dispatched.",
            "If beats do run, they have another store or another prefix than this process: "
            f"compare {fleet.store} and {fleet.prefix} with what they print when they start.",
        )
    elif fleet.late_ms > OVERDUE_MS:
        yield Notice(
            "bad",
            f"Something is due for {duration(fleet.late_ms)}, and no beat has dispatched it.",
            "Look at the beats' logs: the broker may be away, or an entry cannot be sent.",
        )
    if fleet.is_paused:
        yield Notice("notice", "Everything is paused.", "No beat dispatches anything.")
    if fleet.configurations > 1:
        yield Notice(
            "notice",
            f"Beats with {fleet.configurations} different configurations are alive.",
            "In a deploy this is over within a minute; if it stays, some were not deployed.",
        )
    elif fleet.alive and fleet.governor is not None and fleet.own != fleet.governor:
        yield Notice(
            "notice",
            "The beats have another beat_schedule than this process.",
            "Entries of beat_schedule are shown here as this process knows them.",
        )
    age = (fleet.now - fleet.born_at).total_seconds()
    if fleet.is_reborn and age < _REBORN_SECONDS:
        yield Notice(
            "notice",
            f"The store came back empty {duration(round(age * 1000))} ago.",
            "What it remembered before is gone: stored entries, history, locks.",
        )


def _clocks(fleet: FleetView) -> Iterator[Notice]:
    for replica in fleet.alive:
        ahead_ms = replica.about.ahead_ms
        if ahead_ms is not None and abs(ahead_ms) > _CLOCK_MS:
            how = "ahead of" if ahead_ms > 0 else "behind"
            yield Notice(
                "notice",
                f"The clock of {replica.about.host or replica.name} is "
                f"{duration(abs(ahead_ms))} {how} the store's.",
                "Only the store's counts, so runs are on time; set it right all the same (NTP).",
            )


def _lately(fleet: FleetView, facts: Sequence[Fact]) -> Iterator[Notice]:
    """Tell of the troubles of the last minutes, as far back as the facts that are given."""
    since_ms = round(fleet.now.timestamp() * 1000) - RECENT_MS
    of_run = {fact.run: fact.entry for fact in facts if fact.run and fact.entry}
    found: dict[str, list[str]] = defaultdict(list)
    for fact in facts:
        if fact.at_ms >= since_ms and fact.kind in _TROUBLES:
            found[fact.kind].append(fact.entry or of_run.get(fact.run, ""))
    for kind, (weight, one, what, hint) in _TROUBLES.items():
        if found[kind]:
            names = [name for name in dict.fromkeys(found[kind]) if name]
            of = f": {', '.join(names[:_MOST_NAMED])}" if names else ""
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            count = counted(len(found[kind]), one)
            yield Notice(weight, f"{count} {what} in the last 10 minutes{of}{more}.", hint)
