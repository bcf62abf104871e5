"""A visitor of a dashboard: asks it as a browser would, in this process and without scripts."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import httpx

from celery_singleton_beat.operate.dashboard import dashboard_app

if TYPE_CHECKING:
    from celery import Celery

HOME = "http://127.0.0.1:5556"
TOKEN = "a token that is long enough"
TAG = re.compile(r"<[^>]*>")


class Visitor:
    """Keeps cookies, sends what a browser sends, and reads forms off pages."""

    def __init__(
        self, site: Any, *, home: str = HOME, address: str = "127.0.0.1", **headers: str
    ) -> None:
        self.site = site
        self._loop = asyncio.new_event_loop()
        transport = httpx.ASGITransport(site, client=(address, 40_000))
        self._client = httpx.AsyncClient(transport=transport, base_url=home, headers=headers)
        self.home = home

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._ask("GET", path, headers=headers)

    def data(self, path: str) -> Any:
        """What a page says, as data."""
        answer = self.get(path, Accept="application/json")
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    def text(self, path: str) -> str:
        """What a page says, as text."""
        return words_of(self.get(path).text)

    def send(self, path: str, form: dict[str, str], **headers: str) -> httpx.Response:
        """Send a form, as from a page of the dashboard."""
        sent = {"Origin": self.home.lower()} | headers
        return self._ask("POST", path, data=form, headers=sent)

    def change(self, action: str, name: str = "", *, page: str = "", **more: str) -> httpx.Response:
        """Read a page, and send the form that it has for a change."""
        form = {"form": form_value(self.get(f"/{page}").text), "action": action, "name": name}
        return self.send("/change", form | more)

    def log_in(self, token: str = TOKEN, name: str = "", **more: str) -> httpx.Response:
        form = {"form": form_value(self.get("/login").text), "token": token, "name": name}
        return self.send("/login", form | more)

    def cookies(self) -> dict[str, str]:
        return dict(self._client.cookies)

    def _ask(self, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx.Response:
        more["headers"] = {name: value.encode() for name, value in headers.items()}
        return self._loop.run_until_complete(self._client.request(method, path, **more))

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def visitor_of(app: Celery, **options: Any) -> Visitor:
    """A visitor on this machine of a dashboard with such options."""
    return Visitor(dashboard_app(app, **options))


def form_value(page: str) -> str:
    """What the forms of a page must bear."""
    found = re.search(r'name="form" value="([^"]*)"', page)
    return unescape(found[1]) if found else ""


def words_of(page: str) -> str:
    """The text of a page."""
    return " ".join(unescape(TAG.sub(" ", page)).split())
