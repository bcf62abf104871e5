"""The ticket: what the main process tells the child of an attempt it has in hand.

Runs in: worker.

It travels in the request's ``properties``, which Celery does not copy into a
retry or a re-queued message; and it names the board that it is good for, so
that one that got elsewhere all the same is not taken for this process's own.
"""

from __future__ import annotations

import os
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.adapters.options import lock_key_of
from celery_singleton_beat.protocol.key_text import bounded
from celery_singleton_beat.protocol.occurrence import HEADER, Occurrence
from celery_singleton_beat.protocol.run import Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELD: Final = "singleton_ticket"

_MOST_RETRIES: Final = 1 << 31


def new_attempt(
    task: Any, request: Mapping[str, Any], args: Any, kwargs: Any, message: str = ""
) -> Attempt:
    """Name an attempt after the request that asks for it, with a holder of its own.

    ``message`` is what is to be published again if its worker dies.

    Raises:
        ConfigurationError: its lock key cannot be made from its arguments.
    """
    options = task.singleton_options
    occurrence = occurrence_of(request)
    return attempt_of(
        request,
        occurrence,
        lock_key_of(task, options, args or (), kwargs or {}, occurrence),
        ttl_ms=options.lock_ttl_ms,
        window_ms=options.window_ms,
        once_ms=options.once_ms,
        at_least_ms=options.at_least_ms,
        holds_retries=options.holds_retries,
        max_starts=options.max_attempts,
        message=message,
        revision=occurrence.revision if occurrence else 0,
    )


def attempt_of(
    request: Mapping[str, Any],
    occurrence: Occurrence | None,
    key: str,
    *,
    ttl_ms: int,
    window_ms: int,
    **asked_for: Any,
) -> Attempt:
    """Name an attempt at a lock key; an occurrence may bring a window of its own."""
    return Attempt(
        run=bounded(str(request["id"])),
        holder=os.urandom(16).hex(),
        key=key,
        ttl_ms=ttl_ms,
        attempt=_retries(request.get("retries")),
        window_ms=(occurrence and occurrence.window_ms) or window_ms,
        not_after_ms=occurrence.not_after_ms if occurrence else 0,
        owner=str(request.get("hostname") or ""),
        entry=occurrence.entry if occurrence else "",
        scheduled_ms=occurrence.scheduled_ms if occurrence else 0,
        is_awaited=occurrence.is_awaited if occurrence else False,
        **asked_for,
    )


def _retries(header: object) -> int:
    """Read how many attempts there were before; whoever sent the message may say anything."""
    if not isinstance(header, int) or isinstance(header, bool):
        return 0
    return header if 0 <= header < _MOST_RETRIES else 0


def occurrence_of(request: Mapping[str, Any]) -> Occurrence | None:
    """Read the occurrence that a message stands for."""
    header = request.get(HEADER)
    return None if header is None else Occurrence.from_header(header)


def to_ticket(attempt: Attempt, index: int, board: str) -> tuple[object, ...]:
    """Write a ticket: its place on the board, then the attempt's fields in their order."""
    return (board, index, *_fields_of(attempt))


_fields_of: Final = attrgetter(*(field.name for field in fields(Attempt)))


def from_ticket(ticket: Any, board: str) -> tuple[Attempt, int] | None:
    """Read a ticket; None if there is none, or it is good for another board."""
    if not ticket or ticket[0] != board:
        return None
    _, index, *values = ticket
    return Attempt(*values), index


def is_singleton(task: Any) -> bool:
    """Tell whether the runs of a task are protected: it is one of ours, and has not opted out.

    Where SingletonTask is the class of all tasks of an application, Celery's own
    are of it, too; ``celery.chord_unlock``, ``celery.map`` and the like work for
    all tasks at once, and stay as they are.
    """
    if getattr(task, "singleton", False) is False:
        return False
    return not str(task.name).startswith("celery.")
