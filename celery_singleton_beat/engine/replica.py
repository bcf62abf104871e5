"""A replica as all its parts know it.

Runs in: beat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from celery_singleton_beat.engine.clock import boot_ms
from celery_singleton_beat.engine.introduction import Introduction
from celery_singleton_beat.engine.pace import Pace
from celery_singleton_beat.engine.publisher import Publisher
from celery_singleton_beat.events import Events
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.store.port import Store


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What a replica is called, what it works with, and what it is told of stored entries.

    ``timing_of`` says when a stored entry is due, with what it leaves to the
    settings; ``per_minute`` is how much a tenant without a quota of its own may
    have claimed in a minute (ABSENT: any number); ``address`` is where the store is, for the log.
    """

    name: str
    store: Store
    publisher: Publisher
    events: Events
    pace: Pace
    timing_of: Callable[[Entry], Timing] = Entry.timing
    per_minute: int = ABSENT
    address: str = ""
    clock_ms: Callable[[], int] = boot_ms
    introduction: Introduction = field(default_factory=Introduction)
