"""How what a holder says of its claim is written for the scripts, and told to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.claim import Settled, Settlement, Slot
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.store.redis_script import RedisScripts, batches


class Settlers(RedisScripts):
    """Calls the scripts that end holds: of slots, of stored entries, of requests."""

    def _settle(
        self, script: str, own: Sequence[str], settlements: Sequence[Settlement], *about: str
    ) -> list[Settled]:
        keys = self.keys
        watched = (keys.awaited, keys.published, keys.progress, keys.history, keys.queued)
        verdicts: list[Settled] = []
        for batch in batches(settlements):
            settled = [_texts(settlement) for settlement in batch]
            runs = (keys.run(one.run) for settlement in batch for one in settlement.awaited)
            args = (*about, settled, self._history)
            verdicts += map(Settled, self._call(script, (*own, *watched, *runs), args))
        return verdicts


def _texts(settlement: Settlement) -> tuple[Any, ...]:
    """Write a settlement; only of stored entries it has a revision, only of requests their id."""
    entry, fence, slot, awaited, told, revision, queued, request = settlement
    return (
        entry,
        str(fence),
        *slot_texts(slot),
        _awaited(awaited),
        _told(told),
        str(revision),
        [str(item) for one in queued for item in one] or "",
        request,
    )


def slot_texts(slot: Slot) -> tuple[str, str, str]:
    """Write what a holder may say of a slot: its time, when it is due, and the rest."""
    rest = f"{slot.failures}|{slot.runs}|{slot.last_ms}|{slot.rule}"
    return str(slot.slot_ms), str(slot.due_ms), rest


def _awaited(awaited: Sequence[Awaited]) -> list[str] | str:
    """Write what is awaited; none as a text, for an empty table is no list to Lua."""
    texts: list[str] = []
    for one in awaited:
        texts += (one.run, str(one.deadline_ms), str(one.scheduled_ms), one.to_text())
    return texts or ""


def _told(told: Sequence[Told]) -> list[str] | str:
    """Write what is told as texts; nothing as a text, for an empty table is no list to Lua."""
    return [str(item) for one in told for item in one] or ""
