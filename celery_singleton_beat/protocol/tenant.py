"""A tenant: what it may have, how it stands, and when it is its turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from celery_singleton_beat.protocol.codec import ABSENT, join, split

MINUTE_MS: Final = 60_000


class Quota(NamedTuple):
    """What a tenant may have at most; ABSENT: as much as it likes."""

    max_entries: int = ABSENT
    min_interval_ms: int = ABSENT
    max_per_minute: int = ABSENT


@dataclass(frozen=True, slots=True)
class Tenant:
    """What the store keeps of a tenant: how much it has, and how it stands.

    ``minute`` is the last minute in which something of it was claimed, ``used``
    how much in it. ``quota`` is its own (None: the default).
    """

    entries: int = 0
    is_paused: bool = False
    resumed_ms: int = 0
    minute: int = 0
    used: int = 0
    quota: Quota | None = None

    def to_text(self) -> str:
        return join(
            self.entries,
            int(self.is_paused),
            self.resumed_ms,
            self.minute,
            self.used,
            int(self.quota is not None),
            *(self.quota or Quota()),
        )

    @classmethod
    def from_text(cls, text: str) -> Tenant:
        entries, paused, resumed_ms, minute, used, own, *quota = map(int, split(text, 9))
        return cls(entries, paused == 1, resumed_ms, minute, used, Quota(*quota) if own else None)


def turn_ms(turn: int | None, first_look_ms: int | None, *, now_ms: int) -> int | None:
    """Tell when a tenant is next to be looked at; None: never.

    It is when the first of its entries is; but one that was served and has more
    keeps the turn it got then, so that tenants with a backlog take turns.
    """
    if first_look_ms is None or first_look_ms > now_ms:
        return first_look_ms
    if turn is not None and first_look_ms < turn <= now_ms:
        return turn
    return first_look_ms


def allowance(tenant: Tenant, default: Quota, *, now_ms: int) -> int | None:
    """Tell how much may be claimed of a tenant in this minute; None: any number."""
    most = (tenant.quota or default).max_per_minute
    if most == ABSENT:
        return None
    used = tenant.used if tenant.minute == now_ms // MINUTE_MS else 0
    return max(most - used, 0)


def spend(tenant: Tenant, count: int, *, now_ms: int) -> Tenant:
    """Note that so much of a tenant was claimed."""
    minute = now_ms // MINUTE_MS
    used = tenant.used if tenant.minute == minute else 0
    return replace(tenant, minute=minute, used=used + count)
