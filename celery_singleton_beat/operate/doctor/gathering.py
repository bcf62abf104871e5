"""Gathering the facts for the doctor: every question that may fail is one of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Any, Final, TypeVar

from celery_singleton_beat.adapters.about import about_process
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.ticket import is_singleton
from celery_singleton_beat.errors import (
    ConfigurationError,
    ForeignStore,
    SingletonBeatError,
    StoreCorrupt,
    StoreTooNew,
)
from celery_singleton_beat.operate.doctor.asking_workers import ask_broker, ask_workers
from celery_singleton_beat.operate.doctor.facts import Facts, HeldKey
from celery_singleton_beat.operate.fleet_view import FleetView
from celery_singleton_beat.operate.reading import Reading
from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.protocol.statistics import TOTAL, Counts, key_subject

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.adapters.extension import Extension
    from celery_singleton_beat.store.port import Store

_PINGS: Final = 5
_MOST_ENTRIES: Final = 5_000
_MOST_LOCKS: Final = 1_000
_MOST_KEYS: Final = 500
_MOST_TENANTS: Final = 1_000
_MOST_FACTS: Final = 2_000
_USUAL: Final = 0.99
_ONLY_URL: Final = "no more than the store's URL is known here: ask with -A"
_T = TypeVar("_T")


def gather(
    app: Celery,
    *,
    command: str,
    celery: str,
    has_app: bool = True,
    timeout_seconds: float = 2.0,
) -> Facts:
    """Gather what can be found out about an app's deployment, in some seconds.

    Nothing of it is changed. Workers and broker are waited for as long as is said.
    Without ``has_app`` the app only stands for one of which no more is known than its store.

    Raises:
        ConfigurationError: a setting is wrong, or no store is configured.
    """
    extension = extension_of(app)
    here = about_process(app)
    facts = Facts(
        command=command,
        celery=celery,
        has_app=has_app or None,
        app=extension.app_name,
        here=here,
        address=extension.address,
        prefix=extension.prefix,
        settings=extension.settings,
        is_in_memory=extension.is_in_memory,
        scheduler=str(app.conf.beat_scheduler),
        task_errors=_task_errors(app),
    )
    asking = _Asking()
    facts = _of_store(facts, extension, asking)
    if facts.round_trip_ms is not None:
        facts = _of_timetable(facts, Reading(app), extension.store, asking)
    if not has_app:
        asking.untold |= dict.fromkeys(("has_app", "workers"), _ONLY_URL)
        return replace(facts, untold=asking.untold)
    facts = replace(facts, **ask_broker(app, timeout_seconds))
    if facts.broker_error:
        asking.untold["workers"] = "the broker does not answer"
    else:
        workers = asking.of("workers", lambda: ask_workers(app, timeout_seconds))
        facts = replace(facts, workers=workers)
    return replace(facts, untold=asking.untold)


class _Asking:
    """Questions that may fail, and why they did."""

    def __init__(self) -> None:
        self.untold: dict[str, str] = {}
        self.refusal = ""

    def of(self, name: str, ask: Callable[[], _T]) -> _T | None:
        try:
            return ask()
        except (ForeignStore, StoreTooNew, StoreCorrupt) as error:
            self.refusal = self.untold[name] = str(error)
        except Exception as error:  # noqa: BLE001  # why is what is told
            self.untold[name] = str(error) or type(error).__name__
        return None


def _of_store(facts: Facts, extension: Extension, asking: _Asking) -> Facts:
    """See whether the store answers, how fast, and how its clock and this host's differ."""
    found = asking.of("round_trip_ms", lambda: _clocks(extension.store))
    if found is None:
        why = "the store does not answer"
        asking.untold |= dict.fromkeys(
            ("server", "fleet", "entries", "locks", "history", "counts"), why
        )
        return facts
    round_trip_ms, ahead_ms = found
    return replace(
        facts,
        round_trip_ms=round_trip_ms,
        here=replace(facts.here, ahead_ms=ahead_ms),
        server=asking.of("server", extension.store.server),
    )


def _clocks(store: Store) -> tuple[float, int]:
    """Tell how long a round trip takes, and by how much this host's clock is ahead."""
    store.ping()  # it connects
    trips: list[tuple[float, int]] = []
    for _ in range(_PINGS):
        asked, wall = time.perf_counter(), time.time_ns() // 1_000_000
        now_ms = store.ping()
        took_ms = (time.perf_counter() - asked) * 1000
        trips.append((took_ms, wall + round(took_ms / 2) - now_ms))
    return median(took_ms for took_ms, _ in trips), min(trips)[1]


def _of_timetable(facts: Facts, reading: Reading, store: Store, asking: _Asking) -> Facts:
    fleet = asking.of("fleet", reading.fleet)
    found = asking.of("counts", lambda: _counts(store))
    counts, by_key = found if found is not None else (None, {})
    rows = asking.of("entries", lambda: list(islice(reading.entries(), _MOST_ENTRIES + 1)))
    history = asking.of("history", lambda: tuple(store.history(_MOST_FACTS)))
    locks = asking.of("locks", lambda: _held_keys(store, by_key, facts.here.host))
    return replace(
        facts,
        refusal=asking.refusal,
        fleet=fleet,
        replicas=_replicas(fleet),
        entries=None if rows is None else tuple(rows[:_MOST_ENTRIES]),
        has_more_entries=rows is not None and len(rows) > _MOST_ENTRIES,
        paused_tenants=asking.of("tenants", lambda: _paused_tenants(store)) or (),
        history=history,
        counts=counts,
        by_key=by_key,
        locks=locks,
    )


def _replicas(fleet: FleetView | None) -> Mapping[str, About]:
    if fleet is None:
        return {}
    return {replica.name: replica.about for replica in fleet.alive}


def _counts(store: Store) -> tuple[Counts, dict[str, Counts]]:
    """Read what was counted of all, and of the lock keys to which something happened last."""
    start = key_subject("")
    keys = [one for one in store.counted(_MOST_KEYS) if one.startswith(start)]
    total, *each = store.counts([TOTAL, *keys])
    return total, {key.removeprefix(start): c for key, c in zip(keys, each, strict=True)}


def _paused_tenants(store: Store) -> tuple[str, ...]:
    names: list[str] = []
    cursor = ""
    while len(names) < _MOST_TENANTS:
        page = store.tenant_names(cursor)
        names += page.names
        cursor = page.cursor
        if not cursor:
            break
    tenants = store.tenants(names)
    return tuple(n for n, tenant in zip(names, tenants, strict=True) if tenant.is_paused)


def _held_keys(store: Store, by_key: Mapping[str, Counts], host: str) -> tuple[HeldKey, ...]:
    names = store.lock_names(_MOST_LOCKS)
    answer = store.locks(names)
    found = []
    for name, lock in zip(names, answer.locks, strict=True):
        if lock is None:
            continue
        usual_ms = by_key[name].run_time.percentile(_USUAL) if name in by_key else None
        held = HeldKey(
            key=name,
            owner=lock.owner,
            acquired_ms=lock.acquired_ms,
            deadline_ms=lock.deadline_ms,
            usual_ms=usual_ms,
        )
        found.append(replace(held, is_gone=_is_gone(held, host)))
    return tuple(found)


def _is_gone(held: HeldKey, host: str) -> bool:
    """Tell whether a process of this host took a key by hand, and is no more."""
    if not held.by_hand or not held.owner.startswith(f"{host}:"):
        return False
    try:
        os.kill(held.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _task_errors(app: Celery) -> tuple[str, ...]:
    """Read the options of this app's tasks; tell what is wrong with them, as a worker would."""
    found = []
    try:
        app.loader.import_default_modules()
        tasks: Mapping[str, Any] = app.tasks
    except (SingletonBeatError, ImportError) as error:
        return (str(error),)
    for _, task in sorted(tasks.items()):
        if is_singleton(task):
            try:
                task.singleton_options  # noqa: B018  # reading checks them
            except AttributeError:
                continue
            except ConfigurationError as error:
                found.append(str(error))
    return tuple(found)
