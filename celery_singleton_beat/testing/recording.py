"""A publisher that records what it is given, and fails as it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from celery_singleton_beat.engine.publisher import (
    BrokerUnavailable,
    Delivery,
    Publication,
    Sent,
)
from celery_singleton_beat.protocol.occurrence import Occurrence


class RecordingPublisher:
    """Implements ``Publisher`` without a broker.

    ``sent`` holds what the broker has. ``fates`` names entries whose messages
    meet something else than ``SENT``; with ``UNKNOWN`` the broker does get them.
    """

    def __init__(self) -> None:
        self.sent: list[Occurrence] = []
        self.batches: list[list[Occurrence]] = []
        self.fates: dict[str, Sent] = {}
        self.again: list[str] = []
        self.fate_again = Sent.SENT
        self.is_away = False

    def connect(self) -> None:
        if self.is_away:
            raise BrokerUnavailable("told to be away")

    def task_id(self, occurrence: Occurrence) -> str:
        return occurrence.task_id("test")

    def publish(
        self, publications: Sequence[Publication], may_go_on: Callable[[], bool]
    ) -> list[Delivery]:
        self.batches.append([publication.occurrence for publication in publications])
        return [self._publish(publication.occurrence, may_go_on) for publication in publications]

    def publish_again(self, message: str) -> Delivery:
        if self.fate_again in (Sent.SENT, Sent.UNKNOWN):
            self.again.append(message)
        return Delivery(self.fate_again)

    def _publish(self, occurrence: Occurrence, may_go_on: Callable[[], bool]) -> Delivery:
        fate = self.fates.get(occurrence.entry, Sent.SENT)
        if not may_go_on():
            return Delivery(Sent.UNSENT, error="the hold was nearly over")
        if fate in (Sent.SENT, Sent.UNKNOWN):
            self.sent.append(occurrence)
        return Delivery(fate, self.task_id(occurrence), "" if fate is Sent.SENT else fate.value)
