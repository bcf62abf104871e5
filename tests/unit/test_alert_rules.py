"""The rules of alerts: each fires once, not below its threshold, and resolves once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from celery_singleton_beat.errors import ConfigurationError, StoreUnavailable
from celery_singleton_beat.events import (
    AlertFired,
    AlertResolved,
    DispatchFailed,
    Event,
    Events,
    LeaseGone,
    OccurrenceDropped,
    RunNotRepublished,
)
from celery_singleton_beat.observe.alerts.lookout import Lookout
from celery_singleton_beat.observe.alerts.outage import Post
from celery_singleton_beat.observe.alerts.rules import lost
from celery_singleton_beat.observe.alerts.sight import Running
from celery_singleton_beat.observe.alerts.thresholds import Thresholds
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.run import Outcome
from celery_singleton_beat.store.memory_store import MemoryStore
from celery_singleton_beat.testing import FakeClock, StoreUnderTest

LIMIT_MS = 60_000


class Fragile(MemoryStore):
    """A store that can be away."""

    is_away = False

    def _enter(self) -> int:
        if self.is_away:
            raise StoreUnavailable("the store at redis://… did not answer: refused")
        return super()._enter()


class Scene:
    """A deployment in memory, and lookouts on it: what each tells is in one list."""

    def __init__(self, **thresholds: Any) -> None:
        self.clock = FakeClock()
        self.store = Fragile(self.clock)
        self.it = StoreUnderTest(self.store, self.clock)
        self.told: list[Event] = []
        self.runs: list[Running] = []
        self.thresholds = Thresholds.from_data(thresholds)
        self.first = self.lookout("first")

    def lookout(self, name: str, *, is_beat: bool = False) -> Lookout:
        self.events = Events()
        self.events.subscribe(self.told.append, wants=lambda _: True)
        post = Post(name, is_beat, lambda: self.runs, lambda: ["x", "y"])
        return Lookout(self.store, self.events, post, self.thresholds, clock_ms=self.clock)

    def look(self, *lookouts: Lookout) -> list[tuple[str, str, str]]:
        """What was told when these, or the first, looked twice."""
        self.told.clear()
        for one in lookouts or (self.first,):
            one.look()
            one.look()
        return [
            ("fired" if isinstance(one, AlertFired) else "resolved", one.rule, one.subject)
            for one in self.told
            if isinstance(one, (AlertFired, AlertResolved))
        ]


def test_no_replica_is_alerted_of_where_there_is_something_to_dispatch() -> None:
    """S0-43: and only once it was silent for too long."""
    scene = Scene(no_replica=30, late=None)
    scene.clock.advance(LIMIT_MS)
    nothing_planned = scene.look()
    scene.it.plan(x=scene.clock() + 10 * LIMIT_MS)
    scene.clock.advance(30_000)
    below = scene.look()
    scene.clock.advance(1)

    above = scene.look()
    scene.it.claim()
    after = scene.look()

    assert (nothing_planned, below) == ([], [])
    assert above == [("fired", "no_replica", "")]
    assert after == [("resolved", "no_replica", "")]
    assert isinstance(scene.told[0], AlertResolved)
    assert scene.told[0].lasted_ms == 30_001


def test_after_an_outage_replicas_have_as_long_to_come_back_as_ever() -> None:
    """S0-39: their silence was the store's."""
    scene = Scene(no_replica=30, late=60, store_away=None)
    scene.it.plan(x=scene.clock() + 1000)
    scene.look()
    scene.store.is_away = True
    scene.clock.advance(10 * LIMIT_MS)
    scene.look()
    scene.store.is_away = False

    back = scene.look()
    scene.clock.advance(30_001)
    late = scene.look()

    assert back == []
    assert late == [("fired", "no_replica", "")]


def test_what_is_due_and_not_dispatched_is_alerted_of() -> None:
    """S1-22: an entry that is late; not while everything is paused."""
    scene = Scene(late=60, no_replica=None)
    scene.look()
    scene.it.plan(x=scene.clock() + 1000, y=scene.clock() + 10 * LIMIT_MS)
    scene.clock.advance(1000 + LIMIT_MS)
    below = scene.look()
    scene.clock.advance(1)
    scene.store.pause_all(None, paused=True)
    paused = scene.look()
    scene.store.pause_all(None, paused=False)

    above, said = scene.look(), repr(scene.told)
    scene.it.move_on(scene.it.claim(), by_ms=10 * LIMIT_MS)
    after = scene.look()

    assert (below, paused) == ([], [])
    assert above == [("fired", "late", "entry of beat_schedule")]
    assert "'x'" in said
    assert "'y'" not in said
    assert after == [("resolved", "late", "entry of beat_schedule")]


def test_a_stored_entry_that_is_late_is_named() -> None:
    """S1-22."""
    scene = Scene(late=60, no_replica=None)
    scene.look()
    scene.it.put("tenant's", due_ms=scene.clock() + 1000)
    scene.clock.advance(1001 + LIMIT_MS)

    fired = scene.look()

    assert fired == [("fired", "late", "stored entry")]
    assert isinstance(scene.told[0], AlertFired)
    assert scene.told[0].about["entries"] == ["tenant's"]


def test_a_key_that_is_not_obtained_so_often_in_a_row_is_alerted_of() -> None:
    """S1-27: until somebody obtains it."""
    scene = Scene(not_obtained=3)
    holder = scene.it.attempt("holder", "h0")
    scene.it.begin(holder)
    scene.look()
    for number in range(2):
        scene.it.begin(scene.it.attempt(f"run{number}", f"h{number + 1}"), close_if_busy=True)
    below = scene.look()
    scene.it.begin(scene.it.attempt("run2", "h3"), close_if_busy=True)

    above = scene.look()
    still = scene.look()
    scene.it.finish(holder, Outcome.SUCCEEDED)
    scene.it.begin(scene.it.attempt("next", "h4"))
    after = scene.look()

    assert (below, still) == ([], [])
    assert above == [("fired", "not_obtained", holder.key)]
    assert after == [("resolved", "not_obtained", holder.key)]


def test_a_key_that_is_not_obtained_since_its_first_run_counts_from_there() -> None:
    """S1-27: however late somebody looks."""
    scene = Scene(not_obtained=3)
    scene.it.begin(scene.it.attempt("holder", "h0"))
    for number in range(3):
        scene.it.begin(scene.it.attempt(f"run{number}", f"h{number + 1}"), close_if_busy=True)

    assert [told[:2] for told in scene.look()] == [("fired", "not_obtained")]


def test_a_key_that_is_obtained_in_between_is_not_alerted_of() -> None:
    """S1-27: in a row is in a row."""
    scene = Scene(not_obtained=3)
    told = []
    for number in range(4):
        holder = scene.it.attempt(f"holder{number}", f"a{number}")
        scene.it.begin(holder)
        told += scene.look()
        for rival in range(2):
            attempt = scene.it.attempt(f"run{number}{rival}", f"b{number}{rival}")
            scene.it.begin(attempt, close_if_busy=True)
        told += scene.look()
        scene.it.finish(holder, Outcome.SUCCEEDED)

    assert told == []


def test_a_run_that_takes_longer_than_expected_is_alerted_of_while_it_runs() -> None:
    """S1-22: resolved by whoever is on duty, also if its worker is gone."""
    scene = Scene()
    attempt = scene.it.attempt()
    scene.it.begin(attempt)
    at_limit = Running("run", attempt.holder, attempt.key, "t", "", LIMIT_MS, LIMIT_MS)
    scene.runs = [at_limit, replace(at_limit, run="any time", limit_ms=0, running_ms=10**9)]
    below = scene.look()
    scene.runs = [replace(at_limit, running_ms=LIMIT_MS + 1)]

    above = scene.look()
    scene.runs = []
    still = scene.look()
    scene.it.finish(attempt, Outcome.SUCCEEDED)
    after = scene.look()

    assert (below, still) == ([], [])
    assert above == [("fired", "long_run", "run")]
    assert after == [("resolved", "long_run", "run")]


@pytest.mark.parametrize(
    ("event", "rule", "subject"),
    [
        (LeaseGone("run", "key"), "lease_lost", "key"),
        (OccurrenceDropped("x", 1, "id", "refused"), "lost", "x"),
        (DispatchFailed("x", 1, 3, True, "TypeError"), "lost", "x"),
        (RunNotRepublished("run", "no queue"), "lost", "run"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_only_its_process_knows_is_alerted_of_until_it_was_quiet(
    event: Event, rule: str, subject: str
) -> None:
    """S1-22, S0-39: once, however often it happens; each time prolongs it."""
    scene = Scene(quiet=60, no_replica=None, late=None)
    scene.events.emit(event)
    fired = scene.look()
    scene.clock.advance(LIMIT_MS)
    scene.events.emit(event)
    again = scene.look()
    scene.clock.advance(LIMIT_MS)
    below = scene.look()
    scene.clock.advance(1)

    after = scene.look()

    assert (again, below) == ([], [])
    assert fired == [("fired", rule, subject)]
    assert after == [("resolved", rule, subject)]


def test_a_dispatch_that_is_tried_again_is_no_loss() -> None:
    scene = Scene(no_replica=None, late=None)

    scene.events.emit(DispatchFailed("x", 1, 1, False, "TypeError"))

    assert scene.look() == []


def test_what_the_store_knows_to_be_lost_is_alerted_of_and_what_was_wanted_is_not() -> None:
    """S1-22: an occurrence lost; what happened before the first look is old news."""
    scene = Scene(no_replica=None, late=None)
    scene.store.discard(scene.it.attempt("old", "h0", entry="old"), "expired")
    before = scene.look()
    scene.store.discard(scene.it.attempt("a", "h1", entry="x"), "revoked")
    scene.store.discard(scene.it.attempt("b", "h2", entry="y"), "of no known task")
    scene.store.discard(scene.it.attempt("c", "h3", entry="y"), "expired")

    told = scene.look()

    assert before == []
    assert told == [("fired", "lost", "y")]


@pytest.mark.parametrize(
    ("kind", "note", "is_lost"),
    [
        ("superseded", "1700000000000||3", True),
        ("superseded", "1700000000000|1700000060000|3", False),
        ("superseded", "1700000000000|paused|3", False),
        ("given up", "", True),
        ("dropped", "", True),
        ("dropped", "not sent: no route", True),
        ("refused", "", True),
        ("discarded", "expired", True),
        ("discarded", "revoked", False),
        ("skipped", "", False),
        ("failed", "12", False),
        ("cancelled", "", False),
    ],
)
def test_lost_is_what_will_not_run_though_nobody_wanted_that(
    kind: str, note: str, is_lost: bool
) -> None:
    """S1-22."""
    fact = Fact(1, kind, "x", 1, "run", note=note)

    assert [alert.subject for alert in lost([fact])] == (["x"] if is_lost else [])


def test_each_alert_is_told_once_by_all_who_look() -> None:
    """S1-22: and one who takes over resolves what another one fired."""
    scene = Scene(no_replica=30, late=None)
    second = scene.lookout("second")
    scene.look(scene.first, second)
    scene.it.plan(x=scene.clock() + 10 * LIMIT_MS)
    scene.clock.advance(30_001)
    fired = scene.look(scene.first, second)
    scene.clock.advance(scene.thresholds.duty_ms + 1)
    taken_over = scene.look(second)
    scene.it.claim()

    after = scene.look(second, scene.first)

    assert (fired, taken_over) == ([("fired", "no_replica", "")], [])
    assert after == [("resolved", "no_replica", "")]


def test_one_who_has_just_begun_to_look_does_not_call_off_what_is_not_over() -> None:
    scene = Scene(no_replica=30, late=None)
    scene.look()
    scene.it.plan(x=scene.clock() + 100 * LIMIT_MS)
    scene.clock.advance(30_001)
    fired = scene.look()
    scene.clock.advance(scene.thresholds.duty_ms + 1)
    newcomer = scene.lookout("newcomer")

    told = scene.look(newcomer)
    scene.clock.advance(30_001)
    told += scene.look(newcomer)

    assert fired == [("fired", "no_replica", "")]
    assert told == []


def test_a_store_that_is_away_is_told_by_the_one_that_was_on_duty() -> None:
    """S0-39, S0-43: after so long, once, and that it is back."""
    scene = Scene(store_away=10)
    second = scene.lookout("second", is_beat=True)
    scene.look(scene.first, second)
    scene.store.is_away = True
    scene.look(scene.first, second)
    scene.clock.advance(10_000)
    below = scene.look(scene.first, second)
    scene.clock.advance(1)

    above = scene.look(second, scene.first)
    scene.store.is_away = False
    after = scene.look(scene.first, second)

    assert below == []
    assert above == [("fired", "store_away", "")]
    assert after == [("resolved", "store_away", "")]


def test_a_beat_that_never_reached_the_store_tells_of_it_and_a_worker_does_not() -> None:
    scene = Scene(store_away=10)
    beat = scene.lookout("beat", is_beat=True)
    scene.store.is_away = True
    scene.look(scene.first, beat)
    scene.clock.advance(10_001)

    assert scene.look(scene.first) == []
    assert scene.look(beat) == [("fired", "store_away", "")]


def test_what_happened_while_the_store_was_away_is_told_when_it_is_back() -> None:
    scene = Scene(no_replica=None, late=None, store_away=None)
    scene.look()
    scene.store.is_away = True
    scene.events.emit(LeaseGone("run", "key"))
    during = scene.look()
    scene.store.is_away = False

    assert during == []
    assert scene.look() == [("fired", "lease_lost", "key")]


def test_a_rule_that_is_off_says_nothing() -> None:
    off = dict.fromkeys(("long_run", "not_obtained", "late", "no_replica", "store_away"))
    scene = Scene(**off, lost=False, lease_lost=False)
    attempt = scene.it.attempt(entry="x")
    scene.it.plan(x=scene.clock() + 1)
    scene.clock.advance(10 * LIMIT_MS)
    scene.look()
    scene.store.discard(attempt, "expired")
    scene.events.emit(LeaseGone("run", "key"))
    scene.runs = [Running("run", "h", "key", "t", "", LIMIT_MS, 0)]

    assert scene.look() == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"longrun": 5}, "there is no 'longrun': did you mean long_run?"),
        ({"late": -1}, "singleton_beat_alerts['late']"),
        ({"late": "60"}, "singleton_beat_alerts['late']"),
        ({"not_obtained": 0}, "singleton_beat_alerts['not_obtained']"),
        ({"lost": 5}, "singleton_beat_alerts['lost']"),
        ({"every": None}, "singleton_beat_alerts['every']"),
        ({"quiet": False}, "singleton_beat_alerts['quiet']"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused_by_name(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Thresholds.from_data(given)

    assert text in str(refused.value)
