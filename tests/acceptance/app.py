"""The application that acceptance tests run: tasks the witness sees, events written down as facts.

Runs in: beats and workers of these tests. What differs from test to test comes in `ACCEPTANCE`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import threading
from typing import TYPE_CHECKING, Any

from celery import Celery

from celery_singleton_beat import SingletonTask, subscribe
from celery_singleton_beat.events import Event, RunBegan, RunEnded
from celery_singleton_beat.protocol.occurrence import HEADER, Occurrence
from tests.rig import sending, witness

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

given = json.loads(os.environ["ACCEPTANCE"])

app = Celery("acceptance", broker=given["broker"])
app.conf.update(given["conf"])
app.conf.beat_schedule = given["schedule"]


@app.task(name="acceptance.work", base=SingletonTask, bind=True)
def work(self: SingletonTask, seconds: float = 0.0) -> None:
    """Be seen, and last that long."""
    with seen(self):
        if seconds:
            threading.Event().wait(seconds)


@app.task(name="acceptance.gated", base=SingletonTask, bind=True)
def gated(self: SingletonTask, gate: str) -> None:
    """Be seen, and last until somebody opens the gate (a FIFO) for writing."""
    with seen(self):
        pathlib.Path(gate).read_bytes()


@app.task(name="acceptance.versioned", base=SingletonTask, bind=True)
def versioned(self: SingletonTask, version: int, seconds: float = 0.0) -> None:
    """Be seen with the version of its entry, and with when its message was claimed."""
    occurrence = Occurrence.from_header(self.request.get(HEADER))
    assert occurrence is not None
    claimed_ms = occurrence.not_after_ms - occurrence.window_ms
    with seen(self, version=version, claimed_ms=claimed_ms):
        if seconds:
            threading.Event().wait(seconds)


@app.task(name="acceptance.numbered", base=SingletonTask, lock_key="{number}")
def numbered(number: int, seconds: float) -> None:
    """Be seen under a number, which is the lock key too."""
    plain(number, seconds)


@app.task(name="acceptance.plain")
def plain(number: int, seconds: float) -> None:
    """Be seen under a number, as a task that nobody protects."""
    with witness.body(f"call-{number}"):
        threading.Event().wait(seconds)


@contextlib.contextmanager
def seen(task: SingletonTask, **more: object) -> Iterator[None]:
    """Show the witness a body, whose attempt is over when the store knows of its end."""
    key, token = key_of_run(task), token_of(task)
    with witness.body(key, token=token, is_tracked=True, **more) as attempt:
        attempts[task.request.id] = attempt
        yield


attempts: dict[str, str] = {}


def key_of_run(task: SingletonTask) -> str:
    """The occurrence that a run stands for, as the facts name it."""
    occurrence = task.occurrence
    if occurrence is None:
        return f"ad-hoc@{task.request.id}"
    scheduled_ms = round(occurrence.scheduled_at.timestamp() * 1000)
    return witness.key_of(occurrence.entry, scheduled_ms, occurrence.cause)


def token_of(task: SingletonTask) -> int:
    """The fencing number, or 0 without a lease."""
    return task.lease.token if task.lease is not None else 0


def write_down(event: Event) -> None:
    """Every event as a fact, apart from those that the witness's own facts tell better."""
    if isinstance(event, RunEnded) and event.recorded and event.run in attempts:
        witness.over(attempts.pop(event.run))
    if not isinstance(event, (RunBegan, RunEnded)):
        directory = os.environ[witness.VARIABLE]
        witness.record(directory, kind=type(event).__name__, told=dataclasses.asdict(event))


def name_of(headers: Mapping[str, Any], body: Any) -> dict[str, str]:
    """What a beat's message is for."""
    del body
    told = Occurrence.from_header(headers.get(HEADER))
    assert told is not None
    key = witness.key_of(told.entry, told.scheduled_ms, told.cause)
    return {"entry": told.entry, "key": key}


subscribe(app, write_down)
sending.watch(name_of)
