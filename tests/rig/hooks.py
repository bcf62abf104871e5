"""A receiver of webhooks: a real HTTP server that answers as a test wants it to."""

from __future__ import annotations

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from celery_singleton_beat.demo.server import HOST

if TYPE_CHECKING:
    from collections.abc import Callable


class Hooks:
    """Keeps what is posted to it; `answers` are the states it gives first, then 200."""

    def __init__(self) -> None:
        self.answers: queue.Queue[int] = queue.Queue()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.gate: threading.Event | None = None
        self._changed = threading.Condition()
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hooks._posted(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/hook?token=hunter2"

    def wait(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """The first body that is as wanted, once it came."""
        with self._changed:
            if not self._changed.wait_for(lambda: any(map(wanted, self.bodies)), seconds):
                msg = f"no such alert came, but {self.bodies}"
                raise TimeoutError(msg)
            return next(filter(wanted, self.bodies))

    def of(self, rule: str, status: str) -> dict[str, Any]:
        """The first alert of a rule with that status, once it came."""
        return self.wait(lambda body: (body["rule"], body["status"]) == (rule, status))

    def count(self, times: int, seconds: float = 60) -> None:
        """Wait until so many bodies came."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.bodies) >= times, seconds):
                msg = f"only {len(self.bodies)} came"
                raise TimeoutError(msg)

    def close(self) -> None:
        if self.gate is not None:
            self.gate.set()
        self._server.shutdown()
        self._server.server_close()

    def _posted(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        with self._changed:
            self.bodies.append(json.loads(body))
            self.headers.append(dict(handler.headers.items()))
            self._changed.notify_all()
        if self.gate is not None:
            self.gate.wait(60)
        try:
            status = self.answers.get_nowait()
        except queue.Empty:
            status = 200
        try:
            handler.send_response(status)
            if status == 302:
                handler.send_header("Location", f"http://{HOST}:{self.port}/elsewhere")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        except OSError:
            pass  # the client has gone
