"""Entries as rows: of ``beat_schedule`` and stored ones in one shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.operate.words import recurrence_words
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.plan import LATE_MS
from celery_singleton_beat.protocol.preview import upcoming
from celery_singleton_beat.protocol.recurrences.bounds import datetime_of

if TYPE_CHECKING:
    from celery_singleton_beat.operate.config_entries import ConfigEntries
    from celery_singleton_beat.protocol.claim import Slot
    from celery_singleton_beat.protocol.entry import Timing
    from celery_singleton_beat.protocol.stored import Card
    from celery_singleton_beat.protocol.tenant import Tenant
    from celery_singleton_beat.store.timetable_port import Kept

Kind = Literal["config", "stored"]

State = Literal[
    "on",
    "disabled",
    "paused",  # for itself
    "tenant paused",
    "all paused",
    "ended",  # its rule has no further occurrence, or it had all its runs
    "not planned",  # no beat knows it yet, or the configuration that governs does not have it
    "unusable",  # `problem` says why
]

OVERDUE_MS: Final = LATE_MS
"""So late an entry counts as overdue: a beat that lives would have dispatched it."""


_DAMAGED: Final = (
    "its record in the store is damaged: the next beat that meets it sets it aside and plans the "
    "entry anew"
)


class Times(NamedTuple):
    """What holds for all entries while they are read."""

    now_ms: int
    is_paused: bool = False
    resumed_ms: int = 0


@dataclass(frozen=True)
class EntryRow:
    """One entry: what it is, how it stands, when it ran and when it is due.

    ``next_at`` is the next scheduled time, in the past if it is late (None: none while it
    is in this ``state``), and ``due_at`` that with its jitter. ``late_ms`` is how long it
    is due already. ``paused`` is for itself, whatever the state; ``note`` is what who
    paused it had to say. ``revision`` (0: not stored), ``changed_at`` and ``changed_by`` are
    of stored entries, as is ``entry``, the definition.
    """

    name: str
    kind: Kind
    task: str
    recurrence: str
    timezone: str
    state: State
    tenant: str = ""
    source: str = ""
    paused: bool = False
    note: str = ""
    problem: str = ""
    next_at: datetime | None = None
    due_at: datetime | None = None
    last_at: datetime | None = None
    runs: int = 0
    late_ms: int = 0
    revision: int = 0
    changed_at: datetime | None = None
    changed_by: str = ""
    description: str = ""
    entry: Entry | None = field(default=None, repr=False, compare=False)

    @property
    def is_on(self) -> bool:
        return self.state == "on"

    @property
    def is_to_come(self) -> bool:
        """Whether it is dispatched, or will be by a beat that takes it on."""
        return self.state in ("on", "not planned")

    @property
    def is_overdue(self) -> bool:
        return self.late_ms > OVERDUE_MS

    def to_data(self) -> dict[str, Any]:
        """The row for JSON."""
        data = {of.name: getattr(self, of.name) for of in fields(self) if of.name != "entry"}
        data |= {name: _text(data[name]) for name in ("next_at", "due_at", "last_at", "changed_at")}
        return {**data, "overdue": self.is_overdue}


@dataclass(frozen=True)
class EntryDetail:
    """All of one entry: its row, its definition, and its next (scheduled, due) times."""

    row: EntryRow
    definition: Mapping[str, Any]
    next_runs: tuple[tuple[datetime, datetime], ...]

    def to_data(self) -> dict[str, Any]:
        """The details for JSON."""
        return {
            **self.row.to_data(),
            "definition": dict(self.definition),
            "next_runs": [
                {"scheduled": _text(scheduled), "due": _text(due)}
                for scheduled, due in self.next_runs
            ],
        }


def config_row(
    config: ConfigEntries, name: str, slot: Slot | None, times: Times, *, is_damaged: bool = False
) -> EntryRow:
    """Make the row of an entry of ``beat_schedule``; ``is_damaged``: its slot cannot be read."""
    problem = config.problems.get(name, _DAMAGED if is_damaged else "")
    timing = config.timings.get(name)
    state: State = "on"
    if problem:
        state = "unusable"
    elif slot is None or timing is None or not _is_planned(slot, timing):
        state = "not planned"
    elif slot.slot_ms == ABSENT:
        state = "ended"
    elif times.is_paused:
        state = "all paused"
    is_due = state == "on" and slot is not None
    offset = 0 if timing is None else timing.offset_ms
    return EntryRow(
        name,
        "config",
        config.task(name),
        config.recurrence(name),
        config.timezone(name),
        state,
        problem=problem,
        runs=0 if slot is None else slot.runs,
        last_at=None if slot is None else _moment(slot.last_ms),
        **_due(slot.slot_ms if is_due and slot is not None else None, offset, times.now_ms),
    )


def _is_planned(slot: Slot, timing: Timing) -> bool:
    is_left_out = slot.due_ms == ABSENT and slot.slot_ms != ABSENT
    return slot.rule == timing.rule and not is_left_out


def stored_row(name: str, kept: Kept, tenant: Tenant, times: Times, *, is_taken: bool) -> EntryRow:
    """Make the row of a stored entry; ``is_taken``: its name is one of ``beat_schedule``."""
    card, slot = kept
    about: dict[str, Any] = {
        "tenant": card.tenant,
        "source": card.source,
        "paused": card.is_paused,
        "note": card.note,
        "runs": slot.runs,
        "last_at": _moment(slot.last_ms),
        "revision": card.revision,
        "changed_at": _moment(card.changed_ms),
        "changed_by": card.by,
    }
    try:
        entry = Entry.from_json(card.definition)
    except EntryError as error:
        return EntryRow(name, "stored", "", "", "", "unusable", problem=str(error), **about)
    if is_taken:
        about["problem"] = "an entry of beat_schedule has this name: beats leave this one out"
    next_ms = _next_ms(entry, kept, tenant, times)
    state = _stored_state(card, tenant, times, is_taken=is_taken, has_next=next_ms is not None)
    timing = entry.timing()
    return EntryRow(
        name,
        "stored",
        entry.task,
        recurrence_words(entry.spec.to_json()),
        entry.timezone,
        state,
        description=entry.description,
        entry=entry,
        **about,
        **_due(next_ms if state == "on" else None, timing.offset_ms, times.now_ms),
    )


def _stored_state(
    card: Card, tenant: Tenant, times: Times, *, is_taken: bool, has_next: bool
) -> State:
    if is_taken:
        return "unusable"
    if not card.is_enabled:
        return "disabled"
    if card.is_paused:
        return "paused"
    if tenant.is_paused and card.tenant:
        return "tenant paused"
    if times.is_paused:
        return "all paused"
    return "on" if has_next else "ended"


def _next_ms(entry: Entry, kept: Kept, tenant: Tenant, times: Times) -> int | None:
    """Tell the next occurrence as the beat that claims it will plan it; None: it has ended."""
    card, slot = kept
    timing = entry.timing()
    resumed_ms = max(card.resumed_ms, tenant.resumed_ms, times.resumed_ms)
    if slot.rule == timing.rule and (slot.slot_ms == ABSENT or slot.slot_ms > resumed_ms):
        return None if slot.slot_ms == ABSENT else slot.slot_ms
    planned = upcoming(
        timing, slot, now_ms=times.now_ms, changed_ms=card.changed_ms, resumed_ms=resumed_ms
    )
    return next(planned, None)


def _due(next_ms: int | None, offset: int, now_ms: int) -> dict[str, Any]:
    if next_ms is None:
        return {}
    due_ms = next_ms + offset
    return {
        "next_at": datetime_of(next_ms),
        "due_at": datetime_of(due_ms),
        "late_ms": max(now_ms - due_ms, 0),
    }


def _moment(at_ms: int) -> datetime | None:
    return None if at_ms == ABSENT else datetime_of(at_ms)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(timezone.utc).isoformat()
