"""The ticket: what the main process tells the child of an attempt it has in hand.

Runs in: worker.

It travels in the request's ``properties``, which Celery does not copy into a
retry or a re-queued message; and it names the board that it is good for, so
that one that got elsewhere all the same is not taken for this process's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from celery_singleton_beat.adapters.options import lock_key_of
from celery_singleton_beat.protocol.occurrence import HEADER, Occurrence
from celery_singleton_beat.protocol.run import Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_singleton_beat.engine.heartbeat import Heartbeat

FIELD: Final = "singleton_ticket"


@dataclass(frozen=True, slots=True)
class Ticket:
    """An attempt and its record on a heartbeat's board."""

    attempt: Attempt
    index: int
    occurrence: Occurrence | None

    def to_properties(self, board: str) -> dict[str, object]:
        return {
            "holder": self.attempt.holder,
            "key": self.attempt.key,
            "index": self.index,
            "board": board,
        }


def new_attempt(
    task: Any,
    request: Mapping[str, Any],
    *,
    args: Any,
    kwargs: Any,
    holder: str | None = None,
    key: str | None = None,
) -> tuple[Attempt, Occurrence | None]:
    """Name an attempt after the request that asks for it.

    Raises:
        ConfigurationError: its lock key cannot be made from its arguments.
    """
    options = task.singleton_options
    occurrence = Occurrence.from_header(request.get(HEADER))
    if key is None:
        key = lock_key_of(task, options, args or (), kwargs or {}, occurrence)
    return Attempt(
        run=str(request["id"]),
        holder=holder or uuid4().hex,
        key=key,
        ttl_ms=options.lock_ttl_ms,
        attempt=request.get("retries") or 0,
        window_ms=(occurrence and occurrence.window_ms) or options.window_ms,
        not_after_ms=occurrence.not_after_ms if occurrence else 0,
        awaited_as=occurrence.entry if occurrence and occurrence.is_awaited else "",
        scheduled_ms=occurrence.scheduled_ms if occurrence else 0,
        owner=str(request.get("hostname") or ""),
    ), occurrence


def is_celerys_own(task: Any) -> bool:
    """Tell whether a task is built into Celery (a singleton where the application's class is).

    ``celery.chord_unlock``, ``celery.map`` and the like work for all tasks at once.
    """
    return str(task.name).startswith("celery.")


def open_ticket(heartbeat: Heartbeat, task: Any, attempt: Attempt) -> int | None:
    """Let a heartbeat take an attempt in hand; None if its board is full."""
    return heartbeat.open(attempt, renew_ms=task.singleton_options.renew_ms)
