"""The promises of stored entries: what a change that was made is followed by, and what not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from celery_singleton_beat.protocol.claim import Settled, Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.protocol.stored import Card, Put, PutAnswer, Stored
from celery_singleton_beat.protocol.tenant import Quota
from celery_singleton_beat.store.timetable_port import StoredAnswer, StoredRequest
from tests.simulation.deploys import first_owed_ms
from tests.simulation.judge import Held
from tests.simulation.limits import Limiting


@dataclass(frozen=True)
class Known:
    """What was made of a stored entry: its definition, and whether it is to be dispatched.

    Nothing of before ``changed_ms`` is planned by its rule, and nothing of before
    ``resumed_ms`` is dispatched.
    """

    definition: str
    revision: int
    changed_ms: int
    is_enabled: bool
    is_paused: bool = False
    resumed_ms: int = 0
    added_ms: int = 0
    tenant: str = ""

    @property
    def is_on(self) -> bool:
        return self.is_enabled and not self.is_paused


class Storing(Limiting):
    """Sees what clients change, and what beats make of it."""

    def saw_put(
        self, who: str, answers: list[PutAnswer], puts: Sequence[Put], quota: Quota
    ) -> None:
        """A definition that was put is there; one that is the same is no change."""
        now_ms = self.world.store_ms()
        for asked, (verdict, revision, _) in zip(puts, answers, strict=True):
            name, known = asked.entry, self.memory.cards.get(asked.entry)
            self.world.say(who, f"puts {name}: {verdict.value}")
            expected = self._expected(asked, known, quota)
            if verdict not in expected:
                right = " or ".join(sorted(one.value for one in expected))
                self.broke(f"{name} was put: {verdict.value}, and not {right}")
            if verdict in (Stored.ADDED, Stored.CHANGED):
                self._put(asked, known, revision, now_ms)
            elif known is not None and known.revision < 0:
                self._revised(name, revision)
                self.memory.cards[name] = replace(known, revision=revision)

    def saw_remove(
        self, who: str, verdicts: list[Stored], entries: Sequence[str], **_options: object
    ) -> None:
        """What was removed is gone, with its claims."""
        memory = self.memory
        for name, verdict in zip(entries, verdicts, strict=True):
            self.world.say(who, f"removes {name}: {verdict.value}")
            expected = Stored.REMOVED if name in memory.cards else Stored.MISSING
            if verdict is not expected:
                self.broke(f"{name} was removed: {verdict.value}, and not {expected.value}")
            if (known := memory.cards.pop(name, None)) is not None:
                self._give(known.tenant, self._share(known.tenant))
            memory.slots.pop(name, None)
            memory.ended.discard(name)
            if (held := memory.claims.get(name)) is not None:
                # Who claimed it before may publish it, and can settle it no more.
                memory.claims[name] = replace(held, fence=0, is_open=False)

    def saw_pause(
        self,
        who: str,
        verdicts: list[Stored],
        entries: Sequence[str],
        *,
        paused: bool,
        **_options: object,
    ) -> None:
        """What was paused is off; what was resumed is on from then."""
        for name, verdict in zip(entries, verdicts, strict=True):
            known = self.memory.cards.get(name)
            self.world.say(who, f"{'pauses' if paused else 'resumes'} {name}: {verdict.value}")
            expected = Stored.CHANGED if known else Stored.MISSING
            if known is not None and known.is_paused == paused:
                expected = Stored.UNCHANGED
            if verdict is not expected:
                self.broke(f"{name} was switched: {verdict.value}, and not {expected.value}")
            if known is not None and verdict is Stored.CHANGED:
                resumed_ms = known.resumed_ms if paused else self.world.store_ms()
                # The revision is told by the next claim; it is greater than this one.
                self.memory.cards[name] = replace(
                    known, is_paused=paused, resumed_ms=resumed_ms, revision=-abs(known.revision)
                )

    def saw_claim_stored(self, who: str, answer: StoredAnswer, request: StoredRequest) -> None:
        """What is claimed after a change shows that change."""
        for claim in answer.claims:
            name, slot, card, resumed_ms = claim
            known = self._is_as_changed(who, name, card)
            stops = (known, self._share(known.tenant), self._share(None))
            since_ms = max(stop.resumed_ms for stop in stops)
            if resumed_ms != since_ms:
                self.broke(f"{name} was given to {who} as if it had not been stopped")
            timing = timing_of(card.definition)
            if name not in self.memory.slots and slot.rule == timing.rule:
                is_early = ABSENT < slot.slot_ms <= known.added_ms
                if is_early and not self.has_forgotten:
                    self.broke(f"{name} was fired by being put")
            owed_ms = slot.slot_ms
            if slot.rule != timing.rule:
                owed_ms = first_owed_ms(timing, slot, card.changed_ms)
            first_ms = owed_ms if owed_ms == ABSENT else max(owed_ms, since_ms + 1)
            held = Held(slot.fence, who, slot.hold_until_ms, slot.slot_ms, timing=timing)
            held = replace(held, first_ms=first_ms, owed_ms=owed_ms, revision=card.revision)
            if not self._has_given(name, slot):
                self._takes_up(who, known.tenant, 1, request.per_minute, answer.now_ms)
            self._claimed(name, slot, held, answer.now_ms)

    def saw_settle_stored(
        self, who: str, verdicts: list[Settled], settlements: Sequence[Settlement]
    ) -> None:
        """Only who claimed last may settle; what was changed meanwhile is looked at again."""
        for settlement, verdict in zip(settlements, verdicts, strict=True):
            name = settlement.entry
            seen, known = self.memory.claims.get(name), self.memory.cards.get(name)
            is_ours = self._says_settled(who, settlement, verdict)
            if known is None or seen is None:
                expected = Settled.GONE if known is None else Settled.LOST
            elif not is_ours:
                expected = Settled.LOST
            elif known.revision == settlement.revision:
                expected = Settled.CONFIRMED
            else:
                expected = Settled.STALE if known.is_on else Settled.GONE
            if verdict is not expected:
                self.broke(f"{who} settled {name}: {verdict.value}, and not {expected.value}")
            if seen is not None and is_ours and seen.is_open:
                self._moved(seen, settlement)
                if verdict is Settled.GONE:
                    # It was stopped meanwhile: what is sent at most once is not sent any more.
                    self._owes_nothing(who)
                if known is not None and known.revision != settlement.revision:
                    self.memory.ended.discard(name)

    def are_stored_at_rest(self) -> bool:
        """Whether every stored entry has ended, or is not to be dispatched."""
        memory = self.memory
        return all(name in memory.ended or not self.is_dispatched(name) for name in memory.cards)

    def is_dispatched(self, name: str) -> bool:
        """Tell whether nothing keeps an entry from being dispatched."""
        known = self.memory.cards[name]
        return known.is_on and not self._is_stopped(known.tenant)

    def _expected(self, asked: Put, known: Known | None, quota: Quota) -> set[Stored]:
        """Tell how a definition may be taken."""
        if known and (known.definition, known.is_enabled) == (asked.definition, asked.is_enabled):
            return {Stored.UNCHANGED}
        has_revision = known.revision if known else 0
        if asked.if_revision is not None and asked.if_revision != has_revision:
            return {Stored.CONFLICT}
        return self._beyond(asked, quota) or {Stored.CHANGED if known else Stored.ADDED}

    def _put(self, asked: Put, known: Known | None, revision: int, now_ms: int) -> None:
        """Note what was put."""
        name, memory = asked.entry, self.memory
        self._revised(name, revision)
        put = Known(
            asked.definition,
            revision,
            now_ms,
            asked.is_enabled,
            added_ms=now_ms,
            tenant=asked.tenant,
        )
        memory.ended.discard(name)
        if known is not None:
            is_back = asked.is_enabled and not known.is_enabled
            put = replace(
                put,
                is_paused=known.is_paused,
                resumed_ms=now_ms if is_back else self._resumed_ms(asked, known, now_ms),
                added_ms=known.added_ms,
            )
        elif asked.slot_ms == ABSENT and asked.reckoned_ms <= now_ms:
            memory.ended.add(name)
        if known is None and self.has_stepped_back:
            # Put again it is another entry, and a time that was may be to come.
            self.published = {one for one in self.published if not one.startswith(f"{name}@")}
        memory.cards[name] = put
        for tenant in {asked.tenant, known.tenant if known else ""}:
            self._give(tenant, self._share(tenant))

    def _resumed_ms(self, asked: Put, known: Known, now_ms: int) -> int:
        """Tell since when an entry goes on: who leaves a stopped tenant was stopped with it."""
        if asked.tenant == known.tenant:
            return known.resumed_ms
        left = self._share(known.tenant)
        return now_ms if left.is_paused else max(known.resumed_ms, left.resumed_ms)

    def _is_as_changed(self, who: str, name: str, card: Card) -> Known:
        known = self.memory.cards.get(name)
        if known is None:
            self.broke(f"{name} was given to {who}, and it was removed")
        if not self.is_dispatched(name):
            self.broke(f"{name} was given to {who}, and it is stopped")
        if _switched(known, card):
            self._revised(name, card.revision)
            known = self.memory.cards[name] = replace(known, revision=card.revision)
        told = Known(
            card.definition,
            card.revision,
            card.changed_ms,
            card.is_enabled,
            card.is_paused,
            known.resumed_ms,
            known.added_ms,
            card.tenant,
        )
        if told != known:
            self.broke(f"{name} was given to {who} as it was before it was changed")
        return known

    def _revised(self, name: str, revision: int) -> None:
        known = self.memory.cards.get(name)
        if known is not None and revision <= abs(known.revision):
            self.broke(f"the revision of {name} is not above the one before")


def _switched(known: Known, card: Card) -> bool:
    """Tell whether an entry was paused or resumed since its revision was told."""
    return known.revision < 0 < card.revision


@lru_cache(256)
def timing_of(definition: str) -> Timing:
    """Tell when an entry is due by its definition."""
    return Entry.from_json(definition).timing()
