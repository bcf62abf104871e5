"""Cron expressions: text, read into the numbers of a crontab's fields.

Five fields (minute, hour, day of month, month, day of week), six with seconds
first, or a nickname such as ``@daily``. Source: crontab(5) of Vixie cron, and
of Debian's for what a day field that begins with ``*`` means.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.setting_values import did_you_mean

_MONTHS = "january february march april may june july august september october november december"
_DAYS = "sunday monday tuesday wednesday thursday friday saturday"
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_WITH_SECONDS = 6
_PART = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d{1,4}))?", re.ASCII)

NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class Field(NamedTuple):
    """One field: its name, its bounds, and the names that stand for its numbers."""

    label: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What may be written, in words."""
        names = f" or {self.names[0][:3]}-{self.names[-1][:3]}" if self.names else ""
        one, two = self.lowest, self.lowest + 2
        return (
            f"{self.lowest}-{self.highest}{names}, as *, {two}, {one}-{two}, */{two or 2} "
            "or several of these with commas"
        )


SECOND: Final = Field("second", 0, 59)
MINUTE: Final = Field("minute", 0, 59)
HOUR: Final = Field("hour", 0, 23)
DAY_OF_MONTH: Final = Field("day of month", 1, 31)
MONTH: Final = Field("month", 1, 12, tuple(_MONTHS.split()))
# Sunday is 0; that it is 7, too, is seen to where numbers are read.
DAY_OF_WEEK: Final = Field("day of week", 0, 6, tuple(_DAYS.split()))


class CronFields(NamedTuple):
    """The fields of a rule, as numbers, and what the numbers do not tell."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days_of_month: frozenset[int]
    months: frozenset[int]
    days_of_week: frozenset[int]
    hours_are_wild: bool
    either_day: bool


@lru_cache(maxsize=4096)
def cron_fields(expression: str) -> CronFields:
    """Read a cron expression.

    Where neither field of days begins with ``*``, a day in either is meant;
    else it must be in both.

    Raises:
        RecurrenceError: the text names the field and what it may hold.
    """
    written = expression.strip()
    if written.startswith("@"):
        if (full := NICKNAMES.get(written.lower())) is None:
            hint = did_you_mean(written, NICKNAMES)
            raise RecurrenceError(f"there is no {written!r} in cron expressions{hint}")
        written = full
    parts = written.split()
    if len(parts) not in {_WITH_SECONDS - 1, _WITH_SECONDS}:
        raise RecurrenceError(
            f"cron expression {expression!r} has {len(parts)} fields: give five (minute, hour, "
            "day of month, month, day of week), or six with seconds first"
        )
    second, minute, hour, day, month, weekday = ["0", *parts][-_WITH_SECONDS:]
    try:
        return crontab_fields(
            second,
            minute,
            hour,
            day,
            month,
            weekday,
            either_day=not (day.startswith("*") or weekday.startswith("*")),
        )
    except RecurrenceError as error:
        raise RecurrenceError(f"cron expression {expression!r}: {error}") from error


def crontab_fields(  # noqa: PLR0917  in cron's order
    second: str,
    minute: str,
    hour: str,
    day_of_month: str,
    month: str,
    day_of_week: str,
    *,
    either_day: bool,
) -> CronFields:
    """Read the fields of a rule, each by itself.

    Raises:
        RecurrenceError: a field cannot be read, or no date has all of them.
    """
    fields = CronFields(
        field_numbers(second, SECOND),
        field_numbers(minute, MINUTE),
        field_numbers(hour, HOUR),
        field_numbers(day_of_month, DAY_OF_MONTH),
        field_numbers(month, MONTH),
        field_numbers(day_of_week, DAY_OF_WEEK),
        all(part.startswith("*") for part in hour.split(",")),
        either_day,
    )
    if not either_day and min(fields.days_of_month) > max(
        _LENGTHS[number - 1] for number in fields.months
    ):
        raise RecurrenceError(
            f"day of month {day_of_month!r} with month {month!r} is a date that never comes"
        )
    return fields


def field_numbers(text: str, field: Field) -> frozenset[int]:
    """Read one field.

    Raises:
        RecurrenceError: the text names the field, what was given and what is allowed.
    """
    found: set[int] = set()
    for part in text.split(","):
        if (match := _PART.fullmatch(part)) is None:
            raise _refused(text, field)
        star, first, last, step = match.groups()
        low = field.lowest if star else _number(first, text, field)
        high = field.highest if star else low if last is None else _number(last, text, field)
        if step is not None and not star and last is None:
            raise RecurrenceError(
                f"{field.label} {text!r}: a step needs a range; "
                f"write {first}-{field.highest}/{step}"
            )
        if field is DAY_OF_WEEK and last is not None and low > field.highest >= high:
            low = 0
        numbers = list(range(low, high + 1)) or [
            *range(low, field.highest + 1),  # over the end, as in 22-4
            *range(field.lowest, high + 1),
        ]
        if step is not None and int(step) < 1:
            raise RecurrenceError(f"{field.label} {text!r}: a step must be at least 1")
        found.update(numbers[:: int(step or 1)])
    return frozenset(
        0 if field is DAY_OF_WEEK and number > field.highest else number for number in found
    )


def field_text(numbers: frozenset[int], field: Field) -> str:
    """Write numbers as a field, shortly: ``field_numbers`` reads the same from it."""
    everything = range(field.lowest, field.highest + 1)
    ordered = sorted(numbers)
    if len(ordered) == len(everything):
        return "*"
    runs: list[list[int]] = []
    for number in ordered:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run))  # noqa: PLR2004
        for run in runs
    )


def _number(text: str, whole: str, field: Field) -> int:
    if text.isdigit():
        highest = field.highest + (field is DAY_OF_WEEK)
        if len(text) < 5 and field.lowest <= int(text) <= highest:  # noqa: PLR2004  no bignums
            return int(text)
        raise _refused(whole, field)
    lowered = text.lower()
    for number, name in enumerate(field.names, field.lowest):
        if lowered in {name, name[:3]}:
            return number
    raise _refused(whole, field)


def _refused(text: str, field: Field) -> RecurrenceError:
    return RecurrenceError(f"{field.label} {text!r}: {field.allowed}")
