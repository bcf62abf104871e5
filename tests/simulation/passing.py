"""What a slot leaves behind: it was published, or is rightly left out, or cannot be sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.entry import Overlap
from celery_singleton_beat.protocol.history import LeftOut
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences
from tests.simulation.again import GIVEN_UP_AFTER, Again
from tests.simulation.once import Once
from tests.simulation.selection import amiss_with_left_out, is_selected

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.claim import Settlement, Slot
    from celery_singleton_beat.protocol.entry import Timing
    from celery_singleton_beat.protocol.occurrence import Occurrence
    from tests.simulation.broker import Broker
    from tests.simulation.judge import Held
    from tests.simulation.names import Names
    from tests.simulation.settings import Setting

_OVER: Final = "over"
_QUEUED: Final = "queued"
_RUN_BY: Final = "run by"
_LEFT_BY: Final = "left by"
_UNSENT: Final = "which nobody published"


class Passing(Once, Again):
    """Judges what is published and what not by the policies of catch-up and of overlap."""

    def __init__(self, broker: Broker, setting: Setting, names: Names) -> None:
        super().__init__(broker, setting, names)
        self._failures: dict[str, int] = {}
        self._queued_until_ms: dict[str, int] = {}
        self.firsts: dict[int, int] = {}

    def cannot_send(self, occurrence: Occurrence) -> None:
        """Count the attempts that an entry makes impossible."""
        name = occurrence.cause or occurrence.entry
        self._failures[name] = self._failures.get(name, 0) + 1
        run = self.names.task_id(occurrence.entry, occurrence.scheduled_ms, occurrence.cause)
        self.unsendable[run] = self.unsendable.get(run, 0) + 1

    def _as_found(self, name: str, slot: Slot, held: Held, now_ms: int) -> Held:
        """Note when something was claimed, and how the run before it was then."""
        timing = held.timing
        if timing is None or timing.overlap is Overlap.ALLOW:
            return replace(held, told_ms=(now_ms,))
        before, wanted = "", self.memory.asks.get(name)
        if slot.last_ms != ABSENT:
            entry, cause = (wanted.entry, name) if wanted else (name, "")
            before = self.names.task_id(entry, slot.last_ms, cause)
        return replace(held, told_ms=(now_ms,), before=before, was=self._how_is(before))

    def _how_is(self, run: str) -> str:
        """Tell how a run is, as far as that is sure."""
        now_ms, leases = self.world.store_ms(), self.memory.leases
        if not run or leases.has_ended(run, now_ms):
            return _OVER
        for _, attempt, lease in self.bodies:
            if attempt.run == run:
                return "" if lease.lost else f"{_RUN_BY} {attempt.holder}"
        if run in self.begun or run in self.seen_to:
            holder = leases.left_by(run, now_ms)
            return f"{_LEFT_BY} {holder}" if holder else ""
        return _QUEUED if self._queued_until_ms.get(run, 0) > now_ms else ""

    def _is_still(self, held: Held) -> bool:
        return self._how_is(held.before) == held.was

    def _is_left_out(self, held: Held, timing: Timing, occurrence: Occurrence) -> str:
        """Tell what is wrong with publishing what catch-up or overlap does not select."""
        at_ms = occurrence.scheduled_ms
        if not occurrence.cause and not any(
            is_selected(timing, at_ms, now_ms) for now_ms in held.told_ms
        ):
            return "which catch-up leaves out"
        if timing.overlap is Overlap.ALLOW:
            return ""
        if self.firsts[held.fence] != at_ms:
            return "together with the one before it"
        # Its replica has asked since the claim: it was so all the time.
        is_open = held.was.startswith((_QUEUED, _RUN_BY)) and self._is_still(held)
        if is_open and not self.has_stepped:
            return f"and {self.names.run(held.before)} is {held.was}"
        return ""

    def _has_dispatched(self, seen: Held, settlement: Settlement) -> None:
        """Note what was settled as published, and what that makes true."""
        timing = seen.timing
        if timing is None or timing.is_at_most_once:
            return
        deadline_ms, is_apart = timing.start_deadline_ms, timing.overlap is not Overlap.ALLOW
        if deadline_ms is None and not is_apart:
            return
        for told in settlement.told:
            if told.kind != "published":
                continue
            run = self.names.task_id(settlement.entry, told.scheduled_ms, settlement.request)
            if deadline_ms is not None:
                self.awaited.add(run)
            if is_apart and timing.overlap_limit_ms is not None:
                until_ms = self.world.store_ms() + timing.overlap_limit_ms
                self._queued_until_ms[run] = until_ms

    def _passed(self, seen: Held, timing: Timing, settlement: Settlement) -> None:
        """Every occurrence that a slot leaves behind was published, or is rightly left out."""
        until_ms = settlement.slot.slot_ms
        last_ms = (1 << 50) if until_ms == ABSENT else until_ms - 1
        if seen.owed_ms == ABSENT:
            return
        entry, accepted = settlement.entry, self.broker.accepted
        for at_ms in occurrences(timing.recurrence, seen.owed_ms - 1, last_ms):
            if (run := self.names.task_id(entry, at_ms)) not in accepted:
                amiss = self._amiss_with(seen, timing, settlement, at_ms)
                if amiss == _UNSENT and timing.is_at_most_once:
                    self._owes(seen.who, run)
                elif amiss:
                    name = self.names.occurrence(entry, at_ms)
                    self.broke(f"the slot moved past {name}, {amiss}")

    def _amiss_with(self, seen: Held, timing: Timing, settlement: Settlement, at_ms: int) -> str:
        for told in settlement.told:
            if told.kind == "superseded":
                left = LeftOut.from_note(told.note)
                if told.scheduled_ms <= at_ms <= (left.last_ms or ABSENT):
                    return self._amiss_with_left_out(seen, timing, at_ms, left.by)
            elif told.scheduled_ms != at_ms:
                continue
            elif told.kind == "dispatch_failed":
                return "" if self._is_given_up(settlement.entry) else "which was given up too soon"
        return _UNSENT

    def _amiss_with_left_out(self, seen: Held, timing: Timing, at_ms: int, by: str) -> str:
        if at_ms < seen.first_ms or by == "paused":
            right = at_ms < seen.first_ms and by == "paused"
            return "" if right else "and a pause has nothing to do with it"
        if by == "overlap":
            if timing.overlap is not Overlap.SKIP:
                return "for a reason that it has not: overlap"
            is_first = self.firsts.get(seen.fence, at_ms) >= at_ms
            # What somebody left may have begun again; what has ended may not.
            is_left = seen.was.startswith(_LEFT_BY) and self._is_still(seen)
            is_over = is_first and (seen.was == _OVER or is_left)
            return "and the one before it was over" if is_over else ""
        if by and not by.isdigit():
            return f"for a reason that it has not: {by}"
        by_ms = int(by) if by else None
        amiss = [amiss_with_left_out(timing, at_ms, by_ms, now_ms) for now_ms in seen.told_ms]
        return "" if "" in amiss else amiss[0]

    def _is_given_up(self, name: str) -> bool:
        """Tell whether an entry has failed often enough for the one whose turn it was.

        One that stands for others has their failures, too. What a store has forgotten
        it has not counted.
        """
        return self._failures.pop(name, 0) >= GIVEN_UP_AFTER or self.has_forgotten
