"""Health: whether the beats of a deployment, or the one of this host, do their work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_singleton_beat.operate.words import duration

if TYPE_CHECKING:
    from celery_singleton_beat.operate.fleet_view import FleetView


@dataclass(frozen=True)
class Health:
    """Whether all is well, and what that rests on: each line is a reason, or one against."""

    is_well: bool
    reasons: tuple[str, ...]

    def to_data(self) -> dict[str, Any]:
        """The health for JSON."""
        return {"healthy": self.is_well, "reasons": list(self.reasons)}


def health_of_beats(fleet: FleetView, *, least: int, late_ms: int) -> Health:
    """Judge a deployment: so many beats report, and nothing is overdue for longer."""
    alive = len(fleet.alive)
    bad = []
    if alive < least:
        bad.append(f"{alive} of {least} beats alive")
    if fleet.late_ms > late_ms:
        bad.append(f"something is due since {duration(fleet.late_ms)}")
    if bad:
        return Health(is_well=False, reasons=tuple(bad))
    paused = ("everything is paused",) if fleet.is_paused else ()
    late = f"nothing is overdue for more than {duration(late_ms)}"
    return Health(is_well=True, reasons=(f"{alive} of {least} beats alive", late, *paused))


def health_of_host(fleet: FleetView, host: str) -> Health:
    """Judge one host: a beat on it reports, whether it dispatches or stands by."""
    here = [replica for replica in fleet.alive if replica.about.host == host]
    if not here:
        return Health(is_well=False, reasons=(f"no beat on host {host} is alive",))
    return Health(is_well=True, reasons=tuple(f"beat {one.name} is alive" for one in here))
