"""The judge: what the store has told, as far as it still knows it, and how a breach is said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from celery_singleton_beat.protocol.codec import ABSENT
from tests.simulation.deploys import Fleet
from tests.simulation.leases import Leases

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_singleton_beat.engine.lease import Lease
    from celery_singleton_beat.protocol.claim import Slot
    from celery_singleton_beat.protocol.entry import Timing
    from celery_singleton_beat.protocol.run import Attempt, Begun
    from tests.simulation.asked import Wanted
    from tests.simulation.broker import Broker
    from tests.simulation.limits import Share
    from tests.simulation.names import Names
    from tests.simulation.settings import Setting
    from tests.simulation.stored import Known
    from tests.simulation.world import Process


class Broken(BaseException):
    """A promise is broken. No ``except Exception`` of the engine may swallow it."""


@dataclass(frozen=True)
class Held:
    """A claim that the store gave out.

    Its holder dispatches by ``timing`` (None: it does not know the entry), nothing
    before ``first_ms``, and owes everything from ``owed_ms`` on. ``revision`` is that
    of a stored entry (None: of the two answers it got, either's). ``told_ms`` are the
    times of these answers, ``before`` is the run before it and ``was`` how that was then.
    """

    fence: int
    who: str
    until_ms: int
    slot_ms: int
    is_open: bool = True
    timing: Timing | None = None
    first_ms: int = 0
    owed_ms: int = 0
    revision: int | None = 0
    told_ms: tuple[int, ...] = ()
    before: str = ""
    was: str = ""

    def from_ms(self, at_ms: int) -> Held:
        """Make the same of which nothing before a time is to be dispatched."""
        if self.first_ms == ABSENT:
            return self
        return replace(self, first_ms=max(self.first_ms, at_ms))


@dataclass
class Memory:
    """What the store has told, as far as it still knows it."""

    claims: dict[str, Held] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    leases: Leases = field(default_factory=Leases)
    slots: dict[str, Slot] = field(default_factory=dict)
    fleet: Fleet = field(default_factory=Fleet)
    cards: dict[str, Known] = field(default_factory=dict)
    asks: dict[str, Wanted] = field(default_factory=dict)
    tenants: dict[str | None, Share] = field(default_factory=dict)
    called_back: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Memory:
        return Memory(
            self.claims.copy(),
            self.ended.copy(),
            self.leases.copy(),
            self.slots.copy(),
            self.fleet.copy() if self.fleet.governor else Fleet(),
            self.cards.copy(),
            self.asks.copy(),
            self.tenants.copy(),
            self.called_back.copy(),
        )


class Judge:
    """Knows what was told, and for which faults it has to allow."""

    def __init__(self, broker: Broker, setting: Setting, names: Names) -> None:
        self.world = broker.world
        self.broker = broker
        self.timings = setting.timings
        # Where these are not known, everybody has the same.
        self.configurations: Mapping[str, Mapping[str, Timing]] = getattr(
            setting, "configurations", {}
        )
        self.entries = dict(self.timings)
        for timings in self.configurations.values():
            self.entries.update(timings)
        self.ttl_ms = setting.ttl_ms
        self.is_told = getattr(broker.world, "story", None) is not None
        self.names = names
        self.memory = Memory()
        self.top_fence = 0
        self.has_forgotten = False
        self.has_stepped = False
        self.has_stepped_back = False
        self.is_wiped = False
        self.lenient_until_ms = 0
        self.bodies: list[tuple[Process, Attempt, Lease]] = []
        self.seen_to: set[str] = set()
        self.published: set[str] = set()
        self.awaited: set[str] = set()
        self.begun: set[str] = set()
        self.dated: dict[str, tuple[str, int]] = {}
        self.freed: dict[str, int] = {}
        # Whether what could not be published again has not begun since.
        self.hopeless: dict[str, bool] = {}

    @property
    def is_lenient(self) -> bool:
        """Whether two may believe in one lease or one hold."""
        return self.lenient_until_ms > self.world.now_ms

    def broke(self, text: str) -> NoReturn:
        """Say which promise is broken."""
        self.world.say("=", f"BROKEN: {text}")
        raise Broken(text)

    def begins(self, attempt: Attempt, verdict: Begun) -> None:
        """Judge whether a run may begin by what is known of its entry."""

    def forgive(self, for_ms: int) -> None:
        """Let leases overlap for so long: the store's clock stepped, or it forgot who has them."""
        self.lenient_until_ms = max(self.lenient_until_ms, self.world.now_ms + for_ms)

    def meets_wiped(self, *, remembers: bool) -> None:
        """Note who is the first to meet a store that forgot all: it can only tell by memory."""
        self.is_wiped = False
        if not remembers:
            self.forgive(self.ttl_ms)

    def forget(self, memory: Memory) -> None:
        """Know only what the store still knows. Fences go on growing all the same."""
        self.memory, self.has_forgotten = memory.copy(), True
        self.awaited.clear()
        self._forget_fences()

    def step(self, by_ms: int) -> None:
        """Allow for a step of the store's clock: forwards, it ends holds and leases early."""
        self.has_stepped = True
        self.has_stepped_back |= by_ms < 0
        self._forget_fences()
        if by_ms > 0:
            self.forgive(self.ttl_ms)

    def _forget_fences(self) -> None:
        # They follow the last one that the store knows, or else its clock.
        if self.has_stepped_back and self.has_forgotten:
            self.top_fence = 0
            self.memory.leases.tokens.clear()
