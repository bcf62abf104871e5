"""The promises of dispatch, checked at every claim, plan, publish and settlement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from celery_singleton_beat.protocol.claim import Adopted, Settled, Settlement, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.store.port import Adoption, ClaimAnswer, ClaimRequest, Standing
from tests.simulation.deploys import amiss_with_plan, first_owed_ms, unplanned
from tests.simulation.judge import Held
from tests.simulation.passing import Passing

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.occurrence import Occurrence


class Dispatching(Passing):
    """Sees what beats ask of the store, and what they publish."""

    def saw_claim(self, who: str, answer: ClaimAnswer, request: ClaimRequest) -> None:
        """Who governs claims, and nobody else; two live claims of one occurrence never exist."""
        if self.configurations:
            self._stands(who, answer, request)
        self.digests[who] = request.digest
        if self.debts:
            self.has_paid(who)
        timings = self._timings_of(request.digest)
        for entry, slot in answer.claims:
            timing = timings.get(entry)
            owed_ms = slot.slot_ms
            if timing is not None and slot.rule != timing.rule:
                owed_ms = first_owed_ms(timing, slot, answer.now_ms)
            held = Held(slot.fence, who, slot.hold_until_ms, slot.slot_ms, timing=timing)
            self._claimed(
                entry, slot, replace(held, first_ms=owed_ms, owed_ms=owed_ms), answer.now_ms
            )

    def saw_settle(
        self, who: str, verdicts: list[Settled], digest: str, settlements: Sequence[Settlement]
    ) -> None:
        """Only who claimed last may settle, and no slot moves past what nobody published."""
        del digest
        for settlement, verdict in zip(settlements, verdicts, strict=True):
            seen = self.memory.claims.get(settlement.entry)
            has_moved = verdict in (Settled.CONFIRMED, Settled.STALE)
            is_ours = self._says_settled(who, settlement, verdict)
            if has_moved and not is_ours:
                self.broke(
                    f"{who} settled {settlement.entry} with a fence that is not the last one"
                )
            if is_ours and not has_moved:
                self.broke(
                    f"{who} could not settle {settlement.entry}, which nobody claimed after it"
                )
            if seen is not None and has_moved and seen.is_open:
                self._moved(seen, settlement)
                if verdict is Settled.STALE and settlement.entry in self.memory.slots:
                    # It is due at once, whatever its holder said.
                    stale = replace(settlement.slot, due_ms=0)
                    self.memory.slots[settlement.entry] = stale

    def saw_adopt(
        self,
        who: str,
        verdicts: list[Adopted],
        digest: str,
        adoptions: Sequence[Adoption],
        *,
        done: bool,
        of: Mapping[str, str] | None = None,
    ) -> None:
        """Only who governs plans; nothing is fired by it, and what stays is left as it is."""
        memory, fleet = self.memory, self.memory.fleet
        for adoption, verdict in zip(adoptions, verdicts, strict=True):
            if verdict is Adopted.ADOPTED:
                entry, planned = adoption.entry, adoption.planned
                if self.is_told:
                    name = self.names.occurrence(entry, planned.slot_ms)
                    self.world.say(who, f"plans {name}")
                self._planned(digest, adoption)
                has_ended = planned.slot_ms == ABSENT
                (memory.ended.add if has_ended else memory.ended.discard)(entry)
                if (seen := memory.claims.get(entry)) is not None:
                    memory.claims[entry] = replace(seen, is_open=False)
                memory.slots[entry] = planned
        if done and fleet.governor == digest and self._are_in_place(of or {}):
            fleet.adopted = digest

    def saw_leave(self, _who: str, _answer: None, replica: str) -> None:
        """Count one no longer that took leave."""
        self.memory.fleet.left(replica)

    def publishes(self, who: str, occurrence: Occurrence) -> None:
        """Whoever counts on its hold has it; what is delivered at most once is sent once."""
        entry, cause = occurrence.entry, occurrence.cause
        run = self.names.task_id(entry, occurrence.scheduled_ms, cause)
        if self._is_recall(who, run):
            return
        held = self.memory.claims.get(cause or entry)
        name = self.names.occurrence(entry, occurrence.scheduled_ms, cause)
        timing = held.timing if held is not None and held.timing else self.entries.get(entry)
        is_strict = not self.has_forgotten and not self.is_lenient
        if held is not None:
            self.firsts.setdefault(held.fence, occurrence.scheduled_ms)
        if timing is not None and timing.is_at_most_once:
            if name in self.published and not self.has_forgotten:
                self.broke(f"{name} was published twice, although at most once was asked for")
            self.published.add(name)
            self._pays(who, run, is_strict=is_strict)
        elif is_strict:
            is_live = held is not None and held.until_ms > self.world.store_ms()
            if held is None or held.who != who or not is_live:
                self.broke(f"{who} publishes {name} and does not hold it")
            self._may_publish(who, occurrence, held)

    def _may_publish(self, who: str, occurrence: Occurrence, held: Held) -> None:
        name = self.names.occurrence(occurrence.entry, occurrence.scheduled_ms, occurrence.cause)
        if held.timing is None:
            self.broke(f"{who} publishes {name}, which its configuration does not have")
        if occurrence.scheduled_ms < held.first_ms or held.first_ms == ABSENT:
            self.broke(f"{who} publishes {name}, which was over when it claimed it")
        if held.revision is not None and occurrence.revision != held.revision:
            self.broke(f"{who} publishes {name} as of another revision than it claimed")
        if amiss := self._is_left_out(held, held.timing, occurrence):
            self.broke(f"{who} publishes {name}, {amiss}")

    def _stands(self, who: str, answer: ClaimAnswer, request: ClaimRequest) -> None:
        """Judge who governs."""
        fleet, digest, name = self.memory.fleet, request.digest, self.names.configuration
        if len(self.configurations) == 1:
            fleet.is_only(digest, answer.now_ms)
        else:
            before = fleet.governor
            fleet.hears(request.replica, digest, answer.now_ms, request.timeout_ms)
            if fleet.governor != before:
                self.world.say(who, f"finds that the {name(fleet.governor)} timetable governs")
        if (answer.standing is Standing.STANDS_BY) == (fleet.governor == digest):
            self.broke(
                f"{who} of the {name(digest)} timetable is told {answer.standing.value}, "
                f"and the {name(fleet.governor)} one governs"
            )
        if answer.standing is Standing.GOVERNS:
            if fleet.adopted != digest:
                self.broke(f"the {name(digest)} timetable is dispatched before it was taken on")
            if left := unplanned(self.configurations[digest], self.memory.slots):
                self.broke(f"the {name(digest)} timetable is in place, and {left} has no slot")

    def _planned(self, digest: str, adoption: Adoption) -> None:
        """Judge how an entry was taken on."""
        if not self.configurations:
            return
        memory, entry, seen = self.memory, adoption.entry, adoption.seen
        if memory.fleet.governor != digest:
            self.broke(f"{entry} was planned by a timetable that does not govern")
        known = memory.slots.get(entry)
        if _shape(known) != _shape(seen):
            self.broke(f"{entry} was planned by another slot than it has")
        is_sure = not (self.has_forgotten or self.has_stepped)
        amiss = amiss_with_plan(
            self.configurations[digest][entry],
            seen,
            adoption.planned,
            since_ms=memory.fleet.since_ms[digest] if is_sure else None,
            now_ms=self.world.store_ms(),
        )
        if amiss and (is_sure or not self.has_stepped_back):
            self.broke(f"{entry}: {amiss}")

    def _are_in_place(self, rules: Mapping[str, str]) -> bool:
        """Tell whether every entry is planned by its rule, or is left to who holds it."""
        memory, now_ms = self.memory, self.world.store_ms()
        for name, rule in rules.items():
            slot, held = memory.slots.get(name), memory.claims.get(name)
            is_held = held is not None and held.is_open and held.until_ms > now_ms
            is_dropped = slot is not None and slot.due_ms == ABSENT != slot.slot_ms
            if slot is None or not (is_held or (slot.rule == rule and not is_dropped)):
                return False
        return True

    def _timings_of(self, digest: str) -> Mapping[str, Timing]:
        return self.configurations.get(digest, self.timings)

    def _claimed(self, entry: str, slot: Slot, held: Held, now_ms: int) -> None:
        """Note a claim."""
        memory, who = self.memory, held.who
        seen = memory.claims.get(entry)
        name = self.names.occurrence(entry, slot.slot_ms)
        held = self._as_found(entry, slot, held, now_ms)
        if self.is_told:
            self.world.say(who, f"claims {name} with {self.names.fence(slot.fence)}")
        if seen is not None and seen.fence == slot.fence:
            if seen.who != who:
                self.broke(f"the claim of {name} that {seen.who} has was given to {who} too")
            # It cannot be known by which of the two answers it acts.
            held = replace(
                held,
                first_ms=min(seen.first_ms, held.first_ms),
                revision=held.revision if held.revision == seen.revision else None,
                owed_ms=ABSENT
                if ABSENT in (seen.owed_ms, held.owed_ms)
                else max(seen.owed_ms, held.owed_ms),
                told_ms=seen.told_ms + held.told_ms,
                was=held.was if held.was == seen.was else "",
            )
        elif seen is not None and seen.is_open and seen.until_ms > now_ms:
            self.broke(f"{name} is claimed by {who}, and {seen.who}'s hold on it is live")
        elif slot.fence <= self.top_fence:
            self.broke(f"the fence of {name} is not above all before it")
        known = memory.slots.get(entry)
        if known is not None and _shape(known) != _shape(slot):
            self.broke(f"the slot of {entry} is at {name}, and nobody moved it there")
        self.top_fence = max(self.top_fence, slot.fence)
        memory.claims[entry] = held

    def _has_given(self, name: str, slot: Slot) -> bool:
        """Tell whether this is an answer that is repeated."""
        seen = self.memory.claims.get(name)
        return seen is not None and seen.fence == slot.fence

    def _says_settled(self, who: str, settlement: Settlement, verdict: Settled) -> bool:
        """Tell the story, and whether the fence is the last one."""
        seen = self.memory.claims.get(settlement.entry)
        if self.is_told:
            moved_to = self.names.occurrence(settlement.entry, settlement.slot.slot_ms)
            self.world.say(who, f"settles {settlement.entry}: next is {moved_to} ({verdict.value})")
        return seen is not None and seen.fence == settlement.fence

    def _moved(self, seen: Held, settlement: Settlement) -> None:
        """Judge where a slot was moved to."""
        entry, slot, memory = settlement.entry, settlement.slot, self.memory
        memory.claims[entry] = replace(seen, is_open=False)
        self._has_dispatched(seen, settlement)
        if seen.timing is not None and slot.rule == seen.timing.rule:
            self._passed(seen, seen.timing, settlement)
        elif slot.slot_ms != seen.slot_ms:
            # What waits, or is not known, is left as it was claimed.
            self.broke(f"{entry} was moved by a rule that is not its holder's")
        if self.configurations:
            memory.slots[entry] = slot
        if slot.slot_ms == ABSENT:
            memory.ended.add(entry)


def _shape(slot: Slot | None) -> tuple[object, ...]:
    """Tell of a slot what only a settlement or a plan may change."""
    return () if slot is None else (slot.rule, slot.slot_ms, slot.last_ms, slot.runs)
