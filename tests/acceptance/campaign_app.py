"""The application of the campaign: one task that holds a key, under ours or under a peer's lock.

Runs in: workers of the campaign, and where its calls are sent. What differs comes in `CAMPAIGN`.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import threading
import uuid
from typing import TYPE_CHECKING, Any

from celery import Celery, signals
from celery.exceptions import Reject

from celery_singleton_beat import LeaseLost, SingletonTask, subscribe
from tests.acceptance.campaign_resource import ENTER, LEAVE, Resource, StaleToken
from tests.rig import witness

if TYPE_CHECKING:
    from celery_singleton_beat.events import Event

VARIABLE = "CAMPAIGN"
STORE_VARIABLE = "CAMPAIGN_STORE"
WORKER_VARIABLE = "CAMPAIGN_WORKER"
TASK = "campaign.work"
OURS, SINGLETON, ONCE = "ours", "celery-singleton", "celery-once"

# Neither peer renews: long enough for the longest body and for a queue that is not empty.
PEER_EXPIRY_SECONDS = 15


def make_app(given: dict[str, Any], store_url: str) -> Celery:
    """The application of one side."""
    app = Celery("campaign", broker=given["broker"], set_as_current=False)
    app.conf.update(given["conf"])
    # Each finds its own, and takes no notice of the others'.
    app.conf.update(
        singleton_beat_redis_url=store_url,
        singleton_backend_url=store_url,
        ONCE={"backend": "celery_once.backends.Redis", "settings": {"url": store_url}},
    )
    options = {"bind": True, "acks_late": True, "reject_on_worker_lost": True}
    app.task(work, name=TASK, shared=False, **options, **protection(given["side"]))
    return app


def protection(side: str) -> dict[str, Any]:
    """What makes it one at a time."""
    # The peers are imported only where they are asked for, and by name: they need not be there.
    if side == SINGLETON:
        base = importlib.import_module("celery_singleton").Singleton
        return {"base": base, "unique_on": "key", "lock_expiry": PEER_EXPIRY_SECONDS}
    if side == ONCE:
        once = {"keys": ["key"], "graceful": True, "timeout": PEER_EXPIRY_SECONDS}
        return {"base": importlib.import_module("celery_once").QueueOnce, "once": once}
    return {"base": SingletonTask, "lock_key": "{key}", "on_locked": "retry"}


def work(self: Any, key: str, lasts_ms: int) -> None:
    """Enter the resource, last a while, and leave it, if the lease is still held."""
    run, body, lease = self.request.id, uuid.uuid4().hex, getattr(self, "lease", None)
    resource = Resource(os.environ["CAMPAIGN_RESOURCE"], key)
    worker = os.environ[WORKER_VARIABLE]
    with witness.body(run, lock=key, campaign_body=body, worker=worker):
        try:
            resource.write(ENTER, run, body, lease.token if lease else 0)
            threading.Event().wait(lasts_ms / 1000)
            if lease:
                lease.check()
            resource.write(LEAVE, run, body, lease.token if lease else 0)
        except (LeaseLost, StaleToken) as error:
            fact("gave up", run, why=type(error).__name__)
            # Its key may be another's by now: the message goes back, to begin again.
            raise Reject(str(error), requeue=True) from error


def fact(kind: str, run: str, **facts: object) -> None:
    """Tell the witness, if this is a process of the campaign."""
    if directory := os.environ.get(witness.VARIABLE):
        witness.record(directory, kind=kind, run=run, worker=os.environ[WORKER_VARIABLE], **facts)


def write_down(event: Event) -> None:
    """Every event about a run as a fact."""
    told = dataclasses.asdict(event)
    if "run" in told:
        fact(type(event).__name__, told.pop("run"), told=told)


def received(sender: Any = None, request: Any = None, **_: Any) -> None:
    """The main process has a message."""
    del sender
    fact("received", request.id)


def handled(task_id: str, state: str | None = None, **_: Any) -> None:
    """A process is through with a message, whatever way."""
    fact("handled", task_id, state=state)


if VARIABLE in os.environ:
    given = json.loads(os.environ[VARIABLE])
    app = make_app(given, os.environ[STORE_VARIABLE])
    app.set_current()
    subscribe(app, write_down)
    signals.task_received.connect(received)
    signals.task_postrun.connect(handled)
