"""The part of a store in Redis that keeps what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from celery_singleton_beat.protocol.asked import Ask, AskAnswer, Asked, Asking
from celery_singleton_beat.protocol.claim import Settled, Settlement, Slot
from celery_singleton_beat.protocol.codec import clean
from celery_singleton_beat.protocol.stored import Card
from celery_singleton_beat.store.asked_port import (
    AskedAnswer,
    AskedClaim,
    AskedRequest,
    OpenRequest,
    RequestPage,
)
from celery_singleton_beat.store.redis_script import batches
from celery_singleton_beat.store.redis_settling import Settlers

_PAGE: Final = 500
_STORED: Final = "s"
_CONFIG: Final = "c"


class RedisAsked(Settlers):
    """Implements ``AskedStore``: one method per script."""

    def ask(self, asking: Asking) -> AskAnswer:
        request, entry, is_backfill, *numbers, by = asking
        about = (request, entry, int(is_backfill), *numbers, clean(by))
        verdict, from_ms, stopped_by = self._call(
            "ask", self._asking, (self.keys.wake, self._history, *about)
        )
        return AskAnswer(Asked(verdict), int(from_ms), stopped_by)

    def claim_asked(self, request: AskedRequest) -> AskedAnswer:
        answer = self._call(
            "claim_asked",
            (*self._asking, self.keys.took_asked(request.replica)),
            (
                request.digest,
                request.request_id,
                request.limit,
                request.hold_ms,
                request.per_minute,
                self._history,
            ),
        )
        now_ms, next_ms, claims, *unreadable = answer
        found = claims or []
        return AskedAnswer(
            int(now_ms),
            tuple(
                AskedClaim(
                    name,
                    Ask.from_text(ask),
                    Slot.from_text(slot),
                    Card.from_text(card) if card else None,
                    int(portion),
                )
                for name, ask, slot, card, portion in zip(*[iter(found)] * 5, strict=True)
            ),
            int(next_ms) if next_ms else None,
            tuple(unreadable),
        )

    def settle_asked(self, settlements: Sequence[Settlement]) -> list[Settled]:
        return self._settle("settle_asked", self._asking, settlements)

    def cancel_asked(
        self, requests: Sequence[str], by: str = "", *, dropped: bool = False
    ) -> list[bool]:
        about = (self._history, "dropped" if dropped else "called_off", clean(by))
        return [
            bool(was_open)
            for batch in batches(requests)
            for was_open in self._call("cancel_asked", self._asking, (*about, *batch))
        ]

    def open_requests(self, cursor: str = "") -> RequestPage:
        index, at = cursor[:1] or _STORED, cursor[1:] or "0"
        following, *found = self._call(
            "open_requests", self._asking, (int(index == _CONFIG), at, _PAGE)
        )
        requests = tuple(
            OpenRequest(name, Ask.from_text(ask), Slot.from_text(slot))
            for name, ask, slot in zip(*[iter(found)] * 3, strict=True)
        )
        if following != "0":
            return RequestPage(requests, index + following)
        return RequestPage(requests, _CONFIG if index == _STORED else "")

    @property
    def _asking(self) -> tuple[Any, ...]:
        return (*self.keys.timetable, *self.keys.asking)
