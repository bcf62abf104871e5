"""The examples, as they stand, on a real Redis with real beats and workers."""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery

from celery_singleton_beat import SingletonScheduler, Timetable
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.protocol.recurrences.spec import spec_of
from tests.integration.visitors import Visitor, form_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rig.processes import CeleryRig, Proc

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ROME = ZoneInfo("Europe/Rome")
UTC = timezone.utc

GOVERNS = r"standing='GOVERNS'"


@pytest.fixture
def start(make_celery: Callable[..., CeleryRig], redis_url: str) -> Callable[[str], CeleryRig]:
    """A starter of an example: the rig of its module, on an empty Redis."""

    def start(module: str) -> CeleryRig:
        paths = os.pathsep.join([str(ROOT), str(EXAMPLES)])
        return make_celery(module, {"REDIS_URL": redis_url, "PYTHONPATH": paths})

    return start


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Callable[[str], Celery]:
    """A loader of an example's application, on the same Redis."""

    def load(module: str) -> Celery:
        monkeypatch.setenv("REDIS_URL", redis_url)
        spec = importlib.util.spec_from_file_location(module, EXAMPLES / f"{module}.py")
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, module, loaded)
        spec.loader.exec_module(loaded)
        app: Celery = loaded.app
        return app

    return load


@pytest.fixture
def run_code(redis_url: str, tmp_path: Path) -> Callable[..., None]:
    """A runner of lines of Python beside the examples, on the same Redis, in the same folder."""

    def run_code(*lines: str) -> None:
        paths = os.pathsep.join([str(ROOT), str(EXAMPLES)])
        env = {**os.environ, "REDIS_URL": redis_url, "PYTHONPATH": paths}
        command = [sys.executable, "-c", "\n".join(lines)]
        subprocess.run(command, check=True, cwd=tmp_path, env=env)

    return run_code


def test_every_example_is_run_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")

    untested = [path.stem for path in EXAMPLES.glob("*.py") if f'start("{path.stem}")' not in here]

    assert untested == []


def test_the_shop_ticks_once_a_second_with_two_beats(start: Callable[[str], CeleryRig]) -> None:
    shop = start("shop")
    worker = shop.worker()
    beats = [shop.beat(), shop.beat()]

    worker.wait_for(r"tick of \S+ \S+, fence \d+", 60)
    seen = len(worker.lines)
    for _ in range(4):
        line = worker.wait_for("tick of ", 30, since=seen)
        seen = worker.lines.index(line, seen) + 1
    ticks = [
        (datetime.fromisoformat(found[1]), int(found[2]))
        for found in re.finditer(r"tick of (\S+ \S+), fence (\d+)", "\n".join(worker.lines))
    ]

    assert [beat.terminate() for beat in beats] == [0, 0]
    moments = [at for at, _ in ticks]
    seconds = round((moments[-1] - moments[0]).total_seconds())
    due = {moments[0] + timedelta(seconds=n) for n in range(seconds + 1)}
    assert moments == sorted(due - superseded(beats, "tick", 1000))
    fences = [fence for _, fence in ticks]
    assert fences == sorted(set(fences))


def test_the_shops_report_is_planned_by_the_clock_of_rome(
    start: Callable[[str], CeleryRig], load: Callable[[str], Celery]
) -> None:
    start("shop").beat().wait_for(GOVERNS, 60)

    planned = planned_times(load("shop"), "report")

    (at,) = planned
    assert timedelta(0) < at - datetime.now(UTC) + timedelta(minutes=1) <= timedelta(minutes=6)
    assert (at.astimezone(ROME).minute % 5, at.second, at.microsecond) == (0, 0, 0)


def test_the_stores_jobs_are_planned_and_run(
    start: Callable[[str], CeleryRig], load: Callable[[str], Celery]
) -> None:
    """S1-07, S1-08: 00:00 and 06:00 daily, TTL 10 min; every 30 min, TTL 5 min."""
    rig = start("store_hours")
    worker = rig.worker()
    rig.beat().wait_for(GOVERNS, 60)
    rig.run("call", "store.auto_close", name="call close").wait_ended(30)
    rig.run("call", "store.open_reminder", name="call remind").wait_ended(30)

    worker.wait_for(r"Task store\.auto_close\[.*succeeded", 30)
    worker.wait_for(r"Task store\.open_reminder\[.*succeeded", 30)
    app = load("store_hours")
    closing, reminding = planned_times(app, "store-auto-close", "store-open-reminder")

    assert (closing.hour in (0, 6), closing.minute, closing.second) == (True, 0, 0)
    assert (reminding.minute in (0, 30), reminding.second) == (True, 0)
    assert times_of_a_day(app, "store-auto-close") == ["00:00", "06:00"]
    assert len(times_of_a_day(app, "store-open-reminder")) == 48
    assert locks(app, "store.auto_close") == ("cron:store-auto-close", 600)
    assert locks(app, "store.open_reminder") == ("cron:store-open-reminder", 300)


def test_the_upkeep_jobs_are_planned_and_run(
    start: Callable[[str], CeleryRig], load: Callable[[str], Celery]
) -> None:
    """S4-11: hourly; daily 02:00; every 30 s with 3 retries."""
    rig = start("upkeep")
    worker = rig.worker()
    rig.beat().wait_for(GOVERNS, 60)
    rig.run("call", "upkeep.hourly", name="call hourly").wait_ended(30)
    rig.run("call", "upkeep.cleanup", name="call cleanup").wait_ended(30)

    worker.wait_for(r"Task upkeep\.hourly\[.*succeeded", 30)
    worker.wait_for(r"Task upkeep\.cleanup\[.*succeeded", 30)
    worker.wait_for(r"Task upkeep\.check_health\[.*succeeded", 60)
    app = load("upkeep")
    hourly, nightly = planned_times(app, "hourly-task", "daily-cleanup")

    assert (hourly.minute, hourly.second) == (0, 0)
    assert (nightly.hour, nightly.minute, nightly.second) == (2, 0, 0)
    assert len(times_of_a_day(app, "hourly-task")) == 24
    assert times_of_a_day(app, "daily-cleanup") == ["02:00"]
    assert len(times_of_a_day(app, "health-check")) == 24 * 60 * 2
    assert locks(app, "upkeep.hourly") == ("hourly-task", 300)
    assert locks(app, "upkeep.cleanup") == ("daily-cleanup", 3600)
    assert locks(app, "upkeep.check_health") == ("health-check", 30)
    options = app.tasks["upkeep.check_health"].singleton_options
    assert (options.on_locked, options.lock_retries, options.lock_retry_delay_ms) == (
        "retry",
        3,
        500,
    )


def test_a_frozen_holders_late_write_is_refused(
    start: Callable[[str], CeleryRig], tmp_path: Path
) -> None:
    """F5: by the table, which compares fencing numbers; the lock alone cannot."""
    rig = start("fencing")
    late = rig.worker()
    rig.run("call", "fencing.count", "--args", '["apples", 5]', name="call first").wait_ended(30)
    old = fence_of(late.wait_for(r"counting apples, fence \d+", 30))
    late.freeze(group=True)
    successor = rig.worker()
    rig.run("call", "fencing.count", "--args", '["apples", 0]', name="call next").wait_ended(30)

    new = fence_of(successor.wait_for(r"counted apples, fence \d+", 60))
    late.thaw()
    refused = late.wait_for(r"refused: apples .* fence \d+", 60)

    assert new > old
    assert fence_of(refused) == old
    with closing(sqlite3.connect(tmp_path / "stock.sqlite3")) as stock:
        rows = stock.execute("SELECT * FROM stock").fetchall()
    assert rows == [("apples", f"as counted by {successor.name}@rig", new)]


def test_the_table_of_sqlalchemy_is_what_is_planned(
    start: Callable[[str], CeleryRig], run_code: Callable[..., None], redis_url: str
) -> None:
    """S2-10, S2-12: the database is the source of truth."""
    rig = start("reconcile_sqlalchemy")
    fields = "customer='', cron='* * * * * *'"
    run_code(
        "import reconcile_sqlalchemy as crm",
        "crm.create_table()",
        "with crm.Session(crm.database) as session, session.begin():",
        f"    session.add(crm.Schedule(id='each second', payload={{'n': 1}}, {fields}))",
        "    session.add(crm.Schedule(id='nightly', customer='acme', cron='0 2 * * *'))",
        "    session.add(crm.Schedule(id='wrong', customer='acme', cron='0 25 * * *'))",
    )
    worker = rig.worker()
    rig.run("call", "crm.reconcile", name="call reconcile").wait_ended(30)
    worker.wait_for(r"crm-db: 3 rows, 2 added, .* 1 refused", 60)
    planned = {known.name for known in Timetable(Celery("crm", broker=redis_url)).entries()}
    rig.beat()
    worker.wait_for(r"report of \{'n': 1\}", 60)

    run_code(
        "import reconcile_sqlalchemy as crm",
        "with crm.Session(crm.database) as session, session.begin():",
        "    session.delete(session.get(crm.Schedule, 'each second'))",
    )
    rig.run("call", "crm.reconcile", name="call again").wait_ended(30)
    worker.wait_for(r"crm-db: 2 rows, .* 1 removed", 60)
    left = {known.name for known in Timetable(Celery("crm", broker=redis_url)).entries()}

    assert planned == {"each second", "nightly"}
    assert left == {"nightly"}
    assert "wrong is not planned: entry 'wrong'" in worker.output


def test_djangos_model_is_followed_at_once_and_reconciled(
    start: Callable[[str], CeleryRig], run_code: Callable[..., None], redis_url: str
) -> None:
    """S2-13, S2-15: events after the commit; S2-12: reconcile heals what no event told of."""
    rig = start("reconcile_django")
    timetable = Timetable(Celery("crm", broker=redis_url))
    run_code(
        "import reconcile_django as crm",
        "crm.create_table()",
        "crm.Schedule.objects.create(customer='', cron='* * * * * *', payload={'n': 1})",
        "gone = crm.Schedule.objects.create(customer='acme', cron='0 2 * * *')",
        "lost = crm.Schedule.objects.create(customer='acme', cron='0 3 * * *')",
        "gone.delete()",
        "crm.Schedule.objects.filter(pk=lost.pk).update(cron='0 4 * * *')",
    )
    followed = {known.name: known.entry.recurrence for known in timetable.entries()}
    worker = rig.worker()
    rig.beat()
    worker.wait_for(r"report of \{'n': 1\}", 60)

    rig.run("call", "crm.reconcile", name="call reconcile").wait_ended(30)
    worker.wait_for(r"crm-db: 2 rows, 0 added, 1 changed, 1 unchanged, 0 removed", 60)

    assert sorted(followed) == ["crm:1", "crm:3"]
    assert followed["crm:3"] == spec_of("0 3 * * *")
    assert timetable.get("crm:3").entry.recurrence == spec_of("0 4 * * *")


def test_the_dashboard_is_inside_of_the_application_for_those_whom_it_knows(
    start: Callable[[str], CeleryRig], load: Callable[[str], Celery]
) -> None:
    rig = start("dashboard")
    worker = rig.worker()
    rig.beat().wait_for(GOVERNS, 60)
    worker.wait_for(r"Task dashboard\.tick\[.*succeeded", 60)
    load("dashboard")
    visitor = Visitor(vars(sys.modules["dashboard"])["site"])
    ann = {"Authorization": "Basic " + base64.b64encode(b"ann:correct horse").decode()}
    nobody = visitor.get("/ops/beat/")
    form = {"action": "run-now", "name": "tick"}
    form["form"] = form_value(visitor.get("/ops/beat/", **ann).text)

    answer = visitor.send("/ops/beat/change", form, **ann)
    history = visitor.get("/ops/beat/history?kind=asked&format=json", **ann).json()["history"]
    overview = visitor.get("/ops/beat/", **ann).text
    visitor.close()

    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, 'Basic realm="shop"')
    assert answer.headers["location"] == "/ops/beat/entry?name=tick&said=run-now"
    assert [(fact["entry"], fact["by"]) for fact in history] == [("tick", "ann@shop.example")]
    assert "1 replica alive" in overview


def superseded(beats: list[Proc], entry: str, period_ms: int) -> set[datetime]:
    """What beats that have ended said they left out: a machine may stand still for a while."""
    said = "\n".join(line for beat in beats for line in beat.lines)
    spans = re.findall(rf"entry='{entry}' first_ms=(\d+) last_ms=(\d+)", said)
    return {
        datetime.fromtimestamp(at_ms / 1000, UTC)
        for first_ms, last_ms in spans
        for at_ms in range(int(first_ms), int(last_ms) + 1, period_ms)
    }


def test_customers_order_pause_and_cancel_while_everything_runs(
    start: Callable[[str], CeleryRig], redis_url: str
) -> None:
    """S2-02, S2-03, S2-04, S2-14: each command a process of its own."""
    rig = start("timetable")
    worker = rig.worker()
    for beat in (rig.beat(), rig.beat()):
        beat.wait_for(GOVERNS, 60)

    def say(*words: str) -> str:
        environment = {**os.environ, "REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(EXAMPLES / "timetable.py"), *words]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return done.stdout

    ordered = [say("order", "acme", f"https://{n}.example", "5") for n in range(4)]
    worker.wait_for(r"checking https://0\.example for acme:https://0\.example", 30)
    too_often = say("order", "other", "https://o.example", "4")
    say("pause", "acme", "invoice overdue")
    paused = say("show", "acme")
    say("resume", "acme")
    resumed_at = len(worker.lines)
    worker.wait_for(r"checking https://2\.example", 30, since=resumed_at)
    gone = [say("cancel", "acme", "https://2.example") for _ in range(2)]

    assert [answer[:2] == "no" for answer in ordered] == [False, False, False, True]
    assert "max_entries" in ordered[3]
    assert "4 seconds apart, and 5 are the least" in too_often
    assert paused.count("invoice overdue") == 3
    assert gone == ["gone\n", "there was none\n"]


def planned_times(app: Celery, *entries: str) -> list[datetime]:
    """When the store looks at entries next, as the running beat left it there."""
    store: Any = extension_of(app).store
    slots = store.slots(entries).slots
    store.close()
    return [datetime.fromtimestamp(slot.slot_ms / 1000, UTC) for slot in slots]


def times_of_a_day(app: Celery, entry: str) -> list[str]:
    """All times of an ordinary day at which an entry is due."""
    rule = SingletonScheduler(app).timings[entry].recurrence
    midnight_ms = int(datetime(2026, 3, 3, tzinfo=UTC).timestamp() * 1000)
    found, at_ms = [], rule.next_after(midnight_ms - 1)
    while at_ms is not None and at_ms < midnight_ms + 86_400_000:
        found.append(datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M"))
        at_ms = rule.next_after(at_ms)
    return found


def locks(app: Celery, task: str) -> tuple[str | None, float]:
    """A task's lock key, and its TTL in seconds."""
    options = app.tasks[task].singleton_options
    return options.lock_key, options.lock_ttl_ms / 1000


def fence_of(line: str) -> int:
    """The fencing number in a line of a worker's log."""
    return int(re.findall(r"fence (\d+)", line)[0])
