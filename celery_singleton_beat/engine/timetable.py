"""Stored entries as the store keeps them, for whoever changes them.

Runs in: any process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from celery_singleton_beat.errors import (
    EntryError,
    RevisionConflict,
    SingletonBeatError,
)
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.entry import DAY_MS, Timing
from celery_singleton_beat.protocol.limits import TenantLimits, gap_of, too_many, too_often
from celery_singleton_beat.protocol.preview import upcoming
from celery_singleton_beat.protocol.stored import Put, PutAnswer, Stored
from celery_singleton_beat.protocol.tenant import Quota
from celery_singleton_beat.store.port import Store
from celery_singleton_beat.store.timetable_port import Kept, Page

_ASK_AGAIN_MS: Final = 60_000
_CANCELLED_MS: Final = 2 * DAY_MS
"""So long it is remembered what was cancelled: no message of default windows may begin later."""
_MARGIN_MS: Final = 50


@dataclass(frozen=True)
class Change:
    """What is to be put for an entry: under which condition, for which source, by whom."""

    if_revision: int | None = None
    by: str = ""
    mark: int = 0


_PLAIN: Final = Change()


class StoreClock:
    """The store's time as it was some time ago or is now, and never later than it is."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at_ms = 0
        self._heard_ms: int | None = None

    def now_ms(self) -> int:
        """Tell the store's time, a little early; it is asked for once a minute."""
        here_ms = time.monotonic_ns() // 1_000_000
        if self._heard_ms is None or here_ms - self._heard_ms > _ASK_AGAIN_MS:
            self._at_ms = self._store.ping()
            self._heard_ms = here_ms = time.monotonic_ns() // 1_000_000
        return self._at_ms + (here_ms - self._heard_ms) - _MARGIN_MS


class TimetableEngine:
    """Writes entries into the store, and reads them."""

    def __init__(self, store: Store, limits: TenantLimits) -> None:
        self._store = store
        self._quota: Quota = limits.quota
        self._clock = StoreClock(store)

    def put(self, entries: Sequence[Entry], change: Change = _PLAIN) -> list[PutAnswer]:
        """Store entries, each for itself."""
        now_ms = self._clock.now_ms()
        return self._store.put([put_of(entry, change, now_ms) for entry in entries], self._quota)

    def cancel_queued(self, name: str, revision: int) -> None:
        """Let nothing begin of an entry that was published by an earlier revision."""
        kept = next((kept for _, kept in self.kept([name])), None)
        own_ms = None if kept is None else Entry.from_json(kept.card.definition).dedupe_window_ms
        self._store.cancel_queued(name, revision, max(_CANCELLED_MS, 2 * (own_ms or 0)))

    def kept(self, names: Iterable[str]) -> Iterator[tuple[str, Kept]]:
        """Read entries; those that are not there are left out."""
        wanted = list(names)
        for name, kept in zip(wanted, self._store.kept(wanted), strict=True):
            if kept is not None:
                yield name, kept

    def upcoming(self, kept: Kept, timing: Timing, count: int) -> list[int]:
        """Tell the next scheduled times of an entry; none while it or its tenant is stopped."""
        card, slot = kept
        tenant = self._store.tenants([card.tenant])[0]
        if not card.is_on or tenant.is_paused:
            return []
        resumed_ms = max(card.resumed_ms, tenant.resumed_ms)
        now_ms = self._clock.now_ms()
        times = upcoming(
            timing, slot, now_ms=now_ms, changed_ms=card.changed_ms, resumed_ms=resumed_ms
        )
        return list(islice(times, count))

    def names(self, tenant: str | None) -> Iterator[list[str]]:
        """List names, page by page, each once."""
        return _pages(lambda cursor: self._store.entry_names(tenant, cursor))

    def tenants(self) -> Iterator[list[str]]:
        """List tenants, page by page, each once."""
        return _pages(self._store.tenant_names)


def put_of(entry: Entry, change: Change, now_ms: int) -> Put:
    """Write an entry as the store takes it, planned from now on."""
    timing = entry.timing()
    slot_ms = timing.recurrence.next_after(now_ms)
    gap_ms = gap_of(entry) if entry.tenant else 0
    return Put(
        entry.name,
        entry.to_json(),
        timing.rule,
        ABSENT if slot_ms is None else slot_ms,
        ABSENT if slot_ms is None else slot_ms + timing.offset_ms,
        entry.tenant,
        entry.source,
        entry.enabled,
        gap_ms,
        change.if_revision,
        change.by,
        change.mark,
        now_ms,
    )


def refused(entry: Entry, answer: PutAnswer) -> SingletonBeatError | None:
    """Tell why the store refused an entry; None if it did not."""
    match answer.verdict:
        case Stored.CONFLICT:
            found = f"has revision {answer.revision}" if answer.revision else "is not there"
            return RevisionConflict(
                f"entry {entry.name!r} {found}: read it again, and make the change on that",
                answer.revision,
            )
        case Stored.FOREIGN:
            return EntryError(
                f"entry {entry.name!r} is not of the source {entry.source!r}: "
                "whoever put it must remove it first"
            )
        case Stored.TOO_MANY:
            return too_many(entry, answer.limit)
        case Stored.TOO_OFTEN:
            return too_often(entry, answer.limit)
        case _:
            return None


def _pages(ask: Callable[[str], Page]) -> Iterator[list[str]]:
    seen: set[str] = set()
    cursor = ""
    while True:
        page = ask(cursor)
        fresh = [name for name in dict.fromkeys(page.names) if name not in seen]
        seen.update(fresh)
        yield fresh
        cursor = page.cursor
        if not cursor:
            return
