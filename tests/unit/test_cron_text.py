"""Cron expressions: what they mean, beside a slow reading of them, and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.cron_text import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    Field,
    cron_fields,
    field_numbers,
    field_text,
)
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences
from celery_singleton_beat.protocol.recurrences.spec import spec_of

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)


class Drawn(NamedTuple):
    """A field as text, and the numbers it was drawn from."""

    text: str
    numbers: frozenset[int]


def ms(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // MILLISECOND


def times(expression: str, after: str, until: str, zone: str = "UTC") -> list[str]:
    found = occurrences(spec_of(expression).recurrence(zone), ms(after) - 1, ms(until))
    return [f"{EPOCH + at_ms * MILLISECOND:%m-%d %H:%M:%S}" for at_ms in found]


@st.composite
def drawn(draw: st.DrawFn, field: Field) -> Drawn:
    lowest, highest = field.lowest, field.highest
    numbers = st.integers(lowest, highest)

    def part(kind: str) -> tuple[str, set[int]]:
        if kind == "*":
            return "*", set(range(lowest, highest + 1))
        if kind == "n":
            number = draw(numbers)
            return str(number), {number}
        first, last = sorted((draw(numbers), draw(numbers)))
        step = draw(st.integers(1, 12))
        if kind == "*/n":
            return f"*/{step}", set(range(lowest, highest + 1, step))
        if kind == "a-b":
            return f"{first}-{last}", set(range(first, last + 1))
        return f"{first}-{last}/{step}", set(range(first, last + 1, step))

    kinds = draw(st.lists(st.sampled_from(["n", "a-b", "a-b/n", "*/n"]), min_size=1, max_size=3))
    parts = [part("*")] if draw(st.booleans()) else [part(kind) for kind in kinds]
    return Drawn(",".join(text for text, _ in parts), frozenset().union(*(of for _, of in parts)))


@given(
    fields=st.tuples(*(drawn(f) for f in (SECOND, MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK))),
    day=st.dates(datetime(2024, 1, 1).date(), datetime(2032, 1, 1).date()),  # noqa: DTZ001
)
def test_an_expression_is_due_when_a_slow_reading_of_it_is(
    fields: tuple[Drawn, ...], day: datetime
) -> None:
    second, minute, hour, of_month, month, of_week = fields
    expression = " ".join(field.text for field in fields)
    either = not (of_month.text.startswith("*") or of_week.text.startswith("*"))
    in_month, in_week = day.day in of_month.numbers, day.isoweekday() % 7 in of_week.numbers
    is_day = day.month in month.numbers and (
        (in_month or in_week) if either else (in_month and in_week)
    )
    seconds = [h * 3600 + m * 60 + s for h in hour.numbers for m in minute.numbers
               for s in second.numbers] if is_day else []  # fmt: skip
    try:
        rule = spec_of(expression).recurrence("UTC")
    except RecurrenceError:
        assert not either
        assert min(of_month.numbers) > 28
        return
    midnight_ms = ms(f"{day}T00:00+00:00")

    expected = [midnight_ms + at * 1000 for at in sorted(seconds)[:50]]
    found = []
    for at_ms in occurrences(rule, midnight_ms - 1, midnight_ms + 86_399_999):
        found.append(at_ms)
        if len(found) == 50:
            break

    assert found == expected


def test_days_that_are_both_restricted_are_either_and_else_both() -> None:
    either = times("0 9 13 * fri", "2026-03-01T00:00+00:00", "2026-03-31T00:00+00:00")
    stepped = times("0 9 */2 * fri", "2026-03-01T00:00+00:00", "2026-03-31T00:00+00:00")
    both = spec_of(
        {"type": "crontab", "minute": "0", "hour": "9", "day_of_month": "13", "day_of_week": "fri"}
    ).recurrence("UTC")

    assert [at[3:5] for at in either] == ["06", "13", "20", "27"]
    assert [at[3:5] for at in stepped] == ["13", "27"]
    assert both.next_after(ms("2026-03-14T00:00+00:00")) == ms("2026-11-13T09:00+00:00")


def test_a_day_field_that_names_all_days_makes_either_mean_every_day() -> None:
    every_day = times("0 0 1-31 * mon", "2026-03-01T00:00+00:00", "2026-03-07T00:00+00:00")

    assert len(every_day) == 7


def test_six_fields_begin_with_seconds() -> None:
    found = times("*/20 59 23 * * *", "2026-03-01T00:00+00:00", "2026-03-02T00:00+00:00")

    assert found == ["03-01 23:59:00", "03-01 23:59:20", "03-01 23:59:40"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # Rome leaps from 02:00 to 03:00, at 01:00 UTC.
        ("15,45 30 2 * * *", ["03-29 01:00:00"]),
        ("15,45 59 * * * *", ["03-29 00:59:15", "03-29 00:59:45", "03-29 01:59:15"]),
        ("30 0 3 * * *", ["03-29 01:00:30"]),
    ],
)
def test_seconds_keep_to_the_rule_for_clocks_that_leap(
    expression: str, expected: list[str]
) -> None:
    """S2-19."""
    span = ("2026-03-29T00:30+00:00", "2026-03-29T01:59:30+00:00")

    assert times(expression, *span, zone="Europe/Rome") == expected


def test_every_second_of_a_day_on_which_clocks_are_set_back_comes_once() -> None:
    rule = spec_of("* * * * * *").recurrence("Europe/Rome")
    start_ms = ms("2026-10-25T00:00+02:00")

    found = list(occurrences(rule, start_ms - 1, ms("2026-10-25T03:30+01:00")))

    assert found == list(range(start_ms, ms("2026-10-25T03:30+01:00") + 1, 1000))


@pytest.mark.parametrize(
    ("nickname", "full"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@Weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_nicknames_stand_for_expressions(nickname: str, full: str) -> None:
    assert spec_of(nickname).recurrence("Europe/Rome") == spec_of(full).recurrence("Europe/Rome")


@pytest.mark.parametrize(
    ("text", "field", "numbers"),
    [
        ("7", DAY_OF_WEEK, {0}),
        ("5-7", DAY_OF_WEEK, {5, 6, 0}),
        ("7-2", DAY_OF_WEEK, {0, 1, 2}),
        ("7-7", DAY_OF_WEEK, {0}),
        ("fri-sun", DAY_OF_WEEK, {5, 6, 0}),
        ("MON,Wednesday", DAY_OF_WEEK, {1, 3}),
        ("dec-feb", MONTH, {12, 1, 2}),
        ("22-4/2", HOUR, {22, 0, 2, 4}),
        ("1-50/7", MINUTE, {1, 8, 15, 22, 29, 36, 43, 50}),
    ],
)
def test_names_ranges_and_steps(text: str, field: Field, numbers: set[int]) -> None:
    assert field_numbers(text, field) == numbers


@given(st.sampled_from([MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK]), st.data())
def test_numbers_are_written_so_that_the_same_are_read(field: Field, data: st.DataObject) -> None:
    numbers = data.draw(st.frozensets(st.integers(field.lowest, field.highest), min_size=1))

    assert field_numbers(field_text(numbers, field), field) == numbers


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("61 * * * *", r"'61 \* \* \* \*': minute '61': 0-59"),
        ("* 24 * * *", "hour '24': 0-23"),
        ("* * 0 * *", "day of month '0': 1-31"),
        ("* * 1,32 * *", "day of month '1,32': 1-31"),
        ("* * * foo *", "month 'foo': 1-12 or jan-dec"),
        ("* * * * 8", "day of week '8': 0-6 or sun-sat"),
        ("60 * * * * *", "second '60': 0-59"),
        ("5/15 * * * *", "minute '5/15': a step needs a range; write 5-59/15"),
        ("*/0 * * * *", "minute .*: a step must be at least 1"),
        ("1,,2 * * * *", "minute '1,,2': 0-59"),
        ("-1 * * * *", "minute '-1'"),
        ("٣ * * * *", "minute '٣'"),
        ("* * * *", "has 4 fields: give five .* or six with seconds first"),
        ("", "has 0 fields"),
        ("@dayly", "did you mean @daily"),
        ("@reboot", "there is no '@reboot' in cron expressions"),
        ("0 0 31 feb,apr *", "a date that never comes"),
    ],
)
def test_what_is_wrong_is_refused_with_its_field_and_what_is_allowed(
    expression: str, complaint: str
) -> None:
    with pytest.raises(RecurrenceError, match=complaint):
        spec_of(expression)


def test_hours_with_stars_are_told_from_those_that_are_listed() -> None:
    assert cron_fields("0 */2 * * *").hours_are_wild
    assert not cron_fields("0 0-22/2 * * *").hours_are_wild
