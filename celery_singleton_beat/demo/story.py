"""The story: what befalls the cast, and what is looked at meanwhile.

Runs in: the demo.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.demo import facts
from celery_singleton_beat.demo.ledger import Ledger
from celery_singleton_beat.demo.timeline import Timeline
from celery_singleton_beat.demo.timetable import LONGEST, due_between
from celery_singleton_beat.demo.view import Scene
from celery_singleton_beat.engine.clock import boot_ms

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from celery_singleton_beat.demo.cast import Cast
    from celery_singleton_beat.demo.ledger import Body, Counts
    from celery_singleton_beat.demo.timeline import Lane
    from celery_singleton_beat.demo.view import View

READY_SECONDS: Final = 60.0
FREEZE_SECONDS: Final = 3.0
AWAY_SECONDS: Final = 4.0
DRAIN_SECONDS: Final = 30.0

_FRAME_SECONDS: Final = 0.1
_YOUNG_MS: Final = 1000
# An occurrence counts as lost in the live view when it had this long; at the end all do.
_PATIENCE_MS: Final = 20_000


class Story:
    """Runs the demo with a cast; afterwards it has the ledger's counts."""

    def __init__(self, cast: Cast, view: View, seconds: float, chance: random.Random) -> None:
        self._cast = cast
        self._view = view
        self._seconds = seconds
        self._chance = chance
        self._reader = facts.Reader(cast.facts)
        self._ledger = Ledger()
        self._ready: set[str] = set()
        self._began_ms = boot_ms()
        self._timeline = Timeline(self._began_ms)
        self._window_ms: tuple[int, int] | None = None
        self._opened_at = 0.0

    def play(self) -> None:
        """Wait for the cast, let the script happen, wait until what was due is done.

        Raises:
            RuntimeError: an actor ended by itself, or was not ready in time; with its output.
        """
        self._say(f"starting {len(self._cast.actors)} processes on {self._cast.server.url()}")
        self._until(self._all_are_ready, READY_SECONDS, "the beats and workers are ready")
        from_ms = _wall_ms()
        self._window_ms, self._opened_at = (from_ms, from_ms), time.monotonic()
        self._say("all beats claim, all workers work; counting from here")
        script = self._script()
        awaited = next(script, None)
        while awaited is not None or self._elapsed() < self._seconds:
            self._frame()
            self._window_ms = (from_ms, _wall_ms())
            if awaited is not None and awaited():
                awaited = next(script, None)
        self._say("the last occurrence that counts was due; waiting for the rest to be done")
        self._until(self._all_is_done, DRAIN_SECONDS, None)
        self._say("stopping all, in an orderly way")
        self._cast.stop()
        self._look()

    def counts(self) -> Counts:
        """The ledger, when all is over."""
        return self._ledger.counts(due_between(*(self._window_ms or (0, 0))))

    def lanes(self) -> list[Lane]:
        """The timeline so far."""
        cast, bodies = self._cast, self._ledger.bodies.values()
        return self._timeline.lanes(cast.actors.values(), cast.actor_of, bodies, boot_ms())

    def _script(self) -> Iterator[Callable[[], bool]]:
        """Yields what is to be waited for before it goes on."""
        cast = self._cast
        beats = [name for name, actor in cast.actors.items() if actor.is_beat]
        killed, frozen = self._chance.sample(beats, 2)
        yield self._at(self._seconds * 0.15 + self._chance.random())
        cast.kill(killed)
        self._say(f"{killed} is killed (SIGKILL); the others go on at once")
        yield self._at(self._seconds * 0.3 + self._chance.random())
        cast.freeze(frozen)
        self._say(f"{frozen} is frozen (SIGSTOP) for {FREEZE_SECONDS:g} s, its hold is 1 s")
        yield self._at(self._elapsed() + FREEZE_SECONDS)
        cast.thaw(frozen)
        self._say(f"{frozen} goes on, as if no time had passed")
        yield self._at(self._seconds * 0.5 + self._chance.random())
        # In the middle of a task: what it had in hand must be run again, by another.
        yield lambda: self._young_body() is not None
        body = self._young_body()
        if body is None:
            raise RuntimeError("no worker is in the middle of a task")
        worker = cast.actor_of[body.group].name
        cast.kill(worker)
        self._say(f"{worker} is killed (SIGKILL) in the middle of a {LONGEST.entry!r}")
        yield self._at(self._elapsed() + AWAY_SECONDS)
        cast.restart(worker)
        self._say(f"{worker} is started again")

    def _at(self, seconds: float) -> Callable[[], bool]:
        return lambda: self._elapsed() >= seconds

    def _young_body(self) -> Body | None:
        """A long task that has begun a moment ago and will not end in the next."""
        now_ms = boot_ms()
        for body in self._ledger.open_bodies():
            if body.occurrence[0] == LONGEST.entry and now_ms - body.began_ms < _YOUNG_MS:
                return body
        return None

    def _all_are_ready(self) -> bool:
        for actor in self._cast.actors.values():
            lines = actor.child.lines
            if not actor.is_beat and any(" ready." in line for line in lines):
                self._ready.add(actor.name)
        return len(self._ready) == len(self._cast.actors)

    def _all_is_done(self) -> bool:
        return not self._ledger.unfinished(due_between(*(self._window_ms or (0, 0))))

    def _until(self, reached: Callable[[], bool], seconds: float, what: str | None) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            self._frame()
            if time.monotonic() < deadline:
                continue
            if what is None:
                return
            outputs = [f"{a.name}:\n{a.child.output}" for a in self._cast.actors.values()]
            raise RuntimeError(f"not within {seconds:g} s: {what}\n" + "\n".join(outputs))

    def _frame(self) -> None:
        time.sleep(_FRAME_SECONDS)
        self._look()
        fallen = self._cast.fallen()
        if fallen is not None:
            raise RuntimeError(f"{fallen.name} ended by itself:\n{fallen.child.output}")
        if self._window_ms is not None:
            from_ms, until_ms = self._window_ms
            old = due_between(from_ms, max(min(until_ms, _wall_ms() - _PATIENCE_MS), from_ms))
            counts = self._ledger.counts(due_between(from_ms, until_ms), settled=old)
            self._view.show(Scene(self._told_at(), self.lanes(), counts))

    def _look(self) -> None:
        """Read what the processes wrote down since the last look."""
        news = self._reader.new()
        self._ledger.take(news)
        self._timeline.take(news)
        for fact in news:
            actor = self._cast.actor_of.get(fact["group"])
            if actor is not None and fact["kind"] == "StandingChanged":
                self._ready.add(actor.name)
            if actor is not None and fact["kind"] == "DuplicateDropped":
                self._say(f"{actor.name} recognised a second message of a run, and dropped it")

    def _elapsed(self) -> float:
        return time.monotonic() - self._opened_at

    def _told_at(self) -> float:
        return (boot_ms() - self._began_ms) / 1000

    def _say(self, text: str) -> None:
        self._view.say(self._told_at(), text)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
