"""Alerts of an app: what it is told of, by which rules, and to whom.

Runs in: worker, main process; beat; any other process that starts them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.errors import ConfigurationError
from celery_singleton_beat.events import AlertFired, AlertResolved, Event
from celery_singleton_beat.observe.alerts.alert import Alert
from celery_singleton_beat.observe.alerts.lookout import Lookout
from celery_singleton_beat.observe.alerts.outage import Post
from celery_singleton_beat.observe.alerts.sight import Running
from celery_singleton_beat.observe.alerts.thresholds import Thresholds
from celery_singleton_beat.observe.alerts.webhook import Webhook

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.adapters.extension import Extension

Notice = AlertFired | AlertResolved
Told = Callable[[Notice], None]


class Alerts:
    """Looks after an app and tells of what is wrong, once, and once again when it is over.

    Workers and beats have one by themselves if the settings ask for alerts. Any
    other process may start one too: it shares the watch with them, and is told
    of what it finds itself. ``rules`` are thresholds as in ``singleton_beat_alerts``
    (default: what is set there); each of ``to`` is called with ``AlertFired`` and
    ``AlertResolved`` in the lookout's thread. The log is always told, and the
    webhook where one is set. Runs that take too long are found by the worker that has them.

    Raises:
        ConfigurationError: there is no such rule, or the webhook is no address.
    """

    def __init__(
        self,
        app: Celery,
        *,
        rules: Mapping[str, Any] | None = None,
        to: Sequence[Told] = (),
    ) -> None:
        self._app, self._extension = app, extension_of(app)
        self._setting = self._extension.settings.alerts or {} if rules is None else rules
        self._thresholds = Thresholds.from_data(self._setting)
        self._webhook = webhook_of(self._extension)
        self._to = tuple(to)
        self._lookout: Lookout | None = None
        self._ends: list[Callable[[], None]] = []

    def start(self, *, is_beat: bool = False) -> None:
        """Look from now on, in a thread of its own."""
        self._made(is_beat=is_beat).start()

    def look(self) -> None:
        """Look once, in this thread: for a loop of the caller's own."""
        self._made().look()

    def open(self) -> list[Alert]:
        """List the alerts that are open in the store, the oldest first; no lookout is needed.

        Raises:
            StoreError: the store cannot answer. That is an alert, too, and in no store.
        """
        texts = self._extension.store.watch("", 0).alerts  # nobody's name takes no duty
        read = (Alert.from_text(name, text) for name, text in texts.items())
        return sorted((one for one in read if one), key=lambda one: (one.since_ms, one.name))

    def stop(self) -> None:
        """Look no more, and post what waits, for some seconds. May be called repeatedly."""
        lookout, self._lookout = self._lookout, None
        if lookout is None:
            return
        lookout.stop()
        for end in self._ends:
            end()
        self._ends.clear()
        if self._webhook is not None:
            self._webhook.stop()

    def _made(self, *, is_beat: bool = False) -> Lookout:
        if self._lookout is None:
            extension, events = self._extension, self._extension.events
            for told in self._to:
                self._ends.append(events.subscribe(_only_alerts(told), wants=Webhook.wants))
            if self._webhook is not None:
                self._ends.append(events.subscribe(self._webhook, wants=Webhook.wants))
            post = Post(extension.instance, is_beat, self._runs, self._entries)
            self._lookout = Lookout(extension.store, events, post, self._thresholds)
        return self._lookout

    def _entries(self) -> list[str]:
        return sorted(map(str, self._app.conf.beat_schedule or {}))

    def _runs(self) -> list[Running]:
        """List what this worker runs, with the time that each may take."""
        if "heartbeat" not in vars(self._extension):
            return []
        return [
            Running(
                held.attempt.run,
                held.attempt.holder,
                held.attempt.key,
                held.task,
                held.attempt.entry,
                held.since_ms,
                held.alert_after_ms or self._thresholds.long_run or 0,
            )
            for held in self._extension.heartbeat.held()
            if held.is_trusted  # what has lost its key is alerted of as that
        ]


def alerts_of(app: Celery) -> Alerts | None:
    """Make the alerts that the settings ask for; None if they ask for none.

    Raises:
        ConfigurationError: there is no such rule, or the webhook is no address.
    """
    settings = extension_of(app).settings
    if settings.alerts is None and settings.alert_webhook is None:
        return None
    return Alerts(app)


def webhook_of(extension: Extension) -> Webhook | None:
    """Make the webhook that is set, if there is one."""
    settings = extension.settings
    if settings.alert_webhook is None:
        return None
    headers = {str(name): str(value) for name, value in (settings.alert_headers or {}).items()}
    if any("\n" in text or "\r" in text for pair in headers.items() for text in pair):
        msg = "singleton_beat_alert_headers must not hold line breaks"
        raise ConfigurationError(msg)
    about = {"app": extension.app_name, "prefix": extension.prefix, "by": extension.instance}
    return Webhook(settings.alert_webhook, headers, about=about)


def _only_alerts(told: Told) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        if isinstance(event, (AlertFired, AlertResolved)):
            told(event)

    return listen
