"""One tick of a replica: claim, plan, publish, settle.

Runs in: beat.

The dispatcher keeps almost nothing: the timetable that this replica brings, and
what it must not forget between two ticks. Whatever it does not finish is due
again, for everybody, when its hold is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.adoption import Adopter
from celery_singleton_beat.engine.asked_runs import AskedRuns
from celery_singleton_beat.engine.claiming import GATHER_MS, Claiming, Question
from celery_singleton_beat.engine.outbound import Outbound, Settling
from celery_singleton_beat.engine.publisher import BrokerUnavailable
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.engine.republishing import Republishing
from celery_singleton_beat.engine.stored_entries import StoredEntries
from celery_singleton_beat.engine.watch import Watch
from celery_singleton_beat.engine.work import Work, disown
from celery_singleton_beat.errors import StoreError
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.store.port import ClaimAnswer, ClaimRequest, Standing

_CONTENDED_MS: Final = 100
"""How soon to look again while others hold something that may be due next. Who came too late for
what was due leaves the next to others for so long: else all ask for each moment, and one gets it.
"""


class Dispatcher:
    """Dispatches what is due, together with all other replicas.

    ``tick`` never raises for anything that the store, the broker or an entry
    does; it tells in milliseconds how long to wait before the next one.
    """

    def __init__(self, replica: Replica, timings: Mapping[str, Timing], digest: str) -> None:
        store, events = replica.store, replica.events
        self._store = store
        self._publisher = replica.publisher
        self._events = events
        self._replica = replica.name
        self._address = replica.address
        self._pace = replica.pace
        self._clock_ms = replica.clock_ms
        self._timings = timings
        self._digest = digest
        self._introduction = replica.introduction
        self._adopter = Adopter(store, events, timings, digest)
        self._watch = Watch(events, rest_ms=replica.pace.clock_jump_rest_ms)
        self._settling = Settling(partial(store.settle, digest), events)
        self._outbound = Outbound(replica)
        self._stored = StoredEntries(replica, self._outbound, taken=timings)
        self._republishing = Republishing(replica, self._outbound, self._stored, timings)
        self._asked = AskedRuns(replica, self._outbound, timings, digest)
        self._question = Question(replica, self._outbound)
        self._standing: Standing | None = None
        self._awaited_ms: int | None = None  # in the store's time

    def tick(self) -> int:
        """Dispatch what is due; tell how many milliseconds to wait before the next tick."""
        try:
            self._publisher.connect()
        except BrokerUnavailable as error:
            self._watch.broker_lost(str(error))
            return self._pace.poll_ms
        self._watch.broker_answered()
        if self._watch.is_resting(self._clock_ms()):
            return self._pace.poll_ms
        try:
            return self._work()
        except StoreError as error:
            self._watch.store_lost(error, self._clock_ms())
            return self._pace.poll_ms

    def leave(self) -> None:
        """Settle what is left and take leave, so that the others need not wait.

        Raises:
            StoreError: the store was not told; it finds out by itself.
        """
        self._settling.settle()
        self._stored.settle()
        self._asked.settle()
        self._store.leave(self._replica)

    def _work(self) -> int:
        self._settling.settle()
        self._stored.settle()
        self._asked.settle()
        answer, asked_ms = self._claim()
        awaited_ms, self._awaited_ms = self._awaited_ms, None
        if answer.unreadable:
            self._plan_anew(answer)
        if answer.standing is Standing.ADOPTS:
            self._adopter.adopt(answer.now_ms, list(self._timings), done=True)
            return 0
        if answer.is_paused:
            return self._pace.poll_ms
        wait_ms = self._pace.poll_ms
        if answer.standing is Standing.GOVERNS:
            wait_ms = self._govern(answer, asked_ms)
        wait_ms = min(
            wait_ms,
            self._look_at(answer.stored_ms, self._stored, answer, asked_ms),
            self._look_at(answer.asked_ms, self._asked, answer, asked_ms),
        )
        return self._rested(wait_ms, answer, asked_ms, awaited_ms)

    def _govern(self, answer: ClaimAnswer, asked_ms: int) -> int:
        """Dispatch what was claimed; tell how long to wait."""
        works = self._works(answer)
        next_ms = self._outbound.dispatch(works, answer.now_ms, asked_ms, self._settling)
        if answer.has_overdue:
            self._republishing.recall(answer.now_ms, asked_ms)
            self._republishing.rerun(asked_ms)
        if len(answer.claims) >= self._pace.batch:
            return 0
        return self._wait_ms(answer, asked_ms, next_ms)

    def _look_at(
        self, at_ms: int | None, claiming: Claiming, answer: ClaimAnswer, asked_ms: int
    ) -> int:
        """Dispatch what is to be looked at, if it is time; tell how long to wait."""
        claiming.has_claimed = False
        if at_ms is None:
            return self._pace.poll_ms
        until_ms = at_ms - (answer.now_ms + self._clock_ms() - asked_ms)
        return until_ms if until_ms > 0 else claiming.dispatch()

    def _rested(
        self, wait_ms: int, answer: ClaimAnswer, asked_ms: int, awaited_ms: int | None
    ) -> int:
        """Tell how long to wait, and longer if what this tick was awaited for is another's."""
        has_claimed = answer.claims or self._stored.has_claimed or self._asked.has_claimed
        if not has_claimed and awaited_ms is not None and awaited_ms <= answer.now_ms:
            wait_ms = max(wait_ms, _CONTENDED_MS)
        if 0 < wait_ms < self._pace.poll_ms:
            self._awaited_ms = answer.now_ms + self._clock_ms() - asked_ms + wait_ms
        return wait_ms

    def _claim(self) -> tuple[ClaimAnswer, int]:
        """Claim; tell also since when the hold counts."""
        request_id, first_asked_ms = self._question.ask()
        request = ClaimRequest(
            self._replica,
            self._digest,
            request_id,
            self._pace.batch,
            self._pace.hold_ms,
            self._pace.replica_timeout_ms,
            self._introduction.text,
        )
        asked_ms = self._clock_ms()
        answer = self._store.claim(request)
        self._question.answered()
        answered_ms = self._clock_ms()
        self._watch.store_answered(answer.now_ms, asked_ms, answered_ms)
        self._introduction.heard(answer.now_ms, answered_ms - asked_ms)
        if self._standing is None:
            self._events.emit(happened.StoreConnected(self._address))
            self._events.emit(happened.Ready("beat", self._replica, len(self._timings)))
        if answer.standing is not self._standing:
            self._standing = answer.standing
            self._events.emit(happened.StandingChanged(self._replica, answer.standing.value))
        return answer, first_asked_ms

    def _plan_anew(self, answer: ClaimAnswer) -> None:
        for entry in answer.unreadable:
            self._events.emit(happened.EntrySetAside.unreadable(entry))
        self._adopter.adopt(answer.now_ms, answer.unreadable, done=False)

    def _works(self, answer: ClaimAnswer) -> Iterator[Work]:
        """Plan the claims; what nobody here knows is given back."""
        for claim in answer.claims:
            timing = self._timings.get(claim.entry)
            if timing is None:
                self._settling.settle([disown(claim)])
            else:
                yield Work.of(claim, timing, answer.now_ms, resumed_ms=answer.resumed_ms)

    def _wait_ms(self, answer: ClaimAnswer, asked_ms: int, next_ms: int | None) -> int:
        """Tell how long to wait: until what is due next, and never longer than a poll."""
        longest_ms = _CONTENDED_MS if answer.others_hold else self._pace.poll_ms
        known = [next_ms] if next_ms is not None else []
        if answer.next_ms is not None and not (
            # Our own holds were in the answer, as something to come; they are settled now.
            answer.claims and answer.next_ms >= answer.now_ms + self._pace.hold_ms
        ):
            known.append(answer.next_ms)
        # The answer's time is at most as old as the question.
        store_now_ms = answer.now_ms + self._clock_ms() - asked_ms
        until_ms = min(known, default=store_now_ms + longest_ms) - store_now_ms
        least_ms = GATHER_MS if answer.claims else 0
        return max(min(until_ms, longest_ms, self._pace.poll_ms), least_ms)
