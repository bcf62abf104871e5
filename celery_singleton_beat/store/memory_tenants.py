"""What a store in memory keeps of tenants, for all that counts against them."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.tenant import Tenant
from celery_singleton_beat.store.memory_settling import MemorySettling
from celery_singleton_beat.store.memory_state import put_or_drop


class MemoryTenants(MemorySettling):
    """Reads and writes tenants; of one that has nothing nothing is kept."""

    def _tenant(self, name: str) -> Tenant:
        return self._state.tenants.get(name, Tenant())

    def _count(self, name: str, by: int) -> None:
        tenant = self._tenant(name)
        self._set_tenant(name, replace(tenant, entries=tenant.entries + by))

    def _set_tenant(self, name: str, tenant: Tenant) -> None:
        is_bare = not (tenant.entries or tenant.is_paused or tenant.quota)
        put_or_drop(self._state.tenants, name, None if is_bare else tenant)
