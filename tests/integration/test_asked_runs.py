"""Runs that are asked for, in a tick: what is sent, as what, and when it must wait."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid5

import pytest

from celery_singleton_beat import (
    BackfillTooLong,
    Entry,
    EntryError,
    EntryStopped,
    RequestConflict,
    TenantLimits,
    UnknownEntry,
)
from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.pace import Pace
from celery_singleton_beat.protocol.occurrence import HEADER, NAMESPACE
from celery_singleton_beat.testing import FakeClock
from tests.integration.stored import DAY_MS, HOUR_MS, MINUTE_MS, Replica, at, daily, ms

Make = Callable[..., Replica]

SEVEN = ms("2026-03-02 07:00")
CONFIG = {"config": {"task": "shop.add", "schedule": 3600.0, "args": (1,)}}
SECONDLY = Entry("secondly", "shop.add", "* * * * * *", args=[1])


def headers(replica: Replica) -> list[dict[str, Any]]:
    """Tick once; the occurrences that it sent, as the messages tell of them."""
    return [message["headers"][HEADER] for message in replica.dispatch()]


def test_an_entry_runs_now_as_an_occurrence_of_its_own(replica: Replica) -> None:
    """Design, promise 2: by its cause; the entry's own schedule does not move."""
    replica.timetable.put(daily())
    before = replica.timetable.get("daily")
    replica.clock.advance(5)

    task_id = replica.timetable.run_now("daily", by="op", request_id="why not")
    (message,) = replica.dispatch()

    told = message["headers"]
    name = f"{{csb:shop}}\0daily\0{SEVEN + 5}\0why not"
    assert told["id"] == task_id == str(uuid5(NAMESPACE, name))
    assert told["argsrepr"] == "[1]"
    assert told[HEADER] == {
        "entry": "daily",
        "scheduled_ms": SEVEN + 5,
        "cause": "why not",
        "not_after_ms": SEVEN + 5 + DAY_MS,
        "window_ms": DAY_MS,
        "revision": before.revision,
    }
    assert replica.dispatch() == []
    assert replica.timetable.get("daily") == before
    assert replica.sent_at("2026-03-02 08:00") == [("daily", ms("2026-03-02 08:00"))]


def test_the_same_request_runs_once(replica: Replica) -> None:
    """C19: an answer that was lost may be asked for again, before and after the run."""
    replica.timetable.put(daily())
    ids = [replica.timetable.run_now("daily", request_id="r")]
    replica.clock.advance(10)
    ids.append(replica.timetable.run_now("daily", request_id="r"))
    assert len(replica.dispatch()) == 1
    ids.append(replica.timetable.run_now("daily", request_id="r"))

    assert len(set(ids)) == 1
    assert replica.dispatch() == []
    with pytest.raises(RequestConflict, match="'r' was made before"):
        replica.timetable.backfill("daily", at("2026-03-01"), at("2026-03-02"), request_id="r")
    assert len({replica.timetable.run_now("daily") for _ in range(2)}) == 2
    assert len(replica.dispatch()) == 2


def test_what_happened_is_told_with_its_cause(replica: Replica) -> None:
    replica.timetable.put(daily())
    task_id = replica.timetable.run_now("daily", by="op", request_id="r")
    replica.clock.advance(20)

    replica.dispatch()

    (event,) = replica.heard(happened.OccurrencePublished)
    assert (event.task_id, event.cause, event.late_ms) == (task_id, "r", 20)
    (asked,) = replica.facts("asked")
    assert (asked.entry, asked.scheduled_ms, asked.by, asked.note) == ("daily", SEVEN, "op", "r")
    (published,) = replica.facts("published")
    assert (published.run, published.note) == (task_id, "r")


def test_what_cannot_run_now_says_why(replica: Replica) -> None:
    """Nothing is left to run when it could."""
    table = replica.timetable
    table.put(daily(tenant="acme", enabled=False))

    def refused() -> str:
        with pytest.raises(EntryStopped) as caught:
            table.run_now("daily")
        return caught.value.stopped_by

    reasons = [refused()]
    table.enable("daily")
    table.pause("daily")
    reasons.append(refused())
    table.resume("daily")
    table.pause_all(tenant="acme")
    reasons.append(refused())
    table.pause_all()
    reasons.append(refused())
    table.resume_all()
    table.resume_all(tenant="acme")

    assert reasons == ["disabled", "paused", "tenant", "all"]
    with pytest.raises(UnknownEntry, match="no entry 'nobody'"):
        table.run_now("nobody")
    with pytest.raises(EntryError, match="request_id is empty"):
        table.run_now("daily", request_id="")
    assert (replica.dispatch(), list(table.requests())) == ([], [])


def test_an_entry_of_the_configuration_runs_now_where_it_governs(make_replica: Make) -> None:
    clock = FakeClock(SEVEN)
    first, second = make_replica(clock), make_replica(clock, CONFIG)
    first.sent(), second.sent()

    first.timetable.run_now("config", request_id="r")

    assert first.dispatch() == []
    (told,) = headers(second)
    assert (told["entry"], told["cause"], "revision" in told) == ("config", "r", False)
    with pytest.raises(UnknownEntry, match="neither stored nor in this app's beat_schedule"):
        first.timetable.backfill("config", at("2026-03-01"), at("2026-03-02"))
    second.timetable.backfill("config", at("2026-03-01"), at("2026-03-01 02:00"))
    assert len(headers(second)) == 3


def test_what_the_configuration_has_no_more_is_dropped(make_replica: Make) -> None:
    """A deploy between the request and its turn."""
    clock = FakeClock(SEVEN)
    first = make_replica(clock, CONFIG)
    first.timetable.run_now("config", request_id="r")
    first.close()
    second = make_replica(clock, {"other": CONFIG["config"]})

    assert second.dispatch() == []

    assert [(fact.entry, fact.note) for fact in second.facts("dropped")] == [("config", "r")]
    assert list(second.timetable.requests()) == []


def test_a_backfill_sends_all_occurrences_oldest_first(replica: Replica) -> None:
    """Both ends are included; each knows the one before it; the timetable goes on."""
    replica.timetable.put(daily(jitter=3600, max_runs=1, catch_up="none", dedupe_window=60))
    before = replica.timetable.get("daily")

    asked = replica.timetable.backfill(
        "daily", at("2026-02-20 08:00"), at("2026-02-22 08:00"), by="op", request_id="r"
    )
    told = headers(replica)

    assert (asked.id, asked.count, asked.done) == ("r", 3, 0)
    days = [ms(f"2026-02-{day} 08:00") for day in (20, 21, 22)]
    assert [one["scheduled_ms"] for one in told] == days
    assert [one.get("previous_ms") for one in told] == [None, *days[:2]]
    assert {one["cause"] for one in told} == {"r"}
    assert {one["not_after_ms"] for one in told} == {SEVEN + 60_000}
    assert (headers(replica), list(replica.timetable.requests())) == ([], [])
    assert replica.timetable.get("daily") == before


def test_a_long_backfill_is_sent_a_hundred_at_a_time(replica: Replica) -> None:
    """Another request need not wait for its end."""
    replica.timetable.put(SECONDLY)
    replica.timetable.put(daily())
    replica.timetable.pause("secondly")
    replica.timetable.backfill(
        "secondly", at("2026-03-01 00:00:01"), at("2026-03-01 00:04:10"), request_id="long"
    )
    replica.timetable.resume("secondly")
    replica.clock.advance(400)
    sizes = [len(replica.sent())]
    replica.timetable.run_now("daily")
    (left,) = replica.timetable.requests("secondly")
    replica.clock.advance(1)
    sent = replica.sent()
    sizes += [len(sent), len(replica.sent()), len(replica.sent())]

    assert sizes == [100, 100, 51, 0]
    assert sent[-1][0] == "daily" or ("daily", SEVEN + 400) in sent
    assert (left.count, left.done, left.next_at) == (250, 100, at("2026-03-01 00:01:41"))


def test_a_backfill_waits_while_its_entry_is_stopped(replica: Replica) -> None:
    table = replica.timetable
    table.put(daily(tenant="acme"))
    table.pause_all(tenant="acme")

    table.backfill("daily", at("2026-02-20"), at("2026-02-22"))

    assert headers(replica) == []
    assert [one.done for one in table.requests()] == [0]
    table.resume_all(tenant="acme")
    replica.clock.advance(2000)
    assert len(headers(replica)) == 2


def test_a_backfill_keeps_to_its_tenants_minute(replica: Replica) -> None:
    table = replica.timetable
    table.set_limits("acme", TenantLimits(max_per_minute=10))
    table.put(daily(tenant="acme"))
    table.backfill("daily", at("2026-02-01"), at("2026-02-26"))

    sizes = []
    for _ in range(4):
        sizes += [len(headers(replica)), len(headers(replica))]
        replica.clock.advance(MINUTE_MS)

    assert sizes == [10, 0, 10, 0, 5, 0, 0, 0]


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_with_overlap_a_backfill_sends_one_at_a_time(replica: Replica, overlap: str) -> None:
    """Each when the one before it has ended; none is left out."""
    replica.timetable.put(daily(overlap=overlap, overlap_limit=120))
    replica.timetable.backfill("daily", at("2026-02-20"), at("2026-02-23"))

    sent = []
    for _ in range(3):
        sent.append([one["scheduled_ms"] for one in headers(replica)])
        replica.clock.advance(60_000)
        assert headers(replica) == []
        replica.clock.advance(61_000)

    assert sent == [[ms(f"2026-02-{day} 08:00")] for day in (20, 21, 22)]


def test_a_backfill_that_is_too_long_is_refused_with_its_length(replica: Replica) -> None:
    replica.timetable.put(SECONDLY)
    span = at("2026-02-01"), at("2026-03-01")

    with pytest.raises(BackfillTooLong, match=r"about 24192.. occurrences") as caught:
        replica.timetable.backfill("secondly", *span)
    with pytest.raises(BackfillTooLong, match="of 10 at most"):
        replica.timetable.backfill("secondly", span[0], span[0] + timedelta(seconds=10), most=10)

    assert caught.value.count == pytest.approx(28 * 86400, rel=0.001)
    assert list(replica.timetable.requests()) == []
    asked = replica.timetable.backfill("secondly", *span, most=3_000_000)
    assert asked.count == 28 * 86400 + 1


def test_a_backfill_is_of_times_past(replica: Replica) -> None:
    table = replica.timetable
    table.put(daily())

    with pytest.raises(EntryError, match="is to come"):
        table.backfill("daily", at("2026-03-01"), at("2026-03-02 07:01"))
    with pytest.raises(EntryError, match="is before start"):
        table.backfill("daily", at("2026-03-02"), at("2026-03-01"))
    with pytest.raises(EntryError, match="no time zone"):
        table.backfill("daily", datetime(2026, 3, 1), at("2026-03-02"))  # noqa: DTZ001
    with pytest.raises(EntryError, match="at least 1"):
        table.backfill("daily", at("2026-03-01"), at("2026-03-02"), most=0)

    assert table.backfill("daily", at("2026-03-01 09:00"), at("2026-03-02")).count == 0
    assert list(table.requests()) == []


def test_what_is_cancelled_sends_nothing_more(replica: Replica) -> None:
    replica.timetable.put(SECONDLY)
    replica.timetable.disable("secondly")
    asked = replica.timetable.backfill("secondly", at("2026-03-01"), at("2026-03-01 01:00"))
    replica.timetable.enable("secondly")
    assert len(replica.sent()) == 100

    cancelled = [replica.timetable.cancel(asked.id, by="op") for _ in range(2)]

    assert cancelled == [True, False]
    assert [entry for entry, at_ms in replica.sent() if at_ms < SEVEN - HOUR_MS] == []
    assert [(f.by, f.note) for f in replica.facts("called_off")] == [("op", asked.id)]


def test_a_rule_that_changes_meanwhile_counts_from_then_on(replica: Replica) -> None:
    """By what the entry says now; never more than was allowed."""
    replica.timetable.put(SECONDLY)
    replica.timetable.disable("secondly")
    replica.timetable.backfill("secondly", at("2026-03-01"), at("2026-03-01 01:00"))
    replica.timetable.enable("secondly")
    assert len(replica.sent()) == 100

    replica.timetable.update("secondly", recurrence="*/30 * * * *")

    assert replica.sent() == [
        ("secondly", ms("2026-03-01 00:30")),
        ("secondly", ms("2026-03-01 01:00")),
    ]
    assert list(replica.timetable.requests()) == []


def test_a_run_that_cannot_be_sent_is_given_up(replica: Replica) -> None:
    """Its arguments do not fit: three attempts, as for the timetable."""
    replica.timetable.put(daily(args=[], kwargs={"nobody": 1}))
    replica.timetable.run_now("daily", request_id="r")

    for _ in range(4):
        assert replica.dispatch() == []
        replica.clock.advance(5000)

    failed = replica.heard(happened.DispatchFailed)
    assert [(one.attempt, one.given_up) for one in failed] == [(1, False), (2, False), (3, True)]
    assert list(replica.timetable.requests()) == []


def test_an_occurrence_that_is_sent_twice_has_one_id(make_replica: Make) -> None:
    """A replica that died between publish and settlement, and the one after it."""
    clock = FakeClock(SEVEN)
    first, second = make_replica(clock), make_replica(clock)
    first.timetable.put(daily())
    task_id = first.timetable.run_now("daily")
    first.dispatcher._asked._settling._ask = lambda _: []  # noqa: SLF001  # it dies here
    with pytest.raises(ValueError, match="zip"):
        first.dispatcher.tick()
    vars(first.dispatcher._asked._settling)["_left"] = []  # noqa: SLF001

    assert second.dispatch()[0]["headers"]["id"] == task_id
    clock.advance(5000)
    (message,) = second.dispatch()

    assert message["headers"]["id"] == task_id
    assert second.dispatch() == []


def test_an_idle_tick_asks_nothing_more(replica: Replica) -> None:
    """What is asked for is told with the claim."""
    replica.timetable.put(daily())
    replica.timetable.run_now("daily")
    replica.dispatch()
    before = replica.client.info("commandstats")["cmdstat_evalsha"]["calls"]

    replica.dispatcher.tick()

    assert replica.client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1


def test_a_request_that_cannot_be_read_is_set_aside(replica: Replica) -> None:
    replica.timetable.put(daily())
    replica.timetable.run_now("daily", request_id="bad")
    replica.timetable.run_now("daily", request_id="good")
    replica.client.hset(replica.store.keys.asking[2], "bad", "1|broken")

    (told,) = headers(replica)

    assert told["cause"] == "good"
    assert [one.entry for one in replica.heard(happened.EntrySetAside)] == ["request bad"]
    assert "1|broken" in replica.client.hget(replica.store.keys.aside, "request bad")


def test_times_may_be_given_in_any_zone(replica: Replica) -> None:
    replica.timetable.put(daily())
    there = timezone(timedelta(hours=-5))

    asked = replica.timetable.backfill(
        "daily",
        datetime(2026, 3, 1, 3, tzinfo=there),
        datetime(2026, 3, 1, 4, tzinfo=there),
    )

    assert (asked.start, asked.count) == (at("2026-03-01 08:00"), 1)


def test_what_is_asked_for_is_not_published_again_by_a_start_deadline(replica: Replica) -> None:
    """That is the timetable's, and knows no cause."""
    replica.timetable.put(daily(start_deadline=60))
    replica.timetable.run_now("daily")
    assert len(replica.dispatch()) == 1

    replica.clock.advance(2 * MINUTE_MS)

    assert replica.dispatch() == []


def test_what_could_not_be_sent_is_sent_soon_whatever_the_jitter(replica: Replica) -> None:
    replica.timetable.put(daily(jitter=3600))
    replica.timetable.run_now("daily")
    replica.dispatcher._outbound._pace = Pace(hold_ms=0)  # noqa: SLF001  # so all holds are over
    assert replica.dispatch() == []
    replica.dispatcher._outbound._pace = replica.dispatcher._pace  # noqa: SLF001

    replica.clock.advance(1000)

    assert len(replica.dispatch()) == 1


def test_what_is_delivered_at_most_once_is_settled_before_it_is_sent(replica: Replica) -> None:
    replica.timetable.put(daily(delivery="at_most_once"))
    replica.timetable.backfill("daily", at("2026-02-20"), at("2026-02-22"))
    open_when_sent = []
    send = replica.scheduler.send

    def watching(publication: Any) -> Any:
        open_when_sent.append(len(list(replica.timetable.requests())))
        return send(publication)

    replica.scheduler.send = watching  # type: ignore[method-assign]

    assert len(replica.dispatch()) == 2
    assert open_when_sent == [0, 0]
