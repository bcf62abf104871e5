"""Entries that are stored: what is accepted, what is kept, and what is read again."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st

from celery_singleton_beat import Entry, EntryError, EntryTooNew, RecurrenceError, UnreadableEntry
from celery_singleton_beat.protocol import definition
from celery_singleton_beat.protocol.entry import CatchUp, Defaults

NINE = datetime(2026, 9, 1, 9, tzinfo=ZoneInfo("Europe/Rome"))
SMALL = '{"name":"tick","recurrence":{"seconds":30,"type":"interval"},"task":"ping","version":1}'


NESTED: list[Any] = []
NESTED.append(NESTED)


class Colour(str, Enum):
    """An enum whose members are texts."""

    RED = "red"


def entry(**given: Any) -> Entry:
    fields: dict[str, Any] = {"name": "tick", "task": "ping", "recurrence": 30}
    return Entry(**fields | given)


def plain_values() -> st.SearchStrategy[Any]:
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text()
    )
    return st.recursive(
        scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
    )


@given(
    args=st.lists(plain_values(), max_size=3),
    kwargs=st.dictionaries(st.text(), plain_values(), max_size=3),
    fields=st.fixed_dictionaries(
        {},
        optional={
            "timezone": st.sampled_from(["UTC", "Europe/Rome"]),
            "tenant": st.sampled_from(["", "acme", "Ärzte"]),
            "jitter": st.integers(0, 30) | st.just(0.25) | st.just(timedelta(seconds=7)),
            "catch_up": st.sampled_from(["latest", "all", "none"]),
            "catch_up_max": st.integers(1, 99),
            "catch_up_window": st.integers(1, 86_400) | st.just(timedelta(days=9)),
            "start_deadline": st.integers(1, 999),
            "overlap": st.sampled_from(["allow", "skip", "queue"]),
            "delivery": st.sampled_from(["at_least_once", "at_most_once"]),
            "start": st.just(NINE),
            "end": st.just(NINE + timedelta(days=1)),
            "max_runs": st.integers(1, 9),
            "enabled": st.booleans(),
            "description": st.just("Nightly\n— report"),
        },
    ),
)
def test_an_entry_that_exists_can_be_stored_and_read_again_as_its_equal(
    args: list[Any], kwargs: dict[str, Any], fields: dict[str, Any]
) -> None:
    """S2-09, S2-19: the record, its payload and its time zone."""
    given_entry = entry(args=args, kwargs=kwargs, **fields)

    again = Entry.from_json(given_entry.to_json())

    assert again == given_entry
    assert again.to_json() == given_entry.to_json()
    assert again.digest == given_entry.digest
    assert list(again.args) == args
    assert again.kwargs == kwargs
    assert again.timing().rule == given_entry.timing().rule
    assert replace(again) == pickle.loads(pickle.dumps(again)) == again  # noqa: S301


def test_the_json_is_small_and_says_only_what_is_not_as_by_default() -> None:
    nightly = Entry(
        "acme:nightly",
        task="reports.run",
        recurrence="0 2 * * *",
        timezone="America/New_York",
        kwargs={"customer": "acme"},
        tenant="acme",
        jitter=30,
    )

    assert entry().to_json() == SMALL
    assert nightly.to_json() == (
        '{"jitter":30,"kwargs":{"customer":"acme"},"name":"acme:nightly","recurrence":'
        '{"expression":"0 2 * * *","type":"cron"},"task":"reports.run","tenant":"acme",'
        '"timezone":"America/New_York","version":1}'
    )


def test_entries_are_equal_by_what_they_say_and_not_by_how_it_was_written() -> None:
    written = entry(kwargs={"a": 1, "b": 2}, jitter=timedelta(seconds=5), start=NINE)
    otherwise = entry(
        kwargs={"b": 2, "a": 1}, jitter=5.0, start=NINE.astimezone(timezone.utc), args=[]
    )
    inner = definition.Entry.from_json(written.to_json())

    assert written == otherwise == inner
    assert len({written, otherwise, inner}) == 1
    assert written != entry()
    assert written.digest != entry().digest


def test_what_is_given_is_copied() -> None:
    payload: dict[str, Any] = {"items": [1, (2, 3)], "colour": Colour.RED}
    kept = entry(kwargs=payload)

    payload["items"].append(4)

    assert kept.kwargs == {"items": [1, [2, 3]], "colour": "red"}
    assert type(kept.kwargs["colour"]) is str


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": ""}, "an entry's name is empty"),
        ({"name": "a\0b"}, "must be printable"),
        ({"name": "line\nbreak"}, "must be printable"),
        ({"name": "é" * 101}, "has 202 bytes; 200 at most"),
        ({"name": 5}, "an entry's name must be a text, not 5"),
        ({"task": ""}, "entry 'tick': task is empty"),
        ({"task": None}, "entry 'tick': task must be a text"),
        ({"tenant": "a\tb"}, "tenant 'a.*' must be printable"),
        ({"source": None}, "source must be a text, not None"),
        ({"description": "\ud800"}, "description .* cannot be stored"),
        ({"timezone": "Europe/Rom"}, "^entry 'tick': unknown time zone.*did you mean 'Europe/R"),
        ({"timezone": None}, "timezone None is of type NoneType"),
        ({"recurrence": "61 * * * *"}, "entry 'tick': cron .*minute '61': 0-59"),
        ({"recurrence": object()}, "a recurrence cannot be"),
        ({"args": "text"}, "args must be a list or tuple, not str"),
        ({"kwargs": [1]}, "kwargs must be a mapping, not list"),
        ({"kwargs": {"when": NINE}}, r"kwargs\['when'\] is datetime.* which JSON does not know"),
        ({"kwargs": {"a": {"b": [1, b"x"]}}}, r"kwargs\['a'\]\['b'\]\[1\] is b'x' \(bytes\)"),
        ({"kwargs": {"a": {1: 2}}}, r"kwargs\['a'\] has the key 1 \(int\)"),
        ({"kwargs": {"a": "\ud800"}}, r"kwargs\['a'\] holds characters that cannot be stored"),
        ({"args": [float("nan")]}, r"args\[0\] is nan"),
        ({"args": [NESTED]}, "args is nested too deeply"),
        ({"kwargs": {"n": 10**4301}}, r"kwargs\['n'\] is a number of too many digits"),
        ({"options": {"expires": NINE}}, r"options\['expires'\]"),
        ({"catch_up": "latst"}, r"catch_up \('latst'\) must be one of 'latest'"),
        ({"catch_up_max": 0}, r"catch_up_max \(0\) must be at least 1"),
        ({"catch_up_window": 604_800}, "is 7 days. Durations are seconds"),
        ({"overlap": "wait"}, "overlap .* must be one of 'allow', 'skip', 'queue'"),
        ({"delivery": "once"}, "delivery .* must be one of"),
        ({"jitter": -1}, "jitter .* must be at least"),
        ({"jitter": False}, "jitter must be a number of seconds"),
        ({"jitter": 31}, "jitter of 31 seconds is longer than the smallest distance .* 30 seconds"),
        ({"max_runs": 0}, r"max_runs \(0\) must be at least 1"),
        ({"enabled": 1}, "enabled must be True or False, not 1"),
        ({"start": datetime(2026, 1, 1)}, "start 2026-01-01T00:00:00 has no time zone"),  # noqa: DTZ001
        ({"start": NINE, "end": NINE - timedelta(1)}, "is before start"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field_and_what_is_allowed(
    fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(EntryError, match=complaint):
        entry(**fields)


def test_jitter_may_be_as_long_as_the_least_interval_and_no_longer() -> None:
    """F15: up to the interval; at the hour, every seventh minute is four minutes from the next."""
    longest = entry(recurrence="*/7 * * * *", jitter=240)

    with pytest.raises(EntryError, match=r"longer than the smallest distance .* 240 seconds"):
        entry(recurrence="*/7 * * * *", jitter=241)

    assert 0 <= longest.timing().offset_ms < 240_000


@pytest.mark.parametrize(
    ("text", "error", "complaint"),
    [
        ("{", UnreadableEntry, "not a definition"),
        ("[]", UnreadableEntry, "not a definition"),
        ("[" * 100_000, UnreadableEntry, "not a definition"),
        (SMALL[:-1] + ',"args":' + "[" * 900 + "]" * 900 + "}", EntryError, "nested too deeply"),
        (SMALL[:-1] + ',"args":' + "[" * 102 + "]" * 102 + "}", EntryError, "nested too deeply"),
        (SMALL.replace(',"version":1', ""), UnreadableEntry, "not a definition"),
        (SMALL.replace('"version":1', '"version":2,"colour":"red"'), EntryTooNew, "of version 2"),
        (SMALL.replace('"version":1', '"version":true'), UnreadableEntry, "no known version"),
        (SMALL.replace('"version":1', '"version":"1"'), UnreadableEntry, "no known version"),
        (SMALL.replace('"task":"ping",', ""), UnreadableEntry, "entry 'tick' needs a 'task'"),
        (SMALL.replace("task", "tsk"), UnreadableEntry, "field 'tsk': did you mean task"),
        (SMALL[:-1] + ',"jitter":"5"}', UnreadableEntry, "jitter must be seconds"),
        (SMALL[:-1] + ',"jitter":1e999}', UnreadableEntry, "jitter must be seconds"),
        (SMALL[:-1] + ',"start":"today"}', UnreadableEntry, "start must be written as 2026"),
        (SMALL[:-1] + ',"timezone":"Mars"}', EntryError, "unknown time zone 'Mars'"),
        (SMALL.replace("interval", "os.system"), RecurrenceError, "must be one of cron"),
    ],
)
def test_a_definition_that_is_damaged_is_told_from_one_that_is_newer(
    text: str, error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint) as caught:
        Entry.from_json(text)

    assert isinstance(caught.value, EntryError)
    assert isinstance(caught.value, EntryTooNew) is (error is EntryTooNew)


def test_what_an_entry_does_not_say_comes_from_the_defaults() -> None:
    defaults = Defaults(CatchUp.ALL, 7, 1000, 2000, 3000)

    left_out = entry(jitter=2, max_runs=5).timing(defaults)
    said = entry(
        catch_up="none", catch_up_max=1, catch_up_window=4, dedupe_window=5, start_deadline=6
    ).timing(defaults)

    assert (left_out.catch_up, left_out.catch_up_max) == (CatchUp.ALL, 7)
    assert left_out.catch_up_window_ms == 1000
    assert (left_out.dedupe_window_ms, left_out.start_deadline_ms) == (2000, 3000)
    assert (left_out.jitter_ms, left_out.max_runs) == (2000, 5)
    assert (said.catch_up, said.catch_up_max, said.catch_up_window_ms) == (CatchUp.NONE, 1, 4000)
    assert (said.dedupe_window_ms, said.start_deadline_ms) == (5000, 6000)


def test_a_change_of_rule_zone_bounds_jitter_or_runs_is_a_change_of_the_rule() -> None:
    nine = entry(recurrence="0 9 * * *")
    changed = [
        replace(nine, recurrence="0 10 * * *"),
        replace(nine, timezone="Europe/Rome"),
        replace(nine, start=NINE),
        replace(nine, end=NINE),
        replace(nine, jitter=5),
        replace(nine, max_runs=5),
    ]
    same = [replace(nine, kwargs={"a": 1}), replace(nine, enabled=False, tenant="acme")]

    rules = {of.timing().rule for of in [nine, *changed]}

    assert len(rules) == 7
    assert {of.timing().rule for of in same} == {nine.timing().rule}


def test_start_and_end_bound_what_is_due() -> None:
    bounded = entry(recurrence="@daily", start=NINE, end=NINE + timedelta(days=1))

    first_ms = bounded.when.next_after(0)

    assert first_ms == int(datetime(2026, 9, 2, tzinfo=timezone.utc).timestamp() * 1000)
    assert bounded.when.next_after(first_ms) is None


def test_celerys_schedule_objects_and_tasks_may_be_given() -> None:
    app = Celery("shop", set_as_current=False)

    @app.task(name="shop.report")
    def report() -> None: ...

    class InRome(crontab):
        tz = ZoneInfo("Europe/Rome")

    given_entry = entry(task=report, recurrence=crontab(0, 9, day_of_week="mon"))

    assert given_entry.task == "shop.report"
    assert json.loads(given_entry.to_json())["recurrence"] == {
        "type": "crontab",
        "minute": "0",
        "hour": "9",
        "day_of_week": "1",
    }
    assert entry(recurrence=InRome(0, 9)).timezone == "Europe/Rome"
    assert entry(recurrence=InRome(0, 9), timezone="Asia/Tokyo").timezone == "Asia/Tokyo"
    assert entry(timezone=ZoneInfo("Asia/Tokyo")).timezone == "Asia/Tokyo"
