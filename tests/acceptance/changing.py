"""A client that changes stored entries at random, and what that makes of their occurrences.

It notes the store's time before and after each change: what is claimed in between may show
either state, and what is claimed before or after only the one.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from celery_singleton_beat import Entry, Timetable
from celery_singleton_beat.protocol.history import LeftOut
from celery_singleton_beat.protocol.jitter import offset_ms
from tests.rig.witness import key_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator

    from celery import Celery

    from celery_singleton_beat.protocol.history import Fact

PERIODS_MS = (500, 1000, 2000)
JITTERS_S = (0.0, 0.0, 0.4)
TENANTS = ("", "t1", "t2")
MOST = 40
LOST, PASSED_OVER, NOT_YET = "lost", "passed over", "before its new rule was taken on"


@dataclass(frozen=True)
class State:
    """What an entry is since a change, which was made between two times of the store's clock."""

    before_ms: int
    after_ms: int
    version: int
    period_ms: int
    is_there: bool = True
    is_enabled: bool = True
    is_paused: bool = False
    tenant_is_paused: bool = False

    @property
    def is_on(self) -> bool:
        return (
            self.is_there and self.is_enabled and not self.is_paused and not self.tenant_is_paused
        )


@dataclass(frozen=True)
class Span:
    """A time in which an entry was on, with one rule, and nothing else is possible."""

    from_ms: int
    until_ms: float
    period_ms: int
    place: int


class Known:
    """One entry: all its states, in their order."""

    def __init__(self, name: str, tenant: str, jitter_s: float, first: State) -> None:
        self.name, self.tenant, self.jitter_s = name, tenant, jitter_s
        self.offset_ms = offset_ms(name, round(jitter_s * 1000))
        self.states = [first]

    @property
    def now(self) -> State:
        return self.states[-1]

    def entry(self, state: State, seconds: float) -> Entry:
        return Entry(
            self.name,
            task="acceptance.versioned",
            recurrence=state.period_ms / 1000,
            args=[state.version, seconds],
            tenant=self.tenant,
            jitter=self.jitter_s,
            enabled=state.is_enabled,
        )

    def explains(self, scheduled_ms: int, version: int, claimed_ms: int) -> bool:
        """Whether there was a state at that time in which this could be claimed."""
        return any(
            state.is_on
            and state.version == version
            and scheduled_ms % state.period_ms == 0
            and scheduled_ms + self.offset_ms >= self._on_since_ms(place)
            for place, state in self._possible(claimed_ms)
        )

    def has_version(self, version: int, claimed_ms: int) -> bool:
        """Whether an entry could be read with that version then, or right after."""
        versions = {state.version for _, state in self._possible(claimed_ms)}
        return version in versions or version == min(versions) + 1

    def due(self, until_ms: int) -> Iterator[tuple[int, Span]]:
        """The occurrences whose time came while the entry was surely on."""
        for span in self._spans():
            first_ms = (span.from_ms // span.period_ms + 1) * span.period_ms
            last_ms = min(span.until_ms, until_ms) - self.offset_ms
            for at_ms in range(first_ms, math.floor(last_ms) + 1, span.period_ms):
                yield at_ms, span

    def excuse(self, span: Span) -> str:
        """What was done to the entry since, so that an occurrence may not have been claimed."""
        was_off = False
        for state in self.states[span.place :]:
            if not state.is_there:
                return "removed"
            if state.period_ms != span.period_ms:
                return "replaced"  # the new rule counts from its change on
            was_off = was_off or not state.is_on
        if was_off:
            return PASSED_OVER if self.now.is_on else "stopped"
        return ""

    def _possible(self, claimed_ms: int) -> Iterator[tuple[int, State]]:
        for place, state in enumerate(self.states):
            following = self.states[place + 1 :]
            if state.before_ms <= claimed_ms <= (following[0].after_ms if following else math.inf):
                yield place, state

    def _on_since_ms(self, place: int) -> int:
        while place and self.states[place - 1].is_on:
            place -= 1
        return self.states[place].before_ms

    def _spans(self) -> Iterator[Span]:
        places = iter(range(len(self.states)))
        for place in places:
            state = self.states[place]
            earlier = self.states[place - 1] if place else None
            if not state.is_on or (earlier and _alike(earlier, state)):
                continue
            end = next((s for s in self.states[place + 1 :] if not _alike(s, state)), None)
            until_ms = math.inf if end is None else end.before_ms - 1
            yield Span(state.after_ms, until_ms, state.period_ms, place)


def _alike(one: State, other: State) -> bool:
    return (one.is_on, one.period_ms) == (other.is_on, other.period_ms)


class Client:
    """Changes a timetable at random, in a thread, until it is told to stop."""

    def __init__(self, app: Celery, now_ms: Callable[[], int], chance: random.Random) -> None:
        self._timetable = Timetable(app)
        self._now_ms, self._chance = now_ms, chance
        self._paused_tenants: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="client")
        self.known: dict[str, Known] = {}
        self.counts: dict[str, int] = {}
        self.error: BaseException | None = None

    def begin(self, entries: int) -> None:
        """Create some entries, then go on by itself."""
        for tenant in TENANTS:
            self._timetable.set_limits(tenant, None)
        for _ in range(entries):
            self.create()
        self._thread.start()

    def stop(self) -> int:
        """Stop; tell the store's time. What is paused then stays so.

        Raises:
            BaseException: what made it stop before.
        """
        self._stopped.set()
        self._thread.join()
        if self.error is not None:
            raise self.error
        return self._now_ms()

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._chance.uniform(0.0, 0.12)):
                self._act()
        except BaseException as error:  # noqa: BLE001  # told by stop
            self.error = error

    def _act(self) -> None:
        actions = [self.create, self.remove, *[self.rewrite] * 4, self.retime, self.retime]
        actions += [self.pause, self.resume, self.resume, self.disable, self.enable, self.enable]
        if self._chance.random() < 0.1:
            actions = [self.pause_tenant, self.resume_tenant]
        action = self._chance.choice(actions)
        if action():
            name = action.__name__
            self.counts[name] = self.counts.get(name, 0) + 1

    def create(self) -> bool:
        there = [known for known in self.known.values() if known.now.is_there]
        if len(there) >= MOST:
            return False
        name, tenant = f"entry-{len(self.known)}", self._chance.choice(TENANTS)
        period_ms, jitter_s = self._chance.choice(PERIODS_MS), self._chance.choice(JITTERS_S)
        is_stopped = tenant in self._paused_tenants
        state = State(0, 0, 0, period_ms, tenant_is_paused=is_stopped)
        known = Known(name, tenant, jitter_s, state)
        before_ms = self._now_ms()
        self._timetable.put(known.entry(state, self._seconds()), if_revision=0)
        known.states = [replace(state, before_ms=before_ms, after_ms=self._now_ms())]
        self.known[name] = known
        return True

    def rewrite(self) -> bool:
        """Change what the task is told."""
        return self._put(lambda state: replace(state, version=state.version + 1))

    def retime(self) -> bool:
        """Change when it is due."""
        period_ms = self._chance.choice(PERIODS_MS)
        return self._put(
            lambda state: replace(state, version=state.version + 1, period_ms=period_ms)
        )

    def disable(self) -> bool:
        return self._put(
            lambda state: replace(state, version=state.version + 1, is_enabled=False),
            lambda state: state.is_enabled,
        )

    def enable(self) -> bool:
        return self._put(
            lambda state: replace(state, version=state.version + 1, is_enabled=True),
            lambda state: not state.is_enabled,
        )

    def remove(self) -> bool:
        return self._change(
            lambda known, _: self._timetable.remove(known.name),
            lambda state: replace(state, is_there=False),
        )

    def pause(self) -> bool:
        return self._change(
            lambda known, _: self._timetable.pause(known.name),
            lambda state: replace(state, is_paused=True),
            lambda state: not state.is_paused,
        )

    def resume(self) -> bool:
        return self._change(
            lambda known, _: self._timetable.resume(known.name),
            lambda state: replace(state, is_paused=False),
            lambda state: state.is_paused,
        )

    def pause_tenant(self) -> bool:
        return self._change_tenant(paused=True)

    def resume_tenant(self) -> bool:
        return self._change_tenant(paused=False)

    def _change_tenant(self, *, paused: bool) -> bool:
        tenant = self._chance.choice(TENANTS[1:])
        command = self._timetable.pause_all if paused else self._timetable.resume_all
        before_ms = self._now_ms()
        is_change = command(tenant=tenant)
        after_ms = self._now_ms()
        assert is_change is ((tenant in self._paused_tenants) is not paused)
        self._paused_tenants ^= {tenant} if is_change else set()
        for known in self.known.values():
            if is_change and known.tenant == tenant:
                state = replace(known.now, tenant_is_paused=paused)
                known.states.append(replace(state, before_ms=before_ms, after_ms=after_ms))
        return is_change

    def _put(
        self, made: Callable[[State], State], fits: Callable[[State], bool] = lambda _: True
    ) -> bool:
        def put(known: Known, state: State) -> object:
            return self._timetable.put(known.entry(state, self._seconds()))

        return self._change(put, made, fits)

    def _change(
        self,
        carry_out: Callable[[Known, State], object],
        made: Callable[[State], State],
        fits: Callable[[State], bool] = lambda _: True,
    ) -> bool:
        fitting = [k for k in self.known.values() if k.now.is_there and fits(k.now)]
        if not fitting:
            return False
        known = self._chance.choice(fitting)
        state, before_ms = made(known.now), self._now_ms()
        assert carry_out(known, state)
        known.states.append(replace(state, before_ms=before_ms, after_ms=self._now_ms()))
        return True

    def _seconds(self) -> float:
        return 0.2 if self._chance.random() < 0.05 else 0.0


class Ledger:
    """What became of every occurrence, by what the client has done."""

    def __init__(self, known: Iterable[Known], until_ms: int) -> None:
        self._known = {one.name: one for one in known}
        self._due = {
            key_of(one.name, at_ms): (one, at_ms, span)
            for one in self._known.values()
            for at_ms, span in one.due(until_ms)
        }

    @property
    def due(self) -> set[str]:
        return set(self._due)

    def fates(
        self, ended: Any, published: Any, history: Callable[[], Iterable[Fact]]
    ) -> dict[str, str]:
        """Of each occurrence that was due and did not run, why not; "lost" if for no reason."""
        found, left_out = {}, None
        for key, (one, at_ms, span) in self._due.items():
            if key in ended:
                continue
            if key in published:
                # Removed between its publish and its recall: the broker had lost its message.
                found[key] = LOST if one.now.is_there else "gone with its message"
                continue
            fate = one.excuse(span)
            if fate not in {"", PASSED_OVER}:
                found[key] = fate
                continue
            left_out = list(_left_out(history())) if left_out is None else left_out
            own = [(fact, what) for fact, what in left_out if fact.entry == one.name]
            if fate == PASSED_OVER:
                is_noted = any(_is_passed_over(at_ms, *noted) for noted in own)
            else:
                fate = NOT_YET
                is_noted = any(_is_before_rule(at_ms, one.offset_ms, *noted) for noted in own)
            found[key] = fate if is_noted else LOST
        return found

    def told(self, key: str, history: Callable[[], Iterable[Fact]]) -> str:
        """An occurrence, all that was done to its entry, and what the store noted of it."""
        one, at_ms, span = self._due[key]
        noted = [f for f in history() if (f.entry, f.scheduled_ms) == (one.name, at_ms)]
        return "\n  ".join([f"{key} {span}", *map(repr, one.states), *map(repr, noted)])

    def strange(self, facts: list[dict[str, Any]]) -> list[str]:
        """Runs of what could not be claimed: stopped, changed or never due at that time."""
        found = []
        recalled = {
            key_of(told["entry"], told["scheduled_ms"])
            for told in (fact["told"] for fact in facts if fact["kind"] == "OccurrenceRecalled")
        }
        for fact in facts:
            if fact["kind"] != "begin" or "version" not in fact:
                continue
            name, _, moment = fact["key"].rpartition("@")
            one, version, claimed_ms = self._known[name], fact["version"], fact["claimed_ms"]
            is_explained = one.explains(int(moment), version, claimed_ms) or (
                fact["key"] in recalled and one.has_version(version, claimed_ms)
            )
            if not is_explained:
                found.append(f"{fact['key']} version {version} claimed {claimed_ms}: {one.states}")
        return found


def _left_out(history: Iterable[Fact]) -> Iterator[tuple[Fact, LeftOut]]:
    """What the store has noted as left out."""
    return ((f, LeftOut.from_note(f.note)) for f in history if f.kind == "superseded")


def _is_passed_over(at_ms: int, fact: Fact, left_out: LeftOut) -> bool:
    """Whether this is the note of a pause that such an occurrence was in."""
    return left_out.by == "paused" and fact.scheduled_ms <= at_ms <= (left_out.last_ms or 0)


def _is_before_rule(at_ms: int, offset_ms: int, fact: Fact, left_out: LeftOut) -> bool:
    """Whether this is the note of who took a new rule on after such an occurrence.

    Usually that is at once. Whoever has claimed an occurrence of the old rule and dies keeps the
    entry until the hold is over.
    """
    return left_out.by == "changed" and fact.scheduled_ms < at_ms <= fact.at_ms - offset_ms
