"""Metrics: what the store has counted, as Prometheus wants it, from any process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest

from celery_singleton_beat import ConfigurationError
from celery_singleton_beat.operate.metrics import SingletonCollector
from celery_singleton_beat.protocol.run import Attempt, Outcome
from celery_singleton_beat.protocol.statistics import TOTAL
from celery_singleton_beat.testing import FakeClock, StoreUnderTest
from tests.integration.exposition import Page, complaints
from tests.integration.stored import Replica, daily, ms
from tests.integration.timetabled import Timetabled
from tests.integration.workers import ENOUGH
from tests.rig.meter import measure

if TYPE_CHECKING:
    import pathlib

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.processes import Proc, Processes

N = "celery_singleton_beat_"
SCRAPE_TIMEOUT_S = 10
"""Prometheus' own, unless it is told otherwise."""

MINUTELY = {"task": "shop.add", "schedule": 60.0, "args": (1,)}
SCHEDULE = dict.fromkeys(("a", "b", "c", 'odd "name"\\'), MINUTELY)


class Measured(Replica):
    """A beat by a clock of ours, runs of its occurrences, and the page an exporter would show."""

    def __init__(self, url: str, clock: FakeClock, **conf: Any) -> None:
        super().__init__(url, clock, SCHEDULE, **conf)
        self.it = StoreUnderTest(self.store, clock)
        self.registry = CollectorRegistry()

    def measure(self, **given: Any) -> Measured:
        self.registry.register(SingletonCollector(self.app, **given))
        return self

    def page(self) -> Page:
        return Page(generate_latest(self.registry).decode())

    def run(self, entry: str, outcome: Outcome, run_ms: int, key: str = "") -> Attempt:
        """A run that was begun and has ended."""
        number = self.it.next_request()
        attempt = replace(self.it.attempt(number, f"h{number}", key=key or number), entry=entry)
        self.it.begin(attempt)
        self.clock.advance(run_ms)
        self.it.finish(attempt, outcome)
        return attempt


@pytest.fixture
def measured(redis_url: str) -> Iterator[Measured]:
    made = Measured(redis_url, FakeClock(ms("2026-03-02 07:00")))
    yield made
    made.close()


def busy(measured: Measured) -> None:
    """An hour of everything that is counted."""
    measured.timetable.put(daily("stored"))
    for _ in range(3):
        measured.clock.advance(61_500)
        measured.dispatch()
    for outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.INTERRUPTED):
        measured.run("a", outcome, 130)
    measured.run("stored", Outcome.SUCCEEDED, 5000)
    measured.run("", Outcome.SUCCEEDED, 1)
    holder = measured.it.attempt("held", "h", key="one")
    measured.it.begin(holder)
    other = replace(measured.it.attempt("second", "g", key="one"), entry="b")
    measured.it.begin(other, close_if_busy=True)
    measured.it.begin(replace(other, holder="again"), close_if_busy=True)


def test_a_page_keeps_to_prometheus_conventions(measured: Measured) -> None:
    measured.measure(entries=["a", "b", "stored", 'odd "name"\\'])
    busy(measured)

    page = measured.page()

    assert complaints(page) == []
    assert len(page.families) > 20


def test_what_happened_is_told_by_entry(measured: Measured) -> None:
    """S1-25: so often the key was had, and so often it was held."""
    measured.measure(entries=["a", "b", "stored"])
    busy(measured)

    page = measured.page()

    published = f"{N}occurrences_published_total"
    assert [page.value(published, entry=name) for name in ("a", "b", "other")] == [3, 3, 6]
    ended = {"succeeded": 1, "failed": 1, "retrying": 0, "interrupted": 1}
    for outcome, count in ended.items():
        assert page.value(f"{N}runs_ended_total", entry="a", outcome=outcome) == count
    assert page.value(f"{N}runs_started_total", entry="stored") == 1
    assert page.value(f"{N}runs_skipped_total", entry="b", reason="skipped") == 1
    assert page.value(f"{N}lock_conflicts_total", entry="b") == 1
    assert page.value(f"{N}duplicates_dropped_total", entry="b") == 1
    assert page.value(f"{N}entries", kind="config") == len(SCHEDULE)
    assert page.value(f"{N}entries", kind="stored") == 1
    assert page.value(f"{N}locks_held") == 1
    assert page.value(f"{N}replicas", state="alive") == 1
    assert page.value(f"{N}up") == 1


def test_durations_are_told_in_seconds(measured: Measured) -> None:
    measured.measure(entries=["a"])
    busy(measured)

    page = measured.page()

    name = f"{N}run_time_seconds"
    assert page.value(f"{name}_sum", entry="a") == pytest.approx(0.390)
    assert [page.value(f"{name}_bucket", entry="a", le=le) for le in ("0.128", "0.256")] == [0, 3]
    assert page.value(f"{name}_sum", entry="other") == pytest.approx(5.001)
    assert page.value(f"{name}_count", entry="other") == 2
    assert page.value(f"{N}dispatch_lag_seconds_count", entry="a") == 3
    assert page.value(f"{N}dispatch_lag_seconds_sum", entry="a") == pytest.approx(1.5 + 3 + 4.5)


def test_no_counter_falls(measured: Measured) -> None:
    measured.measure(entries=["a", "stored"])
    pages = [measured.page()]
    for _ in range(3):
        busy(measured)
        pages.append(measured.page())

    for earlier, later in pairwise(pages):
        counted = {
            series: value
            for series, value in earlier.series.items()
            if series[0].endswith(("_total", "_bucket", "_count", "_sum"))
        }
        assert counted
        assert [series for series, value in counted.items() if later.series[series] < value] == []


def test_as_many_entries_have_series_as_are_asked_for(measured: Measured) -> None:
    """One that is called as the sum of all others is told in it."""
    measured.app.conf.beat_schedule["other"] = MINUTELY
    busy(measured)

    few = Page(generate_latest(measured.measure(entries=2).registry).decode())
    measured.registry = CollectorRegistry()
    named = measured.measure(entries=["other", "a"]).page()

    name = f"{N}occurrences_published_total"
    assert few.values_of()[name]["entry"] == {"a", "b", "other"}
    assert named.values_of()[name]["entry"] == {"a", "other"}
    assert few.total(name) == named.total(name) == 12


def test_one_name_is_one_entry_and_no_name_is_read_as_its_letters(measured: Measured) -> None:
    busy(measured)

    page = measured.measure(entries="stored").page()

    assert page.values_of()[f"{N}runs_started_total"]["entry"] == {"stored", "other"}
    assert page.value(f"{N}runs_started_total", entry="stored") == 1


def test_too_many_series_are_refused(measured: Measured) -> None:
    with pytest.raises(ConfigurationError, match="at most 1000"):
        measured.measure(entries=[str(number) for number in range(1001)])


def test_registering_asks_nobody_and_a_scrape_two_scripts(make_redis: Any) -> None:
    """Whatever is in the store: it costs the same with 1,000 lock keys as with none."""
    url = make_redis().url()
    measured = Measured(url, FakeClock(ms("2026-03-02 07:00")))
    for number in range(1000):
        measured.it.begin(measured.it.attempt(f"r{number}", f"h{number}", key=f"k{number}"))

    with redis.Redis.from_url(url) as client:
        registered = measure(client, lambda: measured.measure(entries=50))
        measured.page()  # the server learns the scripts
        scraped = measure(client, measured.page)

    assert registered.scripts == registered.commands == 0
    assert scraped.scripts == 2
    assert scraped.commands < 40
    measured.close()


def test_a_store_with_something_foreign_in_it_cannot_be_read(
    measured: Measured, caplog: pytest.LogCaptureFixture
) -> None:
    measured.measure()
    measured.client.set(measured.store.keys.counts(TOTAL), "not ours")

    page = measured.page()

    assert page.series == {(f"{N}up", ()): 0}
    assert "The store cannot be read" in caplog.text


class Exported(Timetabled):
    """A shop and its exporters."""

    def exporter(self, *arguments: str) -> tuple[Proc, str]:
        """An exporter that answers, and its address."""
        proc = self.run("singleton", "exporter", "--port", "0", *arguments, name="exporter")
        return proc, proc.wait_for("Metrics at http", ENOUGH).rpartition(" ")[2].strip()


@pytest.fixture
def exported(
    own_redis: EmbeddedServer, processes: Processes, tmp_path: pathlib.Path
) -> Iterator[Exported]:
    shop = Exported(own_redis, processes, tmp_path)
    yield shop
    shop.close()


def test_every_exporter_tells_the_same_and_keeps_telling_when_the_store_is_away(
    exported: Exported,
) -> None:
    """One page in all processes; while there is no store, a page that says so."""
    exported.beat()
    exported.worker()
    for name in ("seen", "seen too"):
        exported.wait_done(exported.asked(name, "shop.early", name))
    names = ("--entry", "seen", "--entry", "seen too")
    first, second = (exported.exporter(*names) for _ in range(2))

    pages = [Page(httpx.get(address).text) for _, address in (first, second)]
    exported.server.freeze()
    stuck = httpx.get(first[1], timeout=SCRAPE_TIMEOUT_S)
    exported.server.thaw()
    back = httpx.get(first[1])
    exported.server.stop()
    away = httpx.get(first[1])

    counted = [{s: v for s, v in page.series.items() if "entry" in dict(s[1])} for page in pages]
    assert counted[0] == counted[1]
    assert pages[0].value(f"{N}runs_ended_total", entry="seen too", outcome="succeeded") == 1
    assert complaints(pages[0]) == []
    for answer in (stuck, away):
        assert answer.status_code == 200
        assert Page(answer.text).series == {(f"{N}up", ()): 0}
    assert Page(back.text).value(f"{N}up") == 1
    assert first[0].terminate() == 0


def test_without_its_extra_the_exporter_says_what_is_missing(
    exported: Exported, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prometheus_client.py").write_text(
        "raise ModuleNotFoundError('no', name='prometheus_client')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    proc = exported.run("singleton", "exporter", name="exporter")

    assert proc.wait_ended(ENOUGH) == 2
    assert "celery-singleton-beat[metrics]" in proc.output


def test_a_port_that_is_taken_is_one_line(exported: Exported) -> None:
    _, address = exported.exporter()
    port = address.rpartition(":")[2].removesuffix("/metrics")

    proc = exported.run("singleton", "exporter", "--port", port, name="second")

    assert proc.wait_ended(ENOUGH) == 1
    assert f"cannot listen at 127.0.0.1 port {port}" in proc.output
    assert "Traceback" not in proc.output
