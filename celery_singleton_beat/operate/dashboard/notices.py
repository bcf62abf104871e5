"""What a person must know before all else: told at the top of every page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from celery_singleton_beat.operate.entry_rows import OVERDUE_MS
from celery_singleton_beat.operate.fleet_view import FleetView
from celery_singleton_beat.operate.words import duration

_RECENT_SECONDS: Final = 24 * 3600


class Notice(NamedTuple):
    """One thing, and what to do about it; ``bad`` if runs are late for it."""

    weight: str
    text: str
    hint: str = ""


def notices_of(fleet: FleetView) -> list[Notice]:
    """Tell what is not as it should be, the worst first."""
    return sorted(_found(fleet), key=lambda notice: notice.weight != "bad")


def headline_of(fleet: FleetView, notices: list[Notice]) -> str:
    """Say it all in a line."""
    bad = [notice.text for notice in notices if notice.weight == "bad"]
    if bad:
        return bad[0]
    if fleet.is_paused:
        return "Everything is paused."
    return "All is well." if not notices else "It runs, with something to know."


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
    if fleet.is_reborn and age < _RECENT_SECONDS:
        yield Notice(
            "notice",
            f"The store came back empty {duration(round(age * 1000))} ago.",
            "What it remembered before is gone: stored entries, history, locks.",
        )
