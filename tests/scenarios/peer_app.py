"""The peers' application: RedBeat dispatches, celery-singleton keeps runs apart.

Runs in: beats and workers of the scenarios. What differs comes in `ACCEPTANCE`.
"""

from __future__ import annotations

import importlib
import json
import os
import threading
from typing import Any

from celery import Celery, signals

from tests.rig import witness

given = json.loads(os.environ["ACCEPTANCE"])

app = Celery("peer", broker=given["broker"])
app.conf.update(given["conf"])
app.conf.beat_schedule = given["schedule"]
Singleton = importlib.import_module("celery_singleton").Singleton


@app.task(name="peer.work", base=Singleton, acks_late=True, reject_on_worker_lost=True)
def work(entry: str, seconds: float = 0.0) -> None:
    """Be seen, and last that long."""
    with witness.body(entry):
        if seconds:
            threading.Event().wait(seconds)


def sent(headers: dict[str, Any] | None = None, body: Any = None, **_: Any) -> None:
    """A beat has sent an entry's message."""
    directory = os.environ[witness.VARIABLE]
    witness.record(directory, kind="sent", entry=body[0][0], run=(headers or {}).get("id"))


signals.after_task_publish.connect(sent, weak=False)
