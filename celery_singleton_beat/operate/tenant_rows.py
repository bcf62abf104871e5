"""Tenants as rows: what they have, how they stand, and what they may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_singleton_beat.protocol.limits import TenantLimits
from celery_singleton_beat.protocol.tenant import MINUTE_MS

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.tenant import Tenant


@dataclass(frozen=True)
class TenantRow:
    """One tenant; ``used`` is how many of its entries were taken up in this minute."""

    name: str
    entries: int
    is_paused: bool
    limits: TenantLimits
    has_own_limits: bool
    used: int

    def to_data(self) -> dict[str, Any]:
        """The tenant for JSON."""
        return {
            "name": self.name,
            "entries": self.entries,
            "paused": self.is_paused,
            "own_limits": self.has_own_limits,
            "limits": {
                "max_entries": self.limits.max_entries,
                "min_interval": self.limits.min_interval_ms / 1000 or None,
                "max_per_minute": self.limits.max_per_minute,
            },
            "used_this_minute": self.used,
        }


def tenant_row(name: str, tenant: Tenant, default: TenantLimits, now_ms: int) -> TenantRow:
    """Make the row of a tenant."""
    own = tenant.quota
    return TenantRow(
        name,
        tenant.entries,
        tenant.is_paused,
        default if own is None else TenantLimits.of_quota(own),
        has_own_limits=own is not None,
        used=tenant.used if tenant.minute == now_ms // MINUTE_MS else 0,
    )
