"""Pages made of templates: everything is escaped, and nothing that is shown can hide."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from celery_singleton_beat.operate.dashboard import words
from celery_singleton_beat.operate.dashboard.access import Visitor, wants_json
from celery_singleton_beat.operate.dashboard.marks import as_text
from celery_singleton_beat.operate.words import duration, shown

_PACKAGE: Final = "celery_singleton_beat.operate.dashboard"
_KINDS: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

PAGES: Final = (
    ("overview", "", "Overview"),
    ("timeline", "timeline", "Timeline"),
    ("entries", "entries", "Entries"),
    ("locks", "locks", "Locks"),
    ("tenants", "tenants", "Tenants"),
    ("statistics", "statistics", "Statistics"),
    ("history", "history", "History"),
    ("doctor", "doctor", "Doctor"),
)


@dataclass(frozen=True)
class Look:
    """What all pages of a dashboard have in common."""

    app_name: str
    zone: tzinfo
    allow_changes: bool
    every_ms: int


class View:
    """Renders pages; data instead, where that is asked for."""

    def __init__(self, look: Look) -> None:
        self._look = look

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=PackageLoader(_PACKAGE),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(
            duration=_unbroken, number=words.number, as_text=as_text, counted=words.counted
        )
        environment.globals.update(
            when=_when, ago=_ago, ms=_ms, pages=PAGES, iso=words.iso, clock=_clock
        )
        return environment

    def page(
        self,
        request: Request,
        template: str,
        data: Callable[[], Any],
        *,
        status: int = 200,
        **context: Any,
    ) -> Response:
        """Answer with a page, or with ``data()`` as JSON."""
        if wants_json(request):
            return JSONResponse(data(), status)
        visitor: Visitor = request.scope["state"]["visitor"]
        root = request.scope.get("root_path", "")
        text = self._environment.get_template(template).render(
            context,
            look=self._look,
            visitor=visitor,
            root=root,
            link=_linker(root),
            asset=lambda name: f"{root}/static/{version_of(name)}/{name}",
            here=_here(request),
            refresh=_seconds(request.query_params.get("refresh", "")),
        )
        return HTMLResponse(text, status)


def asset(name: str) -> tuple[bytes, str] | None:
    """A file that pages use, and its kind."""
    kind = _KINDS.get(name.rpartition(".")[2])
    known = {item.name: item for item in (files(_PACKAGE) / "static").iterdir()}
    if kind is None or name not in known:
        return None
    return known[name].read_bytes(), kind


@lru_cache(maxsize=16)
def version_of(name: str) -> str:
    """A short name of a file's content: another content has another address."""
    found = asset(name)
    return hashlib.sha256(found[0] if found else b"").hexdigest()[:12]


def _linker(root: str) -> Callable[..., str]:
    def link(page: str, /, **query: Any) -> str:
        given = {key: value for key, value in query.items() if value not in ("", None, False)}
        return f"{root}/{page}" + (f"?{urlencode(given)}" if given else "")

    return link


def _here(request: Request) -> Callable[..., str]:
    """Link to this page, with something else in its query."""

    def here(**changed: Any) -> str:
        query: Mapping[str, Any] = {**request.query_params, **changed}
        given = {key: value for key, value in query.items() if value not in ("", None, False)}
        return f"?{urlencode(given)}"

    return here


def _seconds(text: str) -> int:
    return min(max(int(text), 5), 3600) if text.isascii() and text.isdigit() and text else 0


def _shown(value: Any) -> Any:
    """Write out what is not printable, so that no text can turn another round or forge a line."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _unbroken(span_ms: int) -> Markup:
    """A duration that is not parted at the end of a line."""
    return Markup(duration(span_ms).replace(" ", "&nbsp;"))  # noqa: S704  # it is of digits and units


def _ms(at: datetime | int) -> int:
    return at if isinstance(at, int) else round(at.timestamp() * 1000)


@pass_context
def _when(context: Context, at: datetime | int) -> Markup:
    """A time, the day too if it is not today."""
    at_ms, zone = _ms(at), context["look"].zone
    return _time(at_ms, words.date_and_clock(at_ms, context["now_ms"], zone), zone)


@pass_context
def _ago(context: Context, at: datetime | int) -> Markup:
    """How long ago, or in how long."""
    at_ms, zone = _ms(at), context["look"].zone
    return _time(at_ms, words.relative(at_ms, context["now_ms"]), zone)


@pass_context
def _clock(context: Context, at_ms: int) -> str:
    return words.clock(at_ms, context["look"].zone)


def _time(at_ms: int, text: str, zone: tzinfo) -> Markup:
    element = '<time datetime="{}" title="{}">{}</time>'
    return Markup(element).format(words.iso(at_ms), words.full(at_ms, zone), text)  # noqa: S704  # its arguments are escaped
