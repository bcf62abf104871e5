"""Who may look at a dashboard, who may change, and what a page elsewhere cannot do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from celery_singleton_beat import ConfigurationError, Entry, Timetable
from celery_singleton_beat.operate.dashboard import dashboard_app
from celery_singleton_beat.operate.dashboard.serving import check_place
from tests.integration.visitors import HOME, TOKEN, Visitor, form_value, words_of

PAGES = (
    "/",
    "/timeline",
    "/entries",
    "/entry?name=daily",
    "/locks",
    "/tenants",
    "/statistics",
    "/history",
    "/doctor",
)
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
}


@pytest.fixture
def app(redis_url: str) -> Celery:
    """A shop with one stored entry."""
    app = Celery("shop", broker=redis_url, set_as_current=False)
    app.conf.update(singleton_beat_redis_url=redis_url, result_expires=None)
    Timetable(app).put(Entry("daily", task="shop.add", recurrence="@daily", tenant="acme"))
    return app


@pytest.fixture
def visit(app: Celery) -> Iterator[Callable[..., Visitor]]:
    """A maker of visitors: `visit(token=…, address=…)`."""
    made: list[Visitor] = []

    def make(*, home: str = HOME, address: str = "127.0.0.1", **options: Any) -> Visitor:
        made.append(Visitor(dashboard_app(app, **options), home=home, address=address))
        return made[-1]

    yield make
    for visitor in made:
        visitor.close()


@pytest.mark.parametrize("path", [*PAGES, "/nowhere", "/entry?name=unknown", "/login"])
def test_every_answer_bears_the_headers_that_keep_others_out(
    visit: Callable[..., Visitor], path: str
) -> None:
    headers = visit().get(path).headers

    assert set(headers["content-security-policy"].split("; ")) == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_scripts_or_styles_of_its_own(visit: Callable[..., Visitor], path: str) -> None:
    """A strict policy would drop them silently."""
    page = visit(allow_changes=True).get(path).text

    assert page.count("<script") == page.count("<script src=") == 1
    assert "<style" not in page
    assert ' style="' not in page
    assert " on" not in {part[:3] for part in page.split('="')}


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:5556", "", "["]
)
def test_a_name_that_somebody_points_here_is_refused(
    visit: Callable[..., Visitor], host: str
) -> None:
    """DNS rebinding: a page elsewhere has its own name resolve to the loopback address."""
    visitor = visit()

    answers = [visitor.get(path, Host=host) for path in ("/", "/static/x/live.js", "/live")]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


@pytest.mark.parametrize("host", ["[", "a b", "x:y", "[::1", "", "%00"])
def test_a_host_that_is_none_breaks_nothing_where_any_is_allowed(
    visit: Callable[..., Visitor], host: str
) -> None:
    visitor = visit(token=TOKEN)

    answers = [visitor.get(path, Host=host) for path in ("/", "/login", "/live?x=1")]

    assert [answer.status_code for answer in answers] == [303, 200, 401]


@pytest.mark.parametrize("host", ["localhost:5556", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_this_machine_answers_to_its_own_names(visit: Callable[..., Visitor], host: str) -> None:
    assert visit().get("/", Host=host).status_code == 200


def test_without_a_token_only_this_machine_is_answered(visit: Callable[..., Visitor]) -> None:
    elsewhere = visit(address="192.0.2.7").get("/")
    through_a_proxy = visit().get("/", **{"X-Forwarded-For": "192.0.2.7"})

    assert (elsewhere.status_code, through_a_proxy.status_code) == (403, 403)
    assert "daily" not in elsewhere.text + through_a_proxy.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example", ""])  # noqa: S104
def test_it_does_not_listen_where_others_reach_it_without_a_token(host: str) -> None:
    with pytest.raises(ConfigurationError, match="without a token"):
        check_place(host, has_token=False)
    check_place(host, has_token=True)


def test_it_listens_on_this_machine_without_a_token() -> None:
    for host in ("127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"):
        check_place(host, has_token=False)


def test_a_short_token_is_none(app: Celery) -> None:
    with pytest.raises(ConfigurationError, match="at least 16"):
        dashboard_app(app, token="")
    with pytest.raises(ConfigurationError, match="has 6 characters"):
        dashboard_app(app, token="secret")


def test_whoever_has_no_token_sees_nothing(visit: Callable[..., Visitor]) -> None:
    visitor = visit(token=TOKEN, address="192.0.2.7", home="https://beat.example")

    pages = [visitor.get(path) for path in PAGES]
    events = visitor.get("/live")
    data = visitor.get("/entries", Accept="application/json")

    assert {page.status_code for page in pages} == {303}
    assert pages[3].headers["location"] == "/login?to=%2Fentry%3Fname%3Ddaily"
    assert (events.status_code, data.status_code) == (401, 401)
    assert data.headers["www-authenticate"] == "Bearer"
    assert "daily" not in "".join(answer.text for answer in [*pages, events, data])


def test_the_token_opens_it_and_stays_out_of_the_cookie(visit: Callable[..., Visitor]) -> None:
    visitor = visit(token=TOKEN, address="192.0.2.7", home="https://beat.example")

    answer = visitor.log_in(to="/entry?name=daily")
    page = visitor.get(answer.headers["location"])
    (cookie,) = [c for c in answer.headers.get_list("set-cookie") if c.startswith("csb_session_")]

    assert (answer.status_code, page.status_code) == (303, 200)
    assert "daily" in page.text
    attributes = {part.strip().lower() for part in cookie.split(";")}
    assert {"httponly", "samesite=strict", "secure", "path=/"} <= attributes
    assert TOKEN not in cookie


def test_over_plain_http_the_cookie_is_sent_too(visit: Callable[..., Visitor]) -> None:
    answer = visit(token=TOKEN).log_in()

    cookies = answer.headers.get_list("set-cookie")

    assert not any("secure" in cookie.lower() for cookie in cookies)


def test_a_wrong_token_opens_nothing(visit: Callable[..., Visitor]) -> None:
    visitor = visit(token=TOKEN)

    answers = [visitor.log_in(given) for given in ("", TOKEN[:-1], TOKEN + "x", "tökén")]

    assert {answer.status_code for answer in answers} == {401}
    assert "not the token" in words_of(answers[0].text)
    assert visitor.get("/").status_code == 303


@pytest.mark.parametrize(
    "cookie",
    ["", ".", "..", "9999999999.YW5u.", "9999999999.YW5u." + "0" * 64, "x.y.z", "٣.YQ.a", "1.a"],
)
def test_a_cookie_that_is_not_ours_opens_nothing(
    visit: Callable[..., Visitor], cookie: str
) -> None:
    visitor = visit(token=TOKEN)
    visitor.log_in()
    (name,) = [name for name in visitor.cookies() if name.startswith("csb_session_")]

    other = visit(token=TOKEN)

    answer = other.get("/", Cookie=f"{name}={cookie}")
    assert answer.status_code == 303


def test_a_session_of_another_token_opens_nothing(visit: Callable[..., Visitor]) -> None:
    """A token is taken back by starting with another one."""
    before, now = visit(token=TOKEN), visit(token=TOKEN + " and new")
    before.log_in()
    now.log_in(TOKEN + " and new")
    (old,) = [value for name, value in before.cookies().items() if name.startswith("csb_s")]
    (name,) = [name for name in now.cookies() if name.startswith("csb_s")]

    fresh = visit(token=TOKEN + " and new")

    assert fresh.get("/", Cookie=f"{name}={old}").status_code == 303


def test_logging_out_ends_it(visit: Callable[..., Visitor]) -> None:
    visitor = visit(token=TOKEN)
    visitor.log_in(name="Ann")
    page = visitor.get("/").text

    visitor.send("/logout", {"form": form_value(page)})

    assert "Ann" in page
    assert visitor.get("/").status_code == 303


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil.example", "/\r\nX: y", "evil"]
)
def test_logging_in_leads_nowhere_else(visit: Callable[..., Visitor], to: str) -> None:
    answer = visit(token=TOKEN).log_in(to=to)

    assert answer.headers["location"] == "/"


def test_a_program_gives_the_token_as_a_bearer(visit: Callable[..., Visitor]) -> None:
    visitor = visit(token=TOKEN, allow_changes=True, address="192.0.2.7")
    bearer = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}

    entries = visitor.get("/entries", **bearer).json()["entries"]
    change = visitor.send("/change", {"action": "pause", "name": "daily"}, Origin="", **bearer)
    wrong = visitor.get("/entries", Authorization="Bearer wrong", Accept="application/json")

    assert [entry["name"] for entry in entries] == ["daily"]
    assert change.json() == {"done": True, "answer": True}
    assert wrong.status_code == 401


def test_nothing_can_be_changed_unless_it_was_allowed(
    visit: Callable[..., Visitor], app: Celery
) -> None:
    visitor = visit()
    pages = "".join(visitor.get(path).text for path in PAGES)

    answer = visitor.send("/change", {"action": "pause", "name": "daily"})

    assert 'method="post"' not in pages
    assert answer.status_code == 403
    assert "read only" in words_of(answer.text)
    assert not Timetable(app).get("daily").is_paused


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "", "Referer": "https://evil.example/127.0.0.1:5556"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_another_sites_page_changes_nothing(
    visit: Callable[..., Visitor], app: Celery, headers: dict[str, str]
) -> None:
    """Even if it knew what our forms bear."""
    visitor = visit(allow_changes=True)
    form = {"form": form_value(visitor.get("/").text), "action": "pause", "name": "daily"}

    answer = visitor.send("/change", form, **headers)

    assert answer.status_code == 403
    assert not Timetable(app).get("daily").is_paused


@pytest.mark.parametrize("given", ["", "something else", None])
def test_a_form_that_is_not_ours_changes_nothing(
    visit: Callable[..., Visitor], app: Celery, given: str | None
) -> None:
    visitor = visit(allow_changes=True)
    visitor.get("/")
    form = {"action": "pause", "name": "daily"} | ({} if given is None else {"form": given})

    answer = visitor.send("/change", form)

    assert answer.status_code == 403
    assert not Timetable(app).get("daily").is_paused


def test_a_visitor_without_our_cookie_changes_nothing(
    visit: Callable[..., Visitor], app: Celery
) -> None:
    """An empty cookie is not equal to an empty form."""
    answer = visit(allow_changes=True).send(
        "/change", {"form": "", "action": "pause", "name": "daily"}
    )

    assert answer.status_code == 403
    assert not Timetable(app).get("daily").is_paused


def test_a_change_is_not_made_by_following_a_link(visit: Callable[..., Visitor]) -> None:
    assert visit(allow_changes=True).get("/change?action=pause-all").status_code == 405


def test_an_application_says_who_may_look_and_who_it_was(
    visit: Callable[..., Visitor], app: Celery
) -> None:
    async def who(request: Request) -> str | None:
        return request.headers.get("x-user")

    visitor = visit(authorize=who, allow_changes=True, address="192.0.2.7")
    nobody = visitor.get("/")
    page = visitor.get("/", **{"X-User": "ann@shop.example"}).text
    form = {"form": form_value(page), "action": "pause", "name": "daily"}
    answer = visitor.send("/change", form, **{"X-User": "ann@shop.example"})

    assert nobody.status_code == 403
    assert answer.status_code == 303
    assert Timetable(app).get("daily").changed_by == "ann@shop.example"


def test_mounted_in_an_application_all_links_stay_inside(app: Celery) -> None:
    site = Starlette(routes=[Mount("/ops/beat", dashboard_app(app, token=TOKEN))])
    visitor = Visitor(site)

    first = visitor.get("/ops/beat/entries")
    page = visitor.get(first.headers["location"])
    form = {"form": form_value(page.text), "token": TOKEN, "to": "/entries", "name": ""}
    answer = visitor.send("/ops/beat/login", form)
    inside = visitor.get(answer.headers["location"])
    visitor.close()

    assert first.headers["location"] == "/ops/beat/login?to=%2Fentries"
    assert answer.headers["location"] == "/ops/beat/entries"
    links = {
        part.split('"')[0]
        for text in (page.text, inside.text)
        for start in ('href="', 'src="', 'action="', 'data-live-source="')
        for part in text.split(start)[1:]
    }
    assert {link for link in links if not link.startswith(("#", "?", "/ops/beat/"))} == set()
    cookies = [c.lower() for c in answer.headers.get_list("set-cookie")]
    assert all("path=/ops/beat" in cookie for cookie in cookies)


def test_files_are_those_that_it_has_and_no_others(visit: Callable[..., Visitor]) -> None:
    visitor = visit()

    found = visitor.get("/static/any/dashboard.css")
    others = [
        visitor.get(f"/static/x/{name}").status_code
        for name in ("..%2fsite.py", "site.py", "../../options.py", "%2e%2e/x.css", "unknown.css")
    ]

    assert found.headers["content-type"].startswith("text/css")
    assert "immutable" in found.headers["cache-control"]
    assert set(others) == {404}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"action=pause", "text/plain", 415),
        (b"a=" + b"x" * 20_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a=1" for _ in range(50)), "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
    ],
)
def test_what_is_no_form_of_ours_is_refused(
    visit: Callable[..., Visitor], body: bytes, kind: str, status: int
) -> None:
    visitor = visit(allow_changes=True)

    answer = visitor._ask(  # noqa: SLF001  # what no browser sends
        "POST", "/change", content=body, headers={"Content-Type": kind, "Origin": HOME}
    )

    assert answer.status_code == status
