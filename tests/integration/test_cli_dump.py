"""Export and restore: a stored timetable as JSON, and back, as it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from celery_singleton_beat import StoreUnavailable, TenantLimits
from celery_singleton_beat.testing import FakeClock
from tests.integration.command_line import CommandLine
from tests.integration.stored import at, daily, ms

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable

    from tests.integration.stored import Replica

MONDAY = "2026-03-02 07:00"


def fill(replica: Replica) -> None:
    """Store entries of every standing: of tenants with and without limits, paused, disabled."""
    timetable = replica.timetable
    timetable.set_limits("acme", TenantLimits(5, 60, 9))
    for name in ("acme:a", "acme:b"):
        timetable.put(daily(name, tenant="acme", jitter=60, description="Grüße"), by="ann")
    timetable.set_limits("acme", TenantLimits(1, 60, 9))  # it has more than that by now
    timetable.put(daily("globex:a", tenant="globex", start=at("2026-01-01 00:00"), max_runs=4))
    timetable.put(daily("off", enabled=False, options={"queue": "slow"}))
    timetable.put(daily("held"))
    timetable.pause("acme:b", note="invoice | overdue", by="bob")
    timetable.pause("held", by="bob")
    timetable.pause_all(tenant="globex")
    timetable.pause_all()


def state(line: CommandLine) -> dict[str, Any]:
    """What is exported, but for when, and for who changed an entry last."""
    data: dict[str, Any] = json.loads(line("export"))
    del data["exported_at"]
    for entry in data["entries"]:
        del entry["changed_by"]
    data["entries"].sort(key=lambda entry: entry["definition"]["name"])
    return data


def test_what_is_exported_comes_back_into_an_empty_store_as_it_was(
    line: CommandLine, replica: Replica, tmp_path: pathlib.Path
) -> None:
    fill(replica)
    before, file = state(line), tmp_path / "timetable.json"
    line("export", "--output", str(file))

    replica.client.flushdb()
    report = line.data("restore", str(file))

    assert state(line) == before
    assert (report["added"], report["paused"], report["tenants"]) == (5, 2, 2)
    assert before["paused"] is True
    assert [entry["paused"] for entry in before["entries"]] == [False, True, False, True, False]
    assert before["entries"][1]["note"] != ""


def test_restoring_again_changes_nothing(line: CommandLine, replica: Replica) -> None:
    fill(replica)
    document = line("export")
    revisions = {known.name: known.revision for known in replica.timetable.entries()}

    report = line.data("restore", "-", given=document)

    assert report["unchanged"] == 5
    assert not any(report[kind] for kind in ("added", "changed", "paused", "resumed", "tenants"))
    assert not report["is_pause_changed"]
    assert revisions == {known.name: known.revision for known in replica.timetable.entries()}


def test_what_was_changed_since_is_as_it_was_again_and_what_is_new_stays(
    line: CommandLine, replica: Replica
) -> None:
    fill(replica)
    before, document = state(line), line("export")
    timetable = replica.timetable
    timetable.resume_all()
    timetable.resume_all(tenant="globex")
    timetable.set_limits("acme", None)
    timetable.set_limits("globex", TenantLimits(1, None, None))
    timetable.update("acme:a", recurrence="@hourly")
    timetable.pause("acme:a", note="since then")
    timetable.resume("acme:b")
    timetable.resume("held")
    timetable.pause("held", note="another reason")
    timetable.remove("off")
    timetable.put(daily("new"))

    line("restore", "-", given=document)

    after = state(line)
    names = [entry["definition"]["name"] for entry in after["entries"]]
    assert "new" in names
    after["entries"] = [of for of in after["entries"] if of["definition"]["name"] != "new"]
    assert after == before


def test_limits_of_now_do_not_keep_out_what_a_tenant_had(
    line: CommandLine, replica: Replica
) -> None:
    fill(replica)
    before, document = state(line), line("export")
    for name in ("acme:a", "acme:b", "globex:a"):
        replica.timetable.remove(name)
    data = json.loads(document)
    replica.timetable.set_limits("globex", TenantLimits(0, None, None))
    data["tenants"] = [of for of in data["tenants"] if of["name"] == "acme"]

    line("restore", "-", given=json.dumps(data))

    after = state(line)
    assert after["entries"] == before["entries"]
    limits = {tenant["name"]: tenant["limits"] for tenant in after["tenants"]}
    assert limits["acme"]["max_entries"] == 1
    assert limits["globex"]["max_entries"] == 0  # the document does not tell of it


def test_a_restore_that_breaks_off_leaves_the_limits_and_is_finished_by_another(
    line: CommandLine, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(replica)
    before, document = state(line), line("export")
    for known in list(replica.timetable.entries()):
        replica.timetable.remove(known.name)
    real, answers = replica.store.put, iter([True, False])

    def put(puts: Any, quota: Any) -> Any:
        if next(answers, True):
            return real(puts, quota)
        raise StoreUnavailable("the store went away")

    monkeypatch.setattr(replica.store, "put", put)
    told = line.refused("restore", "-", given=document)
    limits = replica.timetable.limits("acme")
    held_back = {known.name: known for known in replica.timetable.entries()}
    line("restore", "-", given=document)

    assert "the store went away" in told
    assert limits == TenantLimits(1, 60, 9)
    assert not any(known.entry.enabled and not known.is_paused for known in held_back.values())
    assert state(line) == before


def test_a_dry_run_tells_the_same_and_changes_nothing(line: CommandLine, replica: Replica) -> None:
    fill(replica)
    document = line("export")
    replica.timetable.remove("held")
    replica.timetable.resume_all()
    before = state(line)

    dry = line.data("restore", "-", "--dry-run", given=document)
    after_dry = state(line)
    wet = line.data("restore", "-", given=document)

    assert after_dry == before
    assert dry.pop("is_dry_run")
    assert not wet.pop("is_dry_run")
    assert dry == wet
    assert (wet["added"], wet["is_pause_changed"]) == (1, True)


def test_what_is_restored_as_paused_is_not_dispatched_meanwhile(
    make_replica: Callable[..., Replica],
) -> None:
    replica = make_replica(FakeClock(ms(MONDAY)))
    line = CommandLine(replica.app)
    replica.timetable.put(daily("held"))
    replica.timetable.pause("held", note="why")
    document = line("export")
    replica.client.flushdb()
    real = replica.store.put
    seen: list[Any] = []

    def put(puts: Any, quota: Any) -> Any:
        answer = real(puts, quota)
        # The worst moment: a beat looks between two steps of the restore, at a due time.
        replica.clock.now_ms += 25 * 3_600_000
        seen.extend(replica.sent())
        return answer

    replica.store.put = put  # type: ignore[method-assign]
    line("restore", "-", given=document)

    assert seen == []
    assert replica.timetable.get("held").is_paused


def ruin(what: str) -> Callable[[dict[str, Any]], object]:
    """A way to spoil a document."""
    return {
        "no recurrence": lambda data: data["entries"][-1]["definition"].pop("recurrence"),
        "a bad zone": lambda data: data["entries"][-1]["definition"].update(timezone="No/Where"),
        "a newer version": lambda data: data.update(version=99),
        "another format": lambda data: data.update(format="something"),
        "no list": lambda data: data.update(entries={}),
        "no object": lambda data: data["entries"].append(7),
        "a name twice": lambda data: data["entries"].append(data["entries"][0]),
        "an odd flag": lambda data: data["entries"][-1].update(paused="yes"),
        "an odd note": lambda data: data["entries"][-1].update(note=7),
        "an unknown field": lambda data: data["entries"][-1].update(pausd=True),
        "odd limits": lambda data: data["tenants"][-1].update(limits={"max_entries": -1}),
        "limits that are none": lambda data: data["tenants"][-1].update(limits=[1]),
        "a tenant without name": lambda data: data["tenants"].append({"paused": True}),
    }[what]


@pytest.mark.parametrize(
    "what",
    [
        *("no recurrence", "a bad zone", "a newer version", "another format", "no list"),
        *("no object", "a name twice", "an odd flag", "an odd note", "an unknown field"),
        *("odd limits", "limits that are none", "a tenant without name"),
    ],
)
def test_a_document_with_anything_wrong_changes_nothing(
    line: CommandLine, replica: Replica, what: str
) -> None:
    fill(replica)
    document = json.loads(line("export"))
    replica.client.flushdb()
    replica.timetable.put(daily("mine"))
    before = state(line)
    ruin(what)(document)

    told = line.refused("restore", "-", code=2, given=json.dumps(document))

    assert told.startswith("Error: ")
    assert state(line) == before


def test_what_is_no_json_is_refused(line: CommandLine) -> None:
    assert "is no JSON" in line.refused("restore", "-", code=2, given='{"format": ')
    assert "'format'" in line.refused("restore", "-", code=2, given="[]")


def test_an_entry_that_cannot_be_read_is_left_out_and_told(
    line: CommandLine, replica: Replica
) -> None:
    replica.timetable.put(daily())
    replica.timetable.put(daily("damaged"))
    card = replica.client.hget("{csb:shop}:cards", "damaged")
    replica.client.hset("{csb:shop}:cards", "damaged", card.replace('"version":1', '"version":9'))

    result = line.run("export")

    assert result.exit_code == 1
    assert "1 entries cannot be read here, and are left out: 'damaged'" in result.stderr
    document = json.loads(result.stdout)
    assert [entry["definition"]["name"] for entry in document["entries"]] == ["daily"]
    assert "release" in line("show", "damaged")
