"""The demo's Celery application: what its beats and workers run.

Runs in: the demo's beats and workers.

The broker is named by Celery's own ``CELERY_BROKER_URL``; the store is the same
Redis. Durations are short so that a minute shows what takes longer in earnest.
"""

from __future__ import annotations

import time
from dataclasses import asdict

from celery import Celery

from celery_singleton_beat import events as happened
from celery_singleton_beat.adapters.extension import subscribe
from celery_singleton_beat.adapters.task import SingletonTask
from celery_singleton_beat.demo import facts
from celery_singleton_beat.demo.timetable import TIMETABLE

app = Celery("singleton-demo", set_as_current=False)
app.conf.update(
    beat_scheduler="celery_singleton_beat:SingletonScheduler",
    beat_schedule={
        line.entry: {
            "task": "demo.work",
            "schedule": line.every_ms / 1000,
            "args": (line.work_ms,),
        }
        for line in TIMETABLE
    },
    singleton_beat_catch_up="all",
    singleton_beat_claim_hold=1,
    singleton_beat_lock_ttl=3,
    singleton_beat_on_locked="retry",
    singleton_beat_lock_retry_delay=0.3,
    # A message whose worker was killed comes back.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={
        "visibility_timeout": 3,
        "unacked_mutex_expire": 3,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    result_expires=None,
)


@app.task(base=SingletonTask, bind=True, name="demo.work")
def work(self: SingletonTask, work_ms: int) -> None:
    """Work for a while, and write down when that began and ended."""
    occurrence = self.occurrence
    if occurrence is None:
        raise RuntimeError("demo.work is run by the timetable only")
    scheduled_ms = round(occurrence.scheduled_at.timestamp() * 1000)
    with facts.body(occurrence.entry, scheduled_ms):
        time.sleep(work_ms / 1000)


_TOLD = (
    happened.DuplicateDropped,
    happened.LeaseGone,
    happened.OccurrencePublished,
    happened.OccurrencesMissed,
    happened.StandingChanged,
)


def _write_down(event: happened.Event) -> None:
    if isinstance(event, _TOLD):
        facts.write(type(event).__name__, **asdict(event))


subscribe(app, _write_down)
