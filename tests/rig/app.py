"""A small Celery application for the rig's own tests: tasks that the witness sees."""

from __future__ import annotations

import os
import threading
import time

from celery import Celery

from tests.rig import witness

app = Celery("rig", broker=os.environ["RIG_BROKER"])
app.conf.beat_schedule = {"beat": {"task": "rig.see", "schedule": 1.0, "args": ("beat",)}}


@app.task(name="rig.see")
def see(key: str) -> None:
    """Be seen, and end at once."""
    with witness.body(key, wall_ms=time.time_ns() // 1_000_000):
        pass


@app.task(name="rig.hang")
def hang(key: str) -> None:
    """Be seen, and never end."""
    with witness.body(key):
        threading.Event().wait()
