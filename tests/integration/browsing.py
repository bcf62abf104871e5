"""A dashboard that is served, and a real browser that looks at it."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.operate.dashboard import dashboard_app
from celery_singleton_beat.operate.dashboard.serving import address_of, listen, server_of
from tests.rig.absent import skip_or_fail

if TYPE_CHECKING:
    from celery import Celery
    from playwright.sync_api import Browser, BrowserContext, Page

HOST = "127.0.0.1"
ENOUGH_MS: Final = 30_000
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}
PAGES = ("", "timeline", "entries", "locks", "tenants", "statistics", "history", "doctor")


def find_chromium() -> str:
    """The browser that is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    return found or skip_or_fail("chromium")


class Served:
    """A dashboard on a free port of this machine, in a thread."""

    def __init__(self, app: Celery, **options: Any) -> None:
        self._socket = listen(HOST, 0)
        self.url = f"http://{address_of(self._socket)}"
        self._server = server_of(dashboard_app(app, **options))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()


class Eyes:
    """Somebody who looks at a dashboard; what the browser complains of is kept."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        self.context: BrowserContext = browser.new_context(**{"viewport": DESK} | context)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(ENOUGH_MS)
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self._hear(said.type, said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.url = url

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def look(self, path: str = "") -> Page:
        self.page.goto(f"{self.url}/{path}")
        return self.page

    def press_until(self, text: str, key: str = "Tab", most: int = 60) -> None:
        """Go on by keyboard until what has this text has the focus."""
        for _ in range(most):
            self.page.keyboard.press(key)
            if self.focused() == text:
                return
        raise AssertionError(f"{text!r} cannot be reached by {key}; now at {self.focused()!r}")

    def focused(self) -> str:
        """The text of what has the focus."""
        found: str = self.page.evaluate(
            "() => (document.activeElement.innerText || document.activeElement.name || "
            "document.activeElement.getAttribute('aria-label') || '').trim()"
        )
        return found

    def too_wide(self) -> bool:
        """Tell whether the page has to be moved sideways."""
        is_wide: bool = self.page.evaluate(
            "() => document.documentElement.scrollWidth > window.innerWidth"
        )
        return is_wide

    def tree(self) -> list[dict[str, Any]]:
        """What a screen reader is told: the nodes that it does not pass over."""
        session = self.context.new_cdp_session(self.page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        session.detach()
        return [node for node in nodes if not node["ignored"]]

    def named(self, *roles: str) -> list[tuple[str, str]]:
        """The (role, name) of all nodes of some roles."""
        return [
            (node["role"]["value"], node.get("name", {}).get("value", "").strip())
            for node in self.tree()
            if node["role"]["value"] in roles
        ]

    def close(self) -> None:
        self.context.close()


# The contrast of every text with what is behind it, as WCAG 2.2 reckons it; the worst first.
CONTRAST = """() => {
  const part = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const read = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = read(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest("svg, noscript, .hidden, .skip")) continue;
    const a = light(read(getComputedStyle(element).color)), b = light(behind(element));
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.textContent.trim()]);
  }
  return found.sort((x, y) => x[0] - y[0]).slice(0, 3);
}"""
