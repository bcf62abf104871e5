"""The peers' application: RedBeat dispatches, celery-singleton keeps runs apart.

Runs in: beats and workers of the scenarios. What differs comes in `ACCEPTANCE`.
"""

from __future__ import annotations

import importlib
import json
import os
import threading
from typing import TYPE_CHECKING, Any

from celery import Celery

from tests.rig import sending, witness

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def name_of(headers: Mapping[str, Any], body: Any) -> dict[str, str]:
    """What a beat's message is for: of which occurrence, none of it tells."""
    del headers
    return {"entry": body[0][0]}


sending.watch(name_of)
