"""The answers to the remote control commands.

Runs in: worker, main process; beat.

The store is asked in a thread of its own and waited for half a second: the answer
comes before Celery's client stops waiting, and a worker's loop does not stand still
for longer. What the process knows by itself is in the answer also when the store
is away; then ``store`` holds ``error``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.adapters.about import versions
from celery_singleton_beat.adapters.lock_keys import described
from celery_singleton_beat.adapters.ticket import is_singleton
from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.definition import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from celery_singleton_beat.adapters.extension import Extension
    from celery_singleton_beat.store.timetable_port import Kept

_PATIENCE_SECONDS: Final = 0.5
_MOST: Final = 1000


def locks(_app: Celery, extension: Extension, limit: int) -> dict[str, Any]:
    """List the keys that runs of this worker hold, and those that are locked in the store."""

    def ask() -> dict[str, Any]:
        store, most = extension.store, _bounded(limit)
        names = store.lock_names(most + 1)
        answer = store.locks(names[:most])
        found = [
            {
                "key": name,
                "owner": lock.owner,
                "token": lock.token,
                "acquired": _moment(lock.acquired_ms),
                "expires": _moment(lock.deadline_ms),
            }
            for name, lock in zip(names, answer.locks, strict=False)
            if lock is not None
        ]
        return {"locks": found, "has_more": len(names) > most}

    return {"held_here": _held_here(extension), "store": _asked(extension, ask)}


def _held_here(extension: Extension) -> list[dict[str, Any]]:
    if "heartbeat" not in vars(extension):
        return []
    return [
        {
            "key": held.attempt.key,
            "run": held.attempt.run,
            "entry": held.attempt.entry,
            "pid": held.pid,
            "seconds": held.since_ms / 1000,
            "is_trusted": held.is_trusted,
        }
        for held in extension.heartbeat.held()
    ]


def entries(app: Celery, extension: Extension, limit: int) -> dict[str, Any]:
    """List the entries that this process is configured with, and those in the store."""
    most = _bounded(limit)
    schedule = dict(app.conf.beat_schedule or {})
    names = sorted(schedule)[:most]

    def ask() -> dict[str, Any]:
        store = extension.store
        slots = store.slots(names, set_aside=False).slots
        planned = [
            {
                "name": name,
                "next": _moment(slot.slot_ms),
                "last": _moment(slot.last_ms),
                "runs": slot.runs,
            }
            for name, slot in zip(names, slots, strict=True)
            if slot is not None
        ]
        page = store.entry_names(None)
        kept = store.kept(page.names[:most])
        stored = [
            _stored(name, one)
            for name, one in zip(page.names, kept, strict=False)
            if one is not None
        ]
        has_more = len(page.names) > most or bool(page.cursor)
        return {"planned": planned, "stored": stored, "has_more": has_more}

    tasks = {name: _task(schedule[name]) for name in names}
    here = [
        {"name": name, "task": task, "is_known_here": task in app.tasks}
        for name, task in tasks.items()
    ]
    return {
        "beat_schedule": here,
        "has_more": len(schedule) > most,
        "store": _asked(extension, ask),
    }


def _stored(name: str, kept: Kept) -> dict[str, Any]:
    try:
        entry = Entry.from_json(kept.card.definition)
    except EntryError as error:
        return {"name": name, "is_unreadable": str(error)}
    slot = kept.slot
    return {
        "name": name,
        "task": entry.task,
        "tenant": entry.tenant,
        "is_enabled": entry.enabled,
        "is_paused": kept.card.is_paused,
        "next": _moment(slot.slot_ms) if slot.rule == entry.timing().rule else None,
        "last": _moment(slot.last_ms),
        "runs": slot.runs,
    }


def _task(fields_of_entry: Any) -> str:
    try:
        return str(fields_of_entry["task"])
    except (KeyError, TypeError):
        return str(getattr(fields_of_entry, "task", ""))


def settings(app: Celery, extension: Extension) -> dict[str, Any]:
    """Tell what is set and installed here, and how the store's clock differs."""

    def ask() -> dict[str, Any]:
        before = time.time_ns() // 1_000_000
        now_ms = extension.store.ping()
        after = time.time_ns() // 1_000_000
        # By how much the store's clock is ahead of this host's, and how far off that may be.
        return {
            "clock_ahead_ms": now_ms - (before + after) // 2,
            "clock_within_ms": (after - before) // 2 + 1,
        }

    read = extension.settings
    return {
        "app": extension.app_name,
        "instance": extension.instance,
        "prefix": extension.prefix,
        "address": extension.address,
        "versions": versions(),
        "settings": {one.name: getattr(read, one.name) for one in fields(read) if one.repr},
        "tasks": _tasks(app),
        "store": _asked(extension, ask),
    }


def _tasks(app: Celery) -> dict[str, Any]:
    found = {}
    for name, task in sorted(app.tasks.items()):
        options = getattr(task, "singleton_options", None) if is_singleton(task) else None
        if options is not None:
            key = None if options.lock_key is None else described(options.lock_key)
            found[name] = {"lock_key": key, "lock_ttl_ms": options.lock_ttl_ms}
    return found


def _asked(extension: Extension, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Ask the store, with little patience; the answer says it if there is none."""
    question = _Question(ask)
    # One at a time: a store that hangs must not collect threads here.
    open_one: _Question | None = vars(extension).get("_remote_question")
    if open_one is not None and open_one.is_open:
        return {"error": "the store has not answered an earlier command yet"}
    vars(extension)["_remote_question"] = question
    return question.answer(_PATIENCE_SECONDS)


class _Question:
    """A question in a thread of its own."""

    def __init__(self, ask: Callable[[], dict[str, Any]]) -> None:
        self._ask = ask
        self._answer: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._run, name="singleton-inspect", daemon=True)

    @property
    def is_open(self) -> bool:
        return self._thread.is_alive()

    def answer(self, seconds: float) -> dict[str, Any]:
        self._thread.start()
        self._thread.join(seconds)
        return self._answer or {"error": f"the store did not answer within {seconds:g} s"}

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        except Exception as error:  # noqa: BLE001  # it is the answer
            self._answer = {"error": f"{type(error).__name__}: {error}"}


def _bounded(limit: int) -> int:
    return min(max(limit, 0), _MOST)


def _moment(at_ms: int) -> str | None:
    if at_ms == ABSENT:
        return None
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc).isoformat()
