"""Recurrences, times and durations in words."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from celery_singleton_beat import Entry
from celery_singleton_beat.operate.words import duration, moment, recurrence_words, shown


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (30, "every 30 seconds"),
        (60, "every minute"),
        (5400, "every 90 minutes"),
        (86400, "every day"),
        (1.5, "every 1.5 seconds"),
        ("0 2 * * *", "daily at 02:00"),
        ("@daily", "daily at 00:00"),
        ("@hourly", "@hourly"),
        ("5 * * * *", "hourly at :05"),
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("*/7 * * * *", "*/7 * * * *"),  # not every seven: the hour's end cuts it off
        ("30 9 * * 1", "Mondays at 09:30"),
        ("30 9 * * 7", "Sundays at 09:30"),
        ("30 9 * * 1-5", "30 9 * * 1-5"),
        ("0 0 1 * *", "0 0 1 * *"),
        ("0 0 9 * * *", "0 0 9 * * *"),
        (datetime(2026, 1, 31, 9, tzinfo=timezone.utc), "once at 2026-01-31 09:00:00 UTC"),
        ("FREQ=DAILY;BYHOUR=9", "RRULE:FREQ=DAILY;BYHOUR=9"),
        (
            {"type": "crontab", "minute": "0", "hour": "4", "day_of_week": "5"},
            "Fridays at 04:00",
        ),
    ],
)
def test_a_recurrence_is_said_in_words_where_words_are_exact(given: object, words: str) -> None:
    assert recurrence_words(Entry("one", "shop.add", given).spec.to_json()) == words


@pytest.mark.parametrize(
    ("span_ms", "words"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1500, "1.5 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (200_000, "3 min 20 s"),
        (3_700_000, "1 h 1 min"),
        (190_000_000, "2 d 4 h"),
        (-1500, "-1.5 s"),
    ],
)
def test_a_duration_is_said_shortly(span_ms: int, words: str) -> None:
    assert duration(span_ms) == words


def test_a_moment_is_in_utc_and_none_is_nothing() -> None:
    assert moment(datetime(2026, 1, 31, 9, 5, 7, 999, tzinfo=timezone.utc)) == "2026-01-31 09:05:07"
    assert moment(None) == ""


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Grüße, 東京 [red]", "Grüße, 東京 [red]"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("a\u202eb\u2028c\x9bd", "a\\u202eb\\u2028c\\x9bd"),
        ("a\ud800b", "a\\ud800b"),
    ],
)
def test_what_could_steer_a_terminal_or_forge_a_line_is_escaped(text: str, safe: str) -> None:
    assert shown(text) == safe
