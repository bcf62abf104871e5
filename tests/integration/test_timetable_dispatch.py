"""Stored entries in a tick: what is sent, when, and by which definition."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any
from uuid import uuid5

import pytest

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.claiming import GATHER_MS
from celery_singleton_beat.protocol.jitter import offset_ms
from celery_singleton_beat.protocol.occurrence import HEADER, NAMESPACE
from celery_singleton_beat.testing import FakeClock
from tests.integration.stored import DAY_MS, HOUR_MS, MINUTE_MS, Replica, at, daily, ms

Make = Callable[..., Replica]

THIRD = "\x06\x163"  # how a Redis broker names the queue of that priority
EIGHT = ms("2026-03-02 08:00")
CONFIG = {"config": {"task": "shop.add", "schedule": 3600.0, "args": (1,)}}


def test_a_message_of_a_stored_entry_bears_all_that_it_says(replica: Replica) -> None:
    """S2-20: the task gets its schedule and payload."""
    options = {
        "queue": "celery",
        "priority": 3,
        "expires": 60,
        "countdown": 5,
        "headers": {"mine": "kept"},
    }
    replica.clock.now_ms = ms("2100-03-02 07:00")  # Celery looks at its own clock for `expires`
    replica.timetable.put(daily(args=[1], kwargs={"y": [2, {"z": None}]}, options=options))
    replica.clock.now_ms = ms("2100-03-02 08:00") + 500

    assert replica.dispatch() == []
    (message,) = (json.loads(text) for text in replica.client.lrange(f"celery{THIRD}", 0, -1))

    headers, scheduled_ms = message["headers"], ms("2100-03-02 08:00")
    assert headers["id"] == str(uuid5(NAMESPACE, f"{{csb:shop}}\0daily\0{scheduled_ms}\0"))
    assert headers["task"] == "shop.add"
    assert (headers["periodic_task_name"], headers["mine"]) == ("daily", "kept")
    assert headers[HEADER]["scheduled_ms"] == scheduled_ms
    assert headers["argsrepr"] == "[1]"
    assert headers["kwargsrepr"] == "{'y': [2, {'z': None}]}"
    assert message["properties"]["priority"] == 3
    assert message["properties"]["delivery_info"]["routing_key"] == "celery"
    assert datetime.fromisoformat(headers["expires"]) == at("2100-03-02 08:01:00.500")
    assert datetime.fromisoformat(headers["eta"]) == at("2100-03-02 08:00:05.500")


def test_a_queue_of_its_own_is_where_it_goes(replica: Replica) -> None:
    replica.timetable.put(daily(options={"queue": "reports"}, task="elsewhere.report"))
    replica.clock.now_ms = EIGHT

    assert replica.dispatch() == []
    (text,) = replica.client.lrange("reports", 0, -1)
    assert json.loads(text)["headers"]["task"] == "elsewhere.report"


def test_what_falls_due_just_after_a_dispatch_is_gathered_for_the_next(replica: Replica) -> None:
    second_at = datetime.fromtimestamp((EIGHT + 3) / 1000, timezone.utc)
    replica.clock.now_ms = ms("2026-03-02 07:00")
    replica.timetable.put(daily("first"))
    replica.timetable.put(daily("second", recurrence=second_at))
    replica.clock.now_ms = EIGHT

    wait_ms = replica.dispatcher.tick()
    first = replica.sent()
    replica.clock.now_ms = EIGHT + wait_ms
    second = replica.sent()

    assert wait_ms == GATHER_MS
    assert [first, second] == [[("first", EIGHT)], [("second", EIGHT + 3)]]


def test_an_occurrence_is_dispatched_once_whichever_replica_looks(make_replica: Make) -> None:
    """S0-01, S2-01: also by one whose own configuration does not govern."""
    clock = FakeClock(ms("2026-03-02 07:00"))
    first, second = make_replica(clock), make_replica(clock, CONFIG)
    for number in range(10):
        first.timetable.put(daily(f"e{number}"))
    first.sent(), second.sent()
    standing = [one.heard(happened.StandingChanged)[-1].standing for one in (first, second)]

    found = [one.sent_at("2026-03-02 08:00") for one in (first, second, first)]

    assert standing == ["STANDS_BY", "GOVERNS"]
    assert sorted(name for name, _ in found[0]) == [f"e{number}" for number in range(10)]
    assert found[1:] == [[("config", EIGHT)], []]


def test_an_entry_runs_day_by_day_and_tells_what_it_did(replica: Replica) -> None:
    replica.timetable.put(daily())

    days = [replica.sent_at(f"2026-03-0{day} 08:00") for day in (2, 3, 4)]

    known = replica.timetable.get("daily")
    assert days == [[("daily", EIGHT + day * DAY_MS)] for day in range(3)]
    assert (known.runs, known.last_at) == (3, at("2026-03-04 08:00"))
    assert known.next_at == at("2026-03-05 08:00")
    assert [fact.scheduled_ms for fact in replica.facts("published")] == [
        EIGHT + day * DAY_MS for day in range(3)
    ]


@pytest.mark.parametrize(
    "moment", ["2026-03-02 07:59:59.999", "2026-03-02 08:00", "2026-03-02 08:01"]
)
def test_saving_enabling_and_resuming_fire_nothing_by_themselves(
    replica: Replica, moment: str
) -> None:
    """Whether right before an occurrence, in its moment or after it."""
    timetable = replica.timetable
    for name in ("resumed", "enabled"):
        timetable.put(daily(name))
    timetable.pause("resumed")
    timetable.disable("enabled")
    replica.clock.now_ms = ms(moment)

    timetable.put(daily("saved"))
    timetable.resume("resumed")
    timetable.enable("enabled")

    assert replica.sent() == []
    missed_by_a_moment = ms(moment) < EIGHT
    expected = sorted(["saved", "resumed", "enabled"]) if missed_by_a_moment else []
    assert sorted(name for name, _ in replica.sent_at("2026-03-02 08:02")) == expected


def test_what_was_missed_while_paused_is_not_caught_up_and_recorded(replica: Replica) -> None:
    timetable = replica.timetable
    timetable.put(daily(catch_up="all", recurrence=3600))
    timetable.pause("daily")
    assert replica.sent_at("2026-03-02 10:30") == []

    timetable.resume("daily")

    assert replica.sent() == []
    (fact,) = replica.facts("superseded")
    assert (fact.entry, fact.scheduled_ms) == ("daily", EIGHT)
    assert fact.note == f"{ms('2026-03-02 10:00')}|paused|3"
    assert [event.count for event in replica.heard(happened.OccurrencesMissed)] == [3]
    assert replica.sent_at("2026-03-02 11:00") == [("daily", ms("2026-03-02 11:00"))]


def test_what_was_missed_before_a_pause_is_caught_up_after_it_neither(replica: Replica) -> None:
    """Beats were away, and then it was paused: to let it go on fires nothing."""
    replica.timetable.put(daily())
    replica.clock.now_ms = ms("2026-03-02 09:00")

    replica.timetable.pause("daily")
    replica.timetable.resume("daily")

    assert replica.sent() == []


def test_a_disabled_entry_is_kept_and_not_dispatched(replica: Replica) -> None:
    """S2-14."""
    replica.timetable.put(daily())
    replica.timetable.disable("daily")

    assert replica.sent_at("2026-03-02 08:00") == []

    assert replica.timetable.get("daily").entry == daily(enabled=False)
    replica.timetable.enable("daily")
    assert replica.sent_at("2026-03-03 08:00") == [("daily", EIGHT + DAY_MS)]


def test_a_removed_entry_is_dispatched_no_more(replica: Replica) -> None:
    """S2-14."""
    replica.timetable.put(daily())
    replica.clock.now_ms = EIGHT

    replica.timetable.remove("daily")

    assert replica.sent() == []


def test_one_command_stops_everything_config_entries_included(make_replica: Make) -> None:
    replica = make_replica(FakeClock(ms("2026-03-02 07:00")), CONFIG)
    replica.timetable.put(daily("a", tenant="acme"))
    replica.timetable.put(daily("b"))

    told = [replica.timetable.pause_all(), replica.timetable.pause_all()]
    during = [replica.sent_at(f"2026-03-02 {hour:02}:00") for hour in (8, 9)]
    told += [replica.timetable.resume_all(), replica.timetable.resume_all()]

    assert told == [True, False, True, False]
    assert during == [[], []]
    assert replica.sent() == []
    assert replica.sent_at("2026-03-02 10:00") == [("config", ms("2026-03-02 10:00"))]
    assert sorted(replica.sent_at("2026-03-03 08:00")) == [
        ("a", EIGHT + DAY_MS),
        ("b", EIGHT + DAY_MS),
        ("config", EIGHT + DAY_MS),
    ]
    superseded = {(fact.entry, fact.note) for fact in replica.facts("superseded")}
    assert {("a", f"{EIGHT}|paused|1"), ("config", f"{EIGHT + HOUR_MS}|paused|2")} < superseded


def test_a_tenant_is_stopped_and_the_others_go_on(make_replica: Make) -> None:
    replica = make_replica(FakeClock(ms("2026-03-02 07:00")), CONFIG)
    for name, tenant in (("a", "acme"), ("b", "other"), ("c", "")):
        replica.timetable.put(daily(name, tenant=tenant))

    replica.timetable.pause_all(tenant="acme")
    during = {name for name, _ in replica.sent_at("2026-03-02 08:00")}
    replica.timetable.put(daily("late", tenant="acme"))
    nothing_next = replica.timetable.next_runs("a")
    replica.timetable.resume_all(tenant="acme")

    assert during == {"b", "c", "config"}
    assert nothing_next == []
    assert replica.sent() == []
    after = {name for name, _ in replica.sent_at("2026-03-03 08:00")}
    assert after == {"a", "b", "c", "late", "config"}


def test_a_resumed_system_leaves_alone_what_is_paused_by_itself(replica: Replica) -> None:
    replica.timetable.put(daily("a", tenant="acme"))
    replica.timetable.put(daily("b", tenant="acme"))
    replica.timetable.pause("a")
    replica.timetable.pause_all(tenant="acme")
    replica.timetable.pause_all()

    replica.timetable.resume_all()
    still = replica.sent_at("2026-03-02 08:00")
    replica.timetable.resume_all(tenant="acme")

    assert still == []
    assert replica.sent_at("2026-03-03 08:00") == [("b", EIGHT + DAY_MS)]


JITTER_S = 600


def jittered() -> tuple[str, int]:
    """A name, and its offset: one that lets a test act in between."""
    names = (f"job{number}" for number in range(100))
    offsets = ((name, offset_ms(name, JITTER_S * 1000)) for name in names)
    return next((name, offset) for name, offset in offsets if offset > 5 * MINUTE_MS)


def test_jitter_moves_when_an_occurrence_is_sent_and_not_what_it_is(replica: Replica) -> None:
    """C15, S2-06, S2-07, F14: nothing is held meanwhile, and the next one keeps its time."""
    name, offset = jittered()
    replica.timetable.put(daily(name, jitter=JITTER_S, recurrence=3600))

    found = []
    for hour in range(10):
        replica.clock.now_ms = EIGHT + hour * HOUR_MS + offset - 1
        found.append(replica.sent())
        replica.clock.advance(1)
        found.append(replica.sent())

    assert found[::2] == [[]] * 10
    assert found[1::2] == [[(name, EIGHT + hour * HOUR_MS)] for hour in range(10)]


def test_short_names_are_spread_over_the_whole_jitter(replica: Replica) -> None:
    """F15, C15: as it is dispatched, in quarters of the range."""
    names = [*map(str, range(10)), *"abcdefghijklmnopqrstuvwxyzäöü", "1a", "2b", "€"]
    for name in names:
        replica.timetable.put(daily(name, jitter=JITTER_S))
    quarter_ms = JITTER_S * 1000 // 4

    counts = []
    for part in range(1, 5):
        replica.clock.now_ms = EIGHT + part * quarter_ms
        counts.append(len(replica.sent()))

    assert sum(counts) == len(names)
    assert min(counts) >= len(names) // 8


@pytest.mark.parametrize("change", ["remove", "pause", "disable", "pause_all"])
def test_what_is_stopped_while_it_waits_for_its_jitter_is_not_sent(
    replica: Replica, change: str
) -> None:
    """F16."""
    name, offset = jittered()
    replica.timetable.put(daily(name, jitter=JITTER_S))
    replica.clock.now_ms = EIGHT + offset // 2
    assert replica.sent() == []

    arguments = () if change == "pause_all" else (name,)
    getattr(replica.timetable, change)(*arguments)

    replica.clock.now_ms = EIGHT + offset
    assert replica.sent() == []


def test_what_is_changed_while_it_waits_for_its_jitter_is_sent_as_it_is_now(
    replica: Replica,
) -> None:
    """F16."""
    name, offset = jittered()
    replica.timetable.put(daily(name, jitter=JITTER_S, args=[1]))
    replica.clock.now_ms = EIGHT + offset // 2
    replica.sent()

    replica.timetable.update(name, args=[2])

    replica.clock.now_ms = EIGHT + offset
    (message,) = replica.dispatch()
    assert message["headers"]["argsrepr"] == "[2]"
    assert message["headers"][HEADER]["scheduled_ms"] == EIGHT


def test_a_rule_that_is_changed_while_it_waits_for_its_jitter_counts_at_once(
    replica: Replica,
) -> None:
    """F16, F20: the old rule's occurrence is none of the new one's."""
    name, offset = jittered()
    replica.timetable.put(daily(name, jitter=JITTER_S))
    replica.clock.now_ms = EIGHT + offset // 2
    replica.sent()

    replica.timetable.update(name, recurrence="30 9 * * *")

    replica.clock.now_ms = EIGHT + offset
    assert replica.sent() == []
    replica.clock.now_ms = ms("2026-03-02 09:30") + offset
    assert replica.sent() == [(name, ms("2026-03-02 09:30"))]


def test_an_occurrence_that_is_claimed_is_sent_as_it_was_and_the_next_as_it_is(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change between claim and settlement: the slot moves on, and is planned anew."""
    replica.timetable.put(daily(recurrence=3600))
    replica.clock.now_ms = EIGHT
    original = replica.scheduler.send

    def send(publication: Any) -> Any:
        replica.timetable.update("daily", args=[2], recurrence=1800)
        return original(publication)

    with monkeypatch.context() as patch:
        patch.setattr(replica.scheduler, "send", send)
        (first,) = replica.dispatch()
    nothing = replica.sent()
    replica.clock.advance(30 * MINUTE_MS)
    (second,) = replica.dispatch()

    assert nothing == []
    assert [message["headers"]["argsrepr"] for message in (first, second)] == ["[1]", "[2]"]
    assert second["headers"][HEADER]["scheduled_ms"] == EIGHT + 30 * MINUTE_MS


@pytest.mark.parametrize("change", ["remove", "pause"])
def test_an_entry_that_is_stopped_while_it_is_claimed_is_not_claimed_again(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    replica.timetable.put(daily(recurrence=3600))
    replica.clock.now_ms = EIGHT
    original = replica.scheduler.send

    def send(publication: Any) -> Any:
        getattr(replica.timetable, change)("daily")
        return original(publication)

    with monkeypatch.context() as patch:
        patch.setattr(replica.scheduler, "send", send)
        assert len(replica.dispatch()) == 1

    assert replica.sent_at("2026-03-02 12:00") == []


def test_a_daily_entry_keeps_to_the_clock_on_the_wall(replica: Replica) -> None:
    """S2-19: two o'clock does not exist in New York on 8 March 2026."""
    replica.timetable.put(daily(recurrence="30 2 * * *", timezone="America/New_York"))
    replica.clock.now_ms = ms("2026-03-07 00:00")

    found = []
    for _ in range(3 * 24 * 2):
        replica.clock.advance(30 * MINUTE_MS)
        found += replica.sent()

    times = [datetime.fromtimestamp(when / 1000, timezone.utc) for _, when in found[1:]]
    assert [time.strftime("%d %H:%M") for time in times] == ["07 07:30", "08 07:00", "09 06:30"]


def test_a_repeated_hour_does_not_repeat_a_daily_entry_and_does_not_stop_a_frequent_one(
    replica: Replica,
) -> None:
    """Clocks go back in New York on 1 November 2026."""
    replica.clock.now_ms = ms("2026-11-01 04:59")
    zone = "America/New_York"
    replica.timetable.put(daily("once", recurrence="30 1 * * *", timezone=zone))
    replica.timetable.put(daily("often", recurrence="*/15 * * * *", timezone=zone))

    found: list[tuple[str, int]] = []
    for _ in range(3 * 4):
        replica.clock.advance(15 * MINUTE_MS)
        found += replica.sent()

    often = [when for name, when in found if name == "often"]
    assert sum(name == "once" for name, _ in found) == 1
    assert [second - first for first, second in pairwise(often)] == [15 * MINUTE_MS] * (
        len(often) - 1
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["12"]),
        ({"catch_up": "all"}, ["08", "09", "10", "11", "12"]),
        ({"catch_up": "all", "catch_up_max": 2}, ["11", "12"]),
        ({"catch_up": "all", "catch_up_window": 7200}, ["11", "12"]),
        ({"catch_up": "none"}, []),
        ({"catch_up": "latest", "catch_up_window": 600}, []),
    ],
)
def test_after_all_beats_were_away_each_entry_catches_up_by_its_policy(
    replica: Replica, fields: dict[str, Any], expected: list[str]
) -> None:
    replica.timetable.put(daily(recurrence=3600, **fields))

    found = replica.sent_at("2026-03-02 12:30")

    hours = [datetime.fromtimestamp(when / 1000, timezone.utc).strftime("%H") for _, when in found]
    assert hours == expected
    missed = sum(event.count for event in replica.heard(happened.OccurrencesMissed))
    assert missed + len(expected) == 5
    assert bool(replica.facts("superseded")) == (missed > 0)


def test_the_settings_say_how_an_entry_catches_up_that_does_not_say_it(make_replica: Make) -> None:
    replica = make_replica(FakeClock(ms("2026-03-02 07:00")), singleton_beat_catch_up="all")
    replica.timetable.put(daily(recurrence=3600))
    replica.clock.now_ms = ms("2026-03-02 09:30")

    foreseen = replica.timetable.next_runs("daily", 3)

    assert foreseen == [at("2026-03-02 08:00"), at("2026-03-02 09:00"), at("2026-03-02 10:00")]
    assert [when for _, when in replica.sent()] == [EIGHT, EIGHT + HOUR_MS]


def test_an_entry_ends_with_its_last_run_and_goes_on_when_it_is_given_more(
    replica: Replica,
) -> None:
    replica.timetable.put(daily(max_runs=2))

    days = [replica.sent_at(f"2026-03-0{day} 08:00") for day in (2, 3, 4)]
    ended = replica.timetable.get("daily")
    replica.timetable.update("daily", max_runs=3)

    assert [len(day) for day in days] == [1, 1, 0]
    assert (ended.runs, ended.next_at) == (2, None)
    assert replica.sent() == []
    assert replica.sent_at("2026-03-05 08:00") == [("daily", ms("2026-03-05 08:00"))]
    assert replica.sent_at("2026-03-06 08:00") == []


def test_catching_up_does_not_exceed_the_last_run(replica: Replica) -> None:
    replica.timetable.put(daily(recurrence=3600, catch_up="all", max_runs=3))

    assert len(replica.sent_at("2026-03-02 16:30")) == 3
    assert replica.sent_at("2026-03-02 17:30") == []


def test_an_entry_runs_between_its_start_and_its_end(replica: Replica) -> None:
    start, end = at("2026-03-03 00:00"), at("2026-03-04 08:00")
    replica.timetable.put(daily(start=start, end=end))

    days = [replica.sent_at(f"2026-03-0{day} 08:00") for day in (2, 3, 4, 5)]

    assert [len(day) for day in days] == [0, 1, 1, 0]


def test_once_is_once(replica: Replica) -> None:
    replica.timetable.put(daily("to come", recurrence=at("2026-03-02 08:00")))
    replica.timetable.put(daily("gone", recurrence=at("2026-03-02 06:00")))

    assert replica.sent_at("2026-03-02 08:00") == [("to come", EIGHT)]
    assert replica.sent_at("2027-03-02 08:00") == []


def test_a_tenants_runs_are_bounded_per_minute_and_the_rest_follows(make_replica: Make) -> None:
    limits = {"min_interval": None, "max_per_minute": 2}
    clock = FakeClock(ms("2026-03-02 07:00"))
    replica = make_replica(clock, singleton_beat_tenant_limits=limits)
    for number in range(5):
        replica.timetable.put(daily(f"e{number}", tenant="acme"))
    replica.timetable.put(daily("free"))

    minutes = []
    for _ in range(3):
        clock.now_ms = max(clock.now_ms, EIGHT - MINUTE_MS) + MINUTE_MS
        minutes.append([name for name, _ in replica.sent() + replica.sent()])

    assert [len([name for name in names if name != "free"]) for names in minutes] == [2, 2, 1]
    assert "free" in minutes[0]


BAD = {
    "nonsense": "{",
    "no entry": '{"version":1}',
    "newer": '{"version":9,"name":"newer","task":"t","recurrence":{"type":"lunar"}}',
    "zone": json.dumps(daily().to_data() | {"timezone": "Mars/Olympus"}),
    "endless": json.dumps(daily().to_data() | {"jitter": 1e308}),
}


@pytest.mark.parametrize("what", BAD)
def test_a_definition_that_cannot_be_used_is_reported_and_the_others_are_sent(
    replica: Replica, what: str
) -> None:
    """Also one that a newer release wrote."""
    replica.timetable.put(daily("bad"))
    replica.timetable.put(daily("good"))
    rewrite(replica, "bad", BAD[what])

    found = replica.sent_at("2026-03-02 08:00")

    assert found == [("good", EIGHT)]
    assert [event.entry for event in replica.heard(happened.EntrySetAside)] == ["bad"]
    assert replica.heard(happened.TickFailed) == []
    assert [known.name for known in replica.timetable.entries()] == ["good"]
    replica.timetable.put(daily("bad"))
    assert replica.sent_at("2026-03-02 08:02") == [("bad", EIGHT)]


@pytest.mark.parametrize("key", ["cards", "stored"])
def test_a_record_that_is_none_of_ours_is_set_aside_and_the_others_are_sent(
    replica: Replica, key: str
) -> None:
    """F13."""
    replica.timetable.put(daily("bad"))
    replica.timetable.put(daily("good"))
    replica.client.hset(f"{replica.store.keys.prefix}:{key}", "bad", "somebody else's")

    found = replica.sent_at("2026-03-02 08:00")

    assert found == [("good", EIGHT)]
    assert [event.entry for event in replica.heard(happened.EntrySetAside)] == ["bad"]
    assert replica.client.hget(f"{replica.store.keys.prefix}:aside", "bad") == "somebody else's"
    assert replica.sent_at("2026-03-03 08:00") != []


def test_arguments_that_do_not_fit_are_that_entrys_failure_alone(replica: Replica) -> None:
    replica.timetable.put(daily("bad", args=[1, 2, 3]))
    replica.timetable.put(daily("good"))

    found = replica.sent_at("2026-03-02 08:00")
    for _ in range(3):
        replica.clock.advance(10_000)
        found += replica.sent()

    assert found == [("good", EIGHT)]
    failed = replica.heard(happened.DispatchFailed)
    assert [(event.entry, event.attempt) for event in failed] == [
        ("bad", 1),
        ("bad", 2),
        ("bad", 3),
    ]
    assert failed[-1].given_up
    assert replica.timetable.get("bad").next_at == at("2026-03-03 08:00")


def test_a_name_that_is_taken_in_the_configuration_is_reported_and_not_sent(
    make_replica: Make,
) -> None:
    """An occurrence is known by its entry's name: two of one name would pass for one."""
    replica = make_replica(FakeClock(ms("2026-03-02 07:00")), CONFIG)
    replica.timetable.put(daily("config"))

    found = replica.sent_at("2026-03-02 08:00")

    assert found == [("config", EIGHT)]
    (aside,) = replica.heard(happened.EntrySetAside)
    assert aside.entry == "config"
    assert "beat_schedule" in aside.reason


def rewrite(replica: Replica, name: str, definition: str) -> None:
    """Put another text where an entry's definition is, as another release might."""
    key = f"{replica.store.keys.prefix}:cards"
    fields = replica.client.hget(key, name).split("|", 10)
    replica.client.hset(key, name, "|".join([*fields[:10], definition]))
