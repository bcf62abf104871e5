"""``alerts``: what is wrong, as far as somebody watches."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery_singleton_beat.adapters.alerts import Alerts
from celery_singleton_beat.operate.output import Column, command, table, the_app

if TYPE_CHECKING:
    from celery_singleton_beat.observe.alerts.alert import Alert
    from celery_singleton_beat.operate.tables import Value


@command("alerts", examples="alerts\nalerts --json")
def alerts() -> None:
    """List the alerts that are open, the oldest first.

    They are opened by beats and workers that are set up to alert; without
    singleton_beat_alerts or a webhook there are none.
    """
    columns = [
        Column("since"),
        Column("rule"),
        Column("subject", may_fold=True),
        Column("alert", may_fold=True),
    ]
    found = Alerts(the_app(), rules={}).open()
    table(columns, found, _row, _data, empty="No alert is open.")


def _row(alert: Alert) -> list[Value]:
    return [_since(alert), alert.rule, alert.subject, alert.text]


def _data(alert: Alert) -> dict[str, Any]:
    return {
        "rule": alert.rule,
        "subject": alert.subject,
        "alert": alert.text,
        "since": _since(alert),
        "about": dict(alert.about),
    }


def _since(alert: Alert) -> str:
    at = datetime.fromtimestamp(alert.since_ms // 1000, timezone.utc)
    return at.isoformat()
