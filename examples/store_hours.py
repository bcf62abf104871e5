"""Opening hours: two jobs that run on several servers and must happen once.

    celery -A store_hours beat
    celery -A store_hours worker

Each job has a lock of its own: its key, and how long it lives if its holder dies.
It is renewed while the job runs, so a TTL need not be longer than the job; leave
it out for the default of 30 seconds, and recovery is quicker.
"""

from __future__ import annotations

import os

from celery import Celery
from celery.schedules import crontab
from celery.utils.log import get_task_logger

from celery_singleton_beat import SingletonTask

MINUTES = 60

logger = get_task_logger(__name__)

app = Celery("store_hours", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    beat_scheduler="celery_singleton_beat:SingletonScheduler",
    beat_schedule={
        "store-auto-close": {
            "task": "store.auto_close",
            "schedule": crontab(hour="0,6", minute=0),
        },
        "store-open-reminder": {
            "task": "store.open_reminder",
            "schedule": crontab(minute="*/30"),
        },
    },
)


@app.task(
    base=SingletonTask,
    name="store.auto_close",
    lock_key="cron:store-auto-close",
    lock_ttl=10 * MINUTES,
)
def auto_close() -> None:
    """Close the stores whose working hours are over."""
    logger.info("closing stores")


@app.task(
    base=SingletonTask,
    name="store.open_reminder",
    lock_key="cron:store-open-reminder",
    lock_ttl=5 * MINUTES,
)
def open_reminder() -> None:
    """Remind stores that should be open by now."""
    logger.info("reminding stores")
