"""The pages: each reads what it shows, and answers with it as a page or as JSON."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from celery_singleton_beat.operate.dashboard import queries, words
from celery_singleton_beat.operate.dashboard.as_data import (
    about_of,
    cut_data,
    lane_data,
    note_of,
    now_of,
    run_data,
)
from celery_singleton_beat.operate.dashboard.changes import SAID
from celery_singleton_beat.operate.dashboard.listing import STATES, cut
from celery_singleton_beat.operate.dashboard.looking import ALL, Looking, Pulse
from celery_singleton_beat.operate.dashboard.marks import Lane, Window, ticks
from celery_singleton_beat.operate.dashboard.notices import headline_of, notices_of
from celery_singleton_beat.operate.dashboard.plot import plot_of
from celery_singleton_beat.operate.dashboard.runs import Run, runs_of
from celery_singleton_beat.operate.dashboard.timeline import lanes_of
from celery_singleton_beat.operate.dashboard.view import Look, View
from celery_singleton_beat.operate.figures import SubjectKind
from celery_singleton_beat.protocol.history import Fact

SPANS: Final = ((10, "10 min"), (60, "1 h"), (360, "6 h"))
LANES: Final = 25
ROWS: Final = 50
FACTS: Final = 100
RUNS_SHOWN: Final = 60

Page = Callable[[Request], Awaitable[Response]]


class Pages:
    """The pages of one dashboard."""

    def __init__(self, looking: Looking, view: View, look: Look) -> None:
        self._looking = looking
        self._view = view
        self._look = look

    async def overview(self, request: Request) -> Response:
        pulse = await self._looking.pulse()
        return self._page(
            request,
            pulse,
            "overview",
            lambda: {
                **pulse.fleet.to_data(),
                "figures": pulse.figures.to_data(),
                "notices": [notice._asdict() for notice in notices_of(pulse.fleet, pulse.facts)],
                "latest": [fact._asdict() for fact in pulse.facts],
            },
            headline=headline_of(pulse.fleet, notices_of(pulse.fleet, pulse.facts)),
            facts=pulse.facts[:12],
            figures=pulse.figures,
            note_of=note_of,
            about_of=about_of,
        )

    async def timeline(self, request: Request) -> Response:
        pulse, facts = await self._looking.pulse(), await self._looking.facts()
        listing = await self._looking.listing()
        span = queries.chosen(request, "span", [minutes for minutes, _ in SPANS], 60)
        window = _window(now_of(pulse), span)
        q, only = queries.asked(request, "q"), queries.asked(request, "only")
        drawn, _ = await run_in_threadpool(lanes_of, facts, {}, window, self._clock)
        shown = {lane.name for lane in drawn if only != "trouble" or lane.has_trouble}
        if only != "trouble":
            shown |= listing.due_until(window.until_ms)
        if q:
            shown &= {*listing.found(q, "", ""), *(n for n in shown if q.lower() in n.lower())}
        page = cut(sorted(shown, key=str.casefold), queries.number(request, "page"), LANES)
        planned = await self._looking.planned([n for n in page.items if n], window.until_ms)
        lanes, names = await run_in_threadpool(
            lanes_of, facts, planned, window, self._clock, set(page.items)
        )
        lanes = _with_all(lanes, page.items)
        return self._page(
            request,
            pulse,
            "timeline",
            lambda: {"lanes": [lane_data(lane) for lane in lanes], **cut_data(page)},
            lanes=lanes,
            names=names,
            window=window,
            tick_marks=ticks(window),
            cut=page,
            spans=SPANS,
            span=span,
            q=q,
            only=only,
            whole=_begin_of(facts, window),
            runs=_newest(run for lane in lanes for run in lane.runs)[:200],
        )

    async def entries(self, request: Request) -> Response:
        pulse, listing = await self._looking.pulse(), await self._looking.listing()
        q, tenant = queries.asked(request, "q"), queries.asked(request, "tenant")
        chosen = queries.chosen(request, "state", list(STATES), "")
        page = cut(listing.found(q, chosen, tenant), queries.number(request, "page"), ROWS)
        rows = await self._looking.entries(page.items)
        if not rows and q and not listing.is_whole:
            rows = await self._looking.entries([q])
        return self._page(
            request,
            pulse,
            "entries",
            lambda: {"entries": [row.to_data() for row in rows], **cut_data(page)},
            listing=listing,
            rows=rows,
            cut=page,
            q=q,
            chosen=chosen,
            tenant=tenant,
        )

    async def entry(self, request: Request) -> Response:
        pulse = await self._looking.pulse()
        name = request.query_params.get("name", "")
        one = await self._looking.entry(name)
        runs = _newest(runs_of(one.facts))
        window = _window(one.now_ms, 60)
        planned = await self._looking.planned([name], window.until_ms)
        lanes, _ = lanes_of(one.facts, planned, window, self._clock)
        (lane,) = _with_all([of for of in lanes if of.name == name], [name])
        definition = json.dumps(dict(one.detail.definition), indent=2, ensure_ascii=False)
        return self._page(
            request,
            pulse,
            "entry",
            lambda: {
                **one.detail.to_data(),
                "figures": one.figures.to_data(),
                "runs": [run_data(run) for run in runs],
            },
            now_ms=one.now_ms,
            row=one.detail.row,
            detail=one.detail,
            definition=definition.split("\n"),
            figures=one.figures,
            requests=one.requests,
            facts=one.facts[:FACTS],
            runs=runs[:RUNS_SHOWN],
            plot=plot_of(runs),
            lane=lane,
            window=window,
            tick_marks=ticks(window),
            request_id=uuid4().hex,
            note_of=note_of,
        )

    async def locks(self, request: Request) -> Response:
        pulse, locks = await self._looking.pulse(), await self._looking.locks()
        q = queries.asked(request, "q")
        found = [of for of in locks if q.lower() in f"{of.key} {of.owner}".lower()]
        page = cut(found, queries.number(request, "page"), ROWS)
        return self._page(
            request,
            pulse,
            "locks",
            lambda: {
                "locks": [
                    {
                        "key": of.key,
                        "owner": of.owner,
                        "token": of.token,
                        "acquired": of.acquired.isoformat(),
                        "expires": of.expires.isoformat(),
                    }
                    for of in page.items
                ],
                **cut_data(page),
            },
            cut=page,
            q=q,
        )

    async def tenants(self, request: Request) -> Response:
        pulse, names = await self._looking.pulse(), await self._looking.tenant_names()
        q = queries.asked(request, "q")
        found = [name for name in names if q.lower() in name.lower()]
        page = cut(found, queries.number(request, "page"), ROWS)
        rows = await self._looking.tenants(page.items)
        return self._page(
            request,
            pulse,
            "tenants",
            lambda: {
                "tenants": [row.to_data() for row in rows],
                **cut_data(page),
            },
            rows=rows,
            cut=page,
            q=q,
        )

    async def statistics(self, request: Request) -> Response:
        pulse, subjects = await self._looking.pulse(), await self._looking.subjects()
        number = queries.number(request, "page")
        kinds: tuple[SubjectKind, ...] = ("entry", "key")
        cuts = [cut([s for s in subjects if s[0] == kind], number, ROWS) for kind in kinds]
        found = await self._looking.figures([ALL, *(s for page in cuts for s in page.items)])
        entries, keys = ([of for of in found if of.kind == kind] for kind in kinds)
        return self._page(
            request,
            pulse,
            "statistics",
            lambda: {
                "total": found[0].to_data(),
                "entries": {of.name: of.to_data() for of in entries},
                "keys": {of.name: of.to_data() for of in keys},
            },
            figures=found[0],
            tables=[
                ("entries", "Entries", entries, True, cuts[0]),
                ("keys", "Lock keys", keys, False, cuts[1]),
            ],
        )

    async def history(self, request: Request) -> Response:
        pulse, facts = await self._looking.pulse(), await self._looking.facts()
        q, kind = queries.asked(request, "q").lower(), queries.asked(request, "kind")
        found = [
            fact
            for fact in facts
            if (not kind or fact.kind == kind)
            and (not q or q in f"{fact.entry} {fact.by} {fact.run} {fact.note}".lower())
        ]
        page = cut(found, queries.number(request, "page"), FACTS)
        return self._page(
            request,
            pulse,
            "history",
            lambda: {"history": [fact._asdict() for fact in page.items], **cut_data(page)},
            cut=page,
            kinds=sorted({fact.kind for fact in facts}),
            kind=kind,
            q=queries.asked(request, "q"),
            oldest=facts[-1].at_ms if facts else None,
            note_of=note_of,
        )

    async def doctor(self, request: Request) -> Response:
        """It is asked where the store is away, too: that is when it is needed."""
        found, asked_at = await self._looking.diagnoses()
        return self._view.page(
            request,
            "doctor.html",
            lambda: {"diagnoses": [one.to_data() for one in found]},
            page="doctor",
            now_ms=round(asked_at * 1000),
            notices=[],
            said="",
            found=found,
        )

    def _page(
        self,
        request: Request,
        pulse: Pulse,
        page: str,
        data: Callable[[], Any],
        **context: Any,
    ) -> Response:
        given = {
            "page": "entries" if page == "entry" else page,
            "fleet": pulse.fleet,
            "now_ms": now_of(pulse),
            "notices": notices_of(pulse.fleet, pulse.facts),
            "said": SAID.get(request.query_params.get("said", ""), ""),
        }
        return self._view.page(request, f"{page}.html", data, **{**given, **context})

    def _clock(self, at_ms: int) -> str:
        return words.clock(at_ms, self._look.zone)


def _window(now_ms: int, minutes: int) -> Window:
    return Window(now_ms - minutes * 60_000, now_ms + minutes * 60_000, now_ms)


def _with_all(lanes: list[Lane], names: Sequence[str]) -> list[Lane]:
    """The lanes in the order of the names; one for each, also where there is nothing in it."""
    known = {lane.name: lane for lane in lanes}
    return [known.get(name) or Lane(name) for name in names]


def _begin_of(facts: list[Fact], window: Window) -> int | None:
    """When the history begins, if that is inside the window."""
    if facts and window.from_ms < facts[-1].at_ms:
        return facts[-1].at_ms
    return None


def _newest(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.first_ms, run.run), reverse=True)
