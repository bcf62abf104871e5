"""The dashboard as an ASGI application: its addresses, its errors, its gate."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.errors import SingletonBeatError, StoreError, UnknownEntry
from celery_singleton_beat.operate.dashboard.access import Gate, cookie_path, is_secure
from celery_singleton_beat.operate.dashboard.changes import Changes, form_of
from celery_singleton_beat.operate.dashboard.live import Live
from celery_singleton_beat.operate.dashboard.looking import Looking
from celery_singleton_beat.operate.dashboard.options import Authorize, Options
from celery_singleton_beat.operate.dashboard.pages import Pages
from celery_singleton_beat.operate.dashboard.sessions import LASTS_SECONDS, Sessions
from celery_singleton_beat.operate.dashboard.view import Look, View, asset

if TYPE_CHECKING:
    from celery import Celery

_logger = logging.getLogger(__name__)

_YEAR: Final = 365 * 24 * 3600


def dashboard_app(
    app: Celery,
    *,
    token: str | None = None,
    authorize: Authorize | None = None,
    allow_changes: bool = False,
    hosts: Sequence[str] | None = None,
    by: str = "dashboard",
    every: float = 2,
    viewers: int = 100,
    timezone: tzinfo | None = None,
    has_app: bool = True,
) -> ASGIApp:
    """Make the dashboard of an app, to be served as it is or mounted in an application.

    With a ``token`` whoever gives it may look. With ``authorize``, a function (or a
    coroutine function) of the request, who it names may look; None refuses, and so does
    an ``HTTPException`` that it raises. With neither it answers to this machine alone:
    to connections from it that no proxy hands on.
    It is read only unless ``allow_changes``; whoever may look may then change, and is
    recorded by name (``by`` where there is none).

    ``hosts`` are the names it answers to (default: those of this machine; any where a
    token or ``authorize`` is given). It reads the store at most once in ``every``
    seconds for all who look, of whom there may be ``viewers`` with live pages. Times
    are in ``timezone`` (default: the app's). Without ``has_app`` the app only stands for
    one of which no more is known than its store.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    options = Options(
        token,
        authorize,
        allow_changes,
        None if hosts is None else tuple(hosts) if not isinstance(hosts, str) else hosts,  # type: ignore[arg-type]
        by,
        round(every * 1000),
        viewers,
        timezone or app.timezone,
    )
    return _Site(app, options, has_app=has_app).asgi


class _Site:
    def __init__(self, app: Celery, options: Options, *, has_app: bool) -> None:
        look = Look(
            extension_of(app).app_name, options.zone, options.allow_changes, options.every_ms
        )
        self._sessions = None if options.token is None else Sessions(options.token)
        # A page that is told of news shall find them.
        self._looking = Looking(app, fresh_ms=options.every_ms // 2, has_app=has_app)
        self._view = View(look)
        self._live = Live(self._look, every_ms=options.every_ms, most=options.viewers)
        pages = Pages(self._looking, self._view, look)
        changes = Changes(self._looking, are_allowed=options.allow_changes)
        routes = [
            Route("/", pages.overview),
            *(
                Route(f"/{page.__name__}", page)
                for page in (
                    pages.timeline,
                    pages.entries,
                    pages.entry,
                    pages.locks,
                    pages.tenants,
                    pages.statistics,
                    pages.history,
                    pages.doctor,
                )
            ),
            Route("/change", changes.change, methods=["POST"]),
            Route("/live", self._events),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/static/{version}/{name}", _static),
        ]
        handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
            StoreError: self._away,
            UnknownEntry: self._unknown,
            SingletonBeatError: self._refused,
            HTTPException: self._http,
        }
        site = Starlette(routes=routes, exception_handlers=handlers)
        self.asgi: ASGIApp = Gate(site, options, self._sessions)

    async def _look(self) -> str:
        return (await self._looking.pulse()).state

    async def _events(self, _request: Request) -> Response:
        if self._live.is_full:
            return PlainTextResponse("As many look as may.\n", 503, {"retry-after": "15"})
        return StreamingResponse(
            self._live.listen(),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )

    async def _login(self, request: Request) -> Response:
        if self._sessions is None:
            raise HTTPException(404)
        if request.method == "GET":
            return self._login_page(request, _inside(request.query_params.get("to", "")))
        form = await form_of(request)
        to = _inside(form.get("to", ""))
        if not self._sessions.is_token(form.get("token", "")):
            client = request.client.host if request.client else "?"
            _logger.warning("Somebody at %s gave a wrong token to the dashboard", client)
            return self._login_page(request, to, wrong=True)
        answer = RedirectResponse(request.scope.get("root_path", "") + to, 303)
        answer.set_cookie(
            self._sessions.cookie,
            self._sessions.make(form["name"].strip()),
            max_age=LASTS_SECONDS,
            path=cookie_path(request),
            secure=is_secure(request),
            httponly=True,
            samesite="strict",
        )
        return answer

    def _login_page(self, request: Request, to: str, *, wrong: bool = False) -> Response:
        return self._view.page(
            request,
            "login.html",
            lambda: {"error": "Give the dashboard's token."},
            status=401 if wrong else 200,
            to=to,
            wrong=wrong,
            page="login",
            now_ms=0,
        )

    async def _logout(self, request: Request) -> Response:
        await form_of(request)
        answer = RedirectResponse(request.scope.get("root_path", "") + "/login", 303)
        if self._sessions is not None:
            answer.delete_cookie(self._sessions.cookie, path=cookie_path(request))
        return answer

    async def _away(self, request: Request, error: StoreError) -> Response:
        _logger.warning("The dashboard cannot read the store: %r", str(error))
        looking = self._looking.reading.extension
        answer = self._message(
            request,
            503,
            "The store does not answer",
            str(error),
            f"It is at {looking.address}. Beats dispatch nothing while they cannot reach it, "
            "either; this page goes on by itself when it answers. The doctor tells more.",
            kind="away",
        )
        answer.headers["retry-after"] = "5"
        return answer

    async def _unknown(self, request: Request, error: UnknownEntry) -> Response:
        return self._message(request, 404, "There is no such entry", str(error))

    async def _refused(self, request: Request, error: SingletonBeatError) -> Response:
        title = "This cannot be shown" if request.method == "GET" else "It was not done"
        return self._message(request, 409, title, str(error))

    async def _http(self, request: Request, error: HTTPException) -> Response:
        title = "There is no such page" if error.status_code == 404 else "It was not done"  # noqa: PLR2004
        text = "" if error.status_code == 404 else error.detail  # noqa: PLR2004
        return self._message(request, error.status_code, title, text)

    def _message(
        self, request: Request, status: int, title: str, text: str, hint: str = "", **more: str
    ) -> Response:
        root = request.scope.get("root_path", "")
        return self._view.page(
            request,
            "message.html",
            lambda: {"error": text or title},
            status=status,
            title=title,
            text=text,
            hint=hint,
            kind=more.get("kind", "message"),
            back=f"{root}/",
            back_text="To the overview",
            page="",
            now_ms=0,
        )


def _inside(to: str) -> str:
    """A path of this dashboard; what could lead elsewhere leads to its first page."""
    if not to.startswith("/") or to.startswith(("//", "/\\")) or not to.isprintable():
        return "/"
    return to


async def _static(request: Request) -> Response:
    found = asset(request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    text, kind = found
    # Its address tells its content.
    headers = {"cache-control": f"public, max-age={_YEAR}, immutable"}
    return Response(text, media_type=kind, headers=headers)
