"""Customers' reports, planned by a model of Django's: followed at once, reconciled once a minute.

    python -c 'import reconcile_django as crm; crm.create_table()'
    celery -A reconcile_django beat
    celery -A reconcile_django worker

Django's signals tell of each change after its commit. One that is lost, because
the process died right then or the rows were changed in SQL, is seen by the next
reconciliation. In a project of yours the settings and the model have modules of
their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import django
from celery import Celery
from celery.utils.log import get_task_logger
from django.conf import settings

from celery_singleton_beat import SingletonTask, Timetable

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("DATABASE", "crm.sqlite3"),
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    USE_TZ=True,
)
django.setup()

from django.db import connection, models, transaction  # noqa: E402  Django is set up first
from django.db.models import signals  # noqa: E402  as above
from django.dispatch import receiver  # noqa: E402  as above

SOURCE = "crm-db"

logger = get_task_logger(__name__)

app = Celery("crm", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    beat_scheduler="celery_singleton_beat:SingletonScheduler",
    beat_schedule={"reconcile": {"task": "crm.reconcile", "schedule": 60.0}},
)
timetable = Timetable(app)


class Schedule(models.Model):
    """A report that a customer wants."""

    customer = models.CharField(max_length=100)
    cron = models.CharField(max_length=100)
    timezone = models.CharField(max_length=50, default="UTC")
    payload = models.JSONField(default=dict)
    enabled = models.BooleanField(default=True)

    class Meta:
        """Where it lives."""

        app_label = "crm"

    def __str__(self) -> str:
        return f"{self.customer}: {self.cron}"

    def as_row(self) -> dict[str, Any]:
        """Write it as an entry."""
        return {
            "name": f"crm:{self.pk}",
            "task": "crm.report",
            "tenant": self.customer,
            "recurrence": self.cron,
            "timezone": self.timezone,
            "kwargs": self.payload,
            "enabled": self.enabled,
        }


@receiver(signals.post_save, sender=Schedule)
def saved(instance: Schedule, **_: object) -> None:
    """Tell of a row that was saved, when it is committed."""
    event = {"type": "updated", "schedule": instance.as_row()}
    transaction.on_commit(partial(timetable.on_event, event, SOURCE), robust=True)


@receiver(signals.post_delete, sender=Schedule)
def deleted(instance: Schedule, **_: object) -> None:
    """Tell of a row that was deleted, when that is committed."""
    event = {"type": "deleted", "schedule": instance.as_row()}
    transaction.on_commit(partial(timetable.on_event, event, SOURCE), robust=True)


def create_table() -> None:
    """Make the table, for a first try; your project has migrations."""
    with connection.schema_editor() as editor:
        editor.create_model(Schedule)


def rows() -> Iterator[dict[str, Any]]:
    """Read the table, a thousand rows at a time."""
    return (schedule.as_row() for schedule in Schedule.objects.iterator(1000))


@app.task(base=SingletonTask, name="crm.reconcile")
def reconcile() -> str:
    """Make the timetable what the table says."""
    done = timetable.reconcile(rows, source=SOURCE)
    logger.info("%s", done)
    return str(done)


@app.task(base=SingletonTask, name="crm.report")
def report(**wanted: object) -> None:
    """Make a report."""
    logger.info("report of %s", wanted)
