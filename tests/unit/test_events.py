"""Events: everybody is told, and nobody's failure is another's."""

from __future__ import annotations

import logging

import pytest

from celery_singleton_beat.events import EntrySetAside, Event, Events, StoreBack, StoreLost
from celery_singleton_beat.observe.logs import is_logged, log_event


def test_a_listener_that_fails_is_logged_and_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events, told = Events(), list[Event]()

    def failing(_: Event) -> None:
        raise ZeroDivisionError

    events.subscribe(failing)
    events.subscribe(told.append)

    events.emit(StoreLost("away"))

    assert told == [StoreLost("away")]
    assert "ZeroDivisionError" in caplog.text


def test_who_unsubscribed_is_told_no_more() -> None:
    events, told = Events(), list[Event]()
    end = events.subscribe(told.append)

    end()
    events.emit(StoreBack(5))

    assert told == []


def test_an_event_is_wanted_by_whoever_says_so_or_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """So that none is made for nobody; the log's level counts as it is now."""
    events = Events()
    caplog.set_level(logging.ERROR, "celery_singleton_beat")

    nobody = events.wants(StoreLost)
    events.subscribe(log_event, wants=is_logged)
    logged = [events.wants(StoreLost), events.wants(StoreBack)]
    end = events.subscribe(list[Event]().append)
    told = events.wants(StoreBack)
    end()

    assert (nobody, logged, told) == (False, [True, False], True)
    assert not events.wants(StoreBack)


def test_a_log_line_has_a_constant_text_and_the_facts_beside_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "celery_singleton_beat")

    log_event(StoreBack(250))

    (record,) = caplog.records
    assert record.getMessage() == "The store answers again: away_ms=250"
    assert vars(record)["singleton_beat"] == {"event": "StoreBack", "away_ms": 250}


def test_a_name_with_a_line_break_forges_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    log_event(EntrySetAside("x\nERROR all is lost", "bad"))

    assert "\n" not in caplog.records[0].getMessage()
