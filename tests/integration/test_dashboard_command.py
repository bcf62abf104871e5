"""`celery -A … singleton dashboard`, as a process."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.integration.visitors import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rig.processes import CeleryRig, Proc

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dashboard(
    make_celery: Callable[..., CeleryRig], redis_url: str, tmp_path: Path
) -> Callable[..., Proc]:
    """A starter of a dashboard of `shop`: `dashboard("--port", "0", SECRET="…")`."""
    module = tmp_path / "shop.py"
    module.write_text(
        "from celery import Celery\n"
        f"app = Celery('shop', broker={redis_url!r}, set_as_current=False)\n"
        f"app.conf.singleton_beat_redis_url = {redis_url!r}\n",
        encoding="utf-8",
    )

    def start(*arguments: str, **env: str) -> Proc:
        rig = make_celery("shop", {"PYTHONPATH": f"{ROOT}:{tmp_path}", **env})
        return rig.run("singleton", "dashboard", *arguments, name="dashboard")

    return start


def url_of(proc: Proc) -> str:
    """Where it says that it is."""
    found = re.search(r"http://\S+", proc.wait_for("The dashboard is at", 60))
    assert found is not None
    return found[0]


def test_it_says_where_it_is_and_is_there(dashboard: Callable[..., Proc]) -> None:
    proc = dashboard("--port", "0")
    url = url_of(proc)

    page = httpx.get(url)
    changed = httpx.post(f"{url}change", data={"action": "pause-all"}, headers={"Origin": url[:-1]})
    proc.send(signal.SIGINT)

    assert page.status_code == 200
    assert "No beat is alive" in page.text
    assert changed.status_code == 403
    assert "(read only)" in proc.output
    assert proc.wait_ended(20) == 0
    assert "Traceback" not in proc.output


def test_it_ends_though_somebody_looks(dashboard: Callable[..., Proc]) -> None:
    proc = dashboard("--port", "0")
    url = url_of(proc)

    with httpx.stream("GET", f"{url}live", timeout=30) as events:
        first = next(events.iter_lines())
        proc.send(signal.SIGTERM)
        proc.wait_ended(20)

    assert first == "retry: 3000"


def test_it_does_not_listen_for_others_without_a_token(dashboard: Callable[..., Proc]) -> None:
    proc = dashboard("--host", "0.0.0.0", "--port", "0")  # noqa: S104  # it shall refuse to

    assert proc.wait_ended(60) == 2
    assert "without a token" in proc.output
    assert "--token-file" in proc.output


def test_with_a_token_of_its_environment_it_listens_for_all(
    dashboard: Callable[..., Proc],
) -> None:
    everywhere = ("--host", "0.0.0.0", "--port", "0")  # noqa: S104  # it is what is proved
    proc = dashboard(*everywhere, SINGLETON_BEAT_DASHBOARD_TOKEN=TOKEN)
    url = url_of(proc).replace("0.0.0.0", "127.0.0.1")  # noqa: S104

    nobody = httpx.get(f"{url}entries")
    known = httpx.get(f"{url}entries", headers={"Authorization": f"Bearer {TOKEN}"})
    proc.kill()

    assert nobody.headers["location"] == "/login?to=%2Fentries"
    assert known.status_code == 200


def test_a_token_file_that_is_empty_is_no_token(
    dashboard: Callable[..., Proc], tmp_path: Path
) -> None:
    empty = tmp_path / "token"
    empty.write_text("\n", encoding="utf-8")

    proc = dashboard("--port", "0", "--token-file", str(empty))

    assert proc.wait_ended(60) == 2
    assert "at least 16" in proc.output


def test_behind_a_proxy_its_links_and_cookies_have_the_proxys_path(
    dashboard: Callable[..., Proc], tmp_path: Path
) -> None:
    """The proxy takes its path off; it is believed that the visitor came by https."""
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\n", encoding="utf-8")
    proc = dashboard("--port", "0", "--token-file", str(secret), "--root-path", "/beat/")
    url = url_of(proc)
    proxied = {"Host": "ops.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}

    inside = url.removesuffix("beat/")
    answer = httpx.get(f"{inside}entries", headers=proxied)
    page = httpx.get(f"{inside}login", headers=proxied)
    proc.kill()

    assert url.endswith("/beat/")
    assert answer.headers["location"] == "/beat/login?to=%2Fentries"
    assert 'action="/beat/login"' in page.text
    cookie = page.headers["set-cookie"].lower()
    assert "path=/beat" in cookie
    assert "secure" in cookie
