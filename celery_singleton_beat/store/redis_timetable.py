"""The part of a store in Redis that keeps stored entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery_singleton_beat.protocol.claim import Settled, Settlement, Slot
from celery_singleton_beat.protocol.codec import clean
from celery_singleton_beat.protocol.stored import Card, Put, PutAnswer, Stored
from celery_singleton_beat.protocol.tenant import Quota, Tenant
from celery_singleton_beat.store.redis_script import batches, pairs
from celery_singleton_beat.store.redis_settling import Settlers
from celery_singleton_beat.store.timetable_port import (
    Kept,
    Page,
    StoredAnswer,
    StoredClaim,
    StoredRequest,
)

_PAGE = 500


class RedisTimetable(Settlers):
    """Implements ``TimetableStore``: one method per script."""

    def claim_stored(self, request: StoredRequest) -> StoredAnswer:
        keys = self.keys
        answer = self._call(
            "claim_stored",
            (*keys.timetable, keys.took(request.replica)),
            (request.request_id, request.limit, request.hold_ms, request.per_minute),
        )
        now_ms, next_ms, found_again, claims, foreign, *unreadable = answer
        found = claims or []
        return StoredAnswer(
            int(now_ms),
            tuple(
                StoredClaim(entry, Slot.from_text(slot), Card.from_text(card), int(resumed_ms))
                for entry, slot, card, resumed_ms in zip(*[iter(found)] * 4, strict=True)
            ),
            int(next_ms) if next_ms else None,
            tuple(unreadable),
            int(found_again),
            tuple(foreign),
        )

    def settle_stored(self, settlements: Sequence[Settlement]) -> list[Settled]:
        return self._settle("settle_stored", self.keys.timetable, settlements)

    def put(self, puts: Sequence[Put], quota: Quota) -> list[PutAnswer]:
        answers: list[PutAnswer] = []
        for batch in batches(puts):
            found = self._change(
                "put", quota.max_entries, quota.min_interval_ms, [_texts(one) for one in batch]
            )
            answers += (
                PutAnswer(Stored(verdict), int(revision), int(limit))
                for verdict, revision, limit in zip(*[iter(found)] * 3, strict=True)
            )
        return answers

    def remove(
        self, entries: Sequence[str], *, if_revision: int | None = None, source: str | None = None
    ) -> list[Stored]:
        wanted = "" if if_revision is None else if_revision
        about = (self.keys.wake, wanted, int(source is not None), source or "", self._history)
        keys = (*self.keys.timetable, *self.keys.asking)
        return [
            Stored(verdict)
            for batch in batches(entries)
            for verdict in self._call("remove", keys, (*about, *batch))
        ]

    def pause(
        self, entries: Sequence[str], *, paused: bool, by: str = "", note: str = ""
    ) -> list[Stored]:
        about = (int(paused), clean(by), clean(note))
        return [
            Stored(verdict)
            for batch in batches(entries)
            for verdict in self._change("pause", *about, *batch)
        ]

    def pause_all(self, tenant: str | None, *, paused: bool) -> bool:
        answer = self._change("pause_all", int(paused), int(tenant is not None), tenant or "")
        return bool(answer[0])

    def kept(self, entries: Sequence[str]) -> list[Kept | None]:
        return [
            Kept(Card.from_text(card), Slot.from_text(slot)) if card else None
            for batch in batches(entries)
            for card, slot in pairs(self._call("kept", self.keys.timetable, batch))
        ]

    def entry_names(self, tenant: str | None, cursor: str = "") -> Page:
        return self._page("entries" if tenant is None else "of", tenant or "", cursor)

    def tenants(self, names: Sequence[str]) -> list[Tenant]:
        return [
            Tenant.from_text(text) if text else Tenant()
            for batch in batches(names)
            for text in self._call("tenants", self.keys.timetable, batch)
        ]

    def tenant_names(self, cursor: str = "") -> Page:
        return self._page("tenants", "", cursor)

    def allow(self, tenant: str, quota: Quota | None) -> None:
        about = (tenant, int(quota is not None), *(quota or Quota()))
        self._call("allow", self.keys.timetable, about)

    def cancel_queued(self, entry: str, revision: int, keep_ms: int) -> None:
        keys = self.keys
        about = (keys.meta, keys.cancelled(entry), keys.awaited, keys.published)
        self._call("cancel", about, (revision, keep_ms, entry))

    def mark(self) -> int:
        return int(self._call("mark", self.keys.timetable, ())[0])

    def unmarked(self, source: str, mark: int, limit: int) -> list[str]:
        return self._call("unmarked", self.keys.timetable, (source, mark, limit))

    def _change(self, name: str, *args: Any) -> list[Any]:
        """Call a script that tells the waiting replicas."""
        return self._call(name, self.keys.timetable, (self.keys.wake, *args))

    def _page(self, what: str, tenant: str, cursor: str) -> Page:
        following, *names = self._call(
            "names", self.keys.timetable, (what, tenant, cursor or "0", _PAGE)
        )
        return Page(tuple(names), "" if following == "0" else following)


def _texts(asked: Put) -> tuple[str, ...]:
    """Write a definition to store."""
    wanted = "" if asked.if_revision is None else str(asked.if_revision)
    return (
        asked.entry,
        asked.definition,
        asked.rule,
        str(asked.slot_ms),
        str(asked.due_ms),
        asked.tenant,
        asked.source,
        str(int(asked.is_enabled)),
        str(asked.gap_ms),
        wanted,
        clean(asked.by),
        str(asked.mark),
        str(asked.reckoned_ms),
        "" if asked.last_ms is None else str(asked.last_ms),
    )
