"""A Celery application on RabbitMQ, with its store in Redis."""

from __future__ import annotations

import os

from celery import Celery

from celery_singleton_beat import SingletonTask
from tests.rig import witness

app = Celery("rabbit_shop", broker=os.environ["RABBIT_BROKER"], set_as_current=False)
app.conf.update(
    beat_scheduler="celery_singleton_beat:SingletonScheduler",
    singleton_beat_redis_url=os.environ["RABBIT_STORE"],
    singleton_beat_catch_up="all",
    singleton_beat_on_locked="retry",
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    beat_schedule={name: {"task": "rabbit.see", "schedule": 0.5} for name in ("a", "b")},
)


@app.task(name="rabbit.see", base=SingletonTask, bind=True)
def see(self: SingletonTask) -> None:
    """Be seen as the occurrence that this is."""
    occurrence = self.occurrence
    assert occurrence is not None
    scheduled_ms = round(occurrence.scheduled_at.timestamp() * 1000)
    with witness.body(witness.key_of(occurrence.entry, scheduled_ms)):
        pass
