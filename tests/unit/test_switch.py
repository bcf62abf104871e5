"""What another scheduler owes at the switch, by its last run."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.recurrences.bounds import Bounded, Once
from celery_singleton_beat.protocol.recurrences.recurrence import Interval, Recurrence
from celery_singleton_beat.protocol.recurrences.relative import RelativeInterval
from celery_singleton_beat.protocol.recurrences.spec import spec_of
from celery_singleton_beat.protocol.switch import first_slot_ms, last_slot_ms

HOUR_MS = 3_600_000
UTC = timezone.utc


def at(hour: int, minute: int = 0) -> int:
    return int(datetime(2026, 3, 3, hour, minute, tzinfo=UTC).timestamp() * 1000)


HOURLY = spec_of("0 * * * *").recurrence("UTC")
EVERY_HOUR = Interval(HOUR_MS)


@pytest.mark.parametrize(
    ("rule", "since_ms", "first_ms"),
    [
        (HOURLY, at(12), at(13)),
        (HOURLY, at(12, 1), at(13)),
        (HOURLY, at(10, 30), at(11)),
        (Once(at(12, 10)), at(11), at(12, 10)),
        (Once(at(12, 10)), at(12, 11), None),
        (EVERY_HOUR, at(11, 20), at(12)),
        (EVERY_HOUR, at(9, 20), at(10)),
        (Bounded(EVERY_HOUR, at(11), None), at(1), at(11)),
        (RelativeInterval(HOUR_MS, UTC), at(11, 20), at(12)),
    ],
    ids=str,
)
def test_what_is_left_of_a_rule_by_noon_and_half_an_hour(
    rule: Recurrence, since_ms: int, first_ms: int | None
) -> None:
    """The first that was not dispatched there: overdue, or still to come."""
    assert first_slot_ms(rule, since_ms, at(12, 30)) == first_ms


@pytest.mark.parametrize(
    "rule", [EVERY_HOUR, Bounded(EVERY_HOUR, at(1), None), RelativeInterval(HOUR_MS, UTC)], ids=str
)
def test_an_interval_that_is_not_over_there_is_not_due_here(rule: Recurrence) -> None:
    """The full hour lies between the last run and now, but there it was not due before 12:45."""
    assert first_slot_ms(rule, at(11, 45), at(12, 30)) == at(13)


def test_the_last_occurrence_is_the_one_that_the_run_stood_for() -> None:
    assert last_slot_ms(HOURLY, at(11, 45)) == at(11)
    assert last_slot_ms(Once(at(12)), at(11)) == ABSENT
