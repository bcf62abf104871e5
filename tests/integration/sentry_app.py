"""The shop with Sentry: its check-ins go to the witness, and nowhere else.

Runs in: beats and workers of these tests.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import sentry_sdk
from celery.schedules import crontab
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport

from tests.integration.worker_app import app
from tests.rig import witness

if TYPE_CHECKING:
    from sentry_sdk.envelope import Envelope

__all__ = ["app"]


class Recorder(Transport):
    """Writes down what would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            if item.type == "check_in":
                told = item.payload.json
                witness.record(os.environ[witness.VARIABLE], kind="check-in", told=told)


def arguments(key: str, *steps: tuple[str, object]) -> tuple[object, ...]:
    """What a task of the shop is called with."""
    return key, [list(step) for step in steps]


sentry_sdk.init(
    dsn="https://nobody@sentry.invalid/1",
    transport=Recorder,
    integrations=[CeleryIntegration(monitor_beat_tasks=True)],
)

minutely = {"task": "shop.early", "schedule": crontab()}
app.conf.result_expires = None
app.conf.beat_schedule = {
    "by zone": {**minutely, "args": arguments("zone"), "timezone": "Asia/Tokyo"},
    "by app": {**minutely, "args": arguments("app")},
    "each minute": {"task": "shop.early", "schedule": 60.0, "args": arguments("interval")},
    "of no SingletonTask": {**minutely, "task": "shop.gather", "args": (1, "plain")},
}
