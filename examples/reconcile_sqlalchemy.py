"""Customers' reports, planned by a table of SQLAlchemy's: the table is the truth.

    python -c 'import reconcile_sqlalchemy as crm; crm.create_table()'
    celery -A reconcile_sqlalchemy beat
    celery -A reconcile_sqlalchemy worker

The beat reconciles once a minute. Change the table as you like: what has a row
is dispatched, and what has none any more is not. For changes to be seen at once,
call `timetable.on_event` after each commit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from celery import Celery
from celery.utils.log import get_task_logger
from sqlalchemy import JSON, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from celery_singleton_beat import SingletonTask, Timetable

logger = get_task_logger(__name__)

app = Celery("crm", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    beat_scheduler="celery_singleton_beat:SingletonScheduler",
    beat_schedule={"reconcile": {"task": "crm.reconcile", "schedule": 60.0}},
)
timetable = Timetable(app)
database = create_engine(os.environ.get("DATABASE_URL", "sqlite:///crm.sqlite3"))


class Base(DeclarativeBase):
    """The tables."""


class Schedule(Base):
    """A report that a customer wants."""

    __tablename__ = "schedules"

    id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    cron: Mapped[str]
    timezone: Mapped[str] = mapped_column(default="UTC")
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    enabled: Mapped[bool] = mapped_column(default=True)


def create_table() -> None:
    """Make the table, for a first try."""
    Base.metadata.create_all(database)


def rows() -> Iterator[dict[str, Any]]:
    """Read the table, a thousand rows at a time."""
    with Session(database) as session:
        for schedule in session.scalars(select(Schedule).execution_options(yield_per=1000)):
            yield {
                "name": schedule.id,
                "task": "crm.report",
                "tenant": schedule.customer,
                "recurrence": schedule.cron,
                "timezone": schedule.timezone,
                "kwargs": schedule.payload,
                "enabled": schedule.enabled,
            }


@app.task(base=SingletonTask, name="crm.reconcile")
def reconcile() -> str:
    """Make the timetable what the table says."""
    report = timetable.reconcile(rows, source="crm-db")
    logger.info("%s", report)
    for refusal in report.refusals:
        logger.warning("%s is not planned: %s", refusal.name, refusal.reason)
    return str(report)


@app.task(base=SingletonTask, name="crm.report")
def report(**wanted: object) -> None:
    """Make a report."""
    logger.info("report of %s", wanted)
