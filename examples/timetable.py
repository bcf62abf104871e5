"""Checks that customers order and cancel while everything runs.

Start as many of both as you like, on as many machines as you like:

    celery -A timetable beat
    celery -A timetable worker

and then, as often as you like, what a web application would do:

    python timetable.py order acme https://acme.example 10
    python timetable.py pause acme "invoice overdue"
    python timetable.py resume acme
    python timetable.py show acme
    python timetable.py cancel acme https://acme.example
"""

from __future__ import annotations

import os
import sys

from celery import Celery
from celery.utils.log import get_task_logger

from celery_singleton_beat import Entry, LimitExceeded, SingletonTask, Timetable

logger = get_task_logger(__name__)

app = Celery("timetable", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    beat_scheduler="celery_singleton_beat:SingletonScheduler",
    singleton_beat_tenant_limits={"max_entries": 3, "min_interval": 5},
)
timetable = Timetable(app)


@app.task(base=SingletonTask, bind=True, name="timetable.check")
def check(self: SingletonTask, url: str) -> None:
    """Check one page; the interval since the check before is the occurrence's."""
    if self.occurrence is not None:
        logger.info("checking %s for %s", url, self.occurrence.entry)


def order(customer: str, url: str, seconds: str) -> str:
    """Check a page every so many seconds, or from now on in another rhythm."""
    entry = Entry(
        f"{customer}:{url}",
        task="timetable.check",
        recurrence=float(seconds),
        args=[url],
        tenant=customer,
        jitter=1,
    )
    try:
        timetable.put(entry, by=customer)
    except LimitExceeded as error:
        return f"no: {error}"
    return f"{entry.name} from {timetable.next_runs(entry.name)[0]}"


def cancel(customer: str, url: str) -> str:
    """Check a page no more."""
    return "gone" if timetable.remove(f"{customer}:{url}") else "there was none"


def pause(customer: str, why: str) -> str:
    """Check nothing for a customer, and note why with each."""
    timetable.pause_all(tenant=customer)
    for known in timetable.entries(tenant=customer):
        timetable.pause(known.name, note=why)
    return "paused"


def resume(customer: str) -> str:
    """Go on, from now on."""
    for known in timetable.entries(tenant=customer):
        timetable.resume(known.name)
    timetable.resume_all(tenant=customer)
    return "resumed"


def show(customer: str) -> str:
    """Tell what a customer has."""
    return "\n".join(
        f"{known.name}: ran {known.runs} times, {known.note or 'next at ' + str(known.next_at)}"
        for known in timetable.entries(tenant=customer)
    )


if __name__ == "__main__":
    commands = {of.__name__: of for of in (order, cancel, pause, resume, show)}
    print(commands[sys.argv[1]](*sys.argv[2:]))  # noqa: T201  # it is what a person reads
