"""The taking-on of a configuration's entries, when it comes to govern.

Runs in: beat.

Nothing is deleted and nothing is fired: entries without a slot get their first
one, those whose rule changed are planned anew, all others stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from celery_singleton_beat import events as happened
from celery_singleton_beat.events import Events
from celery_singleton_beat.protocol.claim import Adopted, Slot
from celery_singleton_beat.protocol.entry import Timing
from celery_singleton_beat.protocol.plan import first_plan
from celery_singleton_beat.store.port import Adoption, Store

_BATCH: Final = 500
_ROUNDS: Final = 3


class Adopter:
    """Plans the entries of one configuration. Several replicas may do so at once."""

    def __init__(
        self, store: Store, events: Events, timings: Mapping[str, Timing], digest: str
    ) -> None:
        self._store = store
        self._events = events
        self._timings = timings
        self._digest = digest

    def adopt(self, now_ms: int, entries: Sequence[str], *, done: bool) -> None:
        """Plan ``entries``; with ``done`` the configuration is then in place.

        An entry under a live hold is left to its holder, whose settlement makes
        it due at once for the governor, who then plans it.
        """
        left = list(entries)
        for _ in range(_ROUNDS):
            left = [
                name
                for at in range(0, len(left), _BATCH)
                for name in self._adopt_batch(now_ms, left[at : at + _BATCH])
            ]
            if not left:
                break
        if done:
            # Since then the store may have forgotten what was planned, or others governed.
            rules = {name: self._timings[name].rule for name in entries}
            self._store.adopt(self._digest, [], done=True, of=rules)

    def _adopt_batch(self, now_ms: int, names: Sequence[str]) -> list[str]:
        """Plan some entries; name those that changed under our hands."""
        answer = self._store.slots(names)
        for name in answer.unreadable:
            self._events.emit(happened.EntrySetAside.unreadable(name))
        adoptions = [
            Adoption(name, seen, planned)
            for name, seen in zip(names, answer.slots, strict=True)
            if name in self._timings and (planned := self._plan(name, seen, now_ms)) is not None
        ]
        if not adoptions:
            return []
        verdicts = self._store.adopt(self._digest, adoptions, done=False)
        return [
            adoption.entry
            for adoption, verdict in zip(adoptions, verdicts, strict=True)
            if verdict is Adopted.CHANGED
        ]

    def _plan(self, name: str, seen: Slot | None, now_ms: int) -> Slot | None:
        return first_plan(self._timings[name], seen, now_ms=now_ms)
