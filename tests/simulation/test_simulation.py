"""The promises of the protocol, under whatever a seed makes of a whole deployment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from celery_singleton_beat.protocol import claim, lease
from celery_singleton_beat.protocol.claim import Settled
from celery_singleton_beat.protocol.lease import Held
from celery_singleton_beat.store import memory_runs, memory_slots
from tests.conftest import SHOWN
from tests.simulation.choices import Choices, Given
from tests.simulation.deployment import MakeBackend
from tests.simulation.shrink import live, shortest_story, shrink, told
from tests.simulation.stores import PureBackend, lua_on

PURE, LUA = 100_000, 2_000
_AT_ONCE = 5_000
_FOUND_WITHIN = 4_000

Count = Callable[[str, object], None]


def _live_all(first: int, count: int, make: MakeBackend) -> int:
    """Live through histories; fail with the shortest story of the first that breaks a promise."""
    decisions = 0
    for seed in range(first, first + count):
        choices = Choices(seed)
        if live(choices, make):
            fewest = shrink(choices.made, make)
            pytest.fail(f"seed {seed} breaks a promise\n{told(fewest, make)}", pytrace=False)
        decisions += len(choices.made)
    return decisions


@pytest.mark.parametrize("first", range(0, PURE, _AT_ONCE))
def test_no_history_breaks_a_promise_of_the_pure_protocol(
    first: int, record_property: Count
) -> None:
    decisions = _live_all(first, _AT_ONCE, PureBackend)

    text = f"simulation, pure, seeds {first}-{first + _AT_ONCE - 1}: {decisions} decisions"
    record_property(SHOWN, text)


@pytest.mark.parametrize("first", range(0, LUA, LUA // 4))
def test_no_history_breaks_a_promise_on_the_scripts(
    redis_url: str, first: int, record_property: Count
) -> None:
    with lua_on(redis_url) as make:
        decisions = _live_all(first, LUA // 4, make)

    text = f"simulation, Lua, seeds {first}-{first + LUA // 4 - 1}: {decisions} decisions"
    record_property(SHOWN, text)


@pytest.mark.parametrize("seed", [2063, 2316, 2587])
def test_a_history_that_once_broke_a_promise_keeps_it(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store forgot its slots while they were planned: the mark that they are came after."""
    kept = not live(Choices(seed))

    adopt: Any = memory_slots.MemorySlots.adopt

    def careless(store: Any, digest: str, planned: Any, *, done: bool, of: Any = None) -> Any:
        del of
        return adopt(store, digest, planned, done=done)

    monkeypatch.setattr(memory_slots.MemorySlots, "adopt", careless)

    assert kept
    broken = live(Choices(seed))
    assert "before it was taken on" in broken, "this seed meets that no more: take another"


def test_the_same_seed_tells_the_same_story() -> None:
    stories: list[list[str]] = [[], []]

    for story in stories:
        live(Choices(11), PureBackend, story)

    assert stories[0] == stories[1]
    assert len(stories[0]) > 10


def test_decisions_that_were_made_can_be_given() -> None:
    choices, story, again = Choices(29), list[str](), list[str]()
    live(choices, PureBackend, story)

    live(Given(choices.made), PureBackend, again)

    assert again == story


def _anybody_may_settle(slot: Any, settlement: Any, *, now_ms: int, governs: bool) -> Any:
    if slot is not None:
        settlement = settlement._replace(fence=slot.fence)
    return claim.settle(slot, settlement, now_ms=now_ms, governs=governs)


def _a_settlement_that_lost_is_confirmed(
    slot: Any, settlement: Any, *, now_ms: int, governs: bool
) -> Any:
    after, verdict = claim.settle(slot, settlement, now_ms=now_ms, governs=governs)
    return after, Settled.CONFIRMED if verdict is Settled.LOST else verdict


def _a_key_is_taken_on_sight(held: Held, attempt: Any, **options: Any) -> Any:
    return lease.begin(Held(held.run, None, held.spent), attempt, **options)


def _an_end_is_not_known(held: Held, attempt: Any, **options: Any) -> Any:
    run = held.run if held.run is not None and held.run.state.value != "done" else None
    return lease.begin(Held(run, held.lock, held.spent), attempt, **options)


def _no_notice_is_given(held: Held, attempt: Any, *, now_ms: int, **options: Any) -> Any:
    run, lock = held.run, held.lock
    late = [one for one in (run, lock) if one is not None and one.deadline_ms <= now_ms]
    run = None if run in late and run.state.value == "open" else run
    lock = None if lock in late else lock
    return lease.begin(Held(run, lock, held.spent), attempt, now_ms=now_ms, **options)


def _anybody_may_renew(held: Held, attempt: Any, **options: Any) -> Any:
    run = held.run and replace(held.run, holder=attempt.holder)
    lock = held.lock and replace(held.lock, holder=attempt.holder)
    return lease.renew(Held(run, lock, held.spent), attempt, **options)


def _fences_stand_still(slot: Any, *, now_ms: int, hold_ms: int, fence: int) -> Any:
    del fence
    return claim.take(slot, now_ms=now_ms, hold_ms=hold_ms, fence=1)


@pytest.mark.parametrize(
    ("module", "step", "wrong"),
    [
        (memory_slots, "settle", _anybody_may_settle),
        (memory_slots, "settle", _a_settlement_that_lost_is_confirmed),
        (memory_slots, "take", _fences_stand_still),
        (memory_runs, "begin", _a_key_is_taken_on_sight),
        (memory_runs, "begin", _an_end_is_not_known),
        (memory_runs, "begin", _no_notice_is_given),
        (memory_runs, "renew", _anybody_may_renew),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_protocol_without_a_check_is_found_out_and_the_story_is_short(
    module: Any, step: str, wrong: Any, monkeypatch: pytest.MonkeyPatch, record_property: Count
) -> None:
    monkeypatch.setattr(module, step, wrong)

    story = shortest_story(_FOUND_WITHIN)

    assert "BROKEN" in story
    assert len(story.splitlines()) < 60
    record_property(SHOWN, f"{wrong.__name__}: told in {len(story.splitlines())} lines")
