"""A shop: one task every second, one report every five minutes by the clock of Rome.

Start as many of both as you like, on as many machines as you like:

    celery -A shop beat
    celery -A shop worker
"""

from __future__ import annotations

import os

from celery import Celery
from celery.schedules import crontab
from celery.utils.log import get_task_logger

from celery_singleton_beat import SingletonTask

logger = get_task_logger(__name__)

app = Celery("shop", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    beat_scheduler="celery_singleton_beat:SingletonScheduler",
    beat_schedule={
        "tick": {"task": "shop.tick", "schedule": 1.0},
        "report": {
            "task": "shop.report",
            "schedule": crontab(minute="*/5"),
            "timezone": "Europe/Rome",
            "catch_up": "all",
        },
    },
)


@app.task(base=SingletonTask, bind=True, name="shop.tick")
def tick(self: SingletonTask) -> None:
    """Tell which second it stands for."""
    if self.occurrence is not None and self.lease is not None:
        logger.info("tick of %s, fence %s", self.occurrence.scheduled_at, self.lease.token)


@app.task(base=SingletonTask, bind=True, name="shop.report")
def report(self: SingletonTask) -> None:
    """Report on the five minutes since the report before; missed ones come one by one."""
    if self.occurrence is not None:
        logger.info("report since %s", self.occurrence.previous_at)
