"""One tick of a replica: claim, plan, publish, settle.

Runs in: beat.

The dispatcher keeps almost nothing: the timetable that this replica brings, and
what it must not forget between two ticks. Whatever it does not finish is due
again, for everybody, when its hold is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import uuid4

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.adoption import Adopter
from celery_singleton_beat.engine.clock import boot_ms
from celery_singleton_beat.engine.publisher import (
    BrokerUnavailable,
    Delivery,
    Publication,
    Publisher,
    Sent,
)
from celery_singleton_beat.errors import StoreError
from celery_singleton_beat.events import Events
from celery_singleton_beat.protocol.claim import Claim, Settled, Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.protocol.plan import Plan, plan, resume_at
from celery_singleton_beat.store.port import ClaimAnswer, ClaimRequest, Standing, Store

RETRY_MS: Final = (1000, 2000, 4000, 8000, 15_000, 30_000, 60_000)
"""How long an occurrence waits after its first, second … failed dispatch."""

GIVE_UP_AFTER: Final = 3
"""After so many failures of its own an occurrence is given up, and the slot moves on."""

_CONTENDED_MS: Final = 100
_JUMP_MS: Final = 1000


@dataclass(frozen=True)
class Pace:
    """The durations that a dispatcher works by, in milliseconds."""

    hold_ms: int = 5000
    poll_ms: int = 1000
    replica_timeout_ms: int = 15_000
    clock_jump_rest_ms: int = 30_000
    batch: int = 100

    @property
    def margin_ms(self) -> int:
        """How much earlier than the store a replica considers its hold to be over."""
        return max(self.hold_ms // 10, 100)


@dataclass
class _Work:
    """A claim on its way: its plan, and the deliveries of the plan's publications."""

    claim: Claim
    timing: Timing
    plan: Plan
    deliveries: list[Delivery] = field(default_factory=list)


class Dispatcher:
    """Dispatches what is due, together with all other replicas.

    ``tick`` never raises for anything that the store, the broker or an entry
    does; it tells in milliseconds how long to wait before the next one.
    """

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        events: Events,
        replica: str,
        timings: Mapping[str, Timing],
        digest: str,
        pace: Pace,
        info: str = "",
        clock_ms: Callable[[], int] = boot_ms,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._events = events
        self._replica = replica
        self._timings = timings
        self._digest = digest
        self._pace = pace
        self._info = info
        self._clock_ms = clock_ms
        self._adopter = Adopter(store, events, timings, digest)
        self._unsettled: list[Settlement] = []
        self._question: tuple[str, int] | None = None
        self._standing: Standing | None = None
        self._alone: set[str] = set()
        self._store_lost_at_ms: int | None = None
        self._broker_is_lost = False
        self._clock_offset_ms: int | None = None
        self._rests_until_ms = 0

    def tick(self) -> int:
        """Dispatch what is due; tell how many milliseconds to wait before the next tick."""
        try:
            self._publisher.connect()
        except BrokerUnavailable as error:
            self._broker_lost(str(error))
            return self._pace.poll_ms
        self._broker_back()
        if self._clock_ms() < self._rests_until_ms:
            return self._pace.poll_ms
        try:
            return self._work()
        except StoreError as error:
            self._store_lost(error)
            return self._pace.poll_ms

    def leave(self) -> None:
        """Settle what is left and take leave, so that the others need not wait."""
        self._settle([])
        self._store.leave(self._replica)

    def _work(self) -> int:
        self._settle([])
        answer, asked_at_ms = self._claim()
        for entry in answer.unreadable:
            reason = "the store's record of it cannot be read; it was moved away and planned anew"
            self._events.emit(happened.EntrySetAside(entry, reason))
        if answer.unreadable:
            self._adopter.adopt(answer.now_ms, answer.unreadable, done=False)
        match answer.standing:
            case Standing.STANDS_BY:
                return self._pace.poll_ms
            case Standing.ADOPTS:
                self._adopter.adopt(answer.now_ms, list(self._timings), done=True)
                return 0
            case Standing.GOVERNS:
                next_ms = self._dispatch(answer, asked_at_ms)
        if len(answer.claims) >= self._pace.batch:
            return 0
        return self._wait_ms(answer, asked_at_ms, next_ms)

    def _claim(self) -> tuple[ClaimAnswer, int]:
        """Claim; a question whose answer was lost is asked again, and its hold counts from then."""
        if self._question is None or self._is_over(self._question[1]):
            self._question = (uuid4().hex, self._clock_ms())
        request_id, asked_at_ms = self._question
        request = ClaimRequest(
            self._replica,
            self._digest,
            request_id,
            self._pace.batch,
            self._pace.hold_ms,
            self._pace.replica_timeout_ms,
            self._info,
        )
        before_ms = self._clock_ms()
        answer = self._store.claim(request)
        self._question = None
        self._heard(answer, before_ms)
        return answer, asked_at_ms

    def _dispatch(self, answer: ClaimAnswer, asked_at_ms: int) -> int | None:
        """Publish and settle; tell when the earliest of the settled slots is due next."""

        def may_go_on() -> bool:
            return not self._is_over(asked_at_ms)

        settlements: list[Settlement] = []
        dues: list[int] = []
        for group in self._groups(answer):
            publications = [
                Publication(occurrence, answer.now_ms)
                for work in group
                for occurrence in work.plan.publish
            ]
            deliveries = iter(
                self._publisher.publish(publications, may_go_on) if publications else ()
            )
            for work in group:
                work.deliveries = [next(deliveries) for _ in work.plan.publish]
                settlement = self._outcome(work, answer.now_ms, may_go_on=may_go_on())
                settlements.append(settlement)
                if settlement.slot.due_ms != ABSENT:
                    dues.append(settlement.slot.due_ms)
            if len(settlements) >= self._pace.batch or self._clock_ms() - asked_at_ms > (
                self._pace.hold_ms // 4
            ):
                self._settle(settlements)
                settlements = []
        self._settle(settlements)
        return min(dues, default=None)

    def _groups(self, answer: ClaimAnswer) -> Iterator[list[_Work]]:
        """Plan the claims, in groups that are published together.

        An occurrence that may have spoilt its batch is published alone.
        """
        together: list[_Work] = []
        size = 0
        for claim in answer.claims:
            timing = self._timings.get(claim.entry)
            if timing is None:
                unknown = replace(claim.slot, due_ms=ABSENT)
                self._settle([Settlement(claim.entry, claim.slot.fence, unknown)])
                continue
            work = _Work(claim, timing, plan(timing, claim.slot, now_ms=answer.now_ms))
            if claim.slot.failures or claim.entry in self._alone:
                self._alone.discard(claim.entry)
                yield [work]
                continue
            together.append(work)
            size += len(work.plan.publish)
            if size >= self._pace.batch:
                yield together
                together, size = [], 0
        if together:
            yield together

    def _outcome(self, work: _Work, now_ms: int, *, may_go_on: bool) -> Settlement:
        """Say what shall become of a slot, given what became of its messages."""
        claim, timing, planned = work.claim, work.timing, work.plan
        sent = 0
        for occurrence, delivery in zip(planned.publish, work.deliveries, strict=True):
            if delivery.sent is not Sent.SENT:
                break
            sent += 1
            late_ms = now_ms - occurrence.scheduled_ms
            self._events.emit(
                happened.OccurrencePublished(
                    occurrence.entry,
                    occurrence.scheduled_ms,
                    delivery.task_id,
                    late_ms,
                    self._replica,
                )
            )
        slot = resume_at(timing, claim.slot, planned, sent)
        if sent < len(planned.publish):
            at_ms, delivery = planned.publish[sent].scheduled_ms, work.deliveries[sent]
            match delivery.sent:
                case Sent.UNKNOWN:
                    self._alone.add(claim.entry)
                    self._events.emit(
                        happened.OccurrenceUncertain(
                            claim.entry, at_ms, delivery.task_id, delivery.error
                        )
                    )
                    slot = replace(slot, due_ms=max(slot.due_ms, claim.slot.hold_until_ms))
                case Sent.UNSENT:
                    delay_ms = RETRY_MS[0] if may_go_on else 0
                    slot = replace(slot, due_ms=max(slot.due_ms, now_ms + delay_ms))
                case Sent.FAILED:
                    attempt = slot.failures + 1
                    given_up = attempt >= GIVE_UP_AFTER
                    self._events.emit(
                        happened.DispatchFailed(
                            claim.entry, at_ms, attempt, given_up, delivery.error
                        )
                    )
                    if given_up:
                        slot = resume_at(timing, claim.slot, planned, sent + 1)
                    else:
                        due_ms = now_ms + RETRY_MS[min(attempt, len(RETRY_MS)) - 1]
                        slot = replace(slot, failures=attempt, due_ms=due_ms)
        if planned.missed and (sent or not planned.publish):
            missed = planned.missed
            self._events.emit(
                happened.OccurrencesMissed(
                    claim.entry, missed.first_ms, missed.last_ms, missed.count, missed.by_ms
                )
            )
        return Settlement(claim.entry, claim.slot.fence, slot)

    def _settle(self, settlements: list[Settlement]) -> None:
        """Settle these, and those of which the store's answer was lost before.

        A settlement is guarded by its fence: late, it moves its own claim or nothing.
        """
        self._unsettled += settlements
        if not self._unsettled:
            return
        verdicts = self._store.settle(self._digest, self._unsettled)
        for settlement, verdict in zip(self._unsettled, verdicts, strict=True):
            if verdict is Settled.LOST:
                self._events.emit(
                    happened.ClaimLost(settlement.entry, settlement.slot.last_ms)
                )
        self._unsettled = []

    def _wait_ms(self, answer: ClaimAnswer, asked_at_ms: int, next_ms: int | None) -> int:
        wait_ms = _CONTENDED_MS if answer.others_hold else self._pace.poll_ms
        known = [at_ms for at_ms in (answer.next_ms, next_ms) if at_ms is not None]
        # The answer's time is at most as old as the question.
        store_now_ms = answer.now_ms + (self._clock_ms() - asked_at_ms)
        if answer.claims:
            # Our own holds were in the answer, as something to come; they are settled now.
            known = [at_ms for at_ms in known if at_ms < answer.now_ms + self._pace.hold_ms]
        if known:
            wait_ms = min(wait_ms, max(min(known) - store_now_ms, 0))
        return min(wait_ms, self._pace.poll_ms)

    def _is_over(self, asked_at_ms: int) -> bool:
        trusted_ms = self._pace.hold_ms - self._pace.margin_ms
        return self._clock_ms() >= asked_at_ms + trusted_ms

    def _heard(self, answer: ClaimAnswer, before_ms: int) -> None:
        """Note what an answer tells of the store, its clock and our standing."""
        after_ms = self._clock_ms()
        if self._store_lost_at_ms is not None:
            away_ms = after_ms - self._store_lost_at_ms
            self._store_lost_at_ms = None
            self._events.emit(happened.StoreBack(away_ms))
        if answer.standing is not self._standing:
            self._standing = answer.standing
            self._events.emit(happened.StandingChanged(self._replica, answer.standing.value))
        if after_ms - before_ms < _JUMP_MS // 2:  # a slow answer says too little about a clock
            self._compare_clocks(answer.now_ms - after_ms)

    def _compare_clocks(self, offset_ms: int) -> None:
        known_ms, self._clock_offset_ms = self._clock_offset_ms, offset_ms
        if known_ms is None or abs(offset_ms - known_ms) <= _JUMP_MS:
            return
        self._events.emit(happened.StoreClockJumped(offset_ms - known_ms))
        if offset_ms > known_ms:
            # Live holders of leases renew first.
            self._rests_until_ms = self._clock_ms() + self._pace.clock_jump_rest_ms

    def _store_lost(self, error: StoreError) -> None:
        if self._store_lost_at_ms is None:
            self._store_lost_at_ms = self._clock_ms()
            self._events.emit(happened.StoreLost(str(error)))

    def _broker_lost(self, error: str) -> None:
        if not self._broker_is_lost:
            self._broker_is_lost = True
            self._events.emit(happened.BrokerLost(error))

    def _broker_back(self) -> None:
        if self._broker_is_lost:
            self._broker_is_lost = False
            self._events.emit(happened.BrokerBack())
