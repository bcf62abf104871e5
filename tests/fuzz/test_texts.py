"""Settings, variables, URLs, lock keys and log lines: whatever is written, in order or refused."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import pytest
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celery_singleton_beat import SingletonTask
from celery_singleton_beat.adapters.lock_keys import key_maker
from celery_singleton_beat.adapters.messages import publish
from celery_singleton_beat.errors import ConfigurationError, StoreError
from celery_singleton_beat.events import of_beats as happened
from celery_singleton_beat.observe.logs import log_event
from celery_singleton_beat.protocol.key_text import LONGEST, text_of
from celery_singleton_beat.settings import Settings, declared_settings, key_of
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.store_url import redacted
from tests.fuzz.injuries import TEXTS
from tests.fuzz.test_definitions import anything

CHECKED = settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
KEYS = sorted(key_of(declared) for declared in declared_settings())
SECRET = "hunter2"
SHORT = tuple(text for text in TEXTS if len(text) < 10_000)
hostile = st.sampled_from((*SHORT, "9" * 5000, "[" * 5000, "1e999", "nan")) | st.text(max_size=30)
urls = st.builds(
    "".join,
    st.lists(
        st.sampled_from(
            (
                "redis",
                "rediss",
                "unix",
                "sentinel",
                "memory",
                "amqp",
                "://",
                "/",
                ":",
                "@",
                "?",
                ";",
            )
        )
        | st.sampled_from((f"u:{SECRET}@", "[::1]", "[", "]", "db=x", "6379", "99999999", "%zz"))
        | st.text(max_size=4),
        max_size=8,
    ),
)


@CHECKED
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), anything, max_size=3))
def test_settings_are_read_or_refused(conf: dict[str, Any]) -> None:
    """F13: by name, whatever kind of value was given."""
    with contextlib.suppress(ConfigurationError):
        Settings.read(conf, {})


@CHECKED
@given(st.dictionaries(st.sampled_from([key.upper() for key in KEYS]), hostile, max_size=3))
def test_variables_are_read_or_refused(environ: dict[str, str]) -> None:
    with contextlib.suppress(ConfigurationError):
        Settings.read({}, environ)


@CHECKED
@given(urls)
def test_a_url_is_used_or_refused_and_shows_no_password(url: str) -> None:
    """C18: what cannot be read is said by name; nothing is looked up for that."""
    with contextlib.suppress(ConfigurationError):
        Settings.read({"singleton_beat_redis_url": url}, {}).redis_url_for(None, None)
    redacted(url)


@pytest.mark.parametrize(
    "url",
    ["redis://[::1", "redis://127.0.0.1:99999999/0", "redis://127.0.0.1:port", "redis://h/x",
     "redis://127.0.0.1:1/0?socket_timeout=x", "sentinel://h:x/0", "sentinel://h:1;;/db",
     "redis://127.0.0.1:1/0?no_such_option=1", "unix://", "redis://\x00/0", "nothing://x"],
)  # fmt: skip
def test_a_url_that_cannot_be_is_an_error_of_ours(url: str) -> None:
    """A driver's own words may name what it was given; ours say what to set."""
    from celery_singleton_beat.store.redis_store import RedisStore  # noqa: PLC0415

    def use() -> None:
        store = RedisStore(
            Wire(url, connect_timeout_ms=200, socket_timeout_ms=200), prefix="p", app="a"
        )
        store.ping()

    with pytest.raises((ConfigurationError, StoreError)):
        use()


@CHECKED
@given(anything, hostile)
def test_arguments_make_a_key_and_are_no_template_of_one(value: Any, text: str) -> None:
    """S4-13: what a tenant gives as an argument is put in as it is, and never looked into."""
    app = Celery("keys", set_as_current=False)

    @app.task(base=SingletonTask, shared=False)
    def report(customer: Any) -> None: ...

    make = key_maker(report, "report:{customer}")

    assert make([text], {}).startswith(f"report:{text_of(text)}"[:30])
    assert len(make([value], {}).encode()) <= LONGEST
    assert make(["{customer.__class__}"], {}) == "report:{customer.__class__}"
    assert make(["{0.__init__.__globals__}"], {}) == "report:{0.__init__.__globals__}"


@CHECKED
@given(hostile, hostile)
def test_no_name_and_no_reason_forges_a_line_of_the_log(entry: str, reason: str) -> None:
    """One event is one line, without codes for a terminal and without marks that turn text."""
    entry = entry[:1000]  # a name of ours has 200 bytes
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("celery_singleton_beat")
    logger.addHandler(handler)
    try:
        log_event(happened.EntrySetAside.because(entry, ValueError(reason)))
    finally:
        logger.removeHandler(handler)

    (line,) = lines
    assert line.isprintable()
    assert len(line) < 20_000


@CHECKED
@given(hostile | anything.map(str) | st.just('{"body": "x"}'))
def test_a_kept_message_that_is_none_is_refused_before_it_is_sent(text: str) -> None:
    """A beat publishes it or says that it cannot be; what it raises is an ``Exception``."""

    class Producer:
        def publish(self, *_: Any, **__: Any) -> None:
            raise AssertionError(text)

    with pytest.raises(Exception) as refused:  # noqa: PT011  # whatever json and base64 raise
        publish(Producer(), text)

    assert not isinstance(refused.value, AssertionError)
