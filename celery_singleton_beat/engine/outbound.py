"""From claims to settlements: what is claimed is published in groups, and then settled.

Runs in: beat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.publisher import Delivery, Sent
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.engine.work import Work
from celery_singleton_beat.events import Event, Events
from celery_singleton_beat.protocol.claim import Settled, Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.occurrence import Occurrence
from celery_singleton_beat.protocol.overlap import give_way


class Settling:
    """Settles, and keeps what was to be settled until the store has answered.

    A settlement is guarded by its fence: late, it moves its own claim or nothing.
    """

    def __init__(
        self, ask: Callable[[Sequence[Settlement]], list[Settled]], events: Events
    ) -> None:
        self._ask = ask
        self._events = events
        self._left: list[Settlement] = []

    def settle(self, settlements: Sequence[Settlement] = ()) -> None:
        """Settle these, and those of which the store's answer was lost before.

        Raises:
            StoreError: the store did not answer; they are settled with the next.
        """
        self._left += settlements
        if not self._left:
            return
        verdicts = self._ask(self._left)
        for settlement, verdict in zip(self._left, verdicts, strict=True):
            if verdict is Settled.LOST:
                self._events.emit(happened.ClaimLost(settlement.entry, settlement.slot.last_ms))
        self._left = []

    def settle_once(self, settlement: Settlement) -> Settled:
        """Settle one now or never; tell how it went.

        Raises:
            StoreError: the store did not answer; it may have been settled.
        """
        return self._ask([settlement])[0]


class Outbound:
    """Publishes the works of a tick and has them settled."""

    def __init__(self, replica: Replica) -> None:
        self._publisher = replica.publisher
        self._events = replica.events
        self._replica = replica.name
        self._pace = replica.pace
        self._busy = replica.store.busy
        self._note_once = replica.store.note_once
        self._clock_ms = replica.clock_ms
        self._alone: set[str] = set()
        self._told: list[Event] = []

    def dispatch(
        self, works: Iterable[Work], now_ms: int, asked_ms: int, settling: Settling
    ) -> int | None:
        """Publish and settle; tell when the earliest of the settled slots is due next."""
        dues: list[int] = []
        waiting: list[Settlement] = []
        try:
            for group in self._groups(self._giving_way(works, now_ms)):
                if group[0].timing.is_at_most_once:
                    settling.settle(waiting)
                    waiting = []
                    settled = self._publish_once(group[0], now_ms, asked_ms, settling)
                else:
                    settled = self._publish(group, now_ms, asked_ms)
                    waiting += settled
                dues += (one.slot.due_ms for one in settled if one.slot.due_ms != ABSENT)
                if self._clock_ms() - asked_ms > self._pace.hold_ms // 4:
                    settling.settle(waiting)
                    waiting = []
            settling.settle(waiting)
        finally:
            self._tell()
        return min(dues, default=None)

    def _tell(self) -> None:
        """Tell what happened once it is settled: who listens may take the time of a hold."""
        told, self._told = self._told, []
        for event in told:
            self._events.emit(event)

    def is_over(self, asked_ms: int) -> bool:
        """Tell whether a hold may no longer be counted on."""
        return self._clock_ms() >= asked_ms + self._pace.trusted_ms

    def _giving_way(self, works: Iterable[Work], now_ms: int) -> list[Work]:
        """Plan anew what would overlap with the run before it."""
        planned = list(works)
        apart = [at for at, work in enumerate(planned) if work.keeps_apart]
        before = {
            at: self._publisher.task_id(
                Occurrence(work.claim.entry, work.claim.slot.last_ms, work.cause)
            )
            for at, work in ((at, planned[at]) for at in apart)
            if work.claim.slot.last_ms != ABSENT
        }
        verdicts = dict(zip(before, self._busy(list(before.values())), strict=True))
        for at in apart:
            timing, slot = planned[at].timing, planned[at].claim.slot
            is_busy = verdicts.get(at, False)
            planned[at] = planned[at].with_plan(
                give_way(timing, slot, planned[at].plan, is_busy=is_busy, now_ms=now_ms)
            )
        return planned

    def _groups(self, works: Iterable[Work]) -> Iterator[list[Work]]:
        """Group what is published together.

        An occurrence that may have spoilt its batch is published alone.
        """
        together: list[Work] = []
        size = 0
        for work in works:
            entry = work.claim.entry
            is_alone = work.claim.slot.failures or entry in self._alone
            if is_alone or work.timing.is_at_most_once:
                self._alone.discard(entry)
                yield [work]
                continue
            together.append(work)
            size += len(work.plan.publish)
            if size >= self._pace.batch:
                yield together
                together, size = [], 0
        if together:
            yield together

    def _publish_once(
        self, work: Work, now_ms: int, asked_ms: int, settling: Settling
    ) -> list[Settlement]:
        """Move the slot on, and only then publish; what goes wrong is told and not repeated.

        Whoever dies in between leaves it as settled: it counts as queued for its
        time, and the history knows nothing of it.
        """
        assumed = [
            Delivery(Sent.SENT, self._publisher.task_id(occurrence))
            for occurrence in work.plan.publish
        ]
        settlement, _ = work.settlement(assumed, now_ms, self._replica, is_in_time=True)
        if settling.settle_once(settlement) in {Settled.CONFIRMED, Settled.STALE}:
            self._told += work.published([], now_ms, self._replica)
            told, unsent = [], []
            for publication, assumption in zip(work.publications(now_ms), assumed, strict=True):
                (delivery,) = self._publisher.publish(
                    [publication], lambda: not self.is_over(asked_ms)
                )
                # Where it was not even tried, nobody told its id.
                delivery = delivery._replace(task_id=assumption.task_id)
                self._told.append(work.delivered_once(publication, delivery, now_ms, self._replica))
                told.append(work.told_once(publication, delivery, self._replica))
                if delivery.sent in {Sent.UNSENT, Sent.FAILED}:
                    unsent.append(delivery.task_id)
            if told:
                self._note_once(work.claim.entry, told, unsent)
        return [settlement]

    def _publish(self, group: list[Work], now_ms: int, asked_ms: int) -> list[Settlement]:
        publications = [publication for work in group for publication in work.publications(now_ms)]
        deliveries = []
        if publications:
            deliveries = self._publisher.publish(publications, lambda: not self.is_over(asked_ms))
        is_in_time = not self.is_over(asked_ms)
        settlements, at = [], 0
        for work in group:
            own = deliveries[at : at + len(work.plan.publish)]
            at += len(own)
            self._told += work.published(own, now_ms, self._replica)
            settlement, trouble = work.settlement(own, now_ms, self._replica, is_in_time=is_in_time)
            settlements.append(settlement)
            if trouble is not None:
                self._told.append(trouble)
                self._alone.add(work.claim.entry)
        return settlements
