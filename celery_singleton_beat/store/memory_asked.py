"""The part of a store in memory that keeps what is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from celery_singleton_beat.protocol.asked import (
    KEEP_MS,
    Ask,
    AskAnswer,
    Asked,
    Asking,
    ask,
    is_scheduled,
    look_again_ms,
    portion,
    repeated,
    settle_asked,
    stopped_by,
)
from celery_singleton_beat.protocol.claim import MOST_CLAIMS, Settled, Settlement, take
from celery_singleton_beat.protocol.codec import ABSENT, clean
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.stored import Card
from celery_singleton_beat.protocol.tenant import MINUTE_MS, Quota, allowance, spend
from celery_singleton_beat.store.asked_port import (
    AskedAnswer,
    AskedClaim,
    AskedRequest,
    OpenRequest,
    RequestPage,
)
from celery_singleton_beat.store.memory_state import first_due
from celery_singleton_beat.store.memory_tenants import MemoryTenants

_FORGET = 100


class MemoryAsked(MemoryTenants):
    """Implements ``AskedStore``."""

    def ask(self, asking: Asking) -> AskAnswer:
        with self._guard:
            now_ms, state = self._enter(), self._state
            for request in first_due(state.asked_over, now_ms, _FORGET):
                del state.asked_over[request], state.asks[request]
                state.asked_slots.pop(request, None)
            known = state.asks.get(asking.request)
            if known is not None:
                return repeated(asking, known)
            card = state.cards.get(asking.entry)
            if card is None and not is_scheduled(state.slots.get(asking.entry)):
                return AskAnswer(Asked.UNKNOWN)
            tenant = self._tenant(card.tenant if card else "")
            why = stopped_by(card, tenant, is_all_paused=state.is_paused)
            if why and not asking.is_backfill:
                return AskAnswer(Asked.STOPPED, stopped_by=why)
            opened, slot = ask(asking, is_config=card is None, now_ms=now_ms)
            state.asks[asking.request] = opened
            state.asked_slots[asking.request] = slot
            self._index_of(opened)[asking.request] = now_ms
            self._note_asked(now_ms, "asked", asking.request, opened, opened.by)
            self._changed.set()
            return AskAnswer(Asked.ASKED, opened.from_ms)

    def claim_asked(self, request: AskedRequest) -> AskedAnswer:
        with self._guard:
            now_ms, state = self._enter(), self._state
            if state.is_paused:
                return AskedAnswer(now_ms)
            governs = request.digest == state.governor == state.adopted
            indexes = [state.asked, state.asked_config] if governs else [state.asked]
            asked_by, first, took = state.took_asked.get(request.replica, ("", 0, ()))
            if asked_by == request.request_id:
                claims = self._repeated_asked(first, took)
            else:
                claims = self._take_asked(request, indexes, now_ms)
            looks = [at_ms for index in indexes for at_ms in index.values()]
            return AskedAnswer(now_ms, tuple(claims), min(looks, default=None))

    def settle_asked(self, settlements: Sequence[Settlement]) -> list[Settled]:
        if not settlements:
            return []
        with self._guard:
            now_ms, state = self._enter(), self._state
            verdicts = []
            for settlement in settlements:
                request = settlement.request
                before = state.asked_slots.get(request)
                after, verdict = settle_asked(before, settlement, now_ms=now_ms)
                has_moved = after is not before
                if after is not None and has_moved:
                    state.asked_slots[request] = after
                    if after.due_ms == ABSENT:
                        self._close(request, now_ms)
                    else:
                        self._index_of(state.asks[request])[request] = after.due_ms
                is_ours = before is not None and before.fence == settlement.fence
                self._note_settled(settlement, now_ms, has_moved=has_moved, is_ours=is_ours)
                verdicts.append(verdict)
            return verdicts

    def cancel_asked(
        self, requests: Sequence[str], by: str = "", *, dropped: bool = False
    ) -> list[bool]:
        with self._guard:
            now_ms = self._enter()
            kind = "dropped" if dropped else "called_off"
            return [self._drop(request, kind, clean(by), now_ms) for request in requests]

    def open_requests(self, cursor: str = "") -> RequestPage:  # noqa: ARG002  one page
        with self._guard:
            self._enter()
            state = self._state
            return RequestPage(
                tuple(
                    OpenRequest(request, state.asks[request], state.asked_slots[request])
                    for request in (*state.asked, *state.asked_config)
                ),
                "",
            )

    def _drop_asked_of(self, entry: str, now_ms: int) -> None:
        """Drop what is asked for of a stored entry."""
        state = self._state
        found = [request for request in state.asked if state.asks[request].entry == entry]
        for request in sorted(found, key=lambda one: (state.asks[one].asked_ms, one.encode())):
            self._drop(request, "dropped", "", now_ms)

    def _repeated_asked(self, first: int, took: Sequence[tuple[str, int]]) -> list[AskedClaim]:
        state, claims = self._state, []
        for request, share in took:
            slot, opened = state.asked_slots.get(request), state.asks.get(request)
            is_held = slot and slot.is_held and first <= slot.fence < first + len(took)
            if opened and is_held and self._is_on(card := self._card_of(opened)):
                claims.append(self._asked_claim(request, card, share))
        return claims

    def _take_asked(
        self, request: AskedRequest, indexes: list[dict[str, int]], now_ms: int
    ) -> list[AskedClaim]:
        state, budget = self._state, min(request.limit, MOST_CLAIMS)
        default, first = request.per_minute, self._next_fence(now_ms)
        due = [
            (index[name], name.encode(), name, index)
            for index in indexes
            for name in first_due(index, now_ms, budget)
        ]
        claims: list[AskedClaim] = []
        for *_, name, index in sorted(due, key=lambda one: one[:2]):
            if not budget:
                break
            card = self._card_of(state.asks[name])
            if not self._is_on(card):
                index[name] = now_ms + look_again_ms(len(index))
                continue
            share = self._share(name, card, budget, default, now_ms)
            if not share:
                index[name] = (now_ms // MINUTE_MS + 1) * MINUTE_MS
                continue
            budget -= share
            state.fence = self._next_fence(now_ms)
            slot = take(
                state.asked_slots[name],
                now_ms=now_ms,
                hold_ms=request.hold_ms,
                fence=state.fence,
            )
            state.asked_slots[name], index[name] = slot, slot.hold_until_ms
            claims.append(self._asked_claim(name, card, share))
        if claims:
            took = tuple((claim.request, claim.portion) for claim in claims)
            state.took_asked[request.replica] = (request.request_id, first, took)
        return claims

    def _share(self, name: str, card: Card | None, budget: int, default: int, now_ms: int) -> int:
        """Tell how many occurrences may be published, and count them against the tenant."""
        opened, slot = self._state.asks[name], self._state.asked_slots[name]
        if card is None:
            return portion(opened, slot, budget=budget, allowed=None)
        tenant = self._tenant(card.tenant)
        quota = Quota(max_per_minute=default if card.tenant else ABSENT)
        allowed = allowance(tenant, quota, now_ms=now_ms)
        share = portion(opened, slot, budget=budget, allowed=allowed)
        if allowed is not None and share:
            self._set_tenant(card.tenant, spend(tenant, share, now_ms=now_ms))
        return share

    def _card_of(self, opened: Ask) -> Card | None:
        return None if opened.is_config else self._state.cards[opened.entry]

    def _is_on(self, card: Card | None) -> bool:
        return card is None or (card.is_on and not self._tenant(card.tenant).is_paused)

    def _asked_claim(self, request: str, card: Card | None, share: int) -> AskedClaim:
        state = self._state
        return AskedClaim(request, state.asks[request], state.asked_slots[request], card, share)

    def _index_of(self, opened: Ask) -> dict[str, int]:
        return self._state.asked_config if opened.is_config else self._state.asked

    def _close(self, request: str, now_ms: int) -> None:
        del self._index_of(self._state.asks[request])[request]
        self._state.asked_over[request] = now_ms + KEEP_MS

    def _drop(self, request: str, kind: str, by: str, now_ms: int) -> bool:
        opened = self._state.asks.get(request)
        if opened is None or request not in self._index_of(opened):
            return False
        del self._state.asked_slots[request]
        self._close(request, now_ms)
        self._note_asked(now_ms, kind, request, opened, by)
        return True

    def _note_asked(self, now_ms: int, kind: str, request: str, opened: Ask, by: str) -> None:
        self._note(Fact(now_ms, kind, opened.entry, opened.from_ms, by=by, note=request))
