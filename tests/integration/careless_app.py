"""An application with mistakes in it, each by name: what bad input looks like."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from celery import Celery

from celery_singleton_beat import SingletonTask

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "CARELESS_CONF"

given: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
mistakes = frozenset(given.pop("mistakes", ()))
app = Celery(given.pop("main", "careless"))
app.conf.update(given, beat_scheduler="celery_singleton_beat:SingletonScheduler")
app.conf.beat_schedule = {"good": {"task": "careless.work", "schedule": 1.0, "args": ("good",)}}


@app.task(name="careless.work", base=SingletonTask)
def work(name: str) -> str:
    """Work."""
    return name


@app.task(name="careless.stock")
def stock(name: str) -> str:
    """Work, as Celery's own tasks do."""
    return name


def entry(name: str, **fields: Any) -> None:
    """One more line in the timetable."""
    line = {"task": "careless.work", "schedule": 1.0, "args": (name,), **fields}
    app.conf.beat_schedule[name] = line


def task(name: str, **options: Any) -> str:
    """One more singleton task."""

    @app.task(name=f"careless.{name}", base=SingletonTask, **options)
    def body(customer: int) -> int:
        return customer

    return name


MISTAKES: dict[str, Callable[[], object]] = {
    "the same lock key twice": lambda: [task(name, lock_key="one") for name in ("one", "two")],
    "a lock key of no argument": lambda: task("report", lock_key="report:{costumer}"),
    "a lock key that cannot be read": lambda: task("report", lock_key="report:{customer"),
    "a lock key of one attribute": lambda: task("report", lock_key="report:{customer.name}"),
    "a lock key of unknown names": lambda: task("report", lock_key=["costumer"]),
    "a lock key of another call": lambda: task("report", lock_key=lambda costumer: costumer),
    "a lock key that is none": lambda: task("report", lock_key=7),
    "an opting out that is none": lambda: task("report", singleton="no"),
    "a lock ttl in milliseconds": lambda: task("report", lock_ttl=300_000),
    "a lock ttl of nothing": lambda: task("report", lock_ttl=0),
    "a word for on_locked": lambda: task("report", on_locked="skipp"),
    "a word for on_store_outage": lambda: task("report", on_store_outage="panic"),
    "a field that is none": lambda: entry("misspelt", catchup="all"),
    "a schedule that is none": lambda: entry("wordy", schedule="every minute"),
    "a zone that is none": lambda: entry("nowhere", timezone="Europe/Atlantis"),
    "a choice that is none": lambda: entry("choosy", catch_up="everything"),
    "an entry without a task": lambda: entry("idle", task=None),
    "an entry that is no mapping": lambda: app.conf.beat_schedule.update(odd=42),
    "arguments that cannot be encoded": lambda: entry(
        "unsendable", task="careless.stock", args=(object(),), catch_up="all"
    ),
}
for mistake in mistakes:
    MISTAKES[mistake]()
