"""Entries of ``beat_schedule``: Celery's own fields, and ours beside them.

Runs in: beat.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from celery import Task
from celery.beat import BeatLazyFunc, ScheduleEntry
from celery.utils.saferepr import saferepr

from celery_singleton_beat import setting_values as values
from celery_singleton_beat import settings as settings_module
from celery_singleton_beat.adapters.convert import recurrence_of
from celery_singleton_beat.adapters.shown_schedule import in_zone, schedule_of
from celery_singleton_beat.adapters.task import SingletonTask
from celery_singleton_beat.adapters.ticket import is_singleton
from celery_singleton_beat.errors import ConfigurationError, EntryError
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.entry import CatchUp, Defaults, Overlap, Timing
from celery_singleton_beat.protocol.entry_values import DeliveryWord, OverlapWord
from celery_singleton_beat.protocol.recurrences.bounds import instant_of
from celery_singleton_beat.protocol.recurrences.recurrence import Recurrence
from celery_singleton_beat.protocol.recurrences.spec_kinds import in_bounds

if TYPE_CHECKING:
    from collections.abc import Collection

    from celery import Celery

    from celery_singleton_beat.settings import Settings

STOCK_FIELDS: Final = ("task", "schedule", "args", "kwargs", "options", "relative")
OUR_FIELDS: Final = (
    "timezone",
    "jitter",
    "catch_up",
    "catch_up_max",
    "catch_up_window",
    "dedupe_window",
    "start_deadline",
    "overlap",
    "overlap_limit",
    "delivery",
    "max_runs",
    "start",
    "end",
)
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


class SingletonEntry(ScheduleEntry):
    """An entry of ``beat_schedule``, with this package's fields.

    They mean what they mean in a stored `Entry`: ``timezone`` (an IANA name),
    ``start`` and ``end`` (aware datetimes), ``catch_up``, ``overlap`` and
    ``delivery`` (words), ``catch_up_max`` and ``max_runs`` (numbers), all others
    seconds or a timedelta. What is left out comes from the settings.
    """

    def __init__(self, *, name: str, app: Celery, **fields: Any) -> None:
        self.ours: dict[str, Any] = {
            field: fields.pop(field) for field in OUR_FIELDS if field in fields
        }
        super().__init__(name=name, app=app, **fields)
        if (zone := self.ours.get("timezone")) is not None:
            self.__dict__["schedule"] = in_zone(self.__dict__["schedule"], zone, name)
        self.reprs = _reprs(app, self)

    def for_dispatch(self, options: dict[str, Any]) -> SingletonEntry:
        """Copy the entry for one dispatch; whoever hooks in may write into its options."""
        # Not copy.copy: ScheduleEntry's __reduce__ drops what it does not know.
        entry = object.__new__(type(self))
        entry.__dict__.update(self.__dict__, options=options)
        return entry


class _Dispatched(SingletonEntry):
    """A stored entry at its dispatch. Whoever asks for its schedule is shown one."""

    definition: Entry

    @cached_property
    def schedule(self) -> Any:
        given = self.definition
        return schedule_of(self.app, given.recurrence, given.timezone, given.name)


def _reprs(app: Celery, entry: SingletonEntry) -> dict[str, str]:
    """Write an entry's arguments as its messages show them: the same at every dispatch.

    Empty where Celery has to write them each time: they are made by a function,
    or the task has an ``apply_async`` that may change them.
    """
    values_given = (*(entry.args or ()), *entry.kwargs.values())
    task = app.tasks.get(entry.task)
    is_plain = task is None or (
        type(task).apply_async is Task.apply_async
        and getattr(task, "_dump_pydantic_arguments", None) is None
    )
    if not is_plain or any(isinstance(value, BeatLazyFunc) for value in values_given):
        return {}
    args = list(entry.args or ()) or ()
    return {
        "argsrepr": shown(app, args, args, app.amqp.argsrepr_maxsize),
        "kwargsrepr": shown(app, entry.kwargs, entry.kwargs.values(), app.amqp.kwargsrepr_maxsize),
    }


def shown(app: Celery, given: object, members: Collection[object], most: int) -> str:
    """Write arguments as Celery's ``saferepr`` does, which takes fifty times as long."""
    if all(type(member) in _PLAIN for member in members):
        text = repr(given)
        # The two differ where something is cut off or escaped; a quote changes the others.
        if len(text) < most and "\\" not in text and '"' not in text:
            return text
    return str(saferepr(given, most, maxlevels=getattr(app.conf, "task_repr_maxlevels", 3)))


def read_entry(app: Celery, name: Any, given: Any) -> SingletonEntry:
    """Read one entry of ``beat_schedule``.

    Raises:
        EntryError: it cannot be used; the text names the entry, the field and the way out.
    """
    if isinstance(given, ScheduleEntry):
        given = {field: getattr(given, field) for field in STOCK_FIELDS[:5]}
    if not isinstance(name, str) or not name.isprintable() or not name:
        msg = f"entry {name!r}: a name must be a printable text"
        raise EntryError(msg)
    try:
        fields = dict(given)
    except (TypeError, ValueError) as error:
        msg = f"entry {name!r} must be a mapping with at least 'task' and 'schedule'"
        raise EntryError(msg) from error
    for field in fields:
        if field not in STOCK_FIELDS and field not in OUR_FIELDS:
            hint = values.did_you_mean(str(field), [*STOCK_FIELDS, *OUR_FIELDS])
            msg = f"entry {name!r} has an unknown field {field!r}{hint}"
            raise EntryError(msg)
    for field in ("task", "schedule"):
        if fields.get(field) is None:
            msg = f"entry {name!r} needs a {field!r}"
            raise EntryError(msg)
    if not isinstance(fields["task"], str):
        fields["task"] = getattr(fields["task"], "name", fields["task"])
    try:
        return SingletonEntry(name=name, app=app, **fields)
    except Exception as error:
        msg = f"entry {name!r} cannot be read: {error}"
        raise EntryError(msg) from error


def timing_of(app: Celery, entry: SingletonEntry, settings: Settings) -> Timing:
    """Tell when an entry is due.

    Raises:
        EntryError: its rule or one of our fields is wrong.
    """
    ours = entry.ours
    zone = ours.get("timezone")
    recurrence = recurrence_of(
        entry.schedule, zone or app.timezone, entry.name, zone_is_explicit=zone is not None
    )
    recurrence = _bounded(entry.name, recurrence, ours.get("start"), ours.get("end"))
    window_ms = _catch_up_window_ms(app, settings)

    def checked(field: str, kind: values.Kind, default: Any) -> Any:
        if ours.get(field) is None:
            return default
        try:
            return kind.check(ours[field], f"{field} of entry {entry.name!r}")
        except ConfigurationError as error:
            raise EntryError(str(error)) from error

    jitter = ours.get("jitter")
    delivery = checked("delivery", values.choice_of(DeliveryWord), "at_least_once")
    overlap = Overlap(checked("overlap", values.choice_of(OverlapWord), "allow"))
    _check_overlap(app, entry, overlap)
    return Timing(
        entry.name,
        recurrence,
        CatchUp(checked("catch_up", values.choice_of(settings_module.CatchUp), settings.catch_up)),
        checked("catch_up_max", values.Int(1), settings.catch_up_max),
        checked("catch_up_window", values.Seconds(), window_ms),
        0 if jitter in (0, 0.0, timedelta(0)) else checked("jitter", values.Seconds(), 0),
        checked("dedupe_window", values.Seconds(), settings.dedupe_window_ms),
        _start_deadline_ms(app, entry, checked("start_deadline", values.Seconds(), None), settings),
        checked("max_runs", values.Int(1), None),
        overlap,
        checked("overlap_limit", values.Seconds(), None),
        delivery == "at_most_once",
    )


def _bounded(name: str, recurrence: Recurrence, start: Any, end: Any) -> Recurrence:
    """Keep a rule between its start and its end.

    Raises:
        EntryError: one of them is no aware datetime.
    """
    try:
        start_ms = None if start is None else instant_of(start, f"start of entry {name!r}")
        end_ms = None if end is None else instant_of(end, f"end of entry {name!r}")
    except ConfigurationError as error:
        raise EntryError(str(error)) from error
    return in_bounds(recurrence, start_ms, end_ms)


def stored_entry(app: Celery, entry: Entry) -> SingletonEntry:
    """Make of a stored entry what Celery dispatches."""
    dispatched = _Dispatched(
        name=entry.name,
        app=app,
        task=entry.task,
        schedule=None,  # the store says when, and few ask
        last_run_at=datetime.now(timezone.utc),  # Celery takes long to tell it
        args=tuple(entry.args),
        kwargs=dict(entry.kwargs),
        options=dict(entry.options),
    )
    del dispatched.schedule
    dispatched.definition = entry
    return dispatched


def stored_timing(app: Celery, entry: Entry, settings: Settings, defaults: Defaults) -> Timing:
    """Tell when a stored entry is due, with what it leaves to the settings (``defaults_of``).

    Raises:
        EntryError: it asks for what its task cannot have.
    """
    timing = entry.timing(defaults)
    _check_overlap(app, entry, timing.overlap)
    deadline_ms = _start_deadline_ms(app, entry, timing.start_deadline_ms, settings)
    if deadline_ms == timing.start_deadline_ms:
        return timing
    return replace(timing, start_deadline_ms=deadline_ms)


def _check_overlap(app: Celery, entry: SingletonEntry | Entry, overlap: Overlap) -> None:
    """See that there is a run record to decide by.

    Raises:
        EntryError: its task is one that leaves none.
    """
    task = app.tasks.get(entry.task)
    if overlap is not Overlap.ALLOW and task is not None and not _leaves_record(task):
        msg = (
            f"overlap of entry {entry.name!r}: task {entry.task!r} is not a SingletonTask, and of "
            "others nobody knows whether they run: use base=SingletonTask, or leave it out"
        )
        raise EntryError(msg)


def _leaves_record(task: object) -> bool:
    return isinstance(task, SingletonTask) and is_singleton(task)


def defaults_of(app: Celery, settings: Settings) -> Defaults:
    """Tell what holds for a stored entry that does not say it itself."""
    return Defaults(
        CatchUp(settings.catch_up),
        settings.catch_up_max,
        _catch_up_window_ms(app, settings),
        settings.dedupe_window_ms,
    )


def _catch_up_window_ms(app: Celery, settings: Settings) -> int | None:
    if settings.catch_up_window_ms is None and app.conf.beat_cron_starting_deadline:
        return int(app.conf.beat_cron_starting_deadline * 1000)
    return settings.catch_up_window_ms


def _start_deadline_ms(
    app: Celery, entry: SingletonEntry | Entry, own_ms: int | None, settings: Settings
) -> int | None:
    """Tell an entry's start deadline; only a SingletonTask recognises a second message.

    Raises:
        EntryError: the entry asks for one, and its task is not known to be a SingletonTask.
    """
    task = app.tasks.get(entry.task)
    if _leaves_record(task):
        return settings.start_deadline_ms if own_ms is None else own_ms
    if own_ms is not None:
        msg = (
            f"start_deadline of entry {entry.name!r}: task {entry.task!r} is not known here as a "
            "SingletonTask, and any other would run twice: import it in beat, or leave it out"
        )
        raise EntryError(msg)
    return None


def absolute(moment: object, now_ms: int) -> object:
    """Make a relative ``expires`` or ``countdown`` absolute, counted by the store's clock."""
    if isinstance(moment, timedelta):
        moment = moment.total_seconds()
    if isinstance(moment, (int, float)) and not isinstance(moment, bool):
        return datetime.fromtimestamp(now_ms / 1000 + moment, timezone.utc)
    return moment
