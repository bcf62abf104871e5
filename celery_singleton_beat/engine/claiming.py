"""Claiming: the question that is asked until it is answered, and what follows the answer.

Runs in: beat.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol
from uuid import uuid4

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.outbound import Outbound, Settling
from celery_singleton_beat.engine.replica import Replica
from celery_singleton_beat.engine.work import Work
from celery_singleton_beat.protocol.claim import Settled, Settlement

UNUSABLE_MS: Final = 60_000
"""After so long an entry that this replica could not use is looked at again."""

GATHER_MS: Final = 10
"""After a dispatch it is so long at least to the next: a tick for one costs as much as for ten."""


class Question:
    """The id of a claim whose answer was lost: it is asked again, and its hold counts from then."""

    def __init__(self, replica: Replica, outbound: Outbound) -> None:
        self._clock_ms = replica.clock_ms
        self._outbound = outbound
        self._open: tuple[str, int] | None = None

    def ask(self) -> tuple[str, int]:
        """Tell the request's id, and when it was asked first."""
        if self._open is None or self._outbound.is_over(self._open[1]):
            self._open = (uuid4().hex, self._clock_ms())
        return self._open

    def answered(self) -> None:
        """Ask another one next."""
        self._open = None


class Answer(Protocol):
    """What was claimed: the claims, and when to look again (None: nothing is scheduled)."""

    @property
    def now_ms(self) -> int: ...
    @property
    def claims(self) -> Sequence[Any]: ...
    @property
    def next_ms(self) -> int | None: ...
    @property
    def unreadable(self) -> Sequence[str]: ...


class Claiming(ABC):
    """Claims, plans, publishes and settles what is not of the configuration."""

    def __init__(
        self,
        replica: Replica,
        outbound: Outbound,
        settle: Callable[[Sequence[Settlement]], list[Settled]],
    ) -> None:
        self._store = replica.store
        self._events = replica.events
        self._replica = replica.name
        self._pace = replica.pace
        self._timing_of = replica.timing_of
        self._per_minute = replica.per_minute
        self._clock_ms = replica.clock_ms
        self._outbound = outbound
        self._settling = Settling(settle, replica.events)
        self._question = Question(replica, outbound)
        self.has_claimed = False

    def settle(self) -> None:
        """Settle what is left of an earlier tick."""
        self._settling.settle()

    def dispatch(self) -> int:
        """Dispatch what is due; tell how many milliseconds to wait before looking again."""
        request_id, first_asked_ms = self._question.ask()
        asked_ms = self._clock_ms()
        answer: Answer = self._claim(request_id)
        self._question.answered()
        self.has_claimed = bool(answer.claims)
        for name in answer.unreadable:
            self._events.emit(happened.EntrySetAside.unreadable(name))
        next_ms = self._outbound.dispatch(
            self._works(answer), answer.now_ms, first_asked_ms, self._settling
        )
        if self._is_full(answer):
            return 0
        known = [ms for ms in (next_ms, self._next_ms(answer)) if ms is not None]
        # The answer's time is at most as old as the question.
        store_now_ms = answer.now_ms + self._clock_ms() - asked_ms
        until_ms = min(known, default=store_now_ms + self._pace.poll_ms)
        return max(until_ms - store_now_ms, GATHER_MS if answer.claims else 0)

    @abstractmethod
    def _claim(self, request_id: str) -> Any:
        """Ask the store for what is due."""

    @abstractmethod
    def _works(self, answer: Any) -> Iterable[Work]:
        """Plan the claims; what cannot be used here is left for a while, maybe to others."""

    @abstractmethod
    def _is_full(self, answer: Any) -> bool:
        """Tell whether there may be more at once."""

    def _next_ms(self, answer: Answer) -> int | None:
        """Tell when something is due, apart from what was ours to settle."""
        if answer.next_ms is None:
            return None
        is_ours = answer.claims and answer.next_ms >= answer.now_ms + self._pace.hold_ms
        return None if is_ours else answer.next_ms
