"""The part of a store in memory that keeps stored entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from celery_singleton_beat.protocol.claim import MOST_CLAIMS, Settled, Settlement, Slot, take
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.stored import (
    Card,
    Put,
    PutAnswer,
    Stored,
    look_ms,
    next_revision,
    pause,
    put,
    refusal,
    settle_stored,
)
from celery_singleton_beat.protocol.tenant import (
    MINUTE_MS,
    Quota,
    Tenant,
    allowance,
    spend,
    turn_ms,
)
from celery_singleton_beat.store.memory_asked import MemoryAsked
from celery_singleton_beat.store.memory_state import first_due, put_or_drop
from celery_singleton_beat.store.timetable_port import (
    Kept,
    Page,
    StoredAnswer,
    StoredClaim,
    StoredRequest,
)


class MemoryTimetable(MemoryAsked):
    """Implements ``TimetableStore``."""

    def claim_stored(self, request: StoredRequest) -> StoredAnswer:
        with self._guard:
            now_ms, state = self._enter(), self._state
            if state.is_paused:
                return StoredAnswer(now_ms)
            request_id, first, names = state.took.get(request.replica, ("", 0, ()))
            if request_id == request.request_id:
                slots = [(name, state.stored.get(name)) for name in names]
                taken = [
                    name
                    for name, slot in slots
                    if slot and slot.is_held and first <= slot.fence < first + len(names)
                    if state.cards[name].is_on
                    if not self._tenant(state.cards[name].tenant).is_paused
                ]
            else:
                taken = self._take_turns(request, now_ms)
            claims = tuple(self._claim_of(name) for name in taken)
            return StoredAnswer(now_ms, claims, min(state.turns.values(), default=None))

    def settle_stored(self, settlements: Sequence[Settlement]) -> list[Settled]:
        if not settlements:
            return []
        with self._guard:
            now_ms, state = self._enter(), self._state
            verdicts = []
            for settlement in settlements:
                name = settlement.entry
                card, before = state.cards.get(name), state.stored.get(name)
                after, verdict = settle_stored(card, before, settlement, now_ms=now_ms)
                has_moved = after is not before
                if card is not None and after is not None and has_moved:
                    self._write(name, card, after)
                    self._state.touched.add(card.tenant)
                is_ours = before is not None and before.fence == settlement.fence
                self._note_settled(settlement, now_ms, has_moved=has_moved, is_ours=is_ours)
                verdicts.append(verdict)
            self._give_turns(now_ms)
            return verdicts

    def put(self, puts: Sequence[Put], quota: Quota) -> list[PutAnswer]:
        with self._guard:
            now_ms = self._enter()
            self._changed.set()
            answers = [self._put_one(asked, quota, now_ms) for asked in puts]
            self._give_turns(now_ms)
            return answers

    def remove(
        self, entries: Sequence[str], *, if_revision: int | None = None, source: str | None = None
    ) -> list[Stored]:
        with self._guard:
            now_ms = self._enter()
            self._changed.set()
            verdicts = [self._remove_one(name, if_revision, source, now_ms) for name in entries]
            self._give_turns(now_ms)
            return verdicts

    def pause(
        self, entries: Sequence[str], *, paused: bool, by: str = "", note: str = ""
    ) -> list[Stored]:
        with self._guard:
            now_ms, state, verdicts = self._enter(), self._state, []
            self._changed.set()
            for name in entries:
                card = state.cards.get(name)
                if card is None:
                    verdicts.append(Stored.MISSING)
                    continue
                revision = next_revision(state.revision, now_ms=now_ms)
                after = pause(
                    card, paused=paused, by=by, note=note, now_ms=now_ms, revision=revision
                )
                if after is None:
                    verdicts.append(Stored.UNCHANGED)
                    continue
                state.revision = revision
                self._write(name, after, state.stored[name])
                self._state.touched.add(card.tenant)
                verdicts.append(Stored.CHANGED)
            self._give_turns(now_ms)
            return verdicts

    def pause_all(self, tenant: str | None, *, paused: bool) -> bool:
        with self._guard:
            now_ms, state = self._enter(), self._state
            self._changed.set()
            if tenant is None:
                if state.is_paused == paused:
                    return False
                state.is_paused = paused
                if not paused:
                    state.resumed_ms = now_ms
                return True
            before = self._tenant(tenant)
            if before.is_paused == paused:
                return False
            resumed_ms = before.resumed_ms if paused else now_ms
            self._set_tenant(tenant, replace(before, is_paused=paused, resumed_ms=resumed_ms))
            self._retune(tenant, now_ms)
            return True

    def kept(self, entries: Sequence[str]) -> list[Kept | None]:
        with self._guard:
            self._enter()
            cards, slots = self._state.cards, self._state.stored
            return [Kept(cards[name], slots[name]) if name in cards else None for name in entries]

    def entry_names(self, tenant: str | None, cursor: str = "") -> Page:  # noqa: ARG002  one page
        with self._guard:
            self._enter()
            found = self._state.cards if tenant is None else self._state.looks.get(tenant, {})
            return Page(tuple(found), "")

    def tenants(self, names: Sequence[str]) -> list[Tenant]:
        with self._guard:
            self._enter()
            return [self._tenant(name) for name in names]

    def tenant_names(self, cursor: str = "") -> Page:  # noqa: ARG002  one page
        with self._guard:
            self._enter()
            return Page(tuple(self._state.tenants), "")

    def allow(self, tenant: str, quota: Quota | None) -> None:
        with self._guard:
            now_ms = self._enter()
            self._set_tenant(tenant, replace(self._tenant(tenant), quota=quota))
            self._retune(tenant, now_ms)

    def cancel_queued(self, entry: str, revision: int, keep_ms: int) -> None:  # noqa: ARG002  for ever
        with self._guard:
            self._enter()
            state = self._state
            least = state.cancelled[entry] = max(state.cancelled.get(entry, 0), revision)
            for one in list(state.published.values()):
                if one.entry == entry and one.revision < least:
                    state.await_no_more(one.run)

    def mark(self) -> int:
        with self._guard:
            now_ms, state = self._enter(), self._state
            state.revision = next_revision(state.revision, now_ms=now_ms)
            return state.revision

    def unmarked(self, source: str, mark: int, limit: int) -> list[str]:
        with self._guard:
            self._enter()
            return first_due(self._state.sources.get(source, {}), mark - 1, limit)

    def _take_turns(self, request: StoredRequest, now_ms: int) -> list[str]:
        state, first = self._state, self._next_fence(now_ms)
        limit, taken = min(request.limit, MOST_CLAIMS), list[str]()
        turns = first_due(state.turns, now_ms, limit)
        for at, name in enumerate(turns):
            share = ceil((limit - len(taken)) / (len(turns) - at))
            taken += self._serve(name, share, request, now_ms)
        if taken:
            state.took[request.replica] = (request.request_id, first, tuple(taken))
        return taken

    def _serve(self, name: str, share: int, request: StoredRequest, now_ms: int) -> list[str]:
        state, tenant = self._state, self._tenant(name)
        default = Quota(max_per_minute=request.per_minute if name else ABSENT)
        allowed = allowance(tenant, default, now_ms=now_ms)
        if allowed is not None:
            share = min(share, allowed)
        taken = []
        for entry in first_due(self._scheduled(name), now_ms, share):
            card, slot = state.cards[entry], state.stored[entry]
            state.fence = self._next_fence(now_ms)
            held = take(slot, now_ms=now_ms, hold_ms=request.hold_ms, fence=state.fence)
            self._write(entry, card, held)
            taken.append(entry)
        if allowed is not None and taken:
            self._set_tenant(name, spend(tenant, len(taken), now_ms=now_ms))
        first_ms = min(self._scheduled(name).values(), default=None)
        if first_ms is not None and first_ms <= now_ms:
            is_spent = allowed is not None and allowed <= len(taken)
            first_ms = (now_ms // MINUTE_MS + 1) * MINUTE_MS if is_spent else now_ms
        put_or_drop(state.turns, name, first_ms)
        return taken

    def _claim_of(self, name: str) -> StoredClaim:
        state = self._state
        card = state.cards[name]
        tenant = self._tenant(card.tenant)
        resumed_ms = max(state.resumed_ms, tenant.resumed_ms, card.resumed_ms)
        return StoredClaim(name, state.stored[name], card, resumed_ms)

    def _put_one(self, asked: Put, quota: Quota, now_ms: int) -> PutAnswer:
        state, name = self._state, asked.entry
        card, slot = state.cards.get(name), state.stored.get(name)
        answer = refusal(asked, card, self._tenant(asked.tenant), quota)
        if answer is None:
            state.revision = next_revision(state.revision, now_ms=now_ms)
            left = self._tenant(card.tenant) if card and card.tenant != asked.tenant else None
            after, slot = put(asked, card, slot, now_ms=now_ms, revision=state.revision, left=left)
            if card is None or card.tenant != after.tenant:
                self._count(after.tenant, 1)
            if card is not None:
                self._leave_old(name, card, after)
            self._write(name, after, slot)
            self._state.touched.add(after.tenant)
            answer = PutAnswer(Stored.CHANGED if card else Stored.ADDED, state.revision)
        if asked.source and answer.verdict in {Stored.ADDED, Stored.CHANGED, Stored.UNCHANGED}:
            marks = state.sources.setdefault(asked.source, {})
            marks[name] = max(marks.get(name, 0), asked.mark or state.revision)
        return answer

    def _leave_old(self, name: str, card: Card, after: Card) -> None:
        if card.tenant != after.tenant:
            self._state.looks[card.tenant].pop(name, None)
            self._count(card.tenant, -1)
            self._state.touched.add(card.tenant)
        if card.source and card.source != after.source:
            self._state.sources[card.source].pop(name, None)

    def _remove_one(
        self, name: str, if_revision: int | None, source: str | None, now_ms: int
    ) -> Stored:
        state = self._state
        card = state.cards.get(name)
        if card is None:
            return Stored.MISSING
        if source is not None and card.source != source:
            return Stored.FOREIGN
        if if_revision is not None and card.revision != if_revision:
            return Stored.CONFLICT
        del state.cards[name], state.stored[name], state.looks[card.tenant][name]
        self._drop_asked_of(name, now_ms)
        if card.source:
            state.sources[card.source].pop(name, None)
        self._count(card.tenant, -1)
        self._state.touched.add(card.tenant)
        return Stored.REMOVED

    def _write(self, name: str, card: Card, slot: Slot) -> None:
        self._state.cards[name] = card
        self._state.stored[name] = slot
        self._state.looks.setdefault(card.tenant, {})[name] = look_ms(card, slot)

    def _scheduled(self, tenant: str) -> dict[str, int]:
        """Tell when to look at each entry of a tenant that is to be looked at."""
        looks = self._state.looks.get(tenant, {})
        return {name: at_ms for name, at_ms in looks.items() if at_ms is not None}

    def _give_turns(self, now_ms: int) -> None:
        """Tell when to look at the tenants of all that was changed in one step."""
        for tenant in self._state.touched:
            self._retune(tenant, now_ms)
        self._state.touched.clear()

    def _retune(self, tenant: str, now_ms: int) -> None:
        turn = self._state.turns.get(tenant)
        first_ms = min(self._scheduled(tenant).values(), default=None)
        turn = turn_ms(turn, first_ms, now_ms=now_ms)
        put_or_drop(self._state.turns, tenant, None if self._tenant(tenant).is_paused else turn)
