"""The replicas of a deployment, which configuration governs, and what is in the store."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.protocol.recurrences.bounds import datetime_of

if TYPE_CHECKING:
    from celery_singleton_beat.adapters.extension import Extension
    from celery_singleton_beat.store.observed_port import Overview


@dataclass(frozen=True)
class ReplicaRow:
    """One beat: its configuration, for how long nothing was heard of it, what it tells of itself.

    It is alive if it was heard of within ``singleton_beat_replica_timeout``.
    """

    name: str
    configuration: str
    number: int
    governs: bool
    is_alive: bool
    silent_ms: int
    reports_for_ms: int
    about: About


@dataclass(frozen=True)
class FleetView:
    """How a deployment stands. Numbers count what the store has.

    ``governor`` is the configuration that governs (None: no replica was heard of
    yet), ``adopted`` the one whose entries are planned, ``own`` that of this process.
    ``late_ms`` is how long the most overdue entry is due already.
    """

    now: datetime
    store: str
    prefix: str
    app: str
    schema: int
    born_at: datetime
    is_reborn: bool
    replicas: tuple[ReplicaRow, ...]
    governor: str | None
    adopted: str | None
    own: str
    is_paused: bool
    resumed_at: datetime | None
    planned: int
    stored: int
    locks: int
    tenants: int
    requests: int
    awaited: int
    queued: int
    crashable: int
    late_ms: int

    @property
    def alive(self) -> tuple[ReplicaRow, ...]:
        """The replicas that live, as far as is known."""
        return tuple(replica for replica in self.replicas if replica.is_alive)

    @property
    def configurations(self) -> int:
        """How many configurations live replicas have; more than one: a deploy is under way."""
        return len({replica.configuration for replica in self.alive})

    def to_data(self) -> dict[str, Any]:
        """The view for JSON."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("now", "born_at", "resumed_at"):
            data[name] = None if data[name] is None else data[name].isoformat()
        return {
            **data,
            "replicas": [asdict(replica) for replica in self.replicas],
            "alive": len(self.alive),
            "configurations": self.configurations,
        }


def fleet_view(extension: Extension, overview: Overview, own: str) -> FleetView:
    """Make the view of what a store answered."""
    timeout_ms = extension.settings.replica_timeout_ms
    looks = (overview.due_ms, overview.stored_due_ms, overview.asked_due_ms)
    late_ms = max((overview.now_ms - at_ms for at_ms in looks if at_ms is not None), default=0)
    return FleetView(
        now=datetime_of(overview.now_ms),
        store=extension.address,
        prefix=extension.prefix,
        app=overview.app,
        schema=overview.schema,
        born_at=datetime_of(overview.born_ms),
        is_reborn=overview.is_reborn,
        replicas=_replicas(overview, timeout_ms),
        governor=overview.governor,
        adopted=overview.adopted,
        own=own,
        is_paused=overview.is_paused,
        resumed_at=datetime_of(overview.resumed_ms) if overview.resumed_ms else None,
        planned=overview.planned,
        stored=overview.stored,
        locks=overview.locks,
        tenants=overview.tenants,
        requests=overview.requests,
        awaited=overview.awaited,
        queued=overview.queued,
        crashable=overview.crashable,
        late_ms=max(late_ms, 0) if not overview.is_paused else 0,
    )


def _replicas(overview: Overview, timeout_ms: int) -> tuple[ReplicaRow, ...]:
    fleet, rows = overview.fleet, []
    for name, member in sorted(fleet.members.items()):
        quiet_ms = overview.silent_ms(name)
        rows.append(
            ReplicaRow(
                name=name,
                configuration=member.digest,
                number=fleet.numbers.get(member.digest, 0),
                governs=member.digest == overview.governor,
                is_alive=quiet_ms <= timeout_ms,
                silent_ms=quiet_ms,
                reports_for_ms=member.last_ms - member.first_ms,
                about=About.from_text(member.info),
            )
        )
    return tuple(rows)
