"""Commands that change the timetable: the store has what they say, and refuses as the API does."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from celery_singleton_beat import TenantLimits
from tests.integration.stored import at, daily, ms

if TYPE_CHECKING:
    import pathlib

    from tests.integration.command_line import CommandLine
    from tests.integration.stored import Replica


def test_an_entry_is_added_with_any_of_its_fields(line: CommandLine, replica: Replica) -> None:
    told = line(
        *("add", "acme:nightly", "shop.add", "0 2 * * *", "--timezone", "America/New_York"),
        *("--args", "[1]", "--kwargs", '{"y": 2}', "--options", '{"queue": "slow"}'),
        *("--tenant", "acme", "--jitter", "30", "--catch-up", "all", "--catch-up-max", "5"),
        *("--start", "2026-03-05", "--end", "2027-03-05T00:00Z", "--max-runs", "9"),
        *("--overlap", "skip", "--description", "for the boss", "--by", "ann"),
    )

    known = replica.timetable.get("acme:nightly")
    entry = known.entry
    assert str(known.revision) in told
    assert known.changed_by == "ann"
    assert (entry.timezone, entry.args, entry.kwargs) == ("America/New_York", (1,), {"y": 2})
    assert (entry.options, entry.tenant, entry.jitter) == ({"queue": "slow"}, "acme", 30)
    assert (entry.catch_up, entry.catch_up_max, entry.max_runs) == ("all", 5, 9)
    assert (entry.start, entry.end) == (at("2026-03-05"), at("2027-03-05"))
    assert (entry.overlap, entry.description) == ("skip", "for the boss")


@pytest.mark.parametrize(
    ("when", "spec"),
    [
        ("90", {"type": "interval", "seconds": 90}),
        ("0.5", {"type": "interval", "seconds": 0.5}),
        ("0 2 * * *", {"type": "cron", "expression": "0 2 * * *"}),
        ("@daily", {"type": "cron", "expression": "@daily"}),
        ("2026-12-31T22:00+01:00", {"type": "once", "at": "2026-12-31T21:00:00+00:00"}),
        ("FREQ=DAILY;BYHOUR=9", {"type": "rrule", "text": "RRULE:FREQ=DAILY;BYHOUR=9"}),
    ],
)
def test_when_is_whatever_a_recurrence_can_be(
    line: CommandLine, replica: Replica, when: str, spec: dict[str, Any]
) -> None:
    line("add", "one", "shop.add", when, "--args", "[1]")

    assert replica.timetable.get("one").entry.spec.to_json() == spec


def test_an_entry_that_is_there_is_not_replaced_unasked(
    line: CommandLine, replica: Replica
) -> None:
    replica.timetable.put(daily())

    told = line.refused("add", "daily", "shop.add", "60")
    line("add", "daily", "shop.add", "60", "--replace")

    assert "there is an entry 'daily' already" in told
    assert replica.timetable.get("daily").entry.spec.to_json()["seconds"] == 60


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["0 2 * *"], "'0 2 * *'"),
        (["60", "--timezone", "Europe/Atlantis"], "Atlantis"),
        (["60", "--args", "{}"], "no JSON list"),
        (["60", "--kwargs", "{"], "no JSON"),
        (["60", "--start", "soon"], "'soon' is no time"),
        (["60", "--jitter", "90"], "jitter of 90 seconds"),
        (["60", "--jitter", "long"], "'long' is no number"),
        (["60", "--catch-up", "some"], "some"),
        (["60", "--tenant", "acme"], "60 seconds apart, and 300 are the least"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason_and_nothing_is_stored(
    line: CommandLine, replica: Replica, words: list[str], told: str
) -> None:
    assert told in line.refused("add", "one", "shop.add", *words, code=2)

    assert list(replica.timetable.entries()) == []


def test_a_task_that_the_app_does_not_know_is_warned_of(line: CommandLine) -> None:
    result = line.run("add", "one", "shop.ad", "60", "--json")

    assert result.exit_code == 0
    assert "knows no task 'shop.ad'. Is 'shop.add' meant?" in result.stderr
    assert json.loads(result.stdout)["name"] == "one"


def test_update_changes_what_is_given_and_clears_what_is_named(
    line: CommandLine, replica: Replica
) -> None:
    replica.timetable.put(daily(jitter=60, max_runs=3, kwargs={"y": 1}))

    line("update", "daily", "--when", "30 9 * * *", "--clear", "max-runs", "--clear", "kwargs")

    entry = replica.timetable.get("daily").entry
    assert entry.spec.to_json()["expression"] == "30 9 * * *"
    assert (entry.jitter, entry.max_runs, entry.kwargs, entry.args) == (60, None, {}, (1,))
    assert "nothing is to be changed" in line.refused("update", "daily", code=2)
    assert "no stored entry 'other'" in line.refused("update", "other", "--jitter", "1")


def test_pause_resume_disable_and_enable(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily())
    replica.timetable.put(daily("other"))

    first = line("pause", "daily", "other", "--note", "why", "--by", "ann")
    again = line.data("pause", "daily")
    known = replica.timetable.get("daily")
    line("resume", "daily", "other")
    line("disable", "daily")
    was_enabled = replica.timetable.get("daily").entry.enabled
    line("enable", "daily")

    assert first.splitlines() == ["'daily' is paused.", "'other' is paused."]
    assert again == {"paused": ["daily"], "changed": []}
    assert (known.is_paused, known.note, known.changed_by) == (True, "why", "ann")
    assert not was_enabled
    assert replica.timetable.get("daily").entry.enabled


def test_everything_or_a_tenant_is_paused_at_once(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily("acme:daily", tenant="acme"))
    replica.timetable.put(daily())

    line("pause", "--all", "--tenant", "acme")
    of_tenant = replica.sent_at("2026-03-02 08:00")
    line("pause", "--all")
    nothing = replica.sent_at("2026-03-03 08:00")
    line("resume", "--all")
    line("resume", "--tenant", "acme")
    both = sorted(name for name, _ in replica.sent_at("2026-03-04 08:00"))

    assert of_tenant == [("daily", ms("2026-03-02 08:00"))]
    assert nothing == []
    assert both == ["acme:daily", "daily"]


def test_pause_needs_to_know_what(line: CommandLine) -> None:
    assert "or --all" in line.refused("pause", code=2)
    assert "not both" in line.refused("pause", "daily", "--all", code=2)


def test_of_several_names_none_is_changed_if_one_is_unknown(
    line: CommandLine, replica: Replica
) -> None:
    replica.timetable.put(daily())

    told = line.refused("pause", "daily", "dayly")

    assert "no stored entry 'dayly'" in told
    assert not replica.timetable.get("daily").is_paused


def test_remove_asks_and_does_it_with_yes(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily())

    unasked = line.refused("remove", "daily", code=2)
    is_there = list(replica.timetable.entries())
    removed = line.data("remove", "daily", "--yes")

    assert "say --yes" in unasked
    assert is_there
    assert removed == {"removed": ["daily"], "missing": []}
    assert list(replica.timetable.entries()) == []


def test_an_entry_of_the_configuration_is_not_changed_here(
    line: CommandLine, replica: Replica
) -> None:
    replica.app.conf.beat_schedule = {"fixed": {"task": "shop.add", "schedule": 30, "args": (1,)}}

    for words in (["pause", "fixed"], ["update", "fixed", "--jitter", "1"], ["remove", "fixed"]):
        assert "is an entry of beat_schedule" in line.refused(*words, code=2)
    assert "give this one another name" in line.refused("add", "fixed", "shop.add", "9", code=2)


def test_runs_are_asked_for_listed_and_cancelled(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily())

    asked = line.data("run-now", "daily", "--by", "ann")
    line("backfill", "daily", "2026-01-01", "2026-01-31", "--request-id", "ticket-4711")
    listed = {row["request"]: row for row in line.data("requests")}
    line("cancel", "ticket-4711")
    replica.clock.now_ms += 1
    sent = [message["headers"]["id"] for message in replica.dispatch()]

    assert listed["ticket-4711"]["count"] == 30
    assert {row["kind"] for row in listed.values()} == {"backfill", "run now"}
    assert sent == [asked["task_id"]]
    assert "no open request 'ticket-4711'" in line.refused("cancel", "ticket-4711")
    assert line("requests", "daily") == ""


def test_a_backfill_that_is_too_long_or_to_come_is_refused(
    line: CommandLine, replica: Replica
) -> None:
    replica.timetable.put(daily(recurrence=1))

    assert "about" in line.refused("backfill", "daily", "2026-01-01", "2026-02-01")
    assert "to come" in line.refused("backfill", "daily", "2026-01-01", "2027-01-01", code=2)
    assert line.data("requests") == []


def test_what_is_stopped_does_not_run_now(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily())
    replica.timetable.pause("daily")

    assert "it is paused" in line.refused("run-now", "daily")
    assert "there is no entry 'other'" in line.refused("run-now", "other")


def test_limits_of_a_tenant_are_shown_and_set(line: CommandLine, replica: Replica) -> None:
    replica.timetable.put(daily("acme:daily", tenant="acme"))

    line("limit", "acme", "--max-entries", "3", "--min-interval", "60")
    line("limit", "acme", "--max-per-minute", "7", "--min-interval", "none")
    own = replica.timetable.limits("acme")
    shown = line.data("tenants")
    line("limit", "acme", "--default")

    assert own == TenantLimits(3, None, 7)
    assert shown == [
        {
            "name": "acme",
            "entries": 1,
            "paused": False,
            "own_limits": True,
            "limits": {"max_entries": 3, "min_interval": None, "max_per_minute": 7},
            "used_this_minute": 0,
        }
    ]
    assert replica.timetable.limits("acme") == TenantLimits(20, timedelta(minutes=5), None)
    assert "one of them" in line.refused("limit", "acme", code=2)
    assert "max_entries" in line.refused("limit", "acme", "--max-entries", "-1", code=2)


def test_reconcile_from_a_file_or_the_standard_input(
    line: CommandLine, replica: Replica, tmp_path: pathlib.Path
) -> None:
    rows = [{"name": name, "task": "shop.add", "recurrence": "@hourly"} for name in ("a", "b")]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    per_line = json.dumps(rows[0]) + "\n\n" + json.dumps({**rows[1], "recurrence": "@daily"}) + "\n"

    dry = line.data("reconcile", str(file), "--source", "crm", "--dry-run")
    is_empty = not list(replica.timetable.entries())
    line("reconcile", str(file), "--source", "crm")
    again = line.data("reconcile", "-", "--source", "crm", given=per_line)

    assert (dry["added"], dry["is_dry_run"], is_empty) == (2, True, True)
    assert (again["added"], again["changed"], again["unchanged"]) == (0, 1, 1)
    assert {known.entry.source for known in replica.timetable.entries()} == {"crm"}


def test_refused_rows_are_told_and_nothing_is_lost_by_half_a_file(
    line: CommandLine, replica: Replica
) -> None:
    row = {"task": "shop.add", "recurrence": "@hourly"}
    good, bad = {**row, "name": "a"}, {**row, "name": "b", "recurrence": "@never"}
    line("reconcile", "-", "--source", "crm", given=json.dumps([good, {**row, "name": "b"}]))

    refused = line.refused("reconcile", "-", "--source", "crm", given=json.dumps([good, bad]))
    broken = line.refused(
        "reconcile", "-", "--source", "crm", given=json.dumps(good) + "\n{", code=1
    )

    assert "b: " in refused
    assert "1 rows were refused" in refused
    assert "line 2 is no JSON" in broken
    assert sorted(known.name for known in replica.timetable.entries()) == ["a", "b"]
    assert "no JSON" in line.refused("reconcile", "-", "--source", "crm", given="[{", code=1)
