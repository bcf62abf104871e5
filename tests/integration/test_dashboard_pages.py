"""What the pages of a dashboard say: the same that the store says, and nothing unescaped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import redis
from celery import Celery

from celery_singleton_beat import Entry, LockService, Timetable
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.protocol.run import Outcome
from celery_singleton_beat.protocol.statistics import TOTAL, entry_subject
from tests.integration.dashboard_story import Story
from tests.integration.visitors import Visitor, visitor_of, words_of

PAGES = ("", "timeline", "entries", "locks", "tenants", "statistics", "history")
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "../../etc/passwd",
    "a/b?c=d&e=f#g%2F%00",
    "{{ 7 * 7 }}{% raw %}",
    "]]><svg onload=alert(1)>",
    "שלום עולם",
    "javascript:alert(1)",
)
HIDDEN = "line one\nline two \u202etxt.exe\u200b"


def shop_of(url: str, **conf: Any) -> Celery:
    app = Celery("shop", broker=url, set_as_current=False)
    app.conf.update(singleton_beat_redis_url=url, result_expires=None, **conf)
    return app


@pytest.fixture
def app(redis_url: str) -> Celery:
    return shop_of(redis_url)


@pytest.fixture
def visit() -> Iterator[Callable[..., Visitor]]:
    """A maker of visitors: `visit(app, allow_changes=True)`."""
    made: list[Visitor] = []

    def make(app: Celery, **options: Any) -> Visitor:
        made.append(visitor_of(app, **options))
        return made[-1]

    yield make
    for visitor in made:
        visitor.close()


@pytest.fixture
def story(redis_url: str) -> Iterator[Story]:
    """Twenty minutes of a shop."""
    story = Story(redis_url, round(time.time() * 1000))
    story.play(story.clock.now_ms + 20 * 60_000)
    yield story
    story.close()


def test_the_overview_says_who_is_alive_and_who_governs(
    visit: Callable[..., Visitor], story: Story
) -> None:
    """S0-23, S0-25."""
    visitor = visit(story.app)

    said, data = visitor.text("/"), visitor.data("/")

    assert [notice for notice in data["notices"] if notice["weight"] == "bad"] == []
    assert "1 replica alive" in said
    assert f"{story.replica.scheduler.replica.name} governs" in said
    assert data["alive"] == 1
    assert (data["planned"], data["stored"]) == (5, 5)


def test_where_no_beat_is_alive_that_is_said_first_on_every_page(
    visit: Callable[..., Visitor], app: Celery
) -> None:
    visitor = visit(app)

    said = {page: visitor.text(f"/{page}") for page in PAGES}

    assert [page for page, text in said.items() if "No beat is alive" not in text] == []
    assert "Something is wrong." in said[""]
    assert "another prefix" in said[""]


def test_what_went_wrong_lately_is_said_with_the_entrys_name(
    visit: Callable[..., Visitor], story: Story
) -> None:
    story.begin("run-1", "feed-1", "celery@worker-a", "import-feed", story.clock.now_ms - 900)
    story.lose("run-1")
    story.begin("run-2", "clean-2", "celery@worker-a", "cleanup", story.clock.now_ms - 900)
    story.die("run-2")
    story.begin("run-3", "feed-3", "celery@worker-a", "stock", story.clock.now_ms - 900)
    story.end("run-3", Outcome.FAILED)

    said = visit(story.app).text("/")

    assert "1 run lost the lease in the last 10 minutes: import-feed." in said
    assert "1 run begun anew after a worker died in the last 10 minutes: cleanup." in said
    assert "stock" in said[said.index("failed in the last 10 minutes") :][:60]


def test_the_timeline_has_a_lane_for_each_entry_that_runs_or_will(
    visit: Callable[..., Visitor], story: Story
) -> None:
    visitor = visit(story.app)

    page, data = visitor.get("/timeline").text, visitor.data("/timeline")

    lanes = {lane["entry"]: lane for lane in data["lanes"]}
    assert set(lanes) == {
        *("cleanup", "heartbeat", "import-feed", "prices", "stock"),
        *("globex:check-0", "globex:check-1", "globex:check-2"),
    }
    runs = [run for lane in lanes.values() for run in lane["runs"]]
    facts = story.store.history(10_000)
    assert len(runs) == len({fact.run for fact in facts if fact.run})
    assert {run["dispatcher"] for run in runs} == {story.replica.scheduler.replica.name}
    assert {run["worker"] for run in runs} == {"celery@worker-a", "celery@worker-b"}
    assert page.count('role="img"') == len(lanes)
    assert 'href="#m-planned"' in page


def test_an_entrys_page_says_all_of_it(visit: Callable[..., Visitor], story: Story) -> None:
    visitor = visit(story.app)

    said, data = visitor.text("/entry?name=prices"), visitor.data("/entry?name=prices")
    stored = visitor.text("/entry?name=acme%3Anightly")

    facts = story.store.history(200, "prices")
    runs = {run["run"]: run["outcome"] for run in data["runs"]}
    assert runs == {fact.run: runs[fact.run] for fact in facts if fact.run}
    assert data["kind"] == "config"
    assert len(data["next_runs"]) == 12
    assert "every 5 minutes" in said
    assert "in beat_schedule" in said
    assert "daily at 02:00 America/New_York" in stored
    assert "by ann@shop.example" in stored
    assert "The report that Ann reads first" in stored
    assert '"customer": "acme"' in stored


def test_the_figures_are_those_of_the_store(visit: Callable[..., Visitor], story: Story) -> None:
    subjects = story.store.counted(1000)

    data = visit(story.app).data("/statistics")

    (total,) = story.store.counts([TOTAL])
    assert data["total"]["facts"] == dict(total.facts)
    assert data["total"]["lag"]["count"] == total.lag.count
    assert data["total"]["run_time"]["p95_ms"] == total.run_time.percentile(0.95)
    assert {entry_subject(name) for name in data["entries"]} == {
        subject for subject in subjects if subject.startswith(entry_subject(""))
    }
    for name, told in data["entries"].items():
        (counts,) = story.store.counts([entry_subject(name)])
        assert told["facts"] == dict(counts.facts)


def test_locks_say_who_holds_them_since_when(visit: Callable[..., Visitor], app: Celery) -> None:
    """S0-22, S1-17."""
    service = LockService(app)
    lease = service.acquire("report:42", ttl=60)
    assert lease is not None

    said, data = visit(app).text("/locks"), visit(app).data("/locks")

    assert "report:42" in said
    assert [lock["key"] for lock in data["locks"]] == ["report:42"]
    assert data["locks"][0]["token"] == lease.token
    assert data["locks"][0]["owner"] in said


def test_a_key_is_freed_by_somebody_who_is_named(
    visit: Callable[..., Visitor], app: Celery
) -> None:
    """S1-17: audited."""
    service = LockService(app)
    service.acquire("report:42", ttl=60)
    visitor = visit(app, allow_changes=True, by="ann@shop.example")

    answer = visitor.change("unlock", "report:42", page="locks")
    again = visitor.change("unlock", "report:42")

    assert (answer.status_code, answer.headers["location"]) == (303, "/locks?said=unlock")
    assert again.headers["location"] == "/locks?said=nothing"
    assert not service.is_locked("report:42")
    facts = [fact for fact in extension_of(app).store.history(10) if fact.kind == "unlocked"]
    assert [(fact.note, fact.by) for fact in facts] == [("report:42", "ann@shop.example")]


def test_tenants_show_what_they_have_and_may_have(
    visit: Callable[..., Visitor], story: Story
) -> None:
    data = visit(story.app).data("/tenants")

    rows = {row["name"]: row for row in data["tenants"]}
    assert rows["globex"]["entries"] == 4
    assert rows["globex"]["limits"]["max_entries"] == 5
    assert (rows["globex"]["own_limits"], rows["acme"]["own_limits"]) == (True, False)
    assert rows["acme"]["limits"]["max_entries"] == 20


def test_an_entry_is_paused_with_a_note_and_goes_on(
    visit: Callable[..., Visitor], app: Celery
) -> None:
    timetable = Timetable(app)
    timetable.put(Entry("daily", task="shop.add", recurrence="@daily"))
    visitor = visit(app, allow_changes=True, by="ann@shop.example")

    paused = visitor.change("pause", "daily", page="entry?name=daily", note="invoice overdue")
    known = timetable.get("daily")
    page = visitor.text(paused.headers["location"])
    visitor.change("resume", "daily", page="entry?name=daily")

    assert (known.is_paused, known.note, known.changed_by) == (
        True,
        "invoice overdue",
        "ann@shop.example",
    )
    assert "It is paused." in page
    assert "invoice overdue" in page
    assert not timetable.get("daily").is_paused


def test_an_entry_runs_now_once_though_the_form_is_sent_twice(
    visit: Callable[..., Visitor], app: Celery
) -> None:
    timetable = Timetable(app)
    timetable.put(Entry("daily", task="shop.add", recurrence="@daily"))
    visitor = visit(app, allow_changes=True, by="ann@shop.example")
    request = visitor.get("/entry?name=daily").text.split('name="request" value="')[1][:32]

    for _ in range(2):
        visitor.change("run-now", "daily", page="entry?name=daily", request=request)

    (asked,) = timetable.requests()
    assert (asked.id, asked.name, asked.asked_by) == (request, "daily", "ann@shop.example")


def test_a_page_offers_what_can_be_done_to_its_entry(
    visit: Callable[..., Visitor], story: Story
) -> None:
    """Entries of beat_schedule cannot be paused for themselves."""
    visitor = visit(story.app, allow_changes=True)
    offered = {
        name: {
            part.split('"')[0]
            for part in visitor.get(f"/entry?name={quote(name)}").text.split('"action" value="')[1:]
        }
        for name in ("prices", "acme:nightly", "globex:check-3")
    }

    assert offered == {
        "prices": {"run-now"},
        "acme:nightly": {"run-now", "pause"},
        "globex:check-3": {"resume"},
    }


def test_everything_and_tenants_are_paused_and_go_on(
    visit: Callable[..., Visitor], story: Story
) -> None:
    visitor = visit(story.app, allow_changes=True)

    visitor.change("pause-all")
    stopped = visitor.text("/history")
    visitor.change("resume-all")
    visitor.change("pause-tenant", "globex", page="tenants")
    tenants = {row["name"]: row["paused"] for row in visitor.data("/tenants")["tenants"]}

    assert "Everything is paused." in stopped
    assert tenants == {"acme": False, "globex": True}
    assert not story.store.overview().is_paused


def test_what_is_refused_says_why(visit: Callable[..., Visitor], app: Celery) -> None:
    timetable = Timetable(app)
    timetable.put(Entry("daily", task="shop.add", recurrence="@daily"))
    timetable.pause("daily")
    visitor = visit(app, allow_changes=True)

    stopped = visitor.change("run-now", "daily")
    unknown = visitor.change("pause", "weekly")
    other = visitor.change("remove-everything")

    assert (stopped.status_code, unknown.status_code, other.status_code) == (409, 404, 400)
    assert "it is paused" in words_of(stopped.text)
    assert "There is no stored entry 'weekly'" in words_of(unknown.text)


@pytest.mark.parametrize("name", NASTY)
def test_no_name_is_anything_but_text(
    visit: Callable[..., Visitor], app: Celery, name: str
) -> None:
    timetable = Timetable(app)
    entry = Entry(
        name, task=name, recurrence="@daily", tenant=name, kwargs={name: name}, description=name
    )
    timetable.put(entry, by=name)
    timetable.pause(name, note=name, by=name)
    LockService(app).acquire(name, ttl=60)
    extension_of(app).store.unlock("another", name)
    visitor = visit(app, allow_changes=True)

    pages = [visitor.get(f"/{page}") for page in PAGES]
    own = visitor.get(f"/entry?name={quote(name, safe='')}")
    searched = [visitor.get(f"/{page}?q={quote(name, safe='')}") for page in PAGES[1:]]
    unknown = visitor.get(f"/entry?name={quote('no ' + name, safe='')}")

    assert {answer.status_code for answer in [*pages, own, *searched]} == {200}
    assert unknown.status_code == 404
    whole = "".join(answer.text for answer in [*pages, own, *searched, unknown])
    for forbidden in ("<script>", "<img", "<svg onload", "onmouseover='", 'href="javascript'):
        assert forbidden not in whole
    assert name in words_of(own.text)
    assert f"/entry?name={quote(name, safe='').replace('%20', '+')}" in pages[2].text


def test_nothing_that_is_shown_can_hide_or_turn_round(
    visit: Callable[..., Visitor], app: Celery
) -> None:
    timetable = Timetable(app)
    timetable.put(Entry("daily", task="shop.add", recurrence="@daily", description=HIDDEN))
    timetable.pause("daily", note=HIDDEN, by=HIDDEN)
    visitor = visit(app)

    whole = visitor.get("/entry?name=daily").text + visitor.get("/entries").text

    assert "\u202e" not in whole
    assert "\u200b" not in whole
    assert r"line one\nline two \u202etxt.exe\u200b" in whole


def test_a_search_finds_by_name_task_tenant_and_arguments(
    visit: Callable[..., Visitor], app: Celery
) -> None:
    timetable = Timetable(app)
    timetable.put(Entry("one", task="shop.add", recurrence="@daily", tenant="acme"))
    timetable.put(Entry("two", task="shop.mail", recurrence="@daily", kwargs={"to": "Ann"}))
    timetable.put(Entry("three", task="shop.add", recurrence="@daily", enabled=False))
    timetable.pause("one")
    visitor = visit(app)

    def found(query: str) -> list[str]:
        return [row["name"] for row in visitor.data(f"/entries?{query}")["entries"]]

    assert found("q=ACME") == ["one"]
    assert found("q=shop.mail") == ["two"]
    assert found("q=ann+two") == ["two"]
    assert found("q=shop.add+mail") == []
    assert found("tenant=acme") == ["one"]
    assert found("state=paused") == ["one"]
    assert found("state=disabled") == ["three"]
    assert found("state=unheard-of") == ["one", "three", "two"]


def test_ten_thousand_entries_are_a_page_at_a_time(
    visit: Callable[..., Visitor], app: Celery, redis_url: str
) -> None:
    """The listing takes commands by the thousand, once for all who look; a page takes few."""
    count, store = 10_000, extension_of(app).store
    timetable = Timetable(app)
    entries = [Entry(f"e-{n:05}", task="shop.add", recurrence="@daily") for n in range(count)]
    timetable.reconcile(entries, source="test")
    client: Any = redis.Redis.from_url(redis_url)
    visitor = visit(app, every=3600)

    def scripts() -> int:
        return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])

    begun = scripts()
    first = visitor.data("/entries")
    listed = scripts() - begun
    costs = []
    for path in ("/entries?page=150", "/entries?q=e-09999", "/timeline", "/timeline?page=7"):
        before = scripts()
        visitor.get(path)
        costs.append(scripts() - before)

    client.close()
    assert (first["total"], first["pages"], len(first["entries"])) == (count, 200, 50)
    assert first["entries"][0]["name"] == "e-00000"
    assert store.overview().stored == count
    assert listed <= 130
    assert max(costs) <= 8
    assert len(visitor.get("/entries?page=150").content) < 100_000


def test_many_visitors_cost_the_store_what_one_costs(
    visit: Callable[..., Visitor], story: Story, redis_url: str
) -> None:
    client: Any = redis.Redis.from_url(redis_url)
    visitor = visit(story.app, every=3600)
    for page in PAGES:
        visitor.get(f"/{page}")
    before = client.info("commandstats")["cmdstat_evalsha"]["calls"]

    for _ in range(20):
        for page in PAGES:
            visitor.get(f"/{page}")

    after = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    client.close()
    assert after == before


def test_a_store_that_is_away_is_said_to_be(visit: Callable[..., Visitor], own_redis: Any) -> None:
    app = shop_of(own_redis.url(), singleton_beat_connect_timeout=1)
    own_redis.stop()
    visitor = visit(app)

    pages = [visitor.get(f"/{page}") for page in PAGES]
    data = visitor.get("/entries", Accept="application/json")

    assert {page.status_code for page in pages} == {503}
    assert all("The store does not answer" in page.text for page in pages)
    assert pages[0].headers["retry-after"] == "5"
    assert (data.status_code, list(data.json())) == (503, ["error"])


def test_the_doctor_is_asked_and_tells_the_way_out(
    visit: Callable[..., Visitor], app: Celery
) -> None:
    visitor = visit(app)

    said, data = visitor.text("/doctor"), visitor.data("/doctor")

    verdicts = [one["verdict"] for one in data["diagnoses"]]
    assert verdicts == sorted(verdicts, key=["problem", "warning", "unknown", "ok"].index)
    worst = data["diagnoses"][0]
    assert worst["verdict"] == "problem"
    assert worst["found"] in said
    assert worst["cure"] in said


def test_the_doctor_is_asked_where_the_store_is_away_too(
    visit: Callable[..., Visitor], own_redis: Any
) -> None:
    app = shop_of(own_redis.url(), singleton_beat_connect_timeout=1)
    own_redis.stop()

    answer = visit(app).get("/doctor")

    assert answer.status_code == 200
    assert "did not answer" in words_of(answer.text)


def test_the_history_is_found_by_kind_and_by_whoever_did_it(
    visit: Callable[..., Visitor], story: Story
) -> None:
    visitor = visit(story.app)
    facts = story.store.history(10_000)

    skipped = visitor.data("/history?kind=succeeded")
    worker = visitor.data("/history?q=worker-b")

    assert skipped["total"] == sum(fact.kind == "succeeded" for fact in facts)
    assert worker["total"] == sum("worker-b" in fact.by for fact in facts)
    assert json.dumps(skipped["history"][0])


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=99999999999", "page=x", "span=7"])
def test_a_query_that_makes_no_sense_shows_the_nearest_page(
    visit: Callable[..., Visitor], app: Celery, query: str
) -> None:
    visitor = visit(app)

    answers = [visitor.get(f"/{page}?{query}").status_code for page in PAGES]

    assert set(answers) == {200}
