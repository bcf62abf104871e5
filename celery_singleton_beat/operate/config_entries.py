"""The entries of ``beat_schedule`` as beats read them, for people who look at them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from celery_singleton_beat.adapters.convert import own_zone_name, spec_of_schedule
from celery_singleton_beat.adapters.entries import read_entry, timing_of
from celery_singleton_beat.adapters.scheduler import SingletonScheduler
from celery_singleton_beat.errors import EntryError, RecurrenceError
from celery_singleton_beat.operate.words import recurrence_words, shown
from celery_singleton_beat.protocol.entry import Timing, configuration_digest

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.adapters.entries import SingletonEntry


class _Reader(SingletonScheduler):
    """A scheduler that ticks never: it has read the configuration, and kept what it could not."""

    def setup_schedule(self) -> None:
        self.problems: dict[str, str] = {}
        super().setup_schedule()

    def _read_one(self, name: str, fields: Any) -> None:
        try:
            entry = read_entry(self.app, name, fields)
            timing = timing_of(self.app, entry, self._extension.settings)
        except EntryError as error:
            self.problems[str(name)] = str(error)
        else:
            self.schedule[name] = entry
            self.timings[name] = timing


class ConfigEntries:
    """What a beat of this app would read, the entry that Celery adds by itself included."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    @cached_property
    def _reader(self) -> _Reader:
        return _Reader(app=self._app)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self._reader.timings, *self._reader.problems)

    @property
    def timings(self) -> dict[str, Timing]:
        return self._reader.timings

    @property
    def problems(self) -> dict[str, str]:
        """What cannot be used, and why."""
        return self._reader.problems

    @cached_property
    def digest(self) -> str:
        """The name of this configuration among replicas."""
        return configuration_digest(self._reader.timings.values())

    def task(self, name: str) -> str:
        entry = self._reader.schedule.get(name)
        return "" if entry is None else str(entry.task)

    def recurrence(self, name: str) -> str:
        entry = self._reader.schedule.get(name)
        if entry is None:
            return ""
        try:
            return recurrence_words(spec_of_schedule(entry.schedule, name).to_json())
        except RecurrenceError:
            return shown(repr(entry.schedule))

    def timezone(self, name: str) -> str:
        entry = self._reader.schedule.get(name)
        if entry is None:
            return ""
        own = entry.ours.get("timezone") or own_zone_name(entry.schedule)
        return str(own or self._app.timezone)

    def definition(self, name: str) -> dict[str, Any]:
        """Tell an entry's fields as data for JSON; what JSON does not know is written as text."""
        entry: SingletonEntry | None = self._reader.schedule.get(name)
        if entry is None:
            return {}
        fields = {
            "task": entry.task,
            "recurrence": self.recurrence(name),
            "timezone": self.timezone(name),
            "args": list(entry.args or ()),
            "kwargs": dict(entry.kwargs or {}),
            "options": dict(entry.options or {}),
            **entry.ours,
        }
        return {field: _plain(value) for field, value in fields.items() if value not in ([], {})}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(of) for key, of in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(of) for of in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
