"""The tasks of the smoke tests; their source is copied into the containers."""

from __future__ import annotations

import redis
from celery import shared_task

from celery_singleton_beat import SingletonTask

GATE = "gate"
GATE_SECONDS = 60


@shared_task(base=SingletonTask, bind=True)
def add(self: SingletonTask, left: int, right: int) -> dict[str, int | None]:
    """The sum, and the number of the lease under which it was made."""
    return {"sum": left + right, "token": self.lease.token if self.lease else None}


@shared_task(base=SingletonTask, bind=True, lock_key="stock:{item}")
def count(self: SingletonTask, item: str) -> str:
    """Hold the item's key until the test opens the gate."""
    with redis.Redis.from_url(self.app.conf.broker_url) as client:
        client.blpop([GATE], timeout=GATE_SECONDS)
    return f"counted {item}"


@shared_task
def tick() -> None:
    """What the beats send. Not a singleton: every message of it is run."""
