"""Tenants' limits: what they are by default, what they forbid, and what the error tells."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from celery_singleton_beat import ConfigurationError, Entry, LimitExceeded, TenantLimits
from celery_singleton_beat.engine.timetable import TimetableEngine, refused
from celery_singleton_beat.store.memory_store import MemoryStore


def entry(recurrence: Any, **given: Any) -> Entry:
    return Entry("acme:report", task="report", recurrence=recurrence, tenant="acme", **given)


def put(limits: TenantLimits, *entries: Entry) -> None:
    """Store entries, as a timetable with these limits does."""
    answers = TimetableEngine(MemoryStore(), limits).put(entries)
    for one, answer in zip(entries, answers, strict=True):
        error = refused(one, answer)
        if error is not None:
            raise error


def many(count: int) -> list[Entry]:
    return [Entry(f"e{n}", "report", 3600, tenant="acme") for n in range(count)]


def test_the_defaults_are_twenty_entries_and_five_minutes() -> None:
    """S2-03, S2-04."""
    limits = TenantLimits()

    put(limits, *many(20))
    put(limits, entry("*/5 * * * *"))

    with pytest.raises(LimitExceeded, match=r"tenant 'acme' has 20 entries, and may have no more"):
        put(limits, *many(21))
    with pytest.raises(LimitExceeded, match="60 seconds apart, and 300 are the least allowed"):
        put(limits, entry("* * * * *"))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Rome", "Australia/Lord_Howe"])
@pytest.mark.parametrize("recurrence", ["*/7 * * * *", "0,58 * * * *", "0,59 0 0 * * *", 299])
def test_a_rule_that_is_ever_too_often_is_always_refused(recurrence: Any, zone: str) -> None:
    """F17: ``*/7`` is four minutes from the next once an hour, whatever time it is now."""
    with pytest.raises(LimitExceeded) as caught:
        put(TenantLimits(), entry(recurrence, timezone=zone))

    assert caught.value.limit == "min_interval"


def test_the_day_on_which_clocks_leap_counts() -> None:
    """F17."""
    daily = TenantLimits(min_interval=timedelta(days=1))

    put(daily, entry("0 9 * * *"))

    with pytest.raises(LimitExceeded, match="82800 seconds apart"):
        put(daily, entry("0 9 * * *", timezone="Europe/Rome"))


def test_what_runs_once_is_never_too_often() -> None:
    limits = TenantLimits()

    put(limits, entry(datetime(2026, 1, 1, tzinfo=timezone.utc)))
    put(limits, entry(1, max_runs=1))


def test_an_error_carries_the_limit_the_value_and_the_tenant() -> None:
    with pytest.raises(LimitExceeded) as caught:
        put(TenantLimits(min_interval=60), entry(30))

    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):  # noqa: S301
        assert error.limit == "min_interval"
        assert error.allowed == timedelta(minutes=1)
        assert error.value == timedelta(seconds=30)
        assert error.tenant == "acme"


def test_a_limit_may_be_none() -> None:
    """S2-05."""
    without = TenantLimits(max_entries=None, min_interval=None)

    put(without, *many(100))
    put(without, entry(0.001))

    assert TenantLimits(min_interval=0) == TenantLimits(min_interval=None)


@pytest.mark.parametrize(
    "limits",
    [
        TenantLimits(),
        TenantLimits(max_entries=None, min_interval=None, max_per_minute=7),
        TenantLimits(max_entries=0, min_interval=timedelta(days=2)),
        TenantLimits(min_interval=0.25),
    ],
)
def test_limits_are_read_from_json_as_they_were_written(limits: TenantLimits) -> None:
    assert TenantLimits.from_json(limits.to_json()) == limits


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"max_entries": -1}, "max_entries"),
        ({"max_entries": "20"}, "max_entries must be a whole number"),
        ({"min_interval": -1}, "min_interval"),
        ({"min_interval": False}, "min_interval must be a number of seconds"),
        ({"max_per_minute": 0}, "max_per_minute .* at least 1"),
    ],
)
def test_what_is_no_limit_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        TenantLimits(**given)


@pytest.mark.parametrize("text", ["", "[]", '{"max_entrys":5}'])
def test_what_is_not_limits_is_not_read(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not limits|did you mean max_entries"):
        TenantLimits.from_json(text)
