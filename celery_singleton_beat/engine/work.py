"""A claim on its way: its plan, its messages, and what becomes of its slot.

Runs in: beat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.publisher import Delivery, Publication, Sent
from celery_singleton_beat.events import Event
from celery_singleton_beat.protocol.asked import plan_asked, timing_asked
from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.claim import Claim, Queued, Settlement, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.entry import Overlap, Timing
from celery_singleton_beat.protocol.history import LeftOut, Told
from celery_singleton_beat.protocol.occurrence import Occurrence
from celery_singleton_beat.protocol.plan import Plan, Reason, plan, resume_at
from celery_singleton_beat.store.asked_port import AskedClaim
from celery_singleton_beat.store.timetable_port import StoredClaim

RETRY_MS: Final = (1000, 2000, 4000, 8000, 15_000, 30_000, 60_000)
"""How long an occurrence waits after its first, second … failed dispatch."""

GIVE_UP_AFTER: Final = 3
"""After so many failures of its own an occurrence is given up, and the slot moves on."""


class Work(NamedTuple):
    """A claimed slot and the plan for it."""

    claim: Claim
    timing: Timing
    plan: Plan
    entry: Entry | None = None
    revision: int = 0
    cause: str = ""

    @classmethod
    def of(cls, claim: Claim, timing: Timing, now_ms: int, *, resumed_ms: int = 0) -> Work:
        """Plan a claim on an entry of the configuration."""
        return cls(claim, timing, plan(timing, claim.slot, now_ms=now_ms, resumed_ms=resumed_ms))

    @classmethod
    def of_stored(cls, claim: StoredClaim, entry: Entry, timing: Timing, now_ms: int) -> Work:
        """Plan a claim on a stored entry."""
        name, slot, card, resumed_ms = claim
        planned = plan(
            timing, slot, now_ms=now_ms, changed_ms=card.changed_ms, resumed_ms=resumed_ms
        )
        return cls(Claim(name, slot), timing, planned, entry, card.revision)

    @classmethod
    def of_asked(cls, claim: AskedClaim, entry: Entry | None, timing: Timing, now_ms: int) -> Work:
        """Plan a claim on a request: its id is the cause of what it publishes."""
        request, asked, slot, card, portion = claim
        timing = timing_asked(timing)
        planned = plan_asked(timing, request, asked, slot, portion=portion, now_ms=now_ms)
        revision = card.revision if card else 0
        return cls(Claim(asked.entry, slot), timing, planned, entry, revision, request)

    def publications(self, now_ms: int) -> Iterator[Publication]:
        for occurrence in self.plan.publish:
            if self.entry is None:
                yield Publication(occurrence, now_ms)
            else:
                dated = replace(occurrence, revision=self.revision)
                yield Publication(dated, now_ms, self.entry)

    def published(
        self, deliveries: Sequence[Delivery], now_ms: int, replica: str
    ) -> Iterator[Event]:
        """Tell what was published, and what was left out for it."""
        sent = _count_sent(deliveries)
        for occurrence, delivery in zip(self.plan.publish[:sent], deliveries, strict=False):
            yield happened.OccurrencePublished(
                occurrence.entry,
                occurrence.scheduled_ms,
                delivery.task_id,
                self._late_ms(occurrence, now_ms),
                replica,
                self.cause,
            )
        for missed in self.plan.missed:  # told even if nothing was sent: the slot moves past them
            yield happened.OccurrencesMissed(
                self.claim.entry,
                missed.first_ms,
                missed.last_ms,
                missed.count,
                missed.by_ms,
                missed.reason.value,
            )

    def delivered_once(
        self, publication: Publication, delivery: Delivery, now_ms: int, replica: str
    ) -> Event:
        """Tell what became of an occurrence that is published at most once."""
        entry, scheduled_ms = self.claim.entry, publication.occurrence.scheduled_ms
        if delivery.sent is Sent.SENT:
            late_ms = self._late_ms(publication.occurrence, now_ms)
            return happened.OccurrencePublished(
                entry, scheduled_ms, delivery.task_id, late_ms, replica, self.cause
            )
        return happened.OccurrenceDropped(entry, scheduled_ms, delivery.task_id, delivery.error)

    def told_once(self, publication: Publication, delivery: Delivery, replica: str) -> Told:
        """Say for the history what became of an occurrence that is published at most once."""
        scheduled_ms, run = publication.occurrence.scheduled_ms, delivery.task_id
        if delivery.sent is Sent.SENT:
            return Told("published", scheduled_ms, run, replica, self.cause)
        how = "perhaps not sent" if delivery.sent is Sent.UNKNOWN else "not sent"
        return Told("dropped", scheduled_ms, run, replica, f"{how}: {delivery.error}"[:200])

    def settlement(
        self, deliveries: Sequence[Delivery], now_ms: int, replica: str, *, is_in_time: bool
    ) -> tuple[Settlement, Event | None]:
        """Say what shall become of the slot, and what is to be told of the first that stayed.

        Published occurrences are done with. What the broker may have stays
        under the hold; what it surely does not have is due again after a pause
        (at once, if only the hold was over); what the entry itself made
        impossible is tried again a few times and then given up.
        """
        claim, timing, planned = self.claim, self.timing, self.plan
        sent = _count_sent(deliveries)
        slot = resume_at(timing, claim.slot, planned, sent)
        trouble: Event | None = None
        if sent < len(planned.publish):
            at_ms, delivery = planned.publish[sent].scheduled_ms, deliveries[sent]
            if delivery.sent is Sent.FAILED:
                slot, trouble = self._failed(slot, delivery, sent, now_ms)
            elif delivery.sent is Sent.UNKNOWN:
                slot = replace(slot, due_ms=max(slot.due_ms, claim.slot.hold_until_ms))
                trouble = happened.OccurrenceUncertain(
                    claim.entry, at_ms, delivery.task_id, delivery.error
                )
            else:
                pause_ms = RETRY_MS[0] if is_in_time else 0
                slot = replace(slot, due_ms=max(slot.due_ms, now_ms + pause_ms))
        awaited = self._awaited(deliveries[:sent])
        told = self._told(deliveries[:sent], trouble, replica)
        queued = self._queued(deliveries[:sent])
        settlement = Settlement(
            claim.entry,
            claim.slot.fence,
            slot,
            awaited,
            told,
            self.revision,
            queued,
            self.cause,
        )
        return settlement, trouble

    def with_plan(self, planned: Plan) -> Work:
        """Make the same with another plan."""
        return self._replace(plan=planned)

    @property
    def keeps_apart(self) -> bool:
        """Tell whether the run before this one may be in its way."""
        return self.timing.overlap is not Overlap.ALLOW and bool(self.plan.publish)

    def _late_ms(self, occurrence: Occurrence, now_ms: int) -> int:
        """Tell how late it is: what was asked for, since it was its turn."""
        due_ms = self.claim.slot.due_ms if self.cause else occurrence.scheduled_ms
        return now_ms - due_ms

    def _awaited(self, sent: Sequence[Delivery]) -> tuple[Awaited, ...]:
        """List what was sent and has to begin by a deadline."""
        deadline_ms = self.timing.start_deadline_ms
        if deadline_ms is None:
            return ()
        return tuple(
            Awaited(
                delivery.task_id,
                occurrence.entry,
                occurrence.scheduled_ms,
                deadline_ms,
                occurrence.window_ms,
                occurrence.previous_ms,
                revision=self.revision,
            )
            for occurrence, delivery in zip(self.plan.publish, sent, strict=False)
        )

    def _queued(self, sent: Sequence[Delivery]) -> tuple[Queued, ...]:
        """List what was sent and keeps the next back until it has run."""
        if self.timing.overlap is Overlap.ALLOW:
            return ()
        return tuple(
            Queued(delivery.task_id, self._queued_ms(occurrence))
            for occurrence, delivery in zip(self.plan.publish, sent, strict=False)
        )

    def _queued_ms(self, occurrence: Occurrence) -> int:
        next_ms = self.timing.recurrence.next_after(occurrence.scheduled_ms)
        interval_ms = 0 if next_ms is None else next_ms - occurrence.scheduled_ms
        return self.timing.queued_ms(interval_ms, occurrence.window_ms)

    def _told(
        self, sent: Sequence[Delivery], trouble: Event | None, replica: str
    ) -> tuple[Told, ...]:
        """Say for the history what was published, left out and not sent."""
        # What is published at most once is not published yet: ``told_once`` says what became of it.
        there = () if self.timing.is_at_most_once else zip(self.plan.publish, sent, strict=False)
        told = [
            Told("published", occurrence.scheduled_ms, delivery.task_id, replica, self.cause)
            for occurrence, delivery in there
        ]
        for missed in self.plan.missed:
            by = missed.by_ms or ("" if missed.reason is Reason.LATE else missed.reason.value)
            note = LeftOut(missed.last_ms, str(by), missed.count).to_note()
            told.append(Told("superseded", missed.first_ms, "", replica, note))
        if isinstance(trouble, happened.DispatchFailed):
            told.append(
                Told("dispatch_failed", trouble.scheduled_ms, "", replica, trouble.error[:200])
            )
        return tuple(told)

    def _failed(self, slot: Slot, delivery: Delivery, sent: int, now_ms: int) -> tuple[Slot, Event]:
        attempt = slot.failures + 1
        given_up = attempt >= GIVE_UP_AFTER
        told = happened.DispatchFailed(
            self.claim.entry,
            self.plan.publish[sent].scheduled_ms,
            attempt,
            given_up,
            delivery.error,
        )
        if given_up:
            return resume_at(self.timing, self.claim.slot, self.plan, sent + 1), told
        due_ms = now_ms + RETRY_MS[min(attempt, len(RETRY_MS)) - 1]
        return replace(slot, failures=attempt, due_ms=due_ms), told


def disown(claim: Claim) -> Settlement:
    """Say that nobody here knows the entry: it is not looked at again, and keeps its slot."""
    return Settlement(claim.entry, claim.slot.fence, replace(claim.slot, due_ms=ABSENT))


def _count_sent(deliveries: Sequence[Delivery]) -> int:
    """Count the messages that were sent, up to the first that was not."""
    for count, delivery in enumerate(deliveries):
        if delivery.sent is not Sent.SENT:
            return count
    return len(deliveries)
