"""Whatever is asked of the dashboard: an answer, in order or refused, and nothing is changed."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celery_singleton_beat import Entry, Timetable
from tests.fuzz.injuries import TEXTS
from tests.integration.visitors import TOKEN, Visitor, visitor_of

CHECKED = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
PAGES = ("", "timeline", "entries", "entry", "locks", "tenants", "statistics", "history", "login")
NAMES = ("name", "q", "page", "tenant", "sort", "to", "from", "until", "zoom", "kind", "format")
short = st.sampled_from([text for text in TEXTS if len(text) < 2000]) | st.text(max_size=20)
values = short | st.sampled_from(("9" * 5000, "-1", "1e400", "nan", "9999-12-31T23:59:59", "0"))
queries = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), values, max_size=3)
headers = st.dictionaries(
    st.sampled_from(
        (
            *("Host", "Origin", "Referer", "Cookie", "Accept", "Authorization", "Content-Type"),
            *("Sec-Fetch-Site", "X-Forwarded-For", "Content-Length", "Last-Event-ID"),
        )
    ),
    st.sampled_from(
        (
            *(
                "http://[",
                "[::1",
                "null",
                "//",
                "http://127.0.0.1:5556",
                "127.0.0.1:5556",
                "a" * 5000,
            ),
            *(f"Bearer {TOKEN}", "Bearer ", "Basic x", "csb_form=x", "é", "application/json"),
            *("multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "9" * 5000),
        )
    ),
    max_size=3,
)
forms = st.dictionaries(
    st.sampled_from(("form", "action", "name", "note", "token", "to", "request", "cancel")),
    values | st.sampled_from(("pause", "unlock", "run-now", "kept")),
    max_size=5,
)


@pytest.fixture
def app(redis_url: str) -> Celery:
    app = Celery("hostile", broker=redis_url, set_as_current=False)
    app.conf.update(singleton_beat_redis_url=redis_url)
    Timetable(app).put(Entry("kept", "some.task", 3600, tenant="t"))
    return app


@pytest.fixture
def visitor(app: Celery) -> Iterator[Visitor]:
    """Somebody without a token."""
    visitor = visitor_of(app, token=TOKEN, allow_changes=True)
    yield visitor
    visitor.close()


@pytest.fixture
def known(app: Celery) -> Iterator[Visitor]:
    """Somebody who has given it."""
    visitor = visitor_of(app, token=TOKEN, allow_changes=True)
    assert visitor.log_in().status_code == 303
    yield visitor
    visitor.close()


def is_kept(app: Celery) -> bool:
    """Whether the entry is as it was put."""
    return not Timetable(app).get("kept").is_paused


def test_no_question_of_somebody_known_breaks_a_page(known: Visitor) -> None:
    @CHECKED
    @given(st.sampled_from(PAGES), queries)
    def check(page: str, query: dict[str, str]) -> None:
        answer = known.get(f"/{page}?{httpx.QueryParams(query)}")

        assert answer.status_code < 500, (page, query)

    check()


def test_no_header_lets_a_stranger_in(app: Celery, visitor: Visitor) -> None:
    """Nor ends in an error of the server's own."""

    @CHECKED
    @given(st.sampled_from((*PAGES, "change", "logout", "static/x/../../y", "%7f", "%00")),
           headers, forms, st.booleans())  # fmt: skip
    def check(page: str, sent: dict[str, str], form: dict[str, str], writes: bool) -> None:
        knows = any(TOKEN in value for value in sent.values())
        sent = {name: value for name, value in sent.items() if name != "Content-Length"}
        answer = (
            visitor.send(f"/{page}", form, **sent) if writes else visitor.get(f"/{page}", **sent)
        )

        assert answer.status_code < 500, (page, sent)
        assert knows or b"kept" not in answer.content or page == "login"
        assert is_kept(app)

    check()


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "//", "null", "http://é"])
def test_an_origin_that_cannot_be_read_is_not_ours(known: Visitor, origin: str) -> None:
    assert known.send("/change", {"action": "pause-all"}, Origin=origin).status_code == 403


@pytest.mark.parametrize(
    "cookie", ["9" * 5000 + ".x.y", "1.x.y", "..", "٣.x.y", "99999999999..", f"{2**63}.é.x"]
)
def test_a_cookie_of_ones_own_making_is_none(visitor: Visitor, cookie: str) -> None:
    (name,) = {
        header.partition("=")[0]
        for header in visitor.log_in().headers.get_list("set-cookie")
        if header.startswith("csb_session")
    }
    stranger = Visitor(visitor.site)

    assert stranger.get("/", Cookie=f"{name}={cookie}").status_code == 303
    stranger.close()


def test_no_name_of_a_visitor_forges_a_line_of_the_log(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has the token may call himself as he likes."""
    visitor = visitor_of(app, token=TOKEN, allow_changes=True)
    visitor.log_in(name="eve\nCRITICAL all is lost\x1b[2J")

    with caplog.at_level(logging.INFO, "celery_singleton_beat"):
        assert visitor.change("pause", "kept", page="entry?name=kept").status_code == 303
    visitor.close()

    (line,) = [r.getMessage() for r in caplog.records if "changed something" in r.getMessage()]
    assert line.isprintable()
