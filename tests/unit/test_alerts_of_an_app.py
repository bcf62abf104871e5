"""Alerts of an app: what its settings ask for, and alerts as a library."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from celery import Celery

from celery_singleton_beat import Alerts, ConfigurationError, SingletonScheduler, SingletonTask
from celery_singleton_beat.adapters.alerts import alerts_of
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.events import AlertFired, AlertResolved, LeaseGone

SECRET = "hunter2"
URL = f"http://127.0.0.1:1/{SECRET}"


def make_app(**conf: Any) -> Celery:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update({"singleton_beat_redis_url": "memory://"})
    app.conf.update({f"singleton_beat_{name}": value for name, value in conf.items()})
    return app


def test_there_are_none_until_they_are_asked_for() -> None:
    assert alerts_of(make_app()) is None
    assert alerts_of(make_app(alerts={})) is not None
    assert alerts_of(make_app(alert_webhook=URL)) is not None


@pytest.mark.parametrize(
    "conf",
    [
        {"alerts": {"longrun": 1}},
        {"alert_webhook": f"ftp://host/{SECRET}"},
        {"alert_webhook": URL, "alert_headers": {"X-Token": f"{SECRET}\r\nX: y"}},
    ],
    ids=lambda conf: next(iter(conf)),
)
def test_what_cannot_be_is_refused_when_a_beat_starts_and_keeps_its_secrets(
    conf: dict[str, Any],
) -> None:
    """F13."""
    app = make_app(**conf)

    with pytest.raises(ConfigurationError, match="singleton_beat_alert") as refused:
        SingletonScheduler(app)

    assert SECRET not in str(refused.value)


def test_settings_show_no_address_and_no_headers() -> None:
    app = make_app(alert_webhook=URL, alert_headers={"X-Token": SECRET})

    assert SECRET not in repr(extension_of(app).settings)


def test_whoever_is_to_be_told_is_told_once_and_of_the_end_once() -> None:
    """S1-22: in a loop of the caller's own."""
    told: list[AlertFired | AlertResolved] = []
    app = make_app()
    alerts = Alerts(app, rules={"quiet": 0.001}, to=[told.append])
    alerts.look()
    extension_of(app).events.emit(LeaseGone("run", "key"))
    pause = threading.Event()
    while len(told) < 2:  # until it was quiet for a millisecond of the store's clock
        alerts.look()
        pause.wait(0.002)
    alerts.look()
    alerts.stop()
    alerts.stop()

    assert [type(one) for one in told] == [AlertFired, AlertResolved]
    assert (told[0].rule, told[0].subject) == ("lease_lost", "key")


def test_one_who_fails_to_be_told_keeps_nobody_else_from_it() -> None:
    told: list[AlertFired | AlertResolved] = []

    def fail(_: AlertFired | AlertResolved) -> None:
        raise ZeroDivisionError

    app = make_app()
    alerts = Alerts(app, to=[fail, told.append])
    alerts.look()
    extension_of(app).events.emit(LeaseGone("run", "key"))
    alerts.look()
    alerts.stop()

    assert len(told) == 1


def test_a_lookout_in_a_thread_ends_when_it_is_told_to() -> None:
    came = threading.Event()
    app = make_app()
    alerts = Alerts(app, rules={"every": 0.01}, to=[lambda _: came.set()])
    alerts.start()
    extension_of(app).events.emit(LeaseGone("run", "key"))
    is_told = came.wait(20)
    alerts.stop()

    assert is_told
    assert "singleton-lookout" not in [thread.name for thread in threading.enumerate()]


def test_a_task_says_how_long_its_runs_may_take() -> None:
    """S1-22."""
    app = make_app()

    def body() -> None:
        pass

    quick = app.task(base=SingletonTask, alert_after=2.5, name="quick")(body)
    wrong = app.task(base=SingletonTask, alert_after="2", name="wrong")(body)

    assert quick.singleton_options.alert_after_ms == 2500
    with pytest.raises(ConfigurationError, match="alert_after of task wrong"):
        _ = wrong.singleton_options
