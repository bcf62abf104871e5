"""What checks of requests do with a store: short words for asking, claiming and settling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from celery_singleton_beat.protocol.asked import AskAnswer, Asked, Asking
from celery_singleton_beat.protocol.claim import Settled, Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.store.asked_port import (
    AskedAnswer,
    AskedClaim,
    AskedRequest,
    OpenRequest,
)
from celery_singleton_beat.testing.harness import HOLD_MS, START_MS, StoreUnderTest

LATER_MS = START_MS + 1_000_000_000
MINUTE_MS = 60_000
OPENED = AskAnswer(Asked.ASKED, START_MS)
LONG = Asking(
    "long", "x", is_backfill=True, from_ms=7, until_ms=9, total=250, most=300, step=100, by="me|"
)


def has_entry(it: StoreUnderTest, name: str = "x", **fields: Any) -> None:
    """Store an entry that the timetable itself has nothing to do with for long."""
    it.put(name, LATER_MS, **fields)


def ask(it: StoreUnderTest, request: str = "q", entry: str = "x") -> AskAnswer:
    """Ask for a run now."""
    return it.store.ask(Asking(request, entry))


def claim(it: StoreUnderTest, replica: str = "r1", **fields: Any) -> AskedAnswer:
    """Claim what is asked for, as a replica of the configuration that governs."""
    number = it.next_request()
    return it.store.claim_asked(replace(AskedRequest(replica, "a", number, 100, HOLD_MS), **fields))


def claimed(it: StoreUnderTest, **fields: Any) -> list[tuple[str, int]]:
    """Claim requests: their names, and how many occurrences of each."""
    return [(one.request, one.portion) for one in claim(it, **fields).claims]


def settle(it: StoreUnderTest, one: AskedClaim, **fields: Any) -> Settled:
    """Settle a claim: what it was for was published, and there is no more, unless it is said."""
    slot = one.slot
    moved = replace(slot, slot_ms=ABSENT, due_ms=ABSENT, runs=slot.runs + one.portion)
    moved = replace(moved, last_ms=slot.slot_ms, rule="r")
    told = Settlement(one.ask.entry, slot.fence, moved, request=one.request)
    return it.store.settle_asked([told._replace(**fields)])[0]


def open_requests(it: StoreUnderTest) -> list[OpenRequest]:
    """List what is not over, each once."""
    found: dict[str, OpenRequest] = {}
    cursor = ""
    while True:
        page = it.store.open_requests(cursor)
        found |= {one.request: one for one in page.requests}
        cursor = page.cursor
        if not cursor:
            return list(found.values())
