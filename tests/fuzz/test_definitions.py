"""Whatever is written as a definition: it is an entry that can be used, or an EntryError."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celery_singleton_beat import Entry
from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.protocol.recurrences.recurrence import latest_until
from tests.fuzz.fleet import ENTRIES, Fleet, client_of
from tests.fuzz.injuries import TEXTS

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
CHECKED = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))

RULES = (
    *("* * * * *", "*/5 1-5 * 2 mon", "0 0 29 2 1", "@daily", "1 2 3 4 5 6"),
    *("FREQ=DAILY;COUNT=3", "DTSTART:20260101T000000\nRRULE:FREQ=MONTHLY;BYDAY=-1FR;BYSETPOS=1"),
    *("FREQ=SECONDLY;INTERVAL=999983;BYYEARDAY=366;BYHOUR=1", "FREQ=YEARLY;BYWEEKNO=53"),
)
WHOLE: dict[str, Any] = {
    "version": 1,
    "name": "a1",
    "task": "some.task",
    "recurrence": {"type": "interval", "seconds": 1},
    "timezone": "Europe/Rome",
    "args": [1, "two"],
    "kwargs": {"three": [3.0]},
    "options": {"queue": "q", "headers": {"h": "v"}, "expires": 5, "priority": 3},
    "tenant": "a",
    "jitter": 0.1,
    "catch_up": "latest",
    "catch_up_max": 3,
    "catch_up_window": 5,
    "dedupe_window": 60,
    "start_deadline": 5,
    "overlap": "allow",
    "overlap_limit": 5,
    "delivery": "at_least_once",
    "start": "2020-01-31T09:00:00+00:00",
    "end": "2100-01-31T09:00:00+00:00",
    "max_runs": 10_000,
    "enabled": True,
    "source": "s",
    "description": "d",
}
KINDS = ("cron", "interval", "crontab", "rrule", "once", "solar", "junk")

scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from((0, -1, 1, 2**31, 2**53, 2**64, 10**400, -(10**4000), 1e308, -1e-300))
    | st.integers()
    | st.floats()
    | st.sampled_from(TEXTS)
    | st.text(max_size=20)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
rules = st.builds(
    lambda rule, at, junk: rule[: at % (len(rule) + 1)] + junk + rule[at % (len(rule) + 1) :],
    st.sampled_from(RULES),
    st.integers(0, 200),
    st.sampled_from(("", ",", "-", "/", "*", "0", "99999", ";", "=", "L", "\n", "٣"))
    | st.text(max_size=3),
)
recurrences = (
    rules
    | anything
    | st.fixed_dictionaries(
        {"type": st.sampled_from(KINDS)},
        optional={
            "seconds": anything,
            "expression": rules,
            "rule": rules,
            "rrule": rules,
            "at": st.sampled_from(("9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+23:59"))
            | anything,
            "event": st.sampled_from(("sunrise", "junk")),
            "latitude": scalars,
            "longitude": scalars,
            "minute": scalars,
            "hour": scalars,
        },
    )
)


@st.composite
def definitions(draw: st.DrawFn) -> str:
    """A definition of which some fields are another's idea."""
    data = dict(WHOLE)
    for name in draw(st.lists(st.sampled_from((*WHOLE, "__class__", "x")), max_size=2)):
        data[name] = draw(anything)
    if draw(st.booleans()):
        data["recurrence"] = draw(recurrences)
    return json.dumps(data)


def use(text: str) -> Entry | None:
    """Do with a definition what beats and people do; None where it is refused in order."""
    said = ""
    try:
        entry = Entry.from_json(text)
    except EntryError as error:
        said = str(error)
    if said:
        assert len(said) < 5000
        return None
    when = entry.timing().recurrence
    for moment in (NOW_MS, 0, -(1 << 53), 1 << 53):
        following = when.next_after(moment)
        assert following is None or following > moment
    latest_until(when, NOW_MS, NOW_MS - DAY_MS)
    assert Entry.from_json(entry.to_json()) == entry
    return entry


@CHECKED
@given(definitions() | anything.map(json.dumps) | st.text() | st.sampled_from(TEXTS))
def test_a_definition_can_be_used_or_says_what_is_wrong(text: str) -> None:
    """S2-12: there is no third way, and what it says fits in a line of a log."""
    use(text)


@pytest.mark.campaign
@settings(CHECKED, max_examples=50_000)
@given(definitions())
def test_no_definition_of_thousands_is_neither(text: str) -> None:
    use(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "9" * 5000,
        "x" * 10_000_000,
        json.dumps(WHOLE | {"args": ["x" * 10_000_000]}),
        json.dumps(WHOLE | {"timezone": "x" * 900_000}),
        json.dumps(WHOLE | {"recurrence": "0," * 400_000 + "0 * * * *"}),
        json.dumps(WHOLE | {"recurrence": "RRULE:" * 100_000}),
        json.dumps(WHOLE | {"x" * 900_000: 1}),
        json.dumps(WHOLE | {"recurrence": 10**4000}),
        json.dumps(WHOLE | {"jitter": 10**4000}),
        json.dumps(WHOLE | {"version": 10**4000}),
    ],
    ids=lambda text: f"{text[:1]}{len(text)}",
)
def test_what_is_too_much_is_refused_before_it_costs(text: str) -> None:
    """No minutes for a definition of ten megabytes, nor for a number of thousands of digits."""
    assert use(text) is None


@pytest.mark.parametrize(
    "options",
    [
        {"task_id": "that of another tenant's run"},
        {"headers": {"id": "that of another tenant's run"}},
        {"headers": {"task": "another.task"}},
        {"headers": {"singleton_occurrence": {}}},
        {"headers": "no mapping"},
        {"group_id": "another's", "chord": {"task": "another.task"}},
        {"producer": 1},
    ],
)
def test_options_say_how_a_message_is_sent_and_not_that_it_is_another(options: Any) -> None:
    """A run is known by its id: under another's, it would pass for that one."""
    with pytest.raises(EntryError, match="options"):
        Entry("x", "some.task", 1, options=options)


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with client_of(redis_url) as client:
        yield client


def test_a_definition_that_somebody_wrote_into_the_store_stops_no_other_entry(
    redis_url: str, client: Any
) -> None:
    """S2-12: it is told, and put right, it is dispatched again."""

    @settings(CHECKED, max_examples=40)
    @given(definitions() | anything.map(json.dumps))
    def check(text: str) -> None:
        fleet = Fleet(redis_url, client)
        try:
            card = client.hget(f"{fleet.prefix}:cards", "a1")
            *fields, _ = card.split(b"|", 10)
            client.hset(f"{fleet.prefix}:cards", "a1", b"|".join([*fields, text.encode()]))
            before = len(fleet.reports())

            there = set(fleet.run(6))
            assert there >= set(ENTRIES) - {"a1"}, fleet.reports()
            if use(text) is not None:
                return  # another entry than before, and planned as that
            assert len(fleet.reports()) > before

            client.hset(f"{fleet.prefix}:cards", "a1", card)
            fleet.clock.advance(61_000)
            assert "a1" in fleet.run(5), fleet.reports()
        finally:
            fleet.close()

    check()


def test_a_definition_of_another_entry_or_tenant_is_not_taken_for_ones_own(
    redis_url: str, client: Any
) -> None:
    """What is on a card counts for its own name and its own tenant, or not at all."""
    fleet = Fleet(redis_url, client)
    cards = f"{fleet.prefix}:cards"
    *fields, _ = client.hget(cards, "a1").split(b"|", 10)
    for name, tenant in (("b1", "a"), ("a1", "b")):
        fake = Entry(name, "another.task", 1, tenant=tenant).to_json()
        client.hset(cards, "a1", b"|".join([*fields, fake.encode()]))

        there = fleet.run(5)

        assert "a1" not in there
        assert there["b1"] == 5
        assert any(f"of entry '{name}' of tenant '{tenant}'" in str(o) for o in fleet.reports())
        fleet.clock.advance(61_000)
    fleet.close()
