"""Facts as Celery events: their types, ``singleton-…``, and their fields.

The fields are those of the fact, by the names that Celery's own events use:
``uuid`` for a task id and ``name`` for a task. Celery adds hostname, pid and time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from celery_singleton_beat import events as happened
from celery_singleton_beat.events import Event

TYPES: Final[Mapping[type[Event], str]] = {
    happened.OccurrencePublished: "singleton-published",
    happened.OccurrenceUncertain: "singleton-uncertain",
    happened.OccurrenceRecalled: "singleton-recalled",
    happened.OccurrencesMissed: "singleton-missed",
    happened.OccurrenceDropped: "singleton-dropped",
    happened.RunRepublished: "singleton-republished",
    happened.RunNotRepublished: "singleton-not-republished",
    happened.DispatchFailed: "singleton-dispatch-failed",
    happened.EntrySetAside: "singleton-set-aside",
    happened.StandingChanged: "singleton-standing",
    happened.RunEnded: "singleton-ended",
    happened.RunSkipped: "singleton-skipped",
    happened.RunPostponed: "singleton-postponed",
    happened.RunGivenUp: "singleton-given-up",
    happened.RunDiscarded: "singleton-discarded",
    happened.DuplicateDropped: "singleton-duplicate",
    happened.LeaseGone: "singleton-lease-lost",
    happened.LeaseRestored: "singleton-lease-restored",
    happened.RunStopped: "singleton-stopped",
    happened.StoreLost: "singleton-store-lost",
    happened.StoreBack: "singleton-store-back",
}
"""What is sent. The rest is of interest to one process only, or cannot be sent when it happens."""

BY_REQUEST: Final = frozenset(
    {
        happened.RunEnded,
        happened.RunSkipped,
        happened.RunPostponed,
        happened.RunGivenUp,
        happened.DuplicateDropped,
    }
)
"""What happens where a body runs, and is sent by the main process when it hears of it."""

_NAMES: Final = {"run": "uuid", "task_id": "uuid", "task": "name"}


def type_of(kind: type[Event]) -> str | None:
    """Tell the type of event that a kind of fact is sent as; None: it is not."""
    return TYPES.get(kind)


def fields_of(event: Event) -> dict[str, Any]:
    """Tell the fields that a fact is sent with."""
    return {_NAMES.get(one.name, one.name): getattr(event, one.name) for one in fields(event)}
