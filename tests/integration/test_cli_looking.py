"""Commands that look: what they show is what is in the store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from celery.schedules import crontab

from celery_singleton_beat.testing import FakeClock
from tests.integration.command_line import CommandLine, lines
from tests.integration.stored import MINUTE_MS, at, daily, ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.stored import Replica

MONDAY = "2026-03-02 07:00"
SCHEDULE = {
    "nightly": {"task": "shop.add", "schedule": crontab(minute="0", hour="2"), "args": (1, 2)},
    "often": {"task": "shop.add", "schedule": 30.0, "args": (1,), "timezone": "Europe/Rome"},
    "odd": {"task": "shop.add", "schedule": 30.0, "jiter": 3},
}


def test_status_tells_of_replicas_configuration_and_store(line: CommandLine) -> None:
    told = line("status")

    assert line.run("status").stderr == ""
    assert "1 alive" in told
    assert "that of this app" not in told  # it has none of its own to compare
    assert "in time" in told
    assert "prefix {csb:shop} app shop" in told


def test_status_names_a_pause_and_what_is_late(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily())
    replica.clock.now_ms = ms("2026-03-02 08:20")

    late = line("status")
    line("pause", "--all")
    paused = line("status")

    assert "late: something is due since 20 min" in late
    assert "everything is paused" in paused


def test_status_tells_when_no_beat_lives(line: CommandLine, replica: Replica) -> None:
    replica.clock.now_ms += 10 * MINUTE_MS

    status, replicas = line.data("status"), line.data("replicas")

    assert status["alive"] == 0
    assert "none alive: nothing is dispatched" in line("status")
    assert "singleton doctor" in line.run("status").stderr
    assert [one["is_alive"] for one in replicas] == [False]
    assert replicas[0]["silent_ms"] >= 10 * MINUTE_MS


def test_entries_of_both_kinds_are_rows_of_one_table(make_replica: Callable[..., Replica]) -> None:
    """S1-26: the state of all jobs in one place."""
    replica = make_replica(FakeClock(ms(MONDAY)), SCHEDULE)
    replica.timetable.put(daily("acme:daily", tenant="acme", jitter=60))
    line = CommandLine(replica.app)

    rows = lines(line("entries"))

    assert [row[0] for row in rows] == ["acme:daily", "nightly", "odd", "often"]
    assert rows[0][1:5] == ["shop.add", "daily at 08:00", "on", "2026-03-02 08:00:00"]
    assert rows[1][1:5] == ["shop.add", "daily at 02:00", "on", "2026-03-03 02:00:00"]
    assert rows[2][1] == "unusable"
    assert rows[3][2] == "every 30 seconds Europe/Rome"


def test_a_list_as_json_is_a_list_of_the_same_rows(make_replica: Callable[..., Replica]) -> None:
    replica = make_replica(FakeClock(ms(MONDAY)), SCHEDULE)
    replica.timetable.put(daily("acme:daily", tenant="acme"))
    line = CommandLine(replica.app)

    rows = {row["name"]: row for row in line.data("entries")}

    assert sorted(rows) == ["acme:daily", "nightly", "odd", "often"]
    assert rows["acme:daily"]["next_at"] == "2026-03-02T08:00:00+00:00"
    assert rows["acme:daily"]["revision"] > 0
    assert "jitter" in rows["odd"]["problem"]
    assert line.data("entries", "--state", "ended") == []


def test_entries_are_found_by_tenant_kind_state_and_lateness(
    make_replica: Callable[..., Replica],
) -> None:
    replica = make_replica(FakeClock(ms(MONDAY)), SCHEDULE)
    for name in ("acme:a", "acme:b"):
        replica.timetable.put(daily(name, tenant="acme"))
    replica.timetable.put(daily("other"))
    replica.timetable.pause("acme:b")
    line = CommandLine(replica.app)

    def found(*words: str) -> list[str]:
        return [row["name"] for row in line.data("entries", *words)]

    replica.clock.now_ms = ms("2026-03-02 08:01")
    assert found("--tenant", "acme") == ["acme:a", "acme:b"]
    assert found("--stored") == ["acme:a", "acme:b", "other"]
    assert found("--config") == ["nightly", "odd", "often"]
    assert found("--state", "paused", "--state", "unusable") == ["acme:b", "odd"]
    assert found("--overdue") == ["acme:a", "often", "other"]


def test_more_entries_than_the_limit_are_said_to_be_there(
    line: CommandLine, replica: Replica
) -> None:
    for number in range(4):
        replica.timetable.put(daily(f"of-four-{number}"))

    result = line.run("entries", "--limit", "3", "--json")

    assert len(json.loads(result.stdout)) == 3
    assert "more than 3" in result.stderr


def test_show_tells_all_of_an_entry(line: CommandLine, replica: Replica) -> None:
    entry = daily("acme:daily", tenant="acme", jitter=60, description="for the boss", max_runs=2)
    replica.timetable.put(entry, by="ann")
    replica.timetable.pause("acme:daily", note="invoice overdue", by="bob")

    paused = line("show", "acme:daily")
    replica.timetable.resume("acme:daily", by="bob")
    data = line.data("show", "acme:daily")

    assert "invoice overdue" in paused
    assert "by bob" in paused
    assert data["definition"]["description"] == "for the boss"
    assert [run["scheduled"] for run in data["next_runs"]] == [
        "2026-03-02T08:00:00+00:00",
        "2026-03-03T08:00:00+00:00",
    ]
    assert data["next_runs"][0]["due"] > data["next_runs"][0]["scheduled"]


def test_show_of_a_configured_entry_and_of_none(make_replica: Callable[..., Replica]) -> None:
    replica = make_replica(FakeClock(ms(MONDAY)), SCHEDULE)
    line = CommandLine(replica.app)

    data = line.data("show", "nightly", "--next", "1")

    assert data["kind"] == "config"
    assert data["definition"]["args"] == [1, 2]
    assert [run["scheduled"] for run in data["next_runs"]] == ["2026-03-03T02:00:00+00:00"]
    assert "there is no entry 'daily'" in line.refused("show", "daily")


def test_what_is_shown_as_next_is_what_is_dispatched_next(
    make_replica: Callable[..., Replica],
) -> None:
    replica = make_replica(FakeClock(ms(MONDAY)), SCHEDULE)
    replica.timetable.put(daily(recurrence="*/20 * * * *"))
    line = CommandLine(replica.app)

    shown = {row["name"]: row["next_at"] for row in line.data("entries") if row["next_at"]}
    sent = {name: at_ms for name, at_ms in replica.sent_at("2026-03-02 07:20") if name == "daily"}

    assert shown["daily"] == "2026-03-02T07:20:00+00:00"
    assert sent == {"daily": ms("2026-03-02 07:20")}
    assert line.data("show", "daily")["last_at"] == "2026-03-02T07:20:00+00:00"


def test_an_app_with_another_schedule_than_the_beats_is_told_so(
    make_replica: Callable[..., Replica],
) -> None:
    replica = make_replica(FakeClock(ms(MONDAY)), SCHEDULE)
    stale = make_replica(FakeClock(ms(MONDAY)), {"old": SCHEDULE["often"]})
    stale.store.leave(stale.scheduler.replica.name)
    for _ in range(3):  # it adopts its own entries, meets the other, and gives it back
        replica.sent_at("2026-03-02 07:01")
    stale.clock.now_ms = replica.clock.now_ms

    result = CommandLine(stale.app).run("entries")

    assert lines(result.stdout)[0][3] == "not planned"
    assert "The beats have another beat_schedule" in result.stderr
    assert "not the beat_schedule of this app" in CommandLine(stale.app)("status")


def test_preview_lists_the_whole_timetable_in_order(make_replica: Callable[..., Replica]) -> None:
    replica = make_replica(FakeClock(ms(MONDAY)), {"nightly": SCHEDULE["nightly"]})
    replica.timetable.put(daily("acme:daily", tenant="acme"))
    replica.timetable.put(daily("paused"))
    replica.timetable.pause("paused")
    line = CommandLine(replica.app)

    rows = line.data("preview", "--days", "2")

    assert [(row["scheduled"][:16], row["name"]) for row in rows] == [
        ("2026-03-02T08:00", "acme:daily"),
        ("2026-03-03T02:00", "nightly"),
        ("2026-03-03T08:00", "acme:daily"),
        ("2026-03-04T02:00", "nightly"),
    ]
    assert len(line.data("preview", "nightly", "--days", "7")) == 7
    assert len(line.data("preview", "--tenant", "acme", "--days", "7")) == 7
    assert line.data("preview", "paused") == []


def test_preview_is_bounded_and_says_so(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily(recurrence=1))
    replica.timetable.put(daily("other", recurrence=1))

    result = line.run("preview", "--limit", "10", "--json")
    refused = line.refused("preview", "--most-entries", "1")

    assert len(json.loads(result.stdout)) == 10
    assert "Only the first 10, until 2026-03-02 07:00:04 UTC" in result.stderr
    assert "more than 1 entries" in refused
    assert "there is no entry 'nobody'" in line.refused("preview", "nobody")


def test_preview_with_max_runs_counts_what_ran(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily(max_runs=3))
    replica.sent_at("2026-03-02 08:00")

    assert len(line.data("preview", "--days", "30")) == 2


def test_history_and_statistics_are_those_of_the_store(line: CommandLine, replica: Replica) -> None:
    """S1-25: statistics of what was dispatched."""
    replica.timetable.put(daily())
    replica.timetable.put(daily("other"))
    replica.sent_at("2026-03-02 08:00")

    facts = line.data("history", "daily")
    figures = {row["name"]: row for row in line.data("stats")}

    assert [(fact["kind"], fact["entry"]) for fact in facts] == [("published", "daily")]
    assert facts[0]["scheduled"] == "2026-03-02T08:00:00+00:00"
    assert len(line.data("history")) == 2
    assert line.data("history", "--kind", "failed") == []
    assert figures[""]["facts"]["published"] == 2
    assert figures["daily"]["facts"]["published"] == 1
    assert figures["daily"]["lag"]["count"] == 1
    assert line.data("stats", "other")["facts"] == {"published": 1}
    assert "everything" in line("stats")
    assert line.data("stats", "--key", "nobody:held")["facts"] == {}


def test_times_are_understood_and_shown_in_utc(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily())

    asked = line.data("backfill", "daily", "2026-01-01T09:00+01:00", "2026-01-03T08:00")

    assert asked["start"] == "2026-01-01T08:00:00+00:00"
    assert asked["count"] == 3
    assert at("2026-01-03 08:00").isoformat() == asked["end"]


def test_looking_at_a_damaged_record_leaves_it_for_a_beat_to_heal(
    make_replica: Callable[..., Replica],
) -> None:
    replica = make_replica(FakeClock(ms(MONDAY)), {"nightly": SCHEDULE["nightly"]})
    replica.client.hset("{csb:shop}:slots", "nightly", "damaged")
    line = CommandLine(replica.app)

    row, shown = line.data("entries")[0], line("show", "nightly")
    replica.sent_at("2026-03-03 02:00")
    healed = line.data("show", "nightly")

    assert row["state"] == "unusable"
    assert "its record in the store is damaged" in shown
    assert healed["state"] == "on"
    assert healed["next_at"] == "2026-03-04T02:00:00+00:00"


def test_a_mistyped_name_is_told_from_one_of_which_nothing_happened(
    line: CommandLine, replica: Replica
) -> None:
    replica.timetable.put(daily())

    assert line.data("history", "daily") == []
    assert line.data("stats", "daily")["facts"] == {}
    for command in ("history", "stats"):
        assert "there is no entry 'dayly'" in line.refused(command, "dayly")


def test_replicas_tell_versions_and_how_far_their_clocks_are_off(line: CommandLine) -> None:
    (replica,) = line.data("replicas")

    assert replica["is_alive"]
    assert replica["governs"]
    assert "celery" in replica["about"]["versions"]
    assert f"celery {replica['about']['versions']['celery']}" in line("replicas")
    assert "behind" in line("replicas") or "ahead" in line("replicas")  # the test's clock


def test_a_schedule_that_no_beat_knows_yet_can_be_previewed(
    make_replica: Callable[..., Replica],
) -> None:
    replica = make_replica(FakeClock(ms(MONDAY)), {"nightly": SCHEDULE["nightly"]})
    replica.client.flushdb()
    line = CommandLine(replica.app)

    rows, shown = line.data("preview", "--days", "2"), line.data("show", "nightly", "--next", "2")

    assert shown["state"] == "not planned"
    scheduled = ["2026-03-03T02:00:00+00:00", "2026-03-04T02:00:00+00:00"]
    assert [row["scheduled"] for row in rows] == scheduled
    assert [run["scheduled"] for run in shown["next_runs"]] == scheduled
