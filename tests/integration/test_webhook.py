"""The webhook, against a real HTTP server: what it posts, and what it does when nobody answers."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest

from celery_singleton_beat.demo.server import HOST
from celery_singleton_beat.errors import ConfigurationError
from celery_singleton_beat.events import AlertFired, AlertResolved, StoreLost
from celery_singleton_beat.observe.alerts.webhook import Webhook
from tests.rig.hooks import Hooks

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRED = AlertFired("late", "x", "an entry is late", 1_700_000_000_000, {"entry": "x"})
RESOLVED = AlertResolved("late", "x", "an entry is late", 1_700_000_000_000, 61_500, {})
SECRET = "hunter2"
SOON = (0.01, 0.01, 0.01)


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    """A server that takes webhooks."""
    made = Hooks()
    yield made
    made.close()


class Lines(logging.Handler):
    """What is logged, and a way to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.came.set()


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What the webhook logs."""
    handler, logger = Lines(), logging.getLogger("celery_singleton_beat.observe.alerts.webhook")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_an_alert_is_posted_as_json_with_a_text_for_chats(hooks: Hooks) -> None:
    """S1-22, S1-27."""
    about = {"app": "shop", "prefix": "{csb:shop}", "by": "host:1"}
    webhook = Webhook(hooks.url, {"Authorization": f"Bearer {SECRET}"}, about=about)

    for event in (FIRED, StoreLost("no alert"), RESOLVED):
        webhook(event)
    hooks.count(2)
    webhook.stop()

    assert hooks.bodies == [
        {
            "text": "[shop] an entry is late",
            "status": "firing",
            "rule": "late",
            "subject": "x",
            "alert": "an entry is late",
            "since": "2023-11-14T22:13:20+00:00",
            "about": {"entry": "x"},
            **about,
        },
        {
            "text": "[shop] Resolved: an entry is late",
            "status": "resolved",
            "rule": "late",
            "subject": "x",
            "alert": "an entry is late",
            "since": "2023-11-14T22:13:20+00:00",
            "about": {},
            "lasted_seconds": 61.5,
            **about,
        },
    ]
    assert hooks.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert hooks.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_fails_is_asked_again(hooks: Hooks, lines: Lines, status: int) -> None:
    for _ in range(2):
        hooks.answers.put(status)
    webhook = Webhook(hooks.url, delays_seconds=SOON)

    webhook(FIRED)
    hooks.count(3)
    webhook.stop()

    assert len(hooks.bodies) == 3
    assert lines.texts == []


def test_a_server_that_fails_each_time_is_left_alone_and_the_log_says_so(
    hooks: Hooks, lines: Lines
) -> None:
    for _ in range(4):
        hooks.answers.put(500)
    webhook = Webhook(hooks.url, delays_seconds=SOON)

    webhook(FIRED)
    assert lines.came.wait(20)
    webhook(RESOLVED)
    hooks.count(5)
    webhook.stop()

    assert [body["status"] for body in hooks.bodies] == ["firing"] * 4 + ["resolved"]
    assert lines.texts == [f"An alert was not posted to http://{HOST}: it answered 500"]


@pytest.mark.parametrize("status", [400, 404, 302])
def test_what_is_refused_is_not_posted_again_nor_elsewhere(
    hooks: Hooks, lines: Lines, status: int
) -> None:
    hooks.answers.put(status)
    webhook = Webhook(hooks.url, delays_seconds=SOON)

    webhook(FIRED)
    assert lines.came.wait(20)
    webhook.stop()

    assert len(hooks.bodies) == 1
    assert lines.texts == [f"An alert was not posted to http://{HOST}: it answered {status}"]


def test_a_server_that_is_down_costs_nobody_anything_and_no_secret_is_logged(
    hooks: Hooks, lines: Lines
) -> None:
    webhook = Webhook(hooks.url, {"X-Token": SECRET}, delays_seconds=SOON)
    hooks.close()

    webhook(FIRED)
    assert lines.came.wait(20)
    webhook.stop()

    assert lines.texts == [f"An alert was not posted to http://{HOST}: ConnectionRefusedError"]


def test_a_server_that_does_not_answer_delays_nobody_who_alerts(hooks: Hooks, lines: Lines) -> None:
    hooks.gate = threading.Event()
    webhook = Webhook(hooks.url, timeout_seconds=0.3, delays_seconds=())

    webhook(FIRED)
    hooks.count(1)
    for _ in range(1200):
        webhook(RESOLVED)  # would wait for ever, if it waited
    assert lines.came.wait(20)
    webhook.stop(0.1)

    assert f"An alert was not posted to http://{HOST}: too many wait already" in lines.texts
    assert not any(SECRET in text for text in lines.texts)


def test_what_waits_when_a_process_stops_is_posted_still(hooks: Hooks) -> None:
    webhook = Webhook(hooks.url)

    webhook(FIRED)
    webhook(RESOLVED)
    webhook.stop()

    assert [body["status"] for body in hooks.bodies] == ["firing", "resolved"]


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "host/x", "http://"])
def test_an_address_that_is_none_of_http_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Webhook(f"{url}?token={SECRET}")

    assert "singleton_beat_alert_webhook" in str(refused.value)
    assert SECRET not in str(refused.value)
