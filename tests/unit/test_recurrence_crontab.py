"""Crontab rules: as Celery on ordinary days, by the rule of this package on the others."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab as celery_crontab
from hypothesis import given
from hypothesis import strategies as st

from celery_singleton_beat.errors import RecurrenceError
from celery_singleton_beat.protocol.recurrences.crontab import Crontab
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
UTC = ZoneInfo("UTC")


def crontab(zone: str, minutes: str = "*", hours: str = "*", **days: str) -> Crontab:
    fields = celery_crontab(minute=minutes, hour=hours, **days)
    return Crontab(
        fields.minute,
        fields.hour,
        fields.day_of_week,
        fields.day_of_month,
        fields.month_of_year,
        zone=ZoneInfo(zone),
        hours_are_wild=hours.startswith("*"),
    )


def ms(text: str) -> int:
    """An instant, from local time with its offset."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)


def runs(rule: Crontab, zone: str, after: str, until: str) -> list[str]:
    found = occurrences(rule, ms(after), ms(until))
    local = (datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)) for at_ms in found)
    return [f"{at:%d %H:%M%z}" for at in local]


def some_of(lowest: int, highest: int) -> st.SearchStrategy[frozenset[int]]:
    few = st.frozensets(st.integers(lowest, highest), min_size=1, max_size=4)
    return few | st.just(frozenset(range(lowest, highest + 1)))


@given(
    minutes=some_of(0, 59),
    hours=some_of(0, 23),
    days_of_week=some_of(0, 6),
    days_of_month=some_of(1, 28),
    months=some_of(1, 12),
    after=st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_where_clocks_do_not_change_it_is_celerys_crontab(  # noqa: PLR0917  hypothesis names them
    minutes: frozenset[int],
    hours: frozenset[int],
    days_of_week: frozenset[int],
    days_of_month: frozenset[int],
    months: frozenset[int],
    after: datetime,
) -> None:
    after = after.replace(microsecond=after.microsecond // 1000 * 1000)
    celerys = celery_crontab(
        minute=minutes,
        hour=hours,
        day_of_week=days_of_week,
        day_of_month=days_of_month,
        month_of_year=months,
        nowfun=lambda: after,
    )
    celerys.tz = UTC
    ours = Crontab(
        minutes, hours, days_of_week, days_of_month, months, zone=UTC, hours_are_wild=False
    )

    next_ms = ours.next_after((after - EPOCH) // timedelta(milliseconds=1))

    assert next_ms is not None
    assert EPOCH + timedelta(milliseconds=next_ms) == after + celerys.remaining_estimate(after)


def test_day_of_month_day_of_week_and_month_must_all_hold() -> None:
    rule = crontab("UTC", "0", "9", day_of_month="13", day_of_week="fri", month_of_year="2,3,11")

    found = list(occurrences(rule, ms("2026-01-01T00:00+00:00"), ms("2027-01-01T00:00+00:00")))

    fridays = ["2026-02-13T09:00+00:00", "2026-03-13T09:00+00:00", "2026-11-13T09:00+00:00"]
    assert found == [ms(day) for day in fridays]


def test_the_29th_of_february_on_a_monday_is_found_decades_ahead() -> None:
    rule = crontab("UTC", "0", "0", day_of_month="29", day_of_week="mon", month_of_year="2")

    assert rule.next_after(ms("2024-03-01T00:00+00:00")) == ms("2044-02-29T00:00+00:00")


def test_a_date_that_never_comes_is_never_due() -> None:
    never = Crontab([0], [0], range(7), [31], [2, 4], zone=UTC, hours_are_wild=False)

    assert never.next_after(0) is None


ROME_SPRING = ("2026-03-29T00:00+01:00", "2026-03-29T05:00+02:00")
ROME_AUTUMN = ("2026-10-25T00:00+02:00", "2026-10-25T04:00+01:00")


@pytest.mark.parametrize(
    ("minutes", "hours", "span", "expected"),
    [
        ("0", "*", ROME_SPRING, "01:00+0100 03:00+0200 04:00+0200 05:00+0200"),
        ("30", "*", ROME_SPRING, "00:30+0100 01:30+0100 03:30+0200 04:30+0200"),
        ("0", "*/2", ROME_SPRING, "03:00+0200 04:00+0200"),
        ("30", "2", ROME_SPRING, "03:00+0200"),
        ("*/15", "2", ROME_SPRING, "03:00+0200"),
        ("0", "2,3", ROME_SPRING, "03:00+0200"),
        ("0,30", "2-3", ROME_SPRING, "03:00+0200 03:30+0200"),
        ("30", "2", ROME_AUTUMN, "02:30+0200"),
        ("0,30", "2,3", ROME_AUTUMN, "02:00+0200 02:30+0200 03:00+0100 03:30+0100"),
        ("0", "*/2", ROME_AUTUMN, "02:00+0200 02:00+0100 04:00+0100"),
        ("0", "0-23", ROME_AUTUMN, "01:00+0200 02:00+0200 02:00+0100 03:00+0100 04:00+0100"),
    ],
)
def test_clocks_change_in_rome(
    minutes: str, hours: str, span: tuple[str, str], expected: str
) -> None:
    """S2-19."""
    rule = crontab("Europe/Rome", minutes, hours)

    assert [at[3:] for at in runs(rule, "Europe/Rome", *span)] == expected.split()


def test_a_gap_that_ends_at_midnight_runs_yesterdays_time_at_midnight_and_not_twice() -> None:
    nuuk = "America/Nuuk"
    late = crontab(nuuk, "30", "23")
    both = crontab(nuuk, "0,30", "0,23")

    span = ("2027-03-26T23:45-02:00", "2027-03-28T23:45-01:00")

    assert runs(late, nuuk, *span) == ["28 00:00-0100", "28 23:30-0100"]
    assert runs(both, nuuk, *span) == [
        "27 00:00-0200",
        "27 00:30-0200",
        "28 00:00-0100",
        "28 00:30-0100",
        "28 23:00-0100",
        "28 23:30-0100",
    ]


def test_clocks_set_back_over_midnight_repeat_wild_hours_only() -> None:
    santiago = "America/Santiago"
    span = ("2026-04-04T22:45-03:00", "2026-04-05T01:15-04:00")

    hourly = runs(crontab(santiago, "30"), santiago, *span)
    daily = runs(crontab(santiago, "30", "23"), santiago, *span)
    saturdays = runs(crontab(santiago, "30", "*", day_of_week="sat"), santiago, *span)

    assert hourly == ["04 23:30-0300", "04 23:30-0400", "05 00:30-0400"]
    assert daily == ["04 23:30-0300"]
    assert saturdays == ["04 23:30-0300", "04 23:30-0400"]


def test_clocks_set_back_just_after_midnight_put_today_before_the_end_of_yesterday() -> None:
    st_johns = "America/St_Johns"
    span = ("2010-11-06T23:15-02:30", "2010-11-07T00:15-03:30")

    found = runs(crontab(st_johns, "0,30"), st_johns, *span)

    assert found == ["06 23:30-0230", "07 00:00-0230", "06 23:30-0330", "07 00:00-0330"]


def test_a_local_day_that_did_not_exist_has_no_occurrence() -> None:
    samoa = "Pacific/Apia"
    span = ("2011-12-28T12:00-10:00", "2011-12-31T12:00+14:00")

    daily = runs(crontab(samoa, "0", "10"), samoa, *span)
    fridays = runs(crontab(samoa, "0", "*/6", day_of_week="fri"), samoa, *span)
    six_hourly = runs(crontab(samoa, "0", "*/6"), samoa, *span)

    assert daily == ["29 10:00-1000", "31 10:00+1400"]
    assert fridays == []
    assert six_hourly[-4:] == ["29 18:00-1000", "31 00:00+1400", "31 06:00+1400", "31 12:00+1400"]


def test_equal_rules_have_equal_text_and_different_ones_do_not() -> None:
    quarter = crontab("Europe/Rome", "*/15", "*/2")
    different = [
        crontab("Europe/Rome", "*/15", ",".join(map(str, range(0, 24, 2)))),
        crontab("Europe/Paris", "*/15", "*/2"),
        crontab("Europe/Rome", "*/15", "*/2", day_of_week="1"),
        crontab("Europe/Rome", "*/15", "*/2", day_of_month="1"),
        crontab("Europe/Rome", "*/15", "*/2", month_of_year="1"),
        crontab("Europe/Rome", "*/20", "*/2"),
    ]

    assert crontab("Europe/Rome", "45,0,15,30", "*/2") == quarter
    assert len({rule.rule for rule in [quarter, *different]}) == 7
    assert quarter.rule == (
        "crontab 0,15,30,45 0,2,4,6,8,10,12,14,16,18,20,22 * * * Europe/Rome wild-hours"
    )


@pytest.mark.parametrize("minutes", [[], [60], [-1, 5]])
def test_a_field_out_of_range_is_refused_with_its_name(minutes: list[int]) -> None:
    with pytest.raises(RecurrenceError, match="minutes must be some of 0 to 59"):
        Crontab(minutes, [0], range(7), range(1, 32), range(1, 13), zone=UTC, hours_are_wild=False)
