"""Celery beat in as many replicas as you like, and tasks of which one run at a time exists.

The public names; see ``protocol/`` for what they promise. Each is loaded when
it is first asked for: importing the package does nothing, and the protocol can
be used without Celery.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from celery_singleton_beat.adapters.alerts import Alerts
    from celery_singleton_beat.adapters.entry import Entry
    from celery_singleton_beat.adapters.extension import subscribe
    from celery_singleton_beat.adapters.lock_service import LockService
    from celery_singleton_beat.adapters.scheduler import SingletonScheduler
    from celery_singleton_beat.adapters.task import SingletonTask
    from celery_singleton_beat.adapters.timetable import StoredEntry, Timetable
    from celery_singleton_beat.engine.asking import RunRequest
    from celery_singleton_beat.engine.lease import Lease
    from celery_singleton_beat.engine.report import Refusal, Report
    from celery_singleton_beat.errors import (
        BackfillTooLong,
        ConfigurationError,
        DuplicateLockKey,
        EntryError,
        EntryStopped,
        EntryTooNew,
        ForeignStore,
        GivenUp,
        LeaseLost,
        LimitExceeded,
        Locked,
        ReconcileStopped,
        RecurrenceError,
        RequestConflict,
        RevisionConflict,
        SingletonBeatError,
        StoreCorrupt,
        StoreError,
        StoreTooNew,
        StoreTooOld,
        StoreUnavailable,
        UnknownEntry,
        UnknownSetting,
        UnreadableEntry,
    )
    from celery_singleton_beat.protocol.limits import TenantLimits
    from celery_singleton_beat.protocol.preview import Due, preview

__all__ = [
    "Alerts",
    "BackfillTooLong",
    "ConfigurationError",
    "Due",
    "DuplicateLockKey",
    "Entry",
    "EntryError",
    "EntryStopped",
    "EntryTooNew",
    "ForeignStore",
    "GivenUp",
    "Lease",
    "LeaseLost",
    "LimitExceeded",
    "LockService",
    "Locked",
    "ReconcileStopped",
    "RecurrenceError",
    "Refusal",
    "Report",
    "RequestConflict",
    "RevisionConflict",
    "RunRequest",
    "SingletonBeatError",
    "SingletonScheduler",
    "SingletonTask",
    "StoreCorrupt",
    "StoreError",
    "StoreTooNew",
    "StoreTooOld",
    "StoreUnavailable",
    "StoredEntry",
    "TenantLimits",
    "Timetable",
    "UnknownEntry",
    "UnknownSetting",
    "UnreadableEntry",
    "preview",
    "subscribe",
]

_HOMES: Final = {
    "Alerts": "adapters.alerts",
    "BackfillTooLong": "errors",
    "ConfigurationError": "errors",
    "Due": "protocol.preview",
    "DuplicateLockKey": "errors",
    "Entry": "adapters.entry",
    "EntryError": "errors",
    "EntryStopped": "errors",
    "EntryTooNew": "errors",
    "ForeignStore": "errors",
    "GivenUp": "errors",
    "Lease": "engine.lease",
    "LeaseLost": "errors",
    "LimitExceeded": "errors",
    "LockService": "adapters.lock_service",
    "Locked": "errors",
    "ReconcileStopped": "errors",
    "RecurrenceError": "errors",
    "Refusal": "engine.report",
    "Report": "engine.report",
    "RequestConflict": "errors",
    "RevisionConflict": "errors",
    "RunRequest": "engine.asking",
    "SingletonBeatError": "errors",
    "SingletonScheduler": "adapters.scheduler",
    "SingletonTask": "adapters.task",
    "StoreCorrupt": "errors",
    "StoreError": "errors",
    "StoreTooNew": "errors",
    "StoreTooOld": "errors",
    "StoreUnavailable": "errors",
    "StoredEntry": "adapters.timetable",
    "TenantLimits": "protocol.limits",
    "Timetable": "adapters.timetable",
    "UnknownEntry": "errors",
    "UnknownSetting": "errors",
    "UnreadableEntry": "errors",
    "preview": "protocol.preview",
    "subscribe": "adapters.extension",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
