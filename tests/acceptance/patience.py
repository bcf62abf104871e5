"""A scheduler that does not poll: what it acts on, it has heard of."""

from __future__ import annotations

from celery_singleton_beat import SingletonScheduler

POLL_SECONDS = 1.0
HOUR_SECONDS = 3600.0


class PatientScheduler(SingletonScheduler):
    """Where others look again after a poll, it waits an hour; for what is due it wakes as ever."""

    def _waits_for_change(self, seconds: float) -> bool:
        patience = HOUR_SECONDS if seconds >= POLL_SECONDS else seconds
        return super()._waits_for_change(patience) or self._wake.wait(patience)
