"""What can be changed from a page: by form, by somebody who is named, and told in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from celery_singleton_beat.operate.dashboard.access import Visitor, wants_json
from celery_singleton_beat.operate.dashboard.looking import Looking
from celery_singleton_beat.operate.dashboard.sessions import FORM_COOKIE, is_same

_logger = logging.getLogger(__name__)

_LARGEST_FORM: Final = 16_384
_MOST_FIELDS: Final = 20

SAID: Final[Mapping[str, str]] = {
    "run-now": "It was asked to run now.",
    "pause": "It is paused.",
    "resume": "It goes on, from now on.",
    "enable": "It is enabled, from now on.",
    "pause-all": "Everything is paused.",
    "resume-all": "Everything goes on, from now on.",
    "pause-tenant": "The tenant is paused.",
    "resume-tenant": "The tenant goes on, from now on.",
    "unlock": "The key is free.",
    "nothing": "Nothing was changed: it was so already.",
}

Form = Mapping[str, str]


class Changes:
    """The changes of one dashboard, all by one address: what is meant stands in the form."""

    def __init__(self, looking: Looking, *, are_allowed: bool) -> None:
        self._looking = looking
        self._are_allowed = are_allowed
        self._known: Mapping[str, tuple[Callable[[Form, str], Any], str]] = {
            "run-now": (self._run_now, "entry"),
            "pause": (self._pause, "entry"),
            "resume": (self._resume, "entry"),
            "enable": (self._enable, "entry"),
            "pause-all": (lambda _form, _by: looking.timetable.pause_all(), ""),
            "resume-all": (lambda _form, _by: looking.timetable.resume_all(), ""),
            "pause-tenant": (self._pause_tenant, "tenants"),
            "resume-tenant": (self._resume_tenant, "tenants"),
            "unlock": (self._unlock, "locks"),
        }

    async def change(self, request: Request) -> Response:
        """Do what a form asks for, and go back to where it was."""
        if not self._are_allowed:
            raise HTTPException(403, "This dashboard is read only: it was not told allow_changes.")
        form = await form_of(request)
        action, name = form.get("action", ""), form.get("name", "")
        if action not in self._known:
            raise HTTPException(400, "There is no such change.")
        do, page = self._known[action]
        by = visitor_of(request).by
        answer = await run_in_threadpool(do, form, by)
        self._looking.forget()
        _logger.info("The dashboard changed something: %s of %r by %r", action, name, by)
        if wants_json(request):
            return JSONResponse({"done": answer is not False, "answer": answer})
        said = "nothing" if answer is False else action
        query = {"name": name, "said": said} if page == "entry" else {"said": said}
        root = request.scope.get("root_path", "")
        return RedirectResponse(f"{root}/{page}?{urlencode(query)}", 303)

    def _run_now(self, form: Form, by: str) -> str:
        timetable = self._looking.timetable
        return timetable.run_now(form["name"], by=by, request_id=form.get("request") or None)

    def _pause(self, form: Form, by: str) -> bool:
        return self._looking.timetable.pause(
            form["name"],
            note=form.get("note", "")[:200],
            by=by,
            cancel_queued=form.get("cancel") == "yes",
        )

    def _resume(self, form: Form, by: str) -> bool:
        return self._looking.timetable.resume(form["name"], by=by)

    def _enable(self, form: Form, by: str) -> bool:
        self._looking.timetable.enable(form["name"], by=by)
        return True

    def _pause_tenant(self, form: Form, _by: str) -> bool:
        return self._looking.timetable.pause_all(tenant=form["name"])

    def _resume_tenant(self, form: Form, _by: str) -> bool:
        return self._looking.timetable.resume_all(tenant=form["name"])

    def _unlock(self, form: Form, by: str) -> bool:
        return self._looking.locks_by_hand.force_release(form["name"], by=by)


def visitor_of(request: Request) -> Visitor:
    """Who asks, as the gate found."""
    visitor: Visitor = request.scope["state"]["visitor"]
    return visitor


async def form_of(request: Request) -> dict[str, str]:
    """Read a form, and see that it is ours.

    Raises:
        HTTPException: it is too long, of another kind, or not from a page of ours.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "A form must be application/x-www-form-urlencoded.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            raise HTTPException(413, "The form is too long.")
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise HTTPException(400, "The form cannot be read.") from error
    form = {"name": "", **dict(pairs)}
    visitor = visitor_of(request)
    if not visitor.is_bearer and not is_same(
        form.get("form", ""), request.cookies.get(FORM_COOKIE, "")
    ):
        raise HTTPException(
            403, "The form is not from this dashboard, or too old: go back and read the page again."
        )
    return form
