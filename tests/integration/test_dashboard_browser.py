"""The dashboard in a real Chromium: by keyboard, live, without scripts, on a phone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from playwright.sync_api import expect, sync_playwright

from celery_singleton_beat import Entry, LockService, Timetable
from tests.integration.browsing import (
    CONTRAST,
    ENOUGH_MS,
    PAGES,
    PHONE,
    Eyes,
    Served,
    find_chromium,
)
from tests.integration.dashboard_story import Story
from tests.integration.visitors import TOKEN

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

    from celery_singleton_beat.demo.server import EmbeddedServer

WIDEST = "W" * 200
TITLES = ["Timeline", "Entries", "Locks", "Tenants", "Statistics", "History", "Doctor"]
ALL_PAGES = (*PAGES, "entry?name=prices", "entry?name=acme%3Anightly")

TELL_WHEN_READ = """() => {
  const text = Response.prototype.text;
  Response.prototype.text = function () {
    return text.call(this).then((found) => { window.wasRead = true; return found; });
  };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = find_chromium()
    expect.set_options(timeout=ENOUGH_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_eyes(browser: Browser) -> Iterator[Callable[..., Eyes]]:
    """A maker of onlookers: `open_eyes(app, {"java_script_enabled": False}, allow_changes=True)`.

    Its dashboard looks into the store five times a second.
    """
    opened: list[Eyes] = []
    served: list[Served] = []

    def make(app: Celery, context: dict[str, Any] | None = None, **options: Any) -> Eyes:
        served.append(Served(app, **{"every": 0.2} | options))
        opened.append(Eyes(browser, served[-1].url, **context or {}))
        return opened[-1]

    yield make
    for eyes in opened:
        eyes.close()
    for site in served:
        site.stop()


@pytest.fixture
def story(redis_url: str) -> Iterator[Story]:
    """Ten minutes of a shop, and what is hard to show."""
    story = Story(redis_url, round(time.time() * 1000), minutes=10)
    story.play(story.clock.now_ms + 10 * 60_000)
    story.begin("run-1", "feed-1", "celery@worker-a", "import-feed", story.clock.now_ms - 900)
    story.lose("run-1")
    entry = Entry(WIDEST, task=WIDEST, recurrence=300, tenant="W" * 100, kwargs={"w": WIDEST})
    story.replica.timetable.put(entry, by=WIDEST)
    LockService(story.app).acquire(WIDEST, ttl=3600)
    yield story
    story.close()


def test_all_pages_are_reached_by_keyboard_alone(
    open_eyes: Callable[..., Eyes], story: Story
) -> None:
    eyes = open_eyes(story.app)
    page = eyes.look()
    titles = []

    page.keyboard.press("Tab")
    skip = eyes.focused()
    page.keyboard.press("Enter")
    target = page.evaluate("() => document.activeElement.id")
    for name in (*TITLES, "Overview"):
        eyes.look(page.url.removeprefix(eyes.url).lstrip("/").partition("#")[0])
        eyes.press_until(name)
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute(
            "aria-current", "page"
        )
        titles.append(page.locator("h1").inner_text())
    eyes.look("entries")
    eyes.press_until("prices")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("prices")

    assert (skip, target) == ("Skip to the content", "main")
    assert titles[:-1] == TITLES
    assert eyes.complaints == []


def test_what_has_the_focus_can_be_seen(open_eyes: Callable[..., Eyes], story: Story) -> None:
    eyes = open_eyes(story.app, allow_changes=True)
    unseen = []

    for path in ("", "entry?name=prices"):
        page = eyes.look(path)
        for _ in range(30):
            page.keyboard.press("Tab")
            outline = page.evaluate(
                "() => { const s = getComputedStyle(document.activeElement);"
                " return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; }"
            )
            if not outline and page.evaluate("() => document.activeElement !== document.body"):
                unseen.append(eyes.focused())

    assert unseen == []


def test_a_run_that_is_published_appears_by_itself(
    open_eyes: Callable[..., Eyes], story: Story
) -> None:
    """Live by server-sent events: the page is not loaded again, and keeps the focus."""
    eyes = open_eyes(story.app)
    page = eyes.look("timeline")
    lane = page.locator(".lane", has=page.get_by_role("link", name="heartbeat"))
    expect(page.locator("#live-status")).to_have_text("Live")
    before = lane.locator(".lane-notes").inner_text()
    eyes.press_until("heartbeat")
    page.evaluate("() => { window.same = true; }")

    story.play(story.clock.now_ms + 60_000)

    expect(lane.locator(".lane-notes")).not_to_have_text(before)
    assert page.evaluate("() => window.same") is True
    assert eyes.focused() == "heartbeat"
    assert eyes.complaints == []


def test_a_page_that_is_held_still_stays_as_it_is(
    open_eyes: Callable[..., Eyes], story: Story
) -> None:
    eyes = open_eyes(story.app)
    page = eyes.look()
    page.get_by_role("button", name="Hold still").click()
    expect(page.locator("#live-status")).to_have_text("Held still")
    before = page.locator("#latest").inner_text()
    other = open_eyes(story.app)
    other.look()

    story.play(story.clock.now_ms + 20_000)
    expect(other.page.locator("#latest")).not_to_have_text(before, use_inner_text=True)

    assert page.locator("#latest").inner_text() == before
    page.get_by_role("button", name="Hold still").click()
    expect(page.locator("#latest")).not_to_have_text(before, use_inner_text=True)


def test_an_answer_on_its_way_does_not_move_a_page_that_is_held_still(
    open_eyes: Callable[..., Eyes], story: Story
) -> None:
    eyes = open_eyes(story.app)
    page = eyes.look()
    on_their_way: list[Route] = []
    is_slow = threading.Event()

    def answer(route: Route) -> None:
        if is_slow.is_set():
            on_their_way.append(route)
        else:
            route.continue_()

    page.route(page.url, answer)
    expect(page.locator("#live-status")).to_have_text("Live")
    # From here on the next request is waited for: none comes in between and is held unseen.
    is_slow.set()
    with page.expect_request(page.url):
        story.play(story.clock.now_ms + 20_000)
    page.get_by_role("button", name="Hold still").click()
    before = page.locator("#latest").inner_text()
    page.evaluate(TELL_WHEN_READ)

    for route in on_their_way:
        route.continue_()
    page.wait_for_function("() => window.wasRead")

    assert page.locator("#live-status").inner_text() == "Held still"
    assert page.locator("#latest").inner_text() == before


def test_what_somebody_types_is_not_taken_away(
    open_eyes: Callable[..., Eyes], story: Story
) -> None:
    eyes = open_eyes(story.app, allow_changes=True)
    page = eyes.look("entry?name=acme%3Anightly")
    page.locator("summary", has_text="Pause").click()
    page.get_by_label("Why").fill("invoice overdue")
    expect(page.locator("#live-status")).to_have_text("Live")
    read_at = page.locator("#read-at").inner_text()

    story.play(story.clock.now_ms + 20_000)
    expect(page.locator("#read-at")).not_to_have_text(read_at)

    assert page.get_by_label("Why").input_value() == "invoice overdue"
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".said")).to_have_text("It is paused.")
    assert story.replica.timetable.get("acme:nightly").note == "invoice overdue"
    assert eyes.complaints == []


def test_a_store_that_goes_away_is_told_and_so_is_its_return(
    open_eyes: Callable[..., Eyes], own_redis: EmbeddedServer
) -> None:
    app = Celery("shop", broker=own_redis.url(), set_as_current=False)
    app.conf.update(
        singleton_beat_redis_url=own_redis.url(),
        result_expires=None,
        singleton_beat_connect_timeout=1,
        singleton_beat_socket_timeout=1,
    )
    port = own_redis.port
    eyes = open_eyes(app)
    page = eyes.look()
    expect(page.locator("#live-status")).to_have_text("Live")

    own_redis.kill()
    expect(page.get_by_role("heading", level=1)).to_have_text("The store does not answer")
    own_redis.start(port=port)

    expect(page.get_by_role("heading", level=1)).to_have_text("Something is wrong.")
    expect(page.locator("#live-status")).to_have_text("Live")
    assert [text for text in eyes.complaints if "503" not in text] == []


def test_without_scripts_everything_can_be_read_and_done(
    open_eyes: Callable[..., Eyes], story: Story
) -> None:
    eyes = open_eyes(story.app, {"java_script_enabled": False}, allow_changes=True, by="ann")

    headings = [eyes.look(path).locator("h1").inner_text() for path in PAGES]
    page = eyes.look("entries")
    page.get_by_label("Find").fill("nightly")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("link", name="acme:nightly").click()
    page.locator("summary", has_text="Pause").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".said")).to_have_text("It is paused.")
    page.get_by_role("link", name="every 15 s").click()

    assert headings[1:] == TITLES
    assert page.locator('meta[http-equiv="refresh"]').get_attribute("content") == "15"
    assert story.replica.timetable.get("acme:nightly").changed_by == "ann"
    assert not page.get_by_role("button", name="Hold still").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_every_page_without_moving_it_sideways(
    open_eyes: Callable[..., Eyes], story: Story, scheme: str
) -> None:
    """With names that are as long as names can be, and nothing in them to part them at."""
    eyes = open_eyes(story.app, {"viewport": PHONE, "color_scheme": scheme}, allow_changes=True)
    wide = []

    for path in (*ALL_PAGES, f"entry?name={WIDEST}", f"entry?name=no-{WIDEST}"):
        page = eyes.look(path)
        for summary in page.locator("details > summary").all():
            summary.click()
        wide += [path] if eyes.too_wide() else []

    assert wide == []
    assert [text for text in eyes.complaints if "404" not in text] == []


def test_a_screen_reader_is_told_what_everything_is(
    open_eyes: Callable[..., Eyes], story: Story
) -> None:
    eyes = open_eyes(story.app, allow_changes=True)
    nameless, levels = [], []

    for path in ALL_PAGES:
        page = eyes.look(path)
        for summary in page.locator("details > summary").all():
            summary.click()
        controls = (
            *("link", "button", "textbox", "searchbox", "combobox", "checkbox"),
            *("image", "table", "region", "navigation", "DisclosureTriangle"),
        )
        nameless += [(path, role) for role, name in eyes.named(*controls) if not name]
        marks = [role for role, _ in eyes.named("banner", "main", "contentinfo")]
        assert sorted(marks) == ["banner", "contentinfo", "main"]
        levels.append(
            page.evaluate(
                "() => [...document.querySelectorAll('h1,h2,h3')].map((h) => Number(h.tagName[1]))"
            )
        )
        assert page.locator("html").get_attribute("lang") == "en"

    assert nameless == []
    for found in levels:
        assert found[0] == 1
        assert found.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(found))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(
    open_eyes: Callable[..., Eyes], story: Story, scheme: str
) -> None:
    """WCAG 2.2 AA: 4.5 to 1."""
    eyes = open_eyes(story.app, {"color_scheme": scheme}, allow_changes=True)

    faint = [
        (path, *found)
        for path in ALL_PAGES
        for found in eyes.look(path).evaluate(CONTRAST)
        if found[0] < 4.5
    ]

    assert faint == []


def test_somebody_logs_in_by_keyboard_and_is_named(
    open_eyes: Callable[..., Eyes], story: Story
) -> None:
    eyes = open_eyes(story.app, token=TOKEN, allow_changes=True)
    page = eyes.look("entry?name=acme%3Anightly")

    eyes.press_until("token")
    page.keyboard.type("wrong token wrong token")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("That is not the token.")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Tab")
    page.keyboard.type("Ann")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("acme:nightly")
    expect(page.locator("#live-status")).to_have_text("Live")
    page.locator("summary", has_text="Run now").click()
    page.get_by_role("button", name="Run now").click()
    expect(page.locator(".said")).to_have_text("It was asked to run now.")

    (asked,) = story.replica.timetable.requests()
    assert (asked.name, asked.asked_by) == ("acme:nightly", "Ann")
    assert [text for text in eyes.complaints if "401" not in text] == []


def test_one_viewer_more_than_may_reads_for_itself(
    open_eyes: Callable[..., Eyes], story: Story
) -> None:
    first = open_eyes(story.app, viewers=1)
    page = first.look()
    expect(page.locator("#live-status")).to_have_text("Live")
    second = first.context.new_page()

    second.goto(f"{first.url}/")

    expect(second.locator("#live-status")).to_have_text("Live, every 15 s")


def test_ten_thousand_entries_come_at_once_when_they_are_known(
    open_eyes: Callable[..., Eyes], redis_url: str
) -> None:
    app = Celery("shop", broker=redis_url, set_as_current=False)
    app.conf.update(singleton_beat_redis_url=redis_url, result_expires=None)
    entries = [Entry(f"e-{n:05}", task="shop.add", recurrence=3600) for n in range(10_000)]
    Timetable(app).reconcile(entries, source="test")
    eyes = open_eyes(app, every=60)
    page = eyes.look("entries")

    for _ in range(3):
        page.get_by_role("link", name="Next").click()
    page.get_by_label("Find").fill("e-09999")
    page.get_by_role("button", name="Apply").click()

    expect(page.locator("#entries tbody tr")).to_have_count(1)
    assert eyes.complaints == []
