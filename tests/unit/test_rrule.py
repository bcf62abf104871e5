"""Rules of iCalendar: dateutil's occurrences where clocks stand still, this package's rule else."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.recurrence import (
    is_due_at,
    latest_until,
    occurrences,
)
from celery_singleton_beat.protocol.recurrences.spec import spec_of

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)
UNITS = {
    "HOURLY": timedelta(hours=1),
    "MINUTELY": timedelta(minutes=1),
    "SECONDLY": timedelta(seconds=1),
}
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


def ms(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // MILLISECOND


def times(rule: str, zone: str, after: str, until: str) -> list[str]:
    found = occurrences(spec_of(rule).recurrence(zone), ms(after) - 1, ms(until))
    return [f"{EPOCH + at_ms * MILLISECOND:%m-%d %H:%M}" for at_ms in found]


def numbers(lowest: int, highest: int, *, from_end: bool = False) -> st.SearchStrategy[str]:
    one = st.integers(lowest, highest)
    if from_end:
        one |= st.integers(-highest, -lowest)
    return st.lists(one, min_size=1, max_size=4).map(lambda found: ",".join(map(str, found)))


@st.composite
def rules(draw: st.DrawFn) -> str:
    frequency = draw(
        st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"])
    )
    weekdays = st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=3).map(",".join)
    if frequency in {"YEARLY", "MONTHLY"}:
        # Mixed with plain ones, dateutil takes a numbered weekday for a further condition.
        which = st.integers(1, 5) | st.integers(-5, -1)
        counted = st.builds(lambda n, day: f"{n}{day}", which, st.sampled_from(WEEKDAYS))
        weekdays |= st.lists(counted, min_size=1, max_size=3).map(",".join)
    parts = {
        "INTERVAL": st.integers(1, 5).map(str),
        "WKST": st.sampled_from(WEEKDAYS),
        "BYMONTH": numbers(1, 12),
        "BYMONTHDAY": numbers(1, 31, from_end=True),
        "BYYEARDAY": numbers(1, 366, from_end=True),
        "BYDAY": weekdays,
        "BYHOUR": numbers(0, 23),
        "BYMINUTE": numbers(0, 59),
        "BYSECOND": numbers(0, 59),
    }
    if frequency in {"YEARLY", "MONTHLY", "DAILY"}:
        parts["BYSETPOS"] = numbers(1, 3, from_end=True)
    if frequency == "YEARLY":
        # About the last weeks dateutil errs: it takes 1 January 2022 for a day of a 53rd week.
        parts["BYWEEKNO"] = numbers(1, 50, from_end=True)
    names = draw(st.lists(st.sampled_from(sorted(parts)), max_size=4, unique=True))
    if "BYWEEKNO" in names and "BYDAY" in names:
        parts["BYDAY"] = st.sampled_from(WEEKDAYS)
    drawn = [f"{name}={draw(parts[name])}" for name in names]
    # dateutil knows BYSETPOS only beside another BY… part.
    assume("BYSETPOS" not in names or any(n[:2] == "BY" and n != "BYSETPOS" for n in names))
    return ";".join([f"RRULE:FREQ={frequency}", *drawn])


@settings(max_examples=200, deadline=None)
@given(
    rule=rules(),
    start=st.datetimes(datetime(2019, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001
    steps=st.integers(0, 900),
)
def test_where_clocks_do_not_change_it_is_dateutils_rrule(
    rule: str, start: datetime, steps: int
) -> None:
    start = start.replace(microsecond=0)
    text = f"DTSTART:{start:%Y%m%dT%H%M%S}\n{rule}"
    try:
        ours = spec_of(text).recurrence("UTC")
    except RecurrenceError as error:
        # What it would take dateutil minutes to find out.
        assume("never comes" not in str(error))
        raise
    unit = next((of for name, of in UNITS.items() if name in rule), timedelta(days=1))
    after = start + steps * unit
    after_ms, far_ms = (ms(f"{at.isoformat()}+00:00") for at in (after, start + 4000 * unit))

    found = list(itertools.islice(occurrences(ours, after_ms - 1, far_ms), 8))

    # It walks from the start, so it is asked for what was found, and not for what was not.
    theirs = itertools.islice(rrulestr(text).xafter(after, inc=True), len(found))
    assert found == [ms(f"{at.isoformat()}+00:00") for at in theirs]


def test_without_a_start_it_is_counted_from_the_epoch_and_not_from_now() -> None:
    rule = "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=TH;BYHOUR=9"

    found = times(rule, "UTC", "1970-01-01T00:00+00:00", "1970-01-31T00:00+00:00")

    assert found == ["01-01 09:00", "01-15 09:00", "01-29 09:00"]


def test_a_count_and_an_end_are_kept() -> None:
    counted = "DTSTART:20260105T090000\nRRULE:FREQ=DAILY;COUNT=2"
    local = "RRULE:FREQ=DAILY;BYHOUR=9;UNTIL=20260106T090000"
    utc = "RRULE:FREQ=DAILY;BYHOUR=9;UNTIL=20260106T085959Z"
    span = ("Europe/Rome", "2026-01-05T00:00+00:00", "2026-03-05T00:00+00:00")

    assert times(counted, *span) == ["01-05 08:00", "01-06 08:00"]
    assert times(local, *span) == ["01-05 08:00", "01-06 08:00"]
    assert times(utc, *span) == ["01-05 08:00", "01-06 08:00"]
    assert times(utc.replace("085959", "075959"), *span) == ["01-05 08:00"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Rome leaps from 02:00 to 03:00 at 01:00 UTC in March.
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "28 01:30, 29 01:00, 30 00:30"),
        ("FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0", "28 01:00, 28 02:00, 29 01:00, 30 00:00, 30 01:00"),
    ],
)
def test_a_local_time_that_is_leapt_over_runs_at_the_end_of_the_gap(
    rule: str, expected: str
) -> None:
    """S2-19."""
    span = ("2026-03-28T01:00+00:00", "2026-03-30T01:00+00:00")

    found = times(f"RRULE:{rule}", "Europe/Rome", *span)

    assert ", ".join(at[3:] for at in found) == expected


@pytest.mark.parametrize(
    ("rule", "span", "expected"),
    [
        ("FREQ=HOURLY", ("2026-10-24T23:30+00:00", "2026-10-25T02:00+00:00"), "00:00 01:00 02:00"),
        (
            "FREQ=HOURLY;BYMINUTE=30",
            ("2026-03-29T00:00+00:00", "2026-03-29T02:00+00:00"),
            "00:30 01:30",
        ),
        (
            "FREQ=DAILY;BYHOUR=2;BYMINUTE=30",
            ("2026-10-24T23:30+00:00", "2026-10-25T02:00+00:00"),
            "00:30",
        ),
    ],
)
def test_hours_that_are_counted_run_in_elapsed_time_and_named_ones_once(
    rule: str, span: tuple[str, str], expected: str
) -> None:
    found = times(f"RRULE:{rule}", "Europe/Rome", *span)

    assert [at[6:] for at in found] == expected.split()


@given(
    rule=st.sampled_from(
        [
            "RRULE:FREQ=HOURLY;INTERVAL=5",
            "RRULE:FREQ=MINUTELY;INTERVAL=7",
            "RRULE:FREQ=DAILY;BYHOUR=0,2,3,23;BYMINUTE=0,30",
            "RRULE:FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=1,2",
        ]
    ),
    zone=st.sampled_from(["Europe/Rome", "America/Santiago", "Australia/Lord_Howe"]),
    start_ms=st.integers(1_790_000_000_000, 1_830_000_000_000),
)
def test_occurrences_are_in_order_and_each_is_due(rule: str, zone: str, start_ms: int) -> None:
    recurrence = spec_of(rule).recurrence(zone)

    found = list(occurrences(recurrence, start_ms, start_ms + 4 * 86_400_000))[:60]

    assert found == sorted(set(found))
    assert all(is_due_at(recurrence, at_ms) for at_ms in found)
    if found:
        assert latest_until(recurrence, found[-1], start_ms) == found[-1]


def test_a_rule_of_seconds_goes_on_over_a_change_of_clocks() -> None:
    rule = spec_of("RRULE:FREQ=SECONDLY;INTERVAL=20").recurrence("Europe/Rome")
    for change in ("2026-03-29T01:00+00:00", "2026-10-25T01:00+00:00"):
        start_ms = ms(change) - 60_000

        found = list(occurrences(rule, start_ms - 1, start_ms + 120_000))

        assert found == list(range(start_ms, start_ms + 120_001, 20_000))


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("RRULE:FREQ=DAYLY", "FREQ 'DAYLY': one of YEARLY, MONTHLY"),
        ("RRULE:BYHOUR=9", "FREQ is missing"),
        ("RRULE:FREQ=DAILY;BYHUOR=9", "no part 'BYHUOR': did you mean BYHOUR"),
        ("RRULE:FREQ=DAILY;BYHOUR=24", "BYHOUR '24': 0 to 23"),
        ("RRULE:FREQ=DAILY;BYHOUR=", "BYHOUR must be given once, with a value"),
        ("RRULE:FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY '0': 1 to 31 or -31 to -1"),
        ("RRULE:FREQ=WEEKLY;BYDAY=XX", "BYDAY 'XX': MO, TU"),
        ("RRULE:FREQ=WEEKLY;BYDAY=2MO", "BYDAY with a number, such as 2MO, needs FREQ=MONTHLY"),
        ("RRULE:FREQ=DAILY;INTERVAL=0", "INTERVAL '0': a whole number from 1"),
        ("RRULE:FREQ=DAILY;COUNT=3", "COUNT needs a DTSTART"),
        ("DTSTART:20260101T000000\nRRULE:FREQ=DAILY;COUNT=20000", "from 1 to 10000"),
        ("RRULE:FREQ=DAILY;UNTIL=20260101", "UNTIL '20260101': write it as 20260131T090000"),
        ("RRULE:FREQ=DAILY;UNTIL=20261301T000000", "UNTIL '20261301T000000'"),
        ("RRULE:FREQ=HOURLY;BYSETPOS=1", "BYSETPOS needs a FREQ of DAILY"),
        ("DTSTART:2026\nRRULE:FREQ=DAILY", "DTSTART '2026': write it as 20260131T090000"),
        ("RRULE:FREQ=DAILY\nEXDATE:20260101T000000", "give one RRULE"),
        ("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never comes"),
        ("RRULE:FREQ=SECONDLY;INTERVAL=2;BYSECOND=1", "never comes"),
        ("DTSTART;TZID=Europe/Paris:20260101T000000\nRRULE:FREQ=DAILY", "is of time zone Europe/P"),
        ("DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY", "is of time zone UTC"),
        ("RRULE:FREQ=DAILY;BYMINUTE=" + ",".join(map(str, range(60))) + ";BYHOUR="
         + ",".join(map(str, range(24))) + ";BYSECOND=0,1", "use FREQ=MINUTELY"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_part_and_what_is_allowed(
    rule: str, complaint: str
) -> None:
    with pytest.raises(RecurrenceError, match=complaint):
        spec_of(rule).recurrence("Europe/Rome")


def test_a_numbered_weekday_of_a_year_is_counted_through_the_year() -> None:
    rule = "RRULE:FREQ=YEARLY;BYDAY=20MO,-1SU"

    found = times(rule, "UTC", "2026-01-01T00:00+00:00", "2026-12-31T00:00+00:00")

    assert found == ["05-18 00:00", "12-27 00:00"]


def test_weeks_are_those_of_iso_8601() -> None:
    rule = spec_of("RRULE:FREQ=YEARLY;BYWEEKNO=53,-1").recurrence("UTC")

    found = occurrences(rule, ms("2019-01-01T00:00+00:00"), ms("2033-01-01T00:00+00:00"))
    days = [EPOCH + at_ms * MILLISECOND for at_ms in found]

    weeks = {(at.isocalendar().year, at.isocalendar().week) for at in days}
    assert {week for week in weeks if week[1] == 53} == {(2020, 53), (2026, 53), (2032, 53)}
    assert {year for year, _ in weeks} == set(range(2019, 2033))
    assert {at.isoweekday() for at in days} == set(range(1, 8))


def test_a_rule_has_one_text_however_it_was_written() -> None:
    texts = {
        spec_of(text).recurrence("Europe/Rome").rule
        for text in (
            "RRULE:FREQ=DAILY;BYHOUR=9;INTERVAL=2",
            "freq=daily;interval=2;byhour=9",
            " RRULE:INTERVAL=2;BYHOUR=9;FREQ=DAILY; ",
        )
    }

    assert texts == {"rrule RRULE:FREQ=DAILY;INTERVAL=2;BYHOUR=9 Europe/Rome"}
