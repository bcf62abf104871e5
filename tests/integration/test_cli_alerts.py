"""The open alerts on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery import Celery

from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.observe.alerts.alert import Alert
from tests.integration.command_line import CommandLine

if TYPE_CHECKING:
    from collections.abc import Iterator

LATE = Alert("late", "x", "an entry is late", 1_700_000_000_000, 1_700_000_000_000)
LOST = Alert("lost", "y", "a run is lost", 1_600_000_000_000, 1_700_000_000_000, {"run": "id"})


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    made = Celery("shop", broker="memory://", set_as_current=False)
    made.conf.update(singleton_beat_redis_url=redis_url)
    yield made
    extension_of(made).store.close()


def test_open_alerts_are_listed_the_oldest_first(app: Celery) -> None:
    """S1-22: what is wrong now, whoever was told of it."""
    store, line = extension_of(app).store, CommandLine(app)
    nothing = line.run("alerts").output
    for alert in (LATE, LOST):
        store.alert(alert.name, alert.to_text())
    store.alert("odd", "what nobody of ours wrote")

    listed, data = line("alerts"), line.data("alerts")

    assert "No alert is open." in nothing
    assert listed.index("a run is lost") < listed.index("an entry is late")
    assert data == [
        {
            "rule": "lost",
            "subject": "y",
            "alert": "a run is lost",
            "since": "2020-09-13T12:26:40+00:00",
            "about": {"run": "id"},
        },
        {
            "rule": "late",
            "subject": "x",
            "alert": "an entry is late",
            "since": "2023-11-14T22:13:20+00:00",
            "about": {},
        },
    ]


def test_looking_at_alerts_takes_nobodys_duty(app: Celery) -> None:
    store = extension_of(app).store
    before = store.watch("watcher", 60_000).watcher
    CommandLine(app)("alerts")

    assert before == store.watch("another", 60_000).watcher == "watcher"
