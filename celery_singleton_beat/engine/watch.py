"""The watch: whether store and broker answer, and how the store's clock goes.

Runs in: beat.

Every change is told once, when it happens.
"""

from __future__ import annotations

from typing import Final

from celery_singleton_beat import events as happened
from celery_singleton_beat.events import Events

_JUMP_MS: Final = 1000


class Watch:
    """What a replica has noticed of the servers it depends on."""

    def __init__(self, events: Events, *, rest_ms: int) -> None:
        self._events = events
        self._rest_ms = rest_ms
        self._store_lost_at_ms: int | None = None
        self._broker_is_lost = False
        self._offset_ms: int | None = None
        self._rests_until_ms = 0

    def is_resting(self, clock_ms: int) -> bool:
        """Tell whether nothing may be claimed, because the store's clock has jumped ahead."""
        return clock_ms < self._rests_until_ms

    def store_lost(self, error: Exception, clock_ms: int) -> None:
        if self._store_lost_at_ms is None:
            self._store_lost_at_ms = clock_ms
            self._events.emit(happened.StoreLost(str(error)))

    def store_answered(self, now_ms: int, asked_ms: int, answered_ms: int) -> None:
        """Note an answer: the store's time, and our clock before and after it."""
        if self._store_lost_at_ms is not None:
            away_ms = answered_ms - self._store_lost_at_ms
            self._store_lost_at_ms = None
            self._events.emit(happened.StoreBack(away_ms))
        if answered_ms - asked_ms < _JUMP_MS // 2:  # a slow answer says too little about a clock
            self._compare_clocks(now_ms - answered_ms, answered_ms)

    def broker_lost(self, error: str) -> None:
        if not self._broker_is_lost:
            self._broker_is_lost = True
            self._events.emit(happened.BrokerLost(error))

    def broker_answered(self) -> None:
        if self._broker_is_lost:
            self._broker_is_lost = False
            self._events.emit(happened.BrokerBack())

    def _compare_clocks(self, offset_ms: int, clock_ms: int) -> None:
        known_ms, self._offset_ms = self._offset_ms, offset_ms
        if known_ms is None or abs(offset_ms - known_ms) <= _JUMP_MS:
            return
        self._events.emit(happened.StoreClockJumped(offset_ms - known_ms))
        if offset_ms > known_ms:
            # Holds and leases ended early by that jump: live holders renew first.
            self._rests_until_ms = clock_ms + self._rest_ms
