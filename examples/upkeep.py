"""Upkeep: an hourly task, a long one at night, and a frequent one that waits for its lock.

Start as many of both as you like, on as many machines as you like:

    celery -A upkeep beat
    celery -A upkeep worker
"""

from __future__ import annotations

import os

from celery import Celery
from celery.schedules import crontab
from celery.utils.log import get_task_logger

from celery_singleton_beat import SingletonTask

MINUTES = 60

logger = get_task_logger(__name__)

app = Celery("upkeep", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    beat_scheduler="celery_singleton_beat:SingletonScheduler",
    beat_schedule={
        "hourly-task": {"task": "upkeep.hourly", "schedule": crontab(minute=0)},
        "daily-cleanup": {"task": "upkeep.cleanup", "schedule": crontab(hour=2, minute=0)},
        "health-check": {"task": "upkeep.check_health", "schedule": 30.0},
    },
)


@app.task(base=SingletonTask, name="upkeep.hourly", lock_key="hourly-task", lock_ttl=5 * MINUTES)
def hourly() -> None:
    """Process what came in during the hour."""
    logger.info("processing the hourly task")


@app.task(
    base=SingletonTask, name="upkeep.cleanup", lock_key="daily-cleanup", lock_ttl=60 * MINUTES
)
def cleanup() -> None:
    """Clean up, for about half an hour."""
    logger.info("cleaning up")


@app.task(
    base=SingletonTask,
    name="upkeep.check_health",
    lock_key="health-check",
    lock_ttl=30,
    # If the check before still runs: look three times more, half a second apart, then skip.
    on_locked="retry",
    lock_retries=3,
    lock_retry_delay=0.5,
)
def check_health() -> None:
    """Check the services."""
    logger.info("checking health")
