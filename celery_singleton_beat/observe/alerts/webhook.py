"""The webhook: alerts as JSON, posted to an address of the operator's.

A thread of its own posts, one after the other: no beat and no worker waits for it.
What is refused is dropped; what is not answered, or with an error of the server's,
is tried a few times more. Whatever is dropped is said in the log. The address and
its headers may be secrets: of the address only scheme and host are ever logged.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from celery_singleton_beat.errors import ConfigurationError
from celery_singleton_beat.events import AlertFired, AlertResolved, Event

_logger = logging.getLogger(__name__)

_WAITING: Final = 1000
_TIMEOUT_SECONDS: Final = 5.0
_DELAYS: Final = (1.0, 5.0, 20.0)
_STOP_SECONDS: Final = 3.0
_AGAIN: Final = (408, 425, 429)
_SERVER_ERROR: Final = 500


class _NoRedirects(HTTPRedirectHandler):
    """Goes nowhere else: the headers are for the address that was set."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER: Final = build_opener(_NoRedirects)


class Webhook:
    """A listener to events that posts alerts, and takes no notice of anything else.

    ``about`` is added to every body: which app it is, and which process tells.

    Raises:
        ConfigurationError: the address is none of http or https.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        about: Mapping[str, str] | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        delays_seconds: Sequence[float] = _DELAYS,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "singleton_beat_alert_webhook must be an address that begins with http(s)://"
            raise ConfigurationError(msg)
        self._shown = f"{parts.scheme}://{parts.hostname}"
        self._url = url
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._about = dict(about or {})
        self._timeout_seconds, self._delays = timeout_seconds, tuple(delays_seconds)
        self._waiting: queue.Queue[Event | None] = queue.Queue(_WAITING)
        self._stopping = threading.Event()
        self._is_over = False
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        """Take an alert to be posted; never waits."""
        if not isinstance(event, (AlertFired, AlertResolved)):
            return
        self._start()
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self._dropped("too many wait already")

    @staticmethod
    def wants(kind: type[Event]) -> bool:
        """Tell whether it takes notice of events of this kind."""
        return issubclass(kind, (AlertFired, AlertResolved))

    def stop(self, timeout_seconds: float = _STOP_SECONDS) -> None:
        """Post what waits, for so long; what fails from now on is not tried again."""
        with self._guard:
            thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        thread.join(timeout_seconds)
        self._is_over = True

    def _start(self) -> None:
        with self._guard:
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="singleton-webhook", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while (event := self._waiting.get()) is not None and not self._is_over:
            try:
                self._deliver(json.dumps(body_of(event, self._about), default=str).encode())
            except Exception:
                _logger.exception("An alert could not be posted")

    def _deliver(self, body: bytes) -> None:
        """Post until it is taken, refused, or was tried often enough."""
        why = ""
        for delay_seconds in (*self._delays, None):
            why, is_hopeless = self._post(body)
            if not why:
                return
            if is_hopeless or delay_seconds is None or self._stopping.wait(delay_seconds):
                break
        self._dropped(why)

    def _post(self, body: bytes) -> tuple[str, bool]:
        """Post once; tell what went wrong, and whether it always will."""
        request = Request(self._url, body, self._headers, method="POST")  # noqa: S310  # checked
        try:
            with _OPENER.open(request, timeout=self._timeout_seconds):
                return "", False
        except HTTPError as error:
            error.close()
            is_hopeless = error.code < _SERVER_ERROR and error.code not in _AGAIN
            return f"it answered {error.code}", is_hopeless
        except (OSError, ValueError) as error:
            # Only its kind: what it says may hold the address.
            reason = getattr(error, "reason", None)
            return type(reason if isinstance(reason, Exception) else error).__name__, False

    def _dropped(self, why: str) -> None:
        _logger.error("An alert was not posted to %s: %s", self._shown, why)


def body_of(event: Event, about: Mapping[str, str]) -> dict[str, Any]:
    """Write an alert for those who read JSON; ``text`` is what Slack and its like show."""
    if not isinstance(event, (AlertFired, AlertResolved)):
        msg = f"{type(event).__name__} is no alert"
        raise TypeError(msg)
    is_over = isinstance(event, AlertResolved)
    where = about.get("app", "")
    head = f"[{where}] " if where else ""
    text = f"{head}{'Resolved: ' if is_over else ''}{event.alert}"
    body: dict[str, Any] = {
        "text": text,
        "status": "resolved" if is_over else "firing",
        "rule": event.rule,
        "subject": event.subject,
        "alert": event.alert,
        "since": datetime.fromtimestamp(event.since_ms / 1000, timezone.utc).isoformat(),
        "about": dict(event.about),
        **about,
    }
    if isinstance(event, AlertResolved):
        body["lasted_seconds"] = event.lasted_ms / 1000
    return body
