"""Entries that are stored: what a user writes, and what is kept of it.

A definition is JSON and nothing else: no pickle, and nothing in it is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import KW_ONLY, dataclass, field, fields
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, cast

from celery_singleton_beat.errors import (
    ConfigurationError,
    EntryError,
    RecurrenceError,
    UnreadableEntry,
)
from celery_singleton_beat.protocol import entry_values as values
from celery_singleton_beat.protocol.entry import CatchUp, Defaults, Overlap, Timing
from celery_singleton_beat.protocol.recurrences.bounds import instant_of
from celery_singleton_beat.protocol.recurrences.gap import min_gap_ms
from celery_singleton_beat.protocol.recurrences.recurrence import Recurrence
from celery_singleton_beat.protocol.recurrences.spec import Spec, spec_of
from celery_singleton_beat.protocol.recurrences.spec_kinds import clock_of, in_bounds
from celery_singleton_beat.protocol.recurrences.wallclock import zone_name
from celery_singleton_beat.setting_values import written

if TYPE_CHECKING:
    from typing_extensions import Self

VERSION: Final = 1
_LONGEST_ERROR: Final = 2000

_DURATIONS: Final = (
    *("jitter", "catch_up_window", "dedupe_window"),
    *("start_deadline", "overlap_limit"),
)
_MOMENTS: Final = ("start", "end")

_DEFAULTS: Final = Defaults()
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One entry of the timetable that can be stored and changed at run time.

    Durations are seconds or a timedelta. What is None comes from the settings.
    All of it is checked here: an entry that exists can be stored, and read
    again as its equal. ``recurrence`` may be given as anything that `spec_of`
    reads, and is a spec afterwards; ``args``, ``kwargs`` and ``options`` are
    copied, and must not be written into.

    Raises:
        EntryError: a field is wrong; the text names the entry, the field and what is allowed.
        RecurrenceError: its recurrence is wrong, or can never be due.
    """

    name: str
    task: str
    recurrence: Any
    _: KW_ONLY
    timezone: str = "UTC"
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    tenant: str = ""
    jitter: float | timedelta = 0
    catch_up: values.CatchUpWord | None = None
    catch_up_max: int | None = None
    catch_up_window: float | timedelta | None = None
    dedupe_window: float | timedelta | None = None
    start_deadline: float | timedelta | None = None
    overlap: values.OverlapWord = "allow"
    overlap_limit: float | timedelta | None = None
    delivery: values.DeliveryWord = "at_least_once"
    start: datetime | None = None
    end: datetime | None = None
    max_runs: int | None = None
    enabled: bool = True
    source: str = ""
    description: str = ""
    _text: str | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        values.name_text(self.name, "an entry's name")
        if isinstance(self.timezone, tzinfo):
            self._settle("timezone", zone_name(self.timezone))
        clock_of(self.timezone, self.name)
        try:
            self._settle_texts()
            self._settle_payload()
            self._settle_times()
            self._settle_rule()
        except RecurrenceError as error:
            raise RecurrenceError(f"entry {self.name!r}: {_shown(error)}") from error
        except ConfigurationError as error:
            raise EntryError(f"entry {self.name!r}: {_shown(error)}") from error

    @property
    def spec(self) -> Spec:
        """The recurrence as it was written."""
        return cast("Spec", self.recurrence)

    @property
    def when(self) -> Recurrence:
        """The recurrence as arithmetic: in the entry's zone, between its start and end."""
        return _recurrence(self.spec, self.timezone, self.start_ms, self.end_ms)

    @property
    def jitter_ms(self) -> int:
        return values.duration_ms(self.jitter)

    @property
    def catch_up_window_ms(self) -> int | None:
        return _optional_ms(self.catch_up_window)

    @property
    def dedupe_window_ms(self) -> int | None:
        return _optional_ms(self.dedupe_window)

    @property
    def start_deadline_ms(self) -> int | None:
        return _optional_ms(self.start_deadline)

    @property
    def start_ms(self) -> int | None:
        return None if self.start is None else instant_of(self.start, "start")

    @property
    def end_ms(self) -> int | None:
        return None if self.end is None else instant_of(self.end, "end")

    def timing(self, defaults: Defaults = _DEFAULTS) -> Timing:
        """When it is due, and what happens to what was missed."""
        window_ms = self.catch_up_window_ms
        dedupe_ms = self.dedupe_window_ms
        deadline_ms = self.start_deadline_ms
        return Timing(
            self.name,
            self.when,
            defaults.catch_up if self.catch_up is None else CatchUp(self.catch_up),
            defaults.catch_up_max if self.catch_up_max is None else self.catch_up_max,
            defaults.catch_up_window_ms if window_ms is None else window_ms,
            self.jitter_ms,
            defaults.dedupe_window_ms if dedupe_ms is None else dedupe_ms,
            defaults.start_deadline_ms if deadline_ms is None else deadline_ms,
            self.max_runs,
            Overlap(self.overlap),
            _optional_ms(self.overlap_limit),
            self.delivery == "at_most_once",
        )

    def of_source(self, source: str) -> Self:
        """The same entry, of a source."""
        if self.source == source:
            return self
        values.name_text(source, "source", may_be_empty=True)
        same = copy(self)
        object.__setattr__(same, "source", source)
        object.__setattr__(same, "_text", None)
        return same

    @property
    def digest(self) -> str:
        """A short name of its whole content; equal entries have equal ones on every host."""
        return blake2b(self.to_json().encode(), digest_size=8).hexdigest()

    def to_json(self) -> str:
        """The definition: canonical, compact, without what is as by default.

        Raises:
            EntryError: it is too large to be stored.
        """
        if self._text is None:
            text = _ENCODER.encode(self.to_data())
            if len(text) > values.LARGEST_DEFINITION:
                raise EntryError(f"entry {self.name!r}: {_too_large(len(text))}")
            object.__setattr__(self, "_text", text)
        return cast("str", self._text)

    def to_data(self) -> dict[str, Any]:
        """The definition as data, for JSON."""
        data: dict[str, Any] = {"version": VERSION}
        for name, default in _FIELDS.items():
            value = getattr(self, name)
            if value != default:
                data[name] = value
        data["recurrence"] = self.spec.to_json()
        for name in _DURATIONS:
            if name in data:
                data[name] = values.seconds_number(values.duration_ms(data[name]))
        for name in _MOMENTS:
            if name in data:
                data[name] = data[name].isoformat()
        return data

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a definition that `to_json` wrote.

        Raises:
            EntryTooNew: a newer release wrote it.
            UnreadableEntry: it is no definition.
            EntryError: it is one, and cannot be used here (an unknown zone, say).
        """
        if len(text) > values.LARGEST_DEFINITION:
            raise UnreadableEntry(_too_large(len(text)))
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UnreadableEntry(f"not a definition: {text[:80]!r}") from error
        if not isinstance(data, dict) or "version" not in data:
            raise UnreadableEntry(f"not a definition: {text[:80]!r}")
        return cls.from_data(data)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read a definition that `to_data` made; without a version, it is of this one.

        Raises:
            EntryError: as `from_json`.
        """
        given = values.read_version(data, VERSION)
        values.check_fields(given, _FIELDS, _REQUIRED)
        for name in _DURATIONS:
            if given.get(name) is not None and not isinstance(given[name], timedelta):
                given[name] = values.read_duration(given[name], name)
        for name in _MOMENTS:
            if isinstance(given.get(name), str):
                given[name] = values.read_moment(given[name], name)
        return cls(**given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def _settle(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _settle_texts(self) -> None:
        if not isinstance(self.task, str):
            self._settle("task", getattr(self.task, "name", self.task))
        values.name_text(self.task, "task")
        for name in ("tenant", "source"):
            if getattr(self, name) != "":
                values.record_name(getattr(self, name), name)
        if self.description != "":
            values.free_text(self.description, "description")
        for name, kind in values.KINDS.items():
            if (value := getattr(self, name)) is not _FIELDS[name]:
                self._settle(name, kind.check(value, name))

    def _settle_payload(self) -> None:
        if not isinstance(self.args, list | tuple):
            raise EntryError(f"args must be a list or tuple, not {type(self.args).__name__}")
        if self.args:
            self._settle("args", tuple(values.payload(self.args, "args")))
        elif self.args != ():
            self._settle("args", ())
        for name in ("kwargs", "options"):
            given = getattr(self, name)
            if not isinstance(given, Mapping):
                raise EntryError(f"{name} must be a mapping, not {type(given).__name__}")
            self._settle(name, values.payload(given, name))
        values.check_options(self.options)

    def _settle_times(self) -> None:
        for name in _DURATIONS:
            if (given := getattr(self, name)) is not _FIELDS[name]:
                may_be_zero = name == "jitter"
                self._settle(name, values.duration(given, name, may_be_zero=may_be_zero))
        for name in _MOMENTS:
            if (given := getattr(self, name)) is not None:
                self._settle(name, values.moment(given, name))
        if self.start is not None and self.end is not None and self.end < self.start:
            raise EntryError(f"end ({self.end}) is before start ({self.start})")

    def _settle_rule(self) -> None:
        self._settle("recurrence", spec_of(self.recurrence))
        rule = self.spec.recurrence(self.timezone)
        if self.jitter and (gap_ms := min_gap_ms(rule)) is not None and self.jitter_ms > gap_ms:
            raise EntryError(
                f"jitter of {written(self.jitter_ms / 1000)} seconds is longer than the smallest "
                f"distance between two occurrences, {written(gap_ms / 1000)} seconds"
            )


_FIELDS: Final[dict[str, Any]] = {
    of.name: {} if of.name in {"kwargs", "options"} else of.default
    for of in fields(Entry)
    if of.init
}
_REQUIRED: Final = ("name", "task", "recurrence")


def _shown(error: Exception) -> str:
    """The text of an error; what it quotes may be a whole book."""
    text = str(error)
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}…"


def _too_large(size: int, most: int = values.LARGEST_DEFINITION) -> str:
    return f"a definition of {size} characters is too large to be stored: {most} at most"


def _optional_ms(seconds: float | timedelta | None) -> int | None:
    return None if seconds is None else values.duration_ms(seconds)


@lru_cache(maxsize=16384)
def _recurrence(spec: Spec, zone: str, start_ms: int | None, end_ms: int | None) -> Recurrence:
    return in_bounds(spec.recurrence(zone), start_ms, end_ms)
