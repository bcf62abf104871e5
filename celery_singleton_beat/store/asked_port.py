"""The part of the port that keeps what is asked for: its verbs, questions and answers.

What ``store/port.py`` says of every verb holds here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from celery_singleton_beat.protocol.asked import Ask, AskAnswer, Asking
from celery_singleton_beat.protocol.claim import Settled, Settlement, Slot
from celery_singleton_beat.protocol.stored import Card


@dataclass(frozen=True, slots=True)
class AskedRequest:
    """A replica asks for what is asked for, to hold for ``hold_ms``.

    It gets up to ``limit`` occurrences, of as many requests at most. Those of config
    entries are for a replica whose configuration, ``digest``, governs and is adopted.
    ``per_minute`` is as for `StoredRequest`.
    """

    replica: str
    digest: str
    request_id: str
    limit: int
    hold_ms: int
    per_minute: int = -1


class AskedClaim(NamedTuple):
    """A request as its holder sees it: up to ``portion`` of its occurrences may be published.

    ``card`` is that of a stored entry; None: the entry is the configuration's.
    """

    request: str
    ask: Ask
    slot: Slot
    card: Card | None
    portion: int


@dataclass(frozen=True, slots=True)
class AskedAnswer:
    """What was claimed, and when to look again (None: nothing is asked for).

    ``unreadable`` names requests that could not be read: they were moved away.
    """

    now_ms: int
    claims: tuple[AskedClaim, ...] = ()
    next_ms: int | None = None
    unreadable: tuple[str, ...] = ()


class OpenRequest(NamedTuple):
    """A request that is not over yet."""

    request: str
    ask: Ask
    slot: Slot


class RequestPage(NamedTuple):
    """Some requests, and the cursor that gives those after them ("" when there are none)."""

    requests: tuple[OpenRequest, ...]
    cursor: str


class AskedStore(Protocol):
    """What remembers what is asked for."""

    def ask(self, asking: Asking) -> AskAnswer:
        """Open a request, once for each id; what is to run now must not be stopped."""

    def claim_asked(self, request: AskedRequest) -> AskedAnswer:
        """Take open requests, those that wait the longest first."""

    def settle_asked(self, settlements: Sequence[Settlement]) -> list[Settled]:
        """End holds on requests: move them on, or leave them for later."""

    def cancel_asked(
        self, requests: Sequence[str], by: str = "", *, dropped: bool = False
    ) -> list[bool]:
        """Close requests; tell which were open. One that is ``dropped`` cannot be dispatched."""

    def open_requests(self, cursor: str = "") -> RequestPage:
        """List what is not over, page by page: one may come twice."""
