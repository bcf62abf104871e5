"""The gate before every page: which host, who asks, and whether a change comes from our own form.

It sets the headers of every answer, also of those that refuse.
"""

from __future__ import annotations

import inspect
import ipaddress
import logging
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from celery_singleton_beat.operate.dashboard.options import Options
from celery_singleton_beat.operate.dashboard.sessions import (
    FORM_COOKIE,
    Sessions,
    new_form_value,
)

_logger = logging.getLogger(__name__)

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: with that, browsers send a form's Origin as "null".
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_SAFE: Final = frozenset({"GET", "HEAD"})
_PUBLIC: Final = ("/login", "/static/")
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


@dataclass(frozen=True)
class Visitor:
    """Who asks. ``form`` is what our forms must bear; ``by`` is recorded with changes."""

    by: str
    form: str
    has_session: bool = False
    is_bearer: bool = False


class Gate:
    """Lets through who may look, and refuses all else before anything is read."""

    def __init__(self, app: ASGIApp, options: Options, sessions: Sessions | None) -> None:
        self._app = app
        self._options = options
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = Request(scope)
        form = request.cookies.get(FORM_COOKIE) or new_form_value()
        sent = _dressed(request, form, send)
        refused = self._refuse_host(request) or self._refuse_origin(request)
        if refused is None:
            who = None
            try:
                who = await self._who(request, form)
            except HTTPException as error:
                refused = _refusal(request, error.status_code, error.detail)
                refused.headers.update(error.headers or {})
            scope.setdefault("state", {})["visitor"] = who or Visitor(self._options.by, form)
            if refused is None and who is None and not self._is_public(request):
                refused = self._ask_for_token(request)
        if refused is not None:
            await refused(scope, receive, sent)
            return
        await self._app(scope, receive, sent)

    def _refuse_host(self, request: Request) -> Response | None:
        """Refuse names that are not ours: a page elsewhere may point its own name here."""
        allowed = self._options.allowed_hosts
        named = _host_of(request.headers.get("host", ""))
        if allowed is None or named in {host.lower() for host in allowed}:
            return None
        return _refusal(request, 403, f"This dashboard does not answer to the host {named!r}.")

    def _refuse_origin(self, request: Request) -> Response | None:
        """Refuse changes that another site's page asks a browser for."""
        if request.method in _SAFE or self._is_bearer(request):
            return None
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return _refusal(request, 403, "This was asked for by another site.")
        origin = request.headers.get("origin") or request.headers.get("referer") or ""
        if not origin or _netloc_of(origin) != request.headers.get("host", "").lower():
            return _refusal(
                request,
                403,
                "This was not asked for by a page of this dashboard: its Origin is not its Host. "
                "A proxy before it must keep the Host header.",
            )
        return None

    async def _who(self, request: Request, form: str) -> Visitor | None:
        options = self._options
        if options.authorize is not None:
            named = options.authorize(request)
            if inspect.isawaitable(named):
                named = await named
            return None if named is None else Visitor(str(named), form)
        if self._sessions is None:
            return Visitor(options.by, form) if _is_local(request) else None
        if self._is_bearer(request):
            return Visitor(f"{options.by} (token)", form, is_bearer=True)
        session = self._sessions.read(request.cookies.get(self._sessions.cookie, ""))
        return None if session is None else Visitor(session or options.by, form, has_session=True)

    def _is_bearer(self, request: Request) -> bool:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        return (
            self._sessions is not None
            and kind.lower() == "bearer"
            and self._sessions.is_token(given.strip())
        )

    def _is_public(self, request: Request) -> bool:
        return self._sessions is not None and path_of(request).startswith(_PUBLIC)

    def _ask_for_token(self, request: Request) -> Response:
        if self._sessions is None:
            _logger.warning("The dashboard refused a request", extra={"path": path_of(request)})
            why = "This dashboard has no token: it answers to this machine alone."
            if self._options.authorize is not None:
                why = "You may not look at this."
            return _refusal(request, 403, why)
        if request.method == "GET" and not wants_json(request) and path_of(request) != "/live":
            query = request.scope["query_string"].decode("latin-1")
            back = path_of(request) + (f"?{query}" if query else "")
            root = request.scope.get("root_path", "")
            return RedirectResponse(f"{root}/login?to={quote(back, safe='')}", 303)
        answer = _refusal(request, 401, "Give the dashboard's token.")
        answer.headers["www-authenticate"] = "Bearer"
        return answer


def path_of(request: Request) -> str:
    """The path inside the dashboard, wherever it is mounted."""
    path, root = request.scope["path"], request.scope.get("root_path", "")
    return (path[len(root) :] if root and path.startswith(root) else path) or "/"


def wants_json(request: Request) -> bool:
    """Tell whether data is asked for instead of a page."""
    return (
        request.query_params.get("format") == "json"
        or request.headers.get("accept", "").partition(",")[0].strip() == "application/json"
    )


def is_secure(request: Request) -> bool:
    """Tell whether the visitor came by https; the scope says it, whatever the Host header is."""
    return bool(request.scope.get("scheme") == "https")


def cookie_path(request: Request) -> str:
    """Where cookies go: to the dashboard, and to nothing beside it."""
    return request.scope.get("root_path", "") or "/"


def _netloc_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _host_of(header: str) -> str:
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def _is_local(request: Request) -> bool:
    """Tell whether it comes from this machine, and not through a proxy on it."""
    if any(name in request.headers for name in _FORWARDED) or request.client is None:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _dressed(request: Request, form: str, send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
            if FORM_COOKIE not in request.cookies and "/static/" not in request.scope["path"]:
                dress = Response()
                dress.set_cookie(
                    FORM_COOKIE,
                    form,
                    path=cookie_path(request),
                    secure=is_secure(request),
                    httponly=True,
                    samesite="strict",
                )
                headers.append("set-cookie", dress.headers["set-cookie"])
        await send(message)

    return sent


def _refusal(request: Request, status: int, text: str) -> Response:
    if wants_json(request):
        return JSONResponse({"error": text}, status)
    return PlainTextResponse(text + "\n", status)
