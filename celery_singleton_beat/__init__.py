"""Celery beat in as many replicas as you like, and tasks of which one run at a time exists.

The public names; see ``protocol/`` for what they promise.
"""

from __future__ import annotations

from celery_singleton_beat.adapters.extension import subscribe
from celery_singleton_beat.adapters.scheduler import SingletonScheduler
from celery_singleton_beat.adapters.task import SingletonTask
from celery_singleton_beat.engine.lease import Lease
from celery_singleton_beat.errors import (
    ConfigurationError,
    DuplicateLockKey,
    EntryError,
    ForeignStore,
    LeaseLost,
    Locked,
    RecurrenceError,
    SingletonBeatError,
    StoreCorrupt,
    StoreError,
    StoreTooNew,
    StoreUnavailable,
    UnknownSetting,
)

__all__ = [
    "ConfigurationError",
    "DuplicateLockKey",
    "EntryError",
    "ForeignStore",
    "Lease",
    "LeaseLost",
    "Locked",
    "RecurrenceError",
    "SingletonBeatError",
    "SingletonScheduler",
    "SingletonTask",
    "StoreCorrupt",
    "StoreError",
    "StoreTooNew",
    "StoreUnavailable",
    "UnknownSetting",
    "subscribe",
]
