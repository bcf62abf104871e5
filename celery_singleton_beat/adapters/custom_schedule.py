"""Schedule classes that are not Celery's own, as recurrences.

Runs in: beat, and whatever process changes the timetable.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta, timezone, tzinfo
from functools import partial
from typing import TYPE_CHECKING

from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.protocol.recurrences.recurrence import search_latest
from celery_singleton_beat.protocol.recurrences.wallclock import WallClock, zone_name

if TYPE_CHECKING:
    from celery.schedules import BaseSchedule

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)
# What Celery keeps in every schedule object, and what says nothing about its rule.
_CELERYS_OWN = {"app", "_app", "nowfun", "tz", "utc_enabled"}
_STEPS_AT_MOST = 5_000


class CustomRecurrence:
    """A schedule class of the user's, asked through its own ``remaining_estimate``.

    For each question the class is told, through `nowfun` on a copy, that it is
    now the instant that the question is about; the occurrence is that instant
    plus the remaining time it answers, rounded up to a millisecond. A class
    that looks at another clock, or remembers, gives replicas different answers.

    The rule's text is the class's name and its ``__reduce__`` arguments, else
    its repr: a class with parameters of its own should tell them there, or a
    change of them goes unnoticed by replicas that run already.

    Raises:
        EntryError: (from every method) the class raised, answered with
            something that is not a timedelta, or with no time ahead.

    """

    def __init__(self, given: BaseSchedule, clock: WallClock, entry_name: str) -> None:
        self._given = given
        self._clock = clock
        self._entry_name = entry_name
        self._class_name = f"{type(given).__module__}.{type(given).__qualname__}"
        self.rule = f"custom {self._class_name} {_parameters(given)} {clock.name}"

    def next_after(self, after_ms: int) -> int:
        """The instant that the class calculates from another one."""
        after = (_EPOCH + after_ms * _MILLISECOND).astimezone(self._clock.zone)
        try:
            remaining = self._pinned(after).remaining_estimate(after)
        except Exception as exc:
            raise EntryError(
                f"entry {self._entry_name!r}: schedule class {self._class_name} raised {exc!r} "
                f"when asked what follows {after.isoformat()}; see the cause"
            ) from exc
        if not isinstance(remaining, timedelta) or remaining <= timedelta(0):
            raise EntryError(
                f"entry {self._entry_name!r}: schedule class {self._class_name} answered "
                f"{remaining!r} when asked what follows {after.isoformat()}; "
                "remaining_estimate must return a timedelta above zero when now is the last run"
            )
        return after_ms - (-remaining // _MILLISECOND)

    def latest_until(self, until_ms: int, not_before_ms: int) -> int | None:
        """The last occurrence in ``[not_before_ms, until_ms]``.

        A class that counts from the last run has no fixed times: its chain is
        followed from `not_before_ms`, and when that takes too long, an instant
        from which the class itself goes on is taken for the last.
        """
        at_ms = not_before_ms
        if self._has_fixed_times(at_ms):
            return search_latest(self, until_ms, not_before_ms)
        if at_ms > until_ms:
            return None
        for _ in range(_STEPS_AT_MOST):
            following_ms = self.next_after(at_ms)
            if following_ms > until_ms:
                return at_ms
            at_ms = following_ms
        return search_latest(self, until_ms, at_ms)

    def is_due_at(self, at_ms: int) -> bool:
        """Whether an instant may be an occurrence.

        Any may, for a class that counts from the last run.
        """
        return self.next_after(at_ms - 1) == at_ms or not self._has_fixed_times(at_ms)

    def __repr__(self) -> str:
        return f"<{self.rule}>"

    def _has_fixed_times(self, near_ms: int) -> bool:
        """Whether the class calls the same instant an occurrence when asked a moment before it."""
        next_ms = self.next_after(near_ms)
        return self.next_after(next_ms - 1) == next_ms

    def _pinned(self, now: datetime) -> BaseSchedule:
        """A copy to which it is a certain time, in the recurrence's zone."""
        pinned = object.__new__(type(self._given))
        pinned.__dict__.update(self._given.__dict__)
        pinned.nowfun = lambda: now
        # A read-only property means that the class insists on its own zone.
        with contextlib.suppress(AttributeError):
            pinned.tz = self._clock.zone
        return pinned


def _parameters(given: BaseSchedule) -> str:
    """What tells objects of one schedule class apart, the same on every host."""
    if _overrides(given, "__reduce__"):
        reduced = given.__reduce__()
        if isinstance(reduced, tuple):
            return _stable_text(reduced[1:])
    if _overrides(given, "__repr__"):
        return _stable_text(given)
    return _stable_text({name: of for name, of in vars(given).items() if name not in _CELERYS_OWN})


def _overrides(given: BaseSchedule, method: str) -> bool:
    return getattr(type(given), method) is not getattr(object, method)


def _stable_text(value: object) -> str:
    if isinstance(value, Mapping):
        items = sorted(f"{_stable_text(key)}: {_stable_text(item)}" for key, item in value.items())
        text = "{" + ", ".join(items) + "}"
    elif isinstance(value, AbstractSet):
        text = "{" + ", ".join(sorted(map(_stable_text, value))) + "}"
    elif isinstance(value, (list, tuple)):
        text = "(" + ", ".join(map(_stable_text, value)) + ")"
    elif isinstance(value, timedelta):
        text = f"{value // timedelta(microseconds=1)}us"
    elif isinstance(value, tzinfo):
        text = zone_name(value)
    elif isinstance(value, partial):
        text = _stable_text((value.func, value.args, value.keywords))
    elif callable(value) and hasattr(value, "__qualname__"):
        text = f"{getattr(value, '__module__', '')}.{value.__qualname__}"
    else:
        text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    return text
