"""What the tests of imports have in common: an app on an empty Redis, and when entries are due."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from celery import Celery

from celery_singleton_beat import Entry, Timetable
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.protocol.plan import plan
from celery_singleton_beat.store.timetable_port import StoredRequest

UTC = timezone.utc

MINUTE = str((datetime.now(UTC).minute + 30) % 60)
"""A minute of the hour that is far from now, so that no hour turns during a test."""


def app_on(url: str, **conf: Any) -> Celery:
    app = Celery("shop", broker=url)
    app.conf.update(redbeat_redis_url=url, redbeat_redis_options={}, **conf)
    return app


def due_now(app: Celery) -> list[str]:
    """Name the entries that a beat would dispatch at once, each of them once."""
    answer = extension_of(app).store.claim_stored(StoredRequest("test", "q", 1000, 60_000))
    due = []
    for claim in answer.claims:
        timing = Entry.from_json(claim.card.definition).timing()
        planned = plan(
            timing,
            claim.slot,
            now_ms=answer.now_ms,
            changed_ms=claim.card.changed_ms,
            resumed_ms=claim.resumed_ms,
        )
        due += [claim.entry for _ in planned.publish]
    return sorted(due)


def ago(**duration: float) -> datetime:
    return datetime.now(UTC) - timedelta(**duration)


def dump(timetable: Timetable) -> dict[str, Any]:
    return {known.name: known for known in timetable.entries()}
