"""The half of a store in Redis that beats use: slots, the fleet, what is awaited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from celery_singleton_beat.protocol.awaited import Awaited, Postponed
from celery_singleton_beat.protocol.claim import Adopted, Claim, Settled, Settlement, Slot
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.store.port import (
    Adoption,
    ClaimAnswer,
    ClaimRequest,
    SlotsAnswer,
    Standing,
)
from celery_singleton_beat.store.redis_script import batches, pairs
from celery_singleton_beat.store.redis_settling import Settlers, slot_texts


class RedisSlots(Settlers):
    """Implements the verbs of beats: one method per script."""

    def claim(self, request: ClaimRequest) -> ClaimAnswer:
        keys = self.keys
        answer = self._call(
            "claim",
            (
                keys.meta,
                keys.replicas,
                keys.numbers,
                keys.due,
                keys.held,
                keys.slots,
                keys.aside,
                keys.last(request.replica),
                keys.awaited,
                keys.crashable,
                keys.turns,
                keys.cards,
                keys.asked,
                keys.asked_config,
            ),
            (
                request.replica,
                request.digest,
                request.info,
                request.request_id,
                request.limit,
                request.hold_ms,
                request.timeout_ms,
            ),
        )
        now_ms, standing, paused, resumed_ms, stored_ms, asked_ms, *rest = answer
        next_ms, others, overdue, claims, *unreadable = rest
        found = claims or []
        return ClaimAnswer(
            int(now_ms),
            Standing(standing),
            tuple(Claim(name, Slot.from_text(text)) for name, text in pairs(found)),
            int(next_ms) if next_ms else None,
            others_hold=bool(others),
            unreadable=tuple(unreadable),
            has_overdue=bool(overdue),
            is_paused=bool(paused),
            resumed_ms=int(resumed_ms),
            stored_ms=int(stored_ms) if stored_ms else None,
            asked_ms=int(asked_ms) if asked_ms else None,
        )

    def settle(self, digest: str, settlements: Sequence[Settlement]) -> list[Settled]:
        keys = self.keys
        return self._settle(
            "settle", (keys.meta, keys.due, keys.held, keys.slots), settlements, digest
        )

    def note_once(self, entry: str, told: Sequence[Told], unsent: Sequence[str]) -> None:
        keys = self.keys
        words = [word for one in told for word in one]
        # An empty table is no list to Lua.
        args = (self._history, entry, list(unsent) or "", *words)
        self._call("note_once", (keys.meta, keys.history, keys.queued), args)

    def recall(self, *, limit: int, hold_ms: int) -> list[Awaited]:
        keys = self.keys
        found = self._call(
            "recall", (keys.meta, keys.awaited, keys.published, keys.progress), (limit, hold_ms)
        )
        return [Awaited.from_text(run, text) for run, text in pairs(found)]

    def dismiss(self, runs: Sequence[str]) -> None:
        keys = self.keys
        for batch in batches(runs):
            self._call("dismiss", (keys.meta, keys.awaited, keys.published), batch)

    def await_again(self, runs: Sequence[str], published_by: str) -> None:
        keys = self.keys
        for batch in batches(runs):
            names = (keys.meta, keys.awaited, keys.published, keys.history)
            self._call("await_again", names, (published_by, self._history, *batch))

    def postpone(self, postponed: Sequence[Postponed], by: str) -> None:
        keys = self.keys
        names = (keys.meta, keys.awaited, keys.published, keys.history)
        for batch in batches(postponed):
            told = [word for one in batch for word in (*one[:3], one.error[:200])]
            self._call("postpone", names, (by, self._history, *told))

    def busy(self, runs: Sequence[str]) -> list[bool]:
        keys = self.keys
        return [
            bool(verdict)
            for batch in batches(runs)
            for verdict in self._call(
                "busy", (keys.meta, keys.queued, keys.messages, *map(keys.run, batch)), batch
            )
        ]

    def slots(self, entries: Sequence[str], *, set_aside: bool = True) -> SlotsAnswer:
        keys = self.keys
        found: list[Slot | None] = []
        unreadable = []
        for batch in batches(entries):
            texts = self._call(
                "slots",
                (keys.meta, keys.due, keys.held, keys.slots, keys.aside),
                (int(set_aside), *batch),
            )
            for name, text in zip(batch, texts, strict=True):
                if text == "ASIDE":
                    unreadable.append(name)
                found.append(None if text in ("", "ASIDE") else Slot.from_text(text))
        return SlotsAnswer(tuple(found), tuple(unreadable))

    def adopt(
        self,
        digest: str,
        adoptions: Sequence[Adoption],
        *,
        done: bool,
        of: Mapping[str, str] | None = None,
    ) -> list[Adopted]:
        keys, rules = self.keys, [text for pair in (of or {}).items() for text in pair]
        verdicts: list[Adopted] = []
        parts = list(batches(adoptions)) or [()]
        for number, batch in enumerate(parts, 1):
            is_last = done and number == len(parts)
            told = [
                (a.entry, a.seen.to_text() if a.seen else "", *slot_texts(a.planned)) for a in batch
            ]
            answer = self._call(
                "adopt",
                (keys.meta, keys.due, keys.held, keys.slots),
                (digest, int(is_last), told, rules if is_last else []),
            )
            verdicts += map(Adopted, answer)
        return verdicts

    def leave(self, replica: str) -> None:
        keys = self.keys
        self._call("leave", (keys.meta, keys.replicas, keys.last(replica)), (replica,))
