"""The promises, checked at every step that the store takes.

What is promised rests on what the store remembers; so what is known here of holds,
leases and ends is *memory*, and is lost together with the store's. What it forgot
may happen again, and nothing else may.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NoReturn

from celery_singleton_beat.protocol.claim import Adopted, Settled, Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences
from celery_singleton_beat.protocol.run import Attempt, Begun, Finished, Outcome
from celery_singleton_beat.store.port import (
    Adoption,
    BeginAnswer,
    ClaimAnswer,
    ClaimRequest,
    Ending,
    Renewal,
    RenewAnswer,
)
from tests.simulation.leases import CLOSING, Leases
from tests.simulation.names import Names
from tests.simulation.settings import Setting

if TYPE_CHECKING:
    from celery_singleton_beat.engine.lease import Lease
    from celery_singleton_beat.protocol.occurrence import Occurrence
    from tests.simulation.broker import Broker
    from tests.simulation.world import Process


class Broken(BaseException):
    """A promise is broken. No ``except Exception`` of the engine may swallow it."""


_SEEN_TO: Final = (*CLOSING, Begun.REFUSED)


@dataclass(frozen=True)
class Held:
    """A claim that the store gave out."""

    fence: int
    who: str
    until_ms: int
    slot_ms: int
    is_open: bool = True


@dataclass
class Memory:
    """What the store has told, as far as it still knows it."""

    claims: dict[str, Held] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    leases: Leases = field(default_factory=Leases)

    def copy(self) -> Memory:
        return Memory(dict(self.claims), set(self.ended), self.leases.copy())


class Promises:
    """Sees every question and answer of the store, and raises when a promise is broken."""

    def __init__(self, broker: Broker, setting: Setting, names: Names) -> None:
        self.world = broker.world
        self.broker = broker
        self.timings = setting.timings
        self.ttl_ms = setting.ttl_ms
        self.names = names
        self.memory = Memory()
        self.top_fence = 0
        self.has_forgotten = False
        self.has_stepped_back = False
        self.is_wiped = False
        self.lenient_until_ms = 0
        self.bodies: list[tuple[Process, Attempt, Lease]] = []
        self.seen_to: set[str] = set()
        self._published: set[str] = set()

    def broke(self, text: str) -> NoReturn:
        """Say which promise is broken."""
        self.world.say("=", f"BROKEN: {text}")
        raise Broken(text)

    def forgive(self, for_ms: int) -> None:
        """Let leases overlap for so long: the store's clock stepped, or it forgot who has them."""
        self.lenient_until_ms = max(self.lenient_until_ms, self.world.now_ms + for_ms)

    def meets_wiped(self, *, remembers: bool) -> None:
        """Note who is the first to meet a store that forgot all: it can only tell by memory."""
        self.is_wiped = False
        if not remembers:
            self.forgive(self.ttl_ms)

    def forget(self, memory: Memory) -> None:
        """Know only what the store still knows. Fences go on growing all the same."""
        self.memory, self.has_forgotten = memory.copy(), True
        self._forget_fences()

    def step(self, by_ms: int) -> None:
        """Allow for a step of the store's clock: forwards, it ends holds and leases early."""
        self.has_stepped_back |= by_ms < 0
        self._forget_fences()
        if by_ms > 0:
            self.forgive(self.ttl_ms)

    def _forget_fences(self) -> None:
        # They follow the last one that the store knows, or else its clock.
        if self.has_stepped_back and self.has_forgotten:
            self.top_fence = 0
            self.memory.leases.tokens.clear()

    def saw_claim(self, who: str, answer: ClaimAnswer, _request: ClaimRequest) -> None:
        """Two live claims of one occurrence never exist; fences only grow."""
        for entry, slot in answer.claims:
            seen = self.memory.claims.get(entry)
            name = self.names.occurrence(entry, slot.slot_ms)
            self.world.say(who, f"claims {name} with {self.names.fence(slot.fence)}")
            if seen is not None and seen.fence == slot.fence:
                if seen.who != who:
                    self.broke(f"the claim of {name} that {seen.who} has was given to {who} too")
            elif seen is not None and seen.is_open and seen.until_ms > answer.now_ms:
                self.broke(f"{name} is claimed by {who}, and {seen.who}'s hold on it is live")
            elif slot.fence <= self.top_fence:
                self.broke(f"the fence of {name} is not above all before it")
            self.top_fence = max(self.top_fence, slot.fence)
            self.memory.claims[entry] = Held(slot.fence, who, slot.hold_until_ms, slot.slot_ms)

    def saw_settle(
        self, who: str, verdicts: list[Settled], _digest: str, settlements: Sequence[Settlement]
    ) -> None:
        """Only who claimed last may settle, and no slot moves past what nobody published."""
        for settlement, verdict in zip(settlements, verdicts, strict=True):
            entry, slot = settlement.entry, settlement.slot
            seen = self.memory.claims.get(entry)
            has_moved = verdict in (Settled.CONFIRMED, Settled.STALE)
            is_ours = seen is not None and seen.fence == settlement.fence
            moved_to = self.names.occurrence(entry, slot.slot_ms)
            self.world.say(who, f"settles {entry}: next is {moved_to} ({verdict.value})")
            if has_moved and not is_ours:
                self.broke(f"{who} settled {entry} with a fence that is not the last one")
            if is_ours and not has_moved:
                self.broke(f"{who} could not settle {entry}, which nobody claimed after it")
            if seen is not None and has_moved and seen.is_open:
                self.memory.claims[entry] = replace(seen, is_open=False)
                self._passed(seen.slot_ms, settlement)
                if slot.slot_ms == ABSENT:
                    self.memory.ended.add(entry)

    def saw_adopt(
        self,
        _who: str,
        verdicts: list[Adopted],
        _digest: str,
        adoptions: Sequence[Adoption],
        *,
        done: bool,
        of: Sequence[str] = (),
    ) -> None:
        """Note which entries have ended."""
        del done, of
        for adoption, verdict in zip(adoptions, verdicts, strict=True):
            if verdict is Adopted.ADOPTED:
                ended = self.memory.ended
                has_ended = adoption.planned.slot_ms == ABSENT
                (ended.add if has_ended else ended.discard)(adoption.entry)

    def saw_begin(
        self, who: str, answer: BeginAnswer, attempt: Attempt, *, close_if_busy: bool, grace_ms: int
    ) -> None:
        """See ``Leases.begun``."""
        run = self.names.run(attempt.run)
        token = f" with {self.names.fence(answer.token)}" if answer.token else ""
        self.world.say(who, f"begin {run} as {attempt.holder}: {answer.verdict.value}{token}")
        self._judge(self.memory.leases.begun(attempt, answer, closes=close_if_busy), who, run)
        self.top_fence = max(self.top_fence, answer.token)
        if answer.verdict in _SEEN_TO or (answer.verdict is Begun.BUSY and close_if_busy):
            self.seen_to.add(attempt.run)
        del grace_ms

    def saw_renew(self, who: str, answers: list[RenewAnswer], renewals: Sequence[Renewal]) -> None:
        """See ``Leases.renewed``."""
        now_ms = self.world.store_ms()
        for renewal, answer in zip(renewals, answers, strict=True):
            run = self.names.run(renewal.attempt.run)
            holder = renewal.attempt.holder
            self.world.say(who, f"renew {run} as {holder}: {answer.verdict.value}")
            told = self.memory.leases.renewed(
                renewal.attempt, answer, now_ms, has_forgotten=self.has_forgotten
            )
            self._judge(told, who, run)

    def saw_finish(self, who: str, verdicts: list[Finished], endings: Sequence[Ending]) -> None:
        """See ``Leases.finished``."""
        now_ms = self.world.store_ms()
        for ending, verdict in zip(endings, verdicts, strict=True):
            run = self.names.run(ending.attempt.run)
            how = f"{ending.outcome.value}: {verdict.value}"
            self.world.say(who, f"finish {run} as {ending.attempt.holder}, {how}")
            told = self.memory.leases.finished(ending, verdict, now_ms)
            if verdict is Finished.RECORDED and ending.outcome is Outcome.FAILED:
                self.seen_to.add(ending.attempt.run)
            self._judge(told, who, run)

    def publishes(self, who: str, occurrence: Occurrence) -> None:
        """Whoever counts on its hold has it; what is delivered at most once is sent once."""
        entry = occurrence.entry
        held = self.memory.claims.get(entry)
        name = self.names.occurrence(entry, occurrence.scheduled_ms)
        is_strict = not self.has_forgotten and self.lenient_until_ms <= self.world.now_ms
        if self.timings[entry].is_at_most_once:
            if name in self._published and not self.has_forgotten:
                self.broke(f"{name} was published twice, although at most once was asked for")
            self._published.add(name)
        elif is_strict and self.timings[entry].start_deadline_ms is None:
            is_live = held is not None and held.until_ms > self.world.store_ms()
            if held is None or held.who != who or not is_live:
                self.broke(f"{who} publishes {name} and does not hold it")

    def body_runs(self, process: Process, attempt: Attempt, lease: Lease) -> None:
        """Know of a body that may ask whether it still has its key."""
        self.bodies.append((process, attempt, lease))
        self._one_yes()

    def body_ends(self, attempt: Attempt, lease: Lease) -> None:
        """Judge once more at the end of a body."""
        del lease
        self._one_yes()
        self.body_is_gone(attempt)

    def body_is_gone(self, attempt: Attempt) -> None:
        """Know that a body asks no more."""
        self.bodies = [body for body in self.bodies if body[1] is not attempt]

    def _one_yes(self) -> None:
        """At most one of those who ask whether they have a key is told yes."""
        if len(self.bodies) < 2 or self.lenient_until_ms > self.world.now_ms:
            return
        told: dict[str, str] = {}
        for _, attempt, lease in self.bodies:
            if not lease.lost:
                if attempt.key in told:
                    self.broke(f"{told[attempt.key]} and {attempt.holder} are both told yes")
                told[attempt.key] = attempt.holder

    def _judge(self, told: str, who: str, run: str) -> None:
        self._one_yes()
        if told:
            self.broke(f"{run} of {who}: {told}")

    def _passed(self, from_ms: int, settlement: Settlement) -> None:
        """Every occurrence that a slot leaves behind was published, or is told of."""
        timing = self.timings[settlement.entry]
        until_ms = settlement.slot.slot_ms
        left = {told.scheduled_ms for told in settlement.told if told.kind == "dispatch_failed"}
        spans = [
            (told.scheduled_ms, int(told.note.split("|")[0]))
            for told in settlement.told
            if told.kind == "superseded"
        ]
        last_ms = (1 << 50) if until_ms == ABSENT else until_ms - 1
        for at_ms in occurrences(timing.recurrence, from_ms - 1, last_ms):
            is_told = at_ms in left or any(first <= at_ms <= last for first, last in spans)
            is_there = (
                timing.is_at_most_once
                or self.names.task_id(settlement.entry, at_ms) in self.broker.accepted
            )
            if not is_told and not is_there:
                name = self.names.occurrence(settlement.entry, at_ms)
                self.broke(f"the slot moved past {name}, which nobody published")
