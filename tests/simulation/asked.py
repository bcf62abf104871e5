"""The promises of what is asked for: each request is dispatched, and moves no schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from celery_singleton_beat.protocol.asked import AskAnswer, Asked, Asking, timing_asked
from celery_singleton_beat.protocol.claim import Settled, Settlement, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences
from celery_singleton_beat.protocol.stored import Stored
from celery_singleton_beat.store.asked_port import AskedAnswer, AskedClaim, AskedRequest
from tests.simulation.judge import Held
from tests.simulation.recalled import Recalling
from tests.simulation.stored import timing_of


@dataclass(frozen=True)
class Wanted:
    """What was asked for: the occurrences of an entry from a time to another, ``most`` at most."""

    entry: str
    is_backfill: bool
    is_config: bool
    from_ms: int
    until_ms: int
    most: int
    is_open: bool = True
    is_dropped: bool = False


class Requesting(Recalling):
    """Sees what clients ask for, and what beats make of it."""

    def saw_ask(self, who: str, answer: AskAnswer, asking: Asking) -> None:
        """A request is opened once; one of an entry that is stopped or not there is not."""
        memory, entry, request = self.memory, asking.entry, asking.request
        self.world.say(who, f"asks for {entry} ({request}): {answer.verdict.value}")
        known, wanted = memory.cards.get(entry), memory.asks.get(request)
        if wanted is not None:
            if answer != AskAnswer(Asked.ASKED, wanted.from_ms):
                self.broke(f"{request} was asked again, and is not the same")
            return
        expected = Asked.ASKED
        if known is None and (entry not in memory.slots or answer.verdict is Asked.UNKNOWN):
            expected = Asked.UNKNOWN
        elif not asking.is_backfill and self._is_off(entry):
            expected = Asked.STOPPED
        if answer.verdict is not expected:
            self.broke(f"{request} is {answer.verdict.value}, and not {expected.value}")
        if expected is Asked.ASKED:
            until_ms = asking.until_ms if asking.is_backfill else answer.from_ms
            memory.asks[request] = Wanted(
                entry, asking.is_backfill, known is None, answer.from_ms, until_ms, asking.most
            )
            memory.slots[request] = Slot("", answer.from_ms, 0)

    def saw_claim_asked(self, who: str, answer: AskedAnswer, request: AskedRequest) -> None:
        """What is open is given, and not while its entry is stopped."""
        fleet = self.memory.fleet
        governs = request.digest == fleet.governor == fleet.adopted
        for claim in answer.claims:
            name, ask, slot, card, portion = claim
            wanted = self.memory.asks.get(name)
            if wanted is None or not wanted.is_open:
                self.broke(f"{name} was given to {who}, and nobody asks for it any more")
            if wanted.is_config and self.is_all_stopped:
                self.broke(f"{name} was given to {who}, and everything is paused")
            if wanted.is_config and not governs:
                self.broke(f"{name} was given to {who}, whose timetable does not govern")
            if card is not None:
                tenant = self._is_as_changed(who, ask.entry, card).tenant
                if not self._has_given(name, slot):
                    self._takes_up(who, tenant, portion, request.per_minute, answer.now_ms)
            elif not wanted.is_config:
                self.broke(f"{name} was given to {who} without its entry")
            timing = self._timing(claim, request.digest)
            held = Held(slot.fence, who, slot.hold_until_ms, slot.slot_ms)
            held = replace(
                held,
                timing=timing and timing_asked(timing),
                first_ms=slot.slot_ms,
                owed_ms=slot.slot_ms,
                revision=card.revision if card else 0,
            )
            self._claimed(name, slot, held, answer.now_ms)

    def saw_settle_asked(
        self, who: str, verdicts: list[Settled], settlements: Sequence[Settlement]
    ) -> None:
        """Only who claimed last may settle, and nothing that was asked for is passed over."""
        for settlement, verdict in zip(settlements, verdicts, strict=True):
            request = settlement.request
            seen, wanted = self.memory.claims.get(request), self.memory.asks.get(request)
            self.world.say(who, f"settles {request}: {verdict.value}")
            expected = Settled.LOST
            if wanted is None or wanted.is_dropped:
                expected = Settled.GONE
            elif seen is not None and seen.fence == settlement.fence:
                expected = Settled.CONFIRMED
            if verdict is not expected:
                self.broke(f"{who} settled {request}: {verdict.value}, and not {expected.value}")
            if verdict is Settled.CONFIRMED and seen is not None and wanted and seen.is_open:
                self._is_dispatched(request, wanted, seen, settlement)

    def saw_cancel_asked(
        self,
        who: str,
        answers: list[bool],
        requests: Sequence[str],
        _by: str = "",
        *,
        dropped: bool = False,
    ) -> None:
        """What was called off is over."""
        for request, answer in zip(requests, answers, strict=True):
            how = "drops" if dropped else "calls off"
            self.world.say(who, f"{how} {request}: {answer}")
            wanted = self.memory.asks.get(request)
            if answer != (wanted is not None and wanted.is_open):
                self.broke(f"{request} was called off: {answer}")
            if answer:
                self._drop(request)

    def saw_remove(
        self, who: str, verdicts: list[Stored], entries: Sequence[str], **options: object
    ) -> None:
        """What was asked for of an entry goes with it."""
        super().saw_remove(who, verdicts, entries, **options)
        for request, wanted in list(self.memory.asks.items()):
            if wanted.is_open and not wanted.is_config and wanted.entry in entries:
                self._drop(request)

    def are_requests_at_rest(self) -> bool:
        """Whether all that was asked for was dispatched, or waits for its entry to go on."""
        return not any(
            wanted.is_open and not self._is_off(wanted.entry)
            for wanted in self.memory.asks.values()
        )

    def _is_off(self, entry: str) -> bool:
        """Tell whether something keeps an entry of either kind from being dispatched."""
        return self.is_all_stopped or (entry in self.memory.cards and not self.is_dispatched(entry))

    def _timing(self, claim: AskedClaim, digest: str) -> Timing | None:
        if claim.card is not None:
            return timing_of(claim.card.definition)
        return self._timings_of(digest).get(claim.ask.entry)

    def _drop(self, request: str) -> None:
        memory = self.memory
        memory.asks[request] = replace(memory.asks[request], is_open=False, is_dropped=True)
        memory.slots.pop(request, None)
        if (held := memory.claims.get(request)) is not None:
            memory.claims[request] = replace(held, fence=0, is_open=False)

    def _is_dispatched(
        self, request: str, wanted: Wanted, seen: Held, settlement: Settlement
    ) -> None:
        """Judge how far a request was moved on."""
        memory, slot = self.memory, settlement.slot
        before = memory.slots[request]
        memory.claims[request] = replace(seen, is_open=False)
        memory.slots[request] = slot
        self._has_dispatched(seen, settlement)
        has_ended = slot.slot_ms == ABSENT
        if has_ended:
            memory.asks[request] = replace(wanted, is_open=False)
        if seen.timing is None:
            return
        left = {told.scheduled_ms for told in settlement.told if told.kind == "dispatch_failed"}
        owed = [before.slot_ms]
        if wanted.is_backfill:
            last_ms = wanted.until_ms if has_ended else slot.slot_ms - 1
            walk = occurrences(seen.timing.recurrence, before.slot_ms - 1, last_ms)
            owed = list(islice(walk, wanted.most - before.runs))
        elif not has_ended:
            return
        for at_ms in owed:
            run = self.names.task_id(wanted.entry, at_ms, request)
            if run in self.broker.accepted or (at_ms in left and self._is_given_up(request)):
                continue
            if seen.timing.is_at_most_once:
                self._owes(seen.who, run)
            else:
                self.broke(f"{request} passed over {self.names.run(run)}, which nobody published")
