"""A client of a simulated deployment: it changes stored entries while beats dispatch them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from celery_singleton_beat.engine.timetable import Change, put_of
from celery_singleton_beat.errors import StoreError
from celery_singleton_beat.protocol import asked as request
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.entry import DAY_MS, Overlap
from celery_singleton_beat.protocol.recurrences.bounds import datetime_of
from celery_singleton_beat.protocol.stored import Stored
from celery_singleton_beat.protocol.tenant import Quota
from tests.simulation.lines import Line
from tests.simulation.settings import FIRST_MS
from tests.simulation.world import Process

if TYPE_CHECKING:
    from tests.simulation.deployment import Deployment

_PAUSES_MS: Final = (900, 30, 2300, 3900)
_AGAIN_MS: Final = 300
_THERE: Final = (Stored.ADDED, Stored.CHANGED, Stored.UNCHANGED)

_KINDS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"catch_up": "all"},
    {"catch_up": "all", "overlap": "queue"},
    {"overlap": "skip"},
    {"delivery": "at_most_once"},
    {"start_deadline": 4},
    {"dedupe_window": 9},
    {"catch_up": "none"},
)
"""As those of the configuration's entries."""

VARIANTS: Final[tuple[tuple[int, int, dict[str, Any]], ...]] = (
    (4000, 8000, {}),
    (3000, 9000, {}),
    (4000, 8000, {"kwargs": {"as": "other"}}),
    (2000, 6000, {"enabled": False}),
)


@lru_cache(256)
def stored_entry(name: str, kind: int, variant: int, tenant: str = "") -> Entry:
    """Make one of the entries that clients put."""
    every_ms, for_ms, more = VARIANTS[variant]
    end = datetime_of(FIRST_MS + for_ms)
    every_s = every_ms // 1000
    more = {"tenant": tenant, "end": end, "overlap_limit": 20, **_KINDS[kind], **more}
    return Entry(name, "task", every_s, **more)


class Asking(Process):
    """Asks the store for this and that, and once more if no answer came. It may die."""

    def __init__(self, deployment: Deployment, name: str) -> None:
        super().__init__(deployment.world, name)
        self._deployment = deployment
        self._store: Any = Line(self, deployment.backend.door(), deployment.promises)
        self._has_done = False
        self._ahead_ms = 0
        self.spawn(self._run)

    @property
    def is_at_rest(self) -> bool:
        """Whether it is done, and all that it left is dispatched."""
        promises = self._deployment.promises
        is_done = self._has_done or not self.is_alive
        return is_done and promises.are_stored_at_rest() and promises.are_requests_at_rest()

    def _run(self) -> None:
        choices, acts = self.world.choices, self._acts()
        self._try(acts[0])
        for _ in range(1 + choices.of(5)):
            self.world.sleep(_PAUSES_MS[choices.of(len(_PAUSES_MS))])
            self._try(acts[choices.of(len(acts))])
        self._has_done = True

    def _acts(self) -> tuple[Callable[[], None], ...]:
        raise NotImplementedError

    def _store_ms(self) -> int:
        """Tell the store's time, a little early: as its engine does it asks once."""
        if not self._ahead_ms:
            self._ahead_ms = self._store.ping() - self.world.now_ms
        return self.world.now_ms + self._ahead_ms - 50

    def _try(self, act: Callable[[], None]) -> None:
        """Do it; where the answer is lost, once more."""
        try:
            act()
        except StoreError:
            self.world.sleep(_AGAIN_MS)
            with suppress(StoreError):
                act()


class Client(Asking):
    """Puts, changes, pauses, resumes and removes stored entries, and calls back what is queued."""

    _revision = 0

    def _acts(self) -> tuple[Callable[[], None], ...]:
        store = self._store
        return (
            lambda: self._put("p"),
            lambda: self._pause("p"),
            lambda: store.pause(["p"], paused=False),
            lambda: self._remove("p"),
            lambda: self._put("q"),
        )

    def _pause(self, name: str) -> None:
        self._store.pause([name], paused=True)
        if self._calls_back() and (kept := self._store.kept([name])[0]) is not None:
            self._call_back(name, kept.card.revision)

    def _remove(self, name: str) -> None:
        self._store.remove([name])
        if self._calls_back():
            self._call_back(name, self._store.mark())

    def _put(self, name: str) -> None:
        choices, now_ms = self.world.choices, self._store_ms()
        entry = stored_entry(name, self._deployment.setting.kind, choices.of(len(VARIANTS)))
        change = Change(if_revision=self._revision if choices.of(3) == 1 else None)
        asked = put_of(entry, change, now_ms)
        answer = cast("Any", self._store.put([asked], Quota())[0])
        self._revision = answer.revision
        if answer.verdict in _THERE and self._calls_back():
            self._call_back(name, answer.revision)

    def _calls_back(self) -> bool:
        return self.world.choices.of(3) == 1

    def _call_back(self, name: str, revision: int) -> None:
        self._store.cancel_queued(name, revision, 2 * DAY_MS)


class Asker(Asking):
    """Asks for runs now and for those of times past, and calls requests off."""

    _asked = 0

    def _acts(self) -> tuple[Callable[[], None], ...]:
        return (self._run_now, self._backfill, self._call_off)

    def _run_now(self) -> None:
        self._ask(request.Asking("", self._entry()))

    def _backfill(self) -> None:
        most = (10, 2)[self.world.choices.of(2)]
        timing = self._deployment.setting.timings.get(entry := self._entry())
        step = 1 if timing is None or timing.overlap is not Overlap.ALLOW else 100
        from_ms, until_ms = FIRST_MS - 20_000, FIRST_MS - 10_000
        self._ask(
            request.Asking(
                "", entry, is_backfill=True, from_ms=from_ms, until_ms=until_ms, total=5,
                most=most, step=step,
            )
        )  # fmt: skip

    def _call_off(self) -> None:
        if self._asked:
            self._store.cancel_asked([f"ask{self._asked}"])

    def _entry(self) -> str:
        """Choose among entries of the configuration and a stored one, which may not be there."""
        names = (*self._deployment.setting.timings, "p")
        return names[self.world.choices.of(len(names))]

    def _ask(self, asking: request.Asking) -> None:
        """Ask with an id of its own; again with the same, if no answer came."""
        self._asked += 1
        asking = asking._replace(request=f"ask{self._asked}")
        with suppress(StoreError):
            self._store.ask(asking)
            return
        self.world.sleep(_AGAIN_MS)
        self._store.ask(asking)
