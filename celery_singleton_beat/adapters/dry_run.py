"""The dry run: everything but the sending, for the cut-over from another scheduler.

Runs in: beat.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from celery_singleton_beat.engine.publisher import Delivery, Publication, Sent
from celery_singleton_beat.protocol.occurrence import Occurrence

logger = logging.getLogger(__name__)


class DryPublisher:
    """Implements ``Publisher``: says what it would send."""

    def __init__(self, schedule: Mapping[str, Any]) -> None:
        self._schedule = schedule

    def connect(self) -> None:
        """Need no broker."""

    def task_id(self, occurrence: Occurrence) -> str:
        return occurrence.task_id("dry run")

    def publish(
        self, publications: Sequence[Publication], may_go_on: Callable[[], bool]
    ) -> list[Delivery]:
        del may_go_on
        for publication in publications:
            occurrence = publication.occurrence
            at = datetime.fromtimestamp(occurrence.scheduled_ms / 1000, timezone.utc)
            task = self._schedule[occurrence.entry].task
            logger.info(
                "Dry run: would send task %s for entry %r, due %s",
                task,
                occurrence.entry,
                at.isoformat(),
            )
        return [Delivery(Sent.SENT)] * len(publications)

    def publish_again(self, message: str) -> Delivery:
        del message
        return Delivery(Sent.UNSENT, error="a dry run")
