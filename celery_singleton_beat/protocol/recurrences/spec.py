"""Specs, read: what a user may give as a recurrence, and the data that one is kept as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.spec_kinds import (
    CRONTAB_FIELDS,
    SPECS,
    CronSpec,
    CrontabSpec,
    OnceSpec,
    RRuleSpec,
    SolarSpec,
    Spec,
    interval_spec,
    once_spec,
)
from celery_singleton_beat.setting_values import did_you_mean

_WAYS: Final = (
    "give seconds, a timedelta, a cron expression such as '0 2 * * *', an RRULE, an aware "
    "datetime (once), or one of Celery's schedule, crontab and solar objects"
)


def spec_of(given: object) -> Spec:
    """The spec of what a user gives.

    A number is seconds, and a text a cron expression or a rule of iCalendar.
    Schedule objects of Celery's are read by the adapters, who know Celery.

    Raises:
        RecurrenceError: it cannot be read; the text says what is wrong and what is allowed.
    """
    if isinstance(given, SPECS):
        return given
    if isinstance(given, str):
        return _spec_of_text(given)
    if isinstance(given, datetime):
        return once_spec(given)
    if isinstance(given, Mapping):
        return spec_from_json(given)
    if isinstance(given, int | float | timedelta) and not isinstance(given, bool):
        return interval_spec(given)
    raise RecurrenceError(f"a recurrence cannot be {given!r} ({type(given).__name__}); {_WAYS}")


def spec_from_json(data: Mapping[str, Any]) -> Spec:
    """The spec that was written with ``to_json``.

    Raises:
        RecurrenceError: the text names what is missing, unknown or wrong.
    """
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in _READERS:
        hint = did_you_mean(kind, _READERS) if isinstance(kind, str) else ""
        raise RecurrenceError(
            f"a recurrence's 'type' must be one of {', '.join(_READERS)}, not {kind!r}{hint}"
        )
    read, required, optional = _READERS[kind]
    fields = {name: value for name, value in data.items() if name != "type"}
    if missing := [name for name in required if name not in fields]:
        raise RecurrenceError(f"a recurrence of type {kind!r} needs {missing[0]!r}")
    known = (*required, *optional)
    if unknown := [name for name in fields if name not in known]:
        hint = did_you_mean(str(unknown[0]), known)
        raise RecurrenceError(f"a recurrence of type {kind!r} has no field {unknown[0]!r}{hint}")
    return read(fields)


def _interval(fields: dict[str, Any]) -> Spec:
    relative = fields.get("relative", False)
    if not isinstance(relative, bool):
        raise RecurrenceError(f"an interval's 'relative' must be true or false, not {relative!r}")
    return interval_spec(fields["seconds"], relative=relative)


def _crontab(fields: dict[str, Any]) -> Spec:
    texts = {
        name: str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in fields.items()
    }
    for name, text in texts.items():
        _check_text(text, f"{name} of a crontab")
    return _crontab_spec(**texts)


def _once(fields: dict[str, Any]) -> Spec:
    at = fields["at"]
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            raise RecurrenceError(
                f"'at' of a recurrence of type 'once' ({at!r}) must be "
                "a time as in 2026-01-31T09:00:00+00:00"
            ) from None
    return once_spec(at)


def _cron(fields: dict[str, Any]) -> Spec:
    _check_text(fields["expression"], "a cron expression")
    return _cron_spec(fields["expression"])


def _rrule(fields: dict[str, Any]) -> Spec:
    _check_text(fields["text"], "the text of an rrule")
    return _rrule_spec(fields["text"])


def _solar(fields: dict[str, Any]) -> Spec:
    return SolarSpec(fields["event"], fields["latitude"], fields["longitude"])


def _spec_of_text(text: str) -> Spec:
    written = text.strip()
    if written.upper().startswith(("RRULE", "DTSTART", "FREQ=", "EXRULE", "EXDATE", "RDATE")):
        return _rrule_spec(written)
    return _cron_spec(" ".join(written.split()))


def _check_text(given: object, what: str) -> None:
    if not isinstance(given, str):
        raise RecurrenceError(f"{what} must be a text, not {given!r}")


# Type: (its reader, the fields it must have, the fields it may have).
_READERS: Final[
    dict[str, tuple[Callable[[dict[str, Any]], Spec], tuple[str, ...], tuple[str, ...]]]
] = {
    "cron": (_cron, ("expression",), ()),
    "interval": (_interval, ("seconds",), ("relative",)),
    "crontab": (_crontab, (), CRONTAB_FIELDS),
    "rrule": (_rrule, ("text",), ()),
    "once": (_once, ("at",), ()),
    "solar": (_solar, ("event", "latitude", "longitude"), ()),
}

_cron_spec = lru_cache(maxsize=4096)(CronSpec)
_crontab_spec = lru_cache(maxsize=4096)(CrontabSpec)
_rrule_spec = lru_cache(maxsize=4096)(RRuleSpec)

__all__ = ["OnceSpec", "Spec", "spec_from_json", "spec_of"]
