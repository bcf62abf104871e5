"""What is published once more: what nobody began, and the runs whose workers died.

Runs in: beat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.claiming import UNUSABLE_MS
from celery_singleton_beat.engine.outbound import Outbound
from celery_singleton_beat.engine.publisher import BrokerUnavailable, Delivery, Publication, Sent
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.engine.stored_entries import StoredEntries
from celery_singleton_beat.engine.work import GIVE_UP_AFTER, RETRY_MS
from celery_singleton_beat.protocol.awaited import Awaited, Postponed
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.entry import Timing


class Republishing:
    """Publishes again, with the same ids, what the store has of that for whoever asks first."""

    def __init__(
        self,
        replica: Replica,
        outbound: Outbound,
        stored: StoredEntries,
        timings: Mapping[str, Timing],
    ) -> None:
        self._store = replica.store
        self._publisher = replica.publisher
        self._events = replica.events
        self._replica = replica.name
        self._pace = replica.pace
        self._outbound = outbound
        self._stored = stored
        self._timings = timings

    def recall(self, now_ms: int, asked_ms: int) -> None:
        """Publish once more what nobody began.

        Of an entry that is gone nothing is left to publish. What this replica
        cannot use is left for a while, maybe to others.

        Raises:
            StoreError: the store did not answer; what was recalled is held for a while.
        """
        overdue = self._store.recall(limit=self._pace.batch, hold_ms=self._pace.hold_ms)
        stored = self._stored.known([o.entry for o in overdue if o.entry not in self._timings])
        known, gone, postponed = [], [], []
        for one in overdue:
            if one.entry in self._timings or stored.get(one.entry):
                known.append(one)
            elif one.entry in stored:
                postponed.append(Postponed(one.run, UNUSABLE_MS))
            else:
                gone.append(one.run)
        publications = [
            Publication(one.occurrence(now_ms), now_ms, stored.get(one.entry)) for one in known
        ]
        deliveries = self._publisher.publish(
            publications, lambda: not self._outbound.is_over(asked_ms)
        )
        again = []
        for one, delivery in zip(known, deliveries, strict=True):
            if delivery.sent is Sent.SENT:
                again.append(one.run)
                self._events.emit(happened.OccurrenceRecalled(one.entry, one.scheduled_ms, one.run))
            else:
                postponed += self._postponed(one, delivery)
        self._store.await_again(again, self._replica)
        self._store.postpone(postponed, self._replica)
        self._store.dismiss(gone)

    def rerun(self, asked_ms: int) -> None:
        """Publish the messages of runs whose workers died.

        One that breaks the connection may do so each time: it waits longer each
        time, and the others go on by a new one. What was not tried is held for a while.

        Raises:
            StoreError: the store did not answer; what was reclaimed is held for a while.
        """
        done, unsure, hopeless = [], [], []
        for crashed in self._store.reclaim(limit=self._pace.batch, hold_ms=self._pace.hold_ms):
            if self._outbound.is_over(asked_ms) or not self._is_connected():
                break
            delivery = self._publisher.publish_again(crashed.message)
            if delivery.sent is Sent.SENT:
                done.append(crashed)
                self._events.emit(happened.RunRepublished(crashed.run, self._replica))
            elif delivery.sent is Sent.UNKNOWN:
                unsure.append(crashed)
            elif delivery.sent is Sent.FAILED:
                hopeless.append(crashed)
                self._events.emit(happened.RunNotRepublished(crashed.run, delivery.error))
        self._store.rerun(done, self._replica)
        self._store.rerun(unsure)
        self._store.give_up(hopeless)

    def _is_connected(self) -> bool:
        """Tell whether there is a connection, making a new one if the last is lost."""
        try:
            self._publisher.connect()
        except BrokerUnavailable:
            return False
        return True

    def _postponed(self, one: Awaited, delivery: Delivery) -> Iterator[Postponed]:
        """Say when to try again what was not sent; what was not tried is held, and comes then."""
        if delivery.sent is Sent.UNKNOWN:
            # Later than what it kept from being sent: if it does so each time, not each time first.
            yield Postponed(one.run, min(one.deadline_ms, UNUSABLE_MS))
        elif delivery.sent is Sent.FAILED:
            attempt = one.failures + 1
            is_last = attempt >= GIVE_UP_AFTER
            self._events.emit(
                happened.DispatchFailed(
                    one.entry, one.scheduled_ms, attempt, is_last, delivery.error
                )
            )
            for_ms = ABSENT if is_last else RETRY_MS[attempt - 1]
            yield Postponed(one.run, for_ms, attempt, delivery.error)
