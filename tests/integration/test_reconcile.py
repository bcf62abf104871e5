"""A database's rows as entries, on a real Redis: what comes, changes, goes, and is refused."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from celery_singleton_beat import (
    Entry,
    EntryError,
    LimitExceeded,
    ReconcileStopped,
    Report,
    TenantLimits,
    Timetable,
)
from celery_singleton_beat.adapters.extension import extension_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CRM = "crm-db"


@pytest.fixture
def timetable(redis_url: str) -> Iterator[Timetable]:
    """A timetable in an empty Redis."""
    app = Celery("shop", broker=redis_url)
    yield Timetable(app)
    extension_of(app).store.close()


def row(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "task": "reports.run", "recurrence": "0 2 * * *", **fields}


def numbers(report: Report) -> tuple[int, ...]:
    """Added, changed, unchanged, removed, refused."""
    return (report.added, report.changed, report.unchanged, report.removed, report.refused)


def names(timetable: Timetable, source: str | None = None) -> list[str]:
    return sorted(known.name for known in timetable.entries(source=source))


def test_entries_become_what_the_rows_say(timetable: Timetable) -> None:
    """S2-10, S2-12: an initial load, then reconcile."""
    first = timetable.reconcile([row("a"), row("b"), row("c")], CRM)
    second = timetable.reconcile([row("a"), row("b", jitter=5), row("d")], CRM)

    assert numbers(first) == (3, 0, 0, 0, 0)
    assert numbers(second) == (1, 1, 1, 1, 0)
    assert second.names == {"added": ["d"], "changed": ["b"], "removed": ["c"]}
    assert names(timetable, CRM) == ["a", "b", "d"]
    assert timetable.get("b").entry.jitter == 5


def test_doing_it_again_changes_nothing(timetable: Timetable) -> None:
    """S2-12: idempotent; revisions stay."""
    timetable.reconcile([row("a"), row("b")], CRM)
    before = {known.name: known.revision for known in timetable.entries()}

    report = timetable.reconcile([row("b"), row("a")], CRM)

    assert numbers(report) == (0, 0, 2, 0, 0)
    assert {known.name: known.revision for known in timetable.entries()} == before


@pytest.mark.parametrize(
    "rows",
    [
        [row("a"), Entry("b", "reports.run", 3600)],
        iter([row("a"), row("b")]),
        lambda: (row(name) for name in "ab"),
        (Entry(name, "reports.run", "@daily", source="elsewhere") for name in "ab"),
    ],
    ids=["a list", "an iterator", "a callable", "entries of another source"],
)
def test_rows_come_from_wherever_they_like(timetable: Timetable, rows: Any) -> None:
    """S2-10: from a list or a callable."""
    report = timetable.reconcile(rows, CRM)

    assert numbers(report) == (2, 0, 0, 0, 0)
    assert names(timetable, CRM) == ["a", "b"]


def test_an_entry_of_another_source_is_left_as_it_is(timetable: Timetable) -> None:
    theirs = Entry("a", "reports.run", "@daily", source="elsewhere")
    told = theirs.to_json()

    timetable.reconcile([theirs], CRM)

    assert timetable.get("a").entry.source == CRM
    assert theirs.to_json() == told


def test_entries_of_others_are_left_alone(timetable: Timetable) -> None:
    timetable.put(Entry("by hand", "reports.run", 3600))
    timetable.reconcile([row("theirs")], "erp")

    report = timetable.reconcile([row("by hand"), row("theirs"), row("ours")], CRM)
    timetable.reconcile([row("ours")], CRM)

    assert numbers(report) == (1, 0, 0, 0, 2)
    assert [refused.name for refused in report.refusals] == ["by hand", "theirs"]
    assert "is not of the source 'crm-db'" in report.refusals[0].reason
    assert names(timetable) == ["by hand", "ours", "theirs"]


def test_a_row_that_is_no_entry_is_told_and_its_entry_stays(timetable: Timetable) -> None:
    timetable.reconcile([row("a"), row("b"), row("c", tenant="t")], CRM)

    report = timetable.reconcile(
        [row("a", recurrence="61 * * * *"), row("b"), row("c", tenant="t", recurrence=60), 7], CRM
    )

    assert numbers(report) == (0, 0, 1, 0, 3)
    reasons = dict(report.refusals)
    assert "61" in reasons["a"]
    assert "min_interval" in reasons["c"]
    assert "must be an Entry or a mapping" in reasons[""]
    assert names(timetable, CRM) == ["a", "b", "c"]
    assert timetable.get("a").entry == Entry(**row("a"), source=CRM)


def test_a_tenant_gets_no_more_than_it_may_have(timetable: Timetable) -> None:
    """S2-03: also by way of the database."""
    timetable.set_limits("acme", TenantLimits(max_entries=2))

    rows = [row(f"acme:{n}", tenant="acme") for n in range(4)]
    rehearsed = timetable.reconcile(rows, CRM, dry_run=True)
    report = timetable.reconcile(rows, CRM)

    assert numbers(rehearsed) == numbers(report) == (2, 0, 0, 0, 2)
    assert rehearsed.refusals == report.refusals
    assert "max_entries" in report.refusals[0].reason


def test_a_name_that_comes_twice_is_told(timetable: Timetable) -> None:
    report = timetable.reconcile([row("a"), row("a", jitter=5), row("b")], CRM, batch=1)

    assert numbers(report) == (2, 0, 0, 0, 1)
    assert report.refusals[0].name == "a"
    assert "came before" in report.refusals[0].reason
    assert timetable.get("a").entry.jitter == 0


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_a_dry_run_tells_the_same_and_writes_nothing(timetable: Timetable, batch: int) -> None:
    timetable.put(Entry("hand", "reports.run", 3600))
    timetable.reconcile([row("a"), row("b"), row("c"), row("d")], CRM)
    before = {known.name: known for known in timetable.entries()}
    rows = [row("a"), row("b", jitter=9), row("e"), row("hand"), row("d", task=""), row("e")]

    rehearsed = timetable.reconcile(rows, CRM, dry_run=True, batch=batch)
    unwritten = {known.name: known for known in timetable.entries()}
    report = timetable.reconcile(rows, CRM, batch=batch)

    assert unwritten == before
    assert rehearsed.is_dry_run
    assert numbers(rehearsed) == numbers(report) == (1, 1, 1, 1, 3)
    assert rehearsed.names == report.names
    assert rehearsed.refusals == report.refusals


@pytest.mark.parametrize("dry_run", [False, True])
def test_nothing_is_removed_when_the_rows_break_off(timetable: Timetable, dry_run: bool) -> None:
    timetable.reconcile([row(f"e{n}") for n in range(9)], CRM)

    def broken() -> Iterator[dict[str, Any]]:
        yield from (row(f"e{n}", jitter=1) for n in range(5))
        msg = "server closed the connection"
        raise OSError(msg)

    with pytest.raises(ReconcileStopped, match=r"broke off after 5.*server closed") as stopped:
        timetable.reconcile(broken, CRM, batch=2, dry_run=dry_run)

    assert isinstance(stopped.value.__cause__, OSError)
    assert isinstance(stopped.value.report, Report)
    assert numbers(stopped.value.report) == (0, 5, 0, 0, 0)
    assert len(names(timetable, CRM)) == 9


@pytest.mark.parametrize("rows", [[], [row("a", recurrence="never")], [{"id": None}]])
@pytest.mark.parametrize("dry_run", [False, True])
def test_all_is_removed_only_if_that_is_meant(
    timetable: Timetable, rows: list[Any], dry_run: bool
) -> None:
    timetable.reconcile([row("b"), row("c")], CRM)

    with pytest.raises(ReconcileStopped, match="say may_remove_all=True"):
        timetable.reconcile(rows, CRM, dry_run=dry_run)
    kept = names(timetable, CRM)
    report = timetable.reconcile(rows, CRM, may_remove_all=True)

    assert kept == ["b", "c"]
    assert report.removed == 2
    assert names(timetable, CRM) == []


def test_no_rows_for_a_source_that_has_nothing_is_no_error(timetable: Timetable) -> None:
    assert numbers(timetable.reconcile([], CRM)) == (0, 0, 0, 0, 0)


def test_what_a_row_leaves_out_comes_from_the_defaults(timetable: Timetable) -> None:
    """S2-09: id, tenant, name, cron expression, time zone, payload, enabled."""
    report = timetable.reconcile(
        [
            {
                "id": 42,
                "customerId": "acme",
                "name": "Nightly",
                "cronExpression": "0 2 * * *",
                "timezone": None,
                "payload": {"to": "a@b.example"},
                "enabled": False,
                "createdAt": "2026-01-01",
            }
        ],
        CRM,
        defaults={"task": "reports.run", "timezone": "Europe/Rome", "jitter": 30},
    )

    assert numbers(report) == (1, 0, 0, 0, 0)
    assert timetable.get("42").entry == Entry(
        "42",
        "reports.run",
        "0 2 * * *",
        timezone="Europe/Rome",
        kwargs={"to": "a@b.example"},
        tenant="acme",
        jitter=30,
        enabled=False,
        source=CRM,
        description="Nightly",
    )


def test_a_row_may_not_say_one_thing_twice(timetable: Timetable) -> None:
    report = timetable.reconcile([{**row("a"), "cron": "@daily"}, row("b", timzone="UTC")], CRM)

    assert "has both 'recurrence' and 'cron'" in report.refusals[0].reason
    assert "did you mean timezone" in report.refusals[1].reason


def test_a_report_stays_small(timetable: Timetable) -> None:
    report = timetable.reconcile((row(f"e{n}", task="") for n in range(300)), CRM)

    assert (report.refused, len(report.refusals)) == (300, 100)
    assert str(report).startswith("crm-db: 300 rows, 0 added")


def test_progress_is_told_after_every_batch(
    timetable: Timetable, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    timetable.reconcile(
        [row(f"e{n}") for n in range(5)],
        CRM,
        batch=2,
        progress=lambda report: told.append(report.rows),
    )
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)

    timetable.reconcile([row(f"e{n}") for n in range(5)], CRM)
    shown = terminal.getvalue()
    timetable.reconcile([row(f"e{n}") for n in range(5)], CRM, progress=False)

    assert told == [2, 4, 5]
    assert "crm-db: 5 rows" in shown
    assert shown.endswith("\r\x1b[K")
    assert terminal.getvalue() == shown


def test_events_are_followed(timetable: Timetable) -> None:
    """S2-13, S2-15: created, updated, deleted; the same event twice changes nothing."""
    schedule = {"id": "s1", "tenantId": "acme", "cron": "0 2 * * *", "payload": {"n": 1}}
    fields: dict[str, Any] = {"source": CRM, "defaults": {"task": "reports.run"}}

    created = timetable.on_event({"type": "created", "schedule": schedule}, **fields)
    again = timetable.on_event(json.dumps({"type": "created", "schedule": schedule}), **fields)
    update = {"type": "updated", "schedule": {**schedule, "payload": {"n": 2}}}
    updated = timetable.on_event(json.dumps(update).encode(), **fields)
    kwargs = timetable.get("s1").entry.kwargs
    deleted = timetable.on_event({"type": "deleted", "scheduleId": "s1"}, **fields)
    gone = timetable.on_event({"type": "deleted", "schedule": {"id": "s1"}}, **fields)

    assert (created, again, updated, deleted, gone) == (True, False, True, True, False)
    assert kwargs == {"n": 2}
    assert names(timetable) == []


def test_an_event_and_a_row_make_the_same_entry(timetable: Timetable) -> None:
    """S2-14: upsert; enabled=False takes it out of dispatch."""
    schedule = {**row("a"), "enabled": False}
    timetable.on_event({"type": "updated", "schedule": schedule}, CRM)

    report = timetable.reconcile([schedule], CRM)

    assert report.unchanged == 1
    assert timetable.next_runs("a") == []


def test_an_event_during_a_reconcile_is_not_undone_by_its_end(timetable: Timetable) -> None:
    timetable.reconcile([row("a"), row("b")], CRM)

    def rows() -> Iterator[dict[str, Any]]:
        yield row("a")
        timetable.on_event({"type": "created", "schedule": row("new")}, CRM)

    report = timetable.reconcile(rows, CRM)

    assert report.names["removed"] == ["b"]
    assert names(timetable, CRM) == ["a", "new"]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("no json", "must be JSON"),
        (7, "must be a mapping"),
        ({"type": "upserted"}, "must be 'created', 'updated' or 'deleted'"),
        ({"type": "created"}, "needs a 'schedule'"),
        ({"type": "deleted", "schedule": {}}, "needs a 'scheduleId'"),
        ({"type": "created", "schedule": {"id": "x"}}, "needs a 'task'"),
        ({"type": "created", "schedule": row("hand")}, "is not of the source"),
        ({"type": "deleted", "schedule": "hand"}, "is not of the source"),
    ],
)
def test_an_event_that_cannot_be_followed_says_why(
    timetable: Timetable, event: Any, told: str
) -> None:
    timetable.put(Entry("hand", "reports.run", 3600))

    with pytest.raises(EntryError, match=told):
        timetable.on_event(event, CRM)


def test_an_event_keeps_within_the_limits(timetable: Timetable) -> None:
    """S2-04: also by way of a bus."""
    too_often = row("a", tenant="acme", recurrence=timedelta(minutes=1))

    with pytest.raises(LimitExceeded, match="min_interval"):
        timetable.on_event({"type": "created", "schedule": too_often}, CRM)
