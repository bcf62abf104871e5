"""Entries changed at run time: what each change answers, and what is read afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery

from celery_singleton_beat import (
    EntryError,
    LimitExceeded,
    RevisionConflict,
    StoreUnavailable,
    TenantLimits,
    Timetable,
    UnknownEntry,
)
from celery_singleton_beat.testing import FakeClock
from tests.integration.stored import DAY_MS, HOUR_MS, Replica, at, daily, ms

Make = Callable[..., Replica]


def test_an_entry_that_is_put_can_be_read_with_who_put_it_and_when_it_is_due(
    replica: Replica,
) -> None:
    """S2-02, S2-09: id, tenant, name, expression, zone, payload, enabled."""
    entry = daily(
        "acme:nightly",
        timezone="America/New_York",
        tenant="acme",
        kwargs={"y": 2},
        jitter=30,
        description="For the invoices",
    )

    revision = replica.timetable.put(entry, by="ann")

    known = replica.timetable.get("acme:nightly")
    assert known.entry == entry
    assert (known.name, known.revision, known.changed_by) == ("acme:nightly", revision, "ann")
    assert known.changed_at == at("2026-03-02 07:00")
    assert (known.next_at, known.last_at, known.runs) == (at("2026-03-02 13:00"), None, 0)
    assert not known.is_paused


def test_an_entry_put_as_it_is_keeps_its_revision_and_who_changed_it(replica: Replica) -> None:
    revision = replica.timetable.put(daily(), by="ann")
    replica.clock.advance(1000)

    again = replica.timetable.put(daily(), by="bob")

    known = replica.timetable.get("daily")
    assert again == revision
    assert (known.changed_by, known.changed_at) == ("ann", at("2026-03-02 07:00"))


def test_every_change_has_a_revision_of_its_own(replica: Replica) -> None:
    """C19: also that of an entry which was removed and comes again under its name."""
    timetable = replica.timetable
    seen = [timetable.put(daily())]
    seen.append(timetable.put(daily(args=[2])))
    for change in (timetable.pause, timetable.resume, timetable.disable, timetable.enable):
        change("daily")
        seen.append(timetable.get("daily").revision)
    timetable.remove("daily")

    seen.append(timetable.put(daily()))

    assert seen == sorted(set(seen))


def test_a_change_of_what_somebody_else_changed_is_refused_with_what_is_there(
    replica: Replica,
) -> None:
    """S2-15: two who edit the same form."""
    first = replica.timetable.put(daily())
    second = replica.timetable.put(daily(args=[2]), if_revision=first)

    with pytest.raises(RevisionConflict, match=f"has revision {second}") as refused:
        replica.timetable.put(daily(args=[3]), if_revision=first)

    assert refused.value.revision == second
    assert replica.timetable.get("daily").entry == daily(args=[2])


def test_an_entry_can_be_put_only_if_there_is_none(replica: Replica) -> None:
    timetable = replica.timetable
    timetable.put(daily(), if_revision=0)

    with pytest.raises(RevisionConflict):
        timetable.put(daily(args=[2]), if_revision=0)
    with pytest.raises(RevisionConflict, match="is not there"):
        timetable.put(daily("other"), if_revision=7)

    assert [known.name for known in timetable.entries()] == ["daily"]


def test_some_fields_can_be_changed_and_the_others_stay(replica: Replica) -> None:
    """S2-17: a live schedule's expression, zone and jitter."""
    replica.timetable.put(daily(kwargs={"y": 5}))

    replica.timetable.update("daily", recurrence="30 9 * * *", timezone="Asia/Tokyo", jitter=30)

    changed = daily(kwargs={"y": 5}, recurrence="30 9 * * *", timezone="Asia/Tokyo", jitter=30)
    assert replica.timetable.get("daily").entry == changed


def test_two_who_change_different_fields_at_once_lose_neither_change(make_replica: Make) -> None:
    """Each reads, and writes only on what it has read."""
    clock = FakeClock(ms("2026-03-02 07:00"))
    first, second = make_replica(clock), make_replica(clock)
    first.timetable.put(daily())
    start = threading.Barrier(2)

    def change(replica: Replica, field: str) -> None:
        start.wait()
        for value in range(1, 6):
            changes: dict[str, Any] = {field: value}
            replica.timetable.update("daily", **changes)

    threads = [
        threading.Thread(target=change, args=given)
        for given in ((first, "jitter"), (second, "max_runs"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    entry = first.timetable.get("daily").entry
    assert (entry.jitter, entry.max_runs) == (5, 5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recurrence": "61 * * * *"}, "entry 'daily'.*61"),
        ({"colour": "red"}, "entry 'daily'.*colour"),
        ({"timezone": "Europe/Roma"}, "Europe/Rome"),
        ({"max_runs": 0}, "max_runs"),
    ],
)
def test_a_change_to_what_cannot_be_is_refused_and_changes_nothing(
    replica: Replica, changes: dict[str, Any], said: str
) -> None:
    revision = replica.timetable.put(daily())

    with pytest.raises(EntryError, match=said):
        replica.timetable.update("daily", **changes)

    assert replica.timetable.get("daily").revision == revision


def test_what_is_not_there_cannot_be_read_changed_or_paused(replica: Replica) -> None:
    timetable = replica.timetable

    for ask in (timetable.get, timetable.pause, timetable.resume, timetable.enable):
        with pytest.raises(UnknownEntry, match="'nobody'"):
            ask("nobody")
    with pytest.raises(UnknownEntry):
        timetable.next_runs("nobody")

    assert timetable.remove("nobody") is False


def test_an_entry_is_removed_once_and_only_at_the_revision_asked_for(replica: Replica) -> None:
    timetable = replica.timetable
    revision = timetable.put(daily())

    with pytest.raises(RevisionConflict):
        timetable.remove("daily", if_revision=revision + 1)
    gone = [timetable.remove("daily", if_revision=revision), timetable.remove("daily")]

    assert gone == [True, False]
    assert list(timetable.entries()) == []


def test_a_pause_is_told_once_and_says_who_and_why(replica: Replica) -> None:
    timetable = replica.timetable
    timetable.put(daily(), by="ann")

    told = [timetable.pause("daily", note="invoice|overdue", by="bob")]
    told.append(timetable.pause("daily", note="other", by="eve"))
    paused = timetable.get("daily")
    told += [timetable.resume("daily", by="cid"), timetable.resume("daily")]
    resumed = timetable.get("daily")

    assert told == [True, False, True, False]
    assert (paused.is_paused, paused.note, paused.changed_by) == (True, "invoice?overdue", "bob")
    assert (resumed.is_paused, resumed.note, resumed.changed_by) == (False, "", "cid")


def test_a_pause_outlives_a_change_of_the_entry(replica: Replica) -> None:
    timetable = replica.timetable
    timetable.put(daily())
    timetable.pause("daily", note="invoice overdue")

    timetable.update("daily", args=[2])

    known = timetable.get("daily")
    assert (known.is_paused, known.note) == (True, "invoice overdue")


def test_entries_are_listed_whole_by_tenant_or_by_source(replica: Replica) -> None:
    """More than one page of them."""
    timetable = Timetable(replica.app, limits=TenantLimits(max_entries=None))
    for number in range(600):
        tenant, source = f"t{number % 3}", ("crm", "")[number % 2]
        timetable.put(daily(f"e{number}", tenant=tenant, source=source))

    named = {
        "all": [known.name for known in timetable.entries()],
        "t1": [known.name for known in timetable.entries(tenant="t1")],
        "crm": [known.name for known in timetable.entries(source="crm")],
        "t2 and crm": [known.name for known in timetable.entries(tenant="t2", source="crm")],
        "nobody": [known.name for known in timetable.entries(tenant="nobody")],
    }

    counts = {what: (len(names), len(set(names))) for what, names in named.items()}
    expected = {"all": 600, "t1": 200, "crm": 300, "t2 and crm": 100, "nobody": 0}
    assert counts == {what: (count, count) for what, count in expected.items()}
    assert sorted(timetable.tenants()) == ["t0", "t1", "t2"]


def test_an_entry_moves_to_another_tenant(replica: Replica) -> None:
    timetable = replica.timetable
    timetable.put(daily(tenant="a"))

    timetable.update("daily", tenant="b")

    assert [known.name for known in timetable.entries(tenant="b")] == ["daily"]
    assert list(timetable.entries(tenant="a")) == []
    assert list(timetable.tenants()) == ["b"]


@pytest.mark.parametrize("field", ["tenant", "source"])
def test_a_tenant_and_a_source_have_names_that_a_record_can_hold(field: str) -> None:
    with pytest.raises(EntryError, match=rf"{field} 'a\|b'.*\|"):
        daily(**{field: "a|b"})


def test_the_next_runs_are_told_by_the_entrys_own_clock(replica: Replica) -> None:
    """S2-19: New York goes over to summer time on 8 March 2026."""
    replica.timetable.put(daily(timezone="America/New_York"))
    replica.clock.now_ms = ms("2026-03-06 20:00")
    replica.dispatch()

    assert replica.timetable.next_runs("daily", 3) == [
        at("2026-03-07 13:00"),
        at("2026-03-08 12:00"),
        at("2026-03-09 12:00"),
    ]


def test_the_next_runs_are_those_of_the_rule_as_it_is_now(replica: Replica) -> None:
    """Also before a beat has looked at the change."""
    replica.timetable.put(daily())

    replica.timetable.update("daily", recurrence=1800)

    assert replica.timetable.next_runs("daily", 2) == [
        at("2026-03-02 07:30"),
        at("2026-03-02 08:00"),
    ]


def test_the_next_runs_end_with_the_entry(replica: Replica) -> None:
    replica.timetable.put(daily("thrice", max_runs=3))
    replica.timetable.put(daily("until", end=at("2026-03-03 08:00")))
    replica.sent_at("2026-03-02 08:00")

    assert replica.timetable.next_runs("thrice", 9) == [
        at("2026-03-03 08:00"),
        at("2026-03-04 08:00"),
    ]
    assert replica.timetable.next_runs("until", 9) == [at("2026-03-03 08:00")]


def test_what_is_paused_or_disabled_has_no_next_runs(replica: Replica) -> None:
    replica.timetable.put(daily("paused"))
    replica.timetable.put(daily("disabled", enabled=False))
    replica.timetable.pause("paused")

    assert replica.timetable.next_runs("paused", 3) == []
    assert replica.timetable.next_runs("disabled", 3) == []


def test_what_was_missed_while_an_entry_was_paused_is_no_next_run(replica: Replica) -> None:
    replica.timetable.put(daily())
    replica.timetable.pause("daily")
    replica.clock.advance(3 * DAY_MS + 2 * HOUR_MS)

    replica.timetable.resume("daily")

    assert replica.timetable.next_runs("daily") == [at("2026-03-06 08:00")]


def test_a_tenant_has_at_most_so_many_entries(replica: Replica) -> None:
    """S2-03: twenty, unless it is said otherwise."""
    timetable = replica.timetable
    for number in range(20):
        timetable.put(daily(f"e{number}", tenant="acme"))

    with pytest.raises(LimitExceeded, match=r"'acme'.*max_entries") as refused:
        timetable.put(daily("e20", tenant="acme"))

    error = refused.value
    assert (error.limit, error.allowed, error.value, error.tenant) == (
        "max_entries",
        20,
        21,
        "acme",
    )
    timetable.update("e0", args=[2])
    timetable.put(daily("e20", tenant="other"))
    timetable.put(daily("nobodys"))
    timetable.remove("e0")
    timetable.put(daily("e20b", tenant="acme"))


def test_two_callers_at_nineteen_of_twenty_do_not_both_save(make_replica: Make) -> None:
    """F18: counted in the step that saves."""
    clock = FakeClock(ms("2026-03-02 07:00"))
    callers = [make_replica(clock).timetable for _ in range(2)]
    start = threading.Barrier(2)
    outcomes: dict[str, list[str]] = {}

    def save(timetable: Timetable, place: int) -> None:
        for number in range(10):
            tenant = f"t{number}"
            start.wait()
            try:
                timetable.put(daily(f"{tenant}:of {place}", tenant=tenant))
            except LimitExceeded:
                outcomes[tenant].append("refused")
            else:
                outcomes[tenant].append("saved")

    for tenant in (f"t{number}" for number in range(10)):
        outcomes[tenant] = []
        for number in range(19):
            callers[0].put(daily(f"{tenant}:{number}", tenant=tenant))
    threads = [threading.Thread(target=save, args=(callers[at], at)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {tuple(sorted(outcome)) for outcome in outcomes.values()} == {("refused", "saved")}
    assert all(len(list(callers[0].entries(tenant=tenant))) == 20 for tenant in outcomes)


@pytest.mark.parametrize("moment", ["2026-03-02 07:01", "2026-03-02 07:50"])
def test_the_minimum_interval_counts_the_smallest_gap_that_ever_comes(
    replica: Replica, moment: str
) -> None:
    """F17, S2-04: `*/7` leaves four minutes at the end of the hour, whenever it is saved."""
    replica.clock.now_ms = ms(moment)

    with pytest.raises(LimitExceeded, match="240 seconds apart, and 300") as refused:
        replica.timetable.put(daily(tenant="acme", recurrence="*/7 * * * *"))

    error = refused.value
    assert (error.limit, error.value, error.allowed, error.tenant) == (
        "min_interval",
        timedelta(minutes=4),
        timedelta(minutes=5),
        "acme",
    )
    replica.timetable.put(daily(tenant="acme", recurrence="*/5 * * * *"))
    replica.timetable.put(daily("nobodys", recurrence="*/7 * * * *"))


def test_a_change_may_not_go_below_the_minimum_interval_either(replica: Replica) -> None:
    replica.timetable.put(daily(tenant="acme"))

    with pytest.raises(LimitExceeded):
        replica.timetable.update("daily", recurrence=60)

    assert replica.timetable.get("daily").entry == daily(tenant="acme")


def test_the_defaults_of_limits_come_from_the_settings_or_the_call(make_replica: Make) -> None:
    """S2-05."""
    set_to = {"max_entries": 1, "min_interval": 60}
    replica = make_replica(FakeClock(), singleton_beat_tenant_limits=set_to)
    own = TenantLimits(max_entries=2, min_interval=None)

    by_settings, by_call = replica.timetable, Timetable(replica.app, limits=own)

    assert by_settings.limits("acme") == TenantLimits(1, timedelta(minutes=1))
    assert by_call.limits("acme") == own
    by_settings.put(daily("a", tenant="acme", recurrence=60))
    with pytest.raises(LimitExceeded):
        by_settings.put(daily("b", tenant="acme", recurrence=60))
    by_call.put(daily("b", tenant="acme", recurrence=1))


def test_a_tenants_own_limits_hold_at_once_and_leave_what_it_has(replica: Replica) -> None:
    """S2-05: changed at run time, by a call."""
    timetable = replica.timetable
    timetable.put(daily("a", tenant="acme"))
    timetable.put(daily("b", tenant="acme"))
    own = TenantLimits(max_entries=1, min_interval=timedelta(seconds=30), max_per_minute=9)

    timetable.set_limits("acme", own)

    assert timetable.limits("acme") == own
    assert timetable.limits("other") == TenantLimits()
    assert len(list(timetable.entries(tenant="acme"))) == 2
    with pytest.raises(LimitExceeded):
        timetable.put(daily("c", tenant="acme"))
    timetable.put(daily("a", tenant="acme", recurrence=30))
    timetable.set_limits("acme", None)
    assert timetable.limits("acme") == TenantLimits()
    with pytest.raises(LimitExceeded):
        timetable.put(replace(daily("b", tenant="acme"), recurrence=31))


def test_a_store_that_does_not_answer_is_said_so() -> None:
    """Not told as: there is nothing."""
    app = Celery("shop", set_as_current=False)
    app.conf.singleton_beat_redis_url = "redis://127.0.0.1:1/0"
    timetable = Timetable(app)

    for ask in (
        lambda: timetable.put(daily()),
        lambda: timetable.get("daily"),
        lambda: list(timetable.entries()),
        timetable.pause_all,
        lambda: timetable.remove("daily"),
    ):
        with pytest.raises(StoreUnavailable):
            ask()
