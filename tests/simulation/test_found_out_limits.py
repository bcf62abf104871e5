"""What the simulation finds out about limits and pauses, if they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from celery_singleton_beat.engine import work
from celery_singleton_beat.protocol import asked, plan, stored, tenant
from celery_singleton_beat.protocol.stored import Stored
from celery_singleton_beat.store import memory_asked, memory_timetable
from celery_singleton_beat.store.memory_slots import MemorySlots
from celery_singleton_beat.store.memory_state import put_or_drop
from tests.simulation.choices import Choices
from tests.simulation.finding import find_out, name_of
from tests.simulation.shrink import live

_FOUND_WITHIN = 20_000
_Timetable = memory_timetable.MemoryTimetable

Count = Callable[[str, object], None]


def _any_number_of_entries_is_stored(*given: Any) -> Any:
    answer = stored.refusal(*given)
    return None if answer and answer.verdict is Stored.TOO_MANY else answer


def _entries_are_as_often_as_they_like(*given: Any) -> Any:
    answer = stored.refusal(*given)
    return None if answer and answer.verdict is Stored.TOO_OFTEN else answer


def _a_quota_of_its_own_is_not_minded(owner: Any, default: Any, *, now_ms: int) -> int | None:
    return tenant.allowance(replace(owner, quota=None), default, now_ms=now_ms)


def _nothing_is_counted(owner: Any, _count: int, *, now_ms: int) -> Any:
    del now_ms
    return owner


def _one_is_claimed_too_many(owner: Any, default: Any, *, now_ms: int) -> int | None:
    allowed = tenant.allowance(owner, default, now_ms=now_ms)
    return None if allowed is None else allowed + 1


def _a_paused_tenant_has_its_turn(store: Any, name: str, now_ms: int) -> None:
    first_ms = min(store._scheduled(name).values(), default=None)  # noqa: SLF001
    put_or_drop(store._state.turns, name, first_ms)  # noqa: SLF001
    del now_ms


def _a_pause_is_caught_up(timing: Any, slot: Any, **when: Any) -> Any:
    return plan.plan(timing, slot, **{**when, "resumed_ms": 0})


def _who_leaves_was_never_paused(*given: Any, left: Any, **when: Any) -> Any:
    del left
    return stored.put(*given, **when)


def _what_is_asked_for_of_a_paused_tenant_is_opened(
    card: Any, _owner: Any, *, is_all_paused: bool
) -> str:
    return asked.stopped_by(card, tenant.Tenant(), is_all_paused=is_all_paused)


def _heedless(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Make a verb of a store that does not mind that everything is paused."""

    def take(store: Any, *given: Any, **options: Any) -> Any:
        state = store._state  # noqa: SLF001
        was, state.is_paused = state.is_paused, False
        try:
            return verb(store, *given, **options)
        finally:
            state.is_paused = was

    take.__name__ = f"_{verb.__name__}_in_a_pause"
    return take


_ask_in_a_pause = _heedless(memory_asked.MemoryAsked.ask)
_claim = _heedless(MemorySlots.claim)


def _claim_in_a_pause(store: Any, request: Any) -> Any:
    return replace(_claim(store, request), is_paused=store._state.is_paused)  # noqa: SLF001


@pytest.mark.parametrize(
    ("part", "at", "wrong"),
    [
        ("owners", (memory_timetable, "refusal"), _any_number_of_entries_is_stored),
        ("owners", (memory_timetable, "refusal"), _entries_are_as_often_as_they_like),
        ("owners", (memory_timetable, "allowance"), _a_quota_of_its_own_is_not_minded),
        ("owners", (memory_timetable, "allowance"), _one_is_claimed_too_many),
        ("owners", (memory_timetable, "spend"), _nothing_is_counted),
        ("owners", (memory_asked, "spend"), _nothing_is_counted),
        ("owners", (memory_asked, "stopped_by"), _what_is_asked_for_of_a_paused_tenant_is_opened),
        ("owners", (_Timetable, "_retune"), _a_paused_tenant_has_its_turn),
        ("owners", (memory_timetable, "put"), _who_leaves_was_never_paused),
        ("owners", (memory_timetable, "MINUTE_MS"), 1 << 50),
        ("owners", (work, "plan"), _a_pause_is_caught_up),
        ("has_operator", (MemorySlots, "claim"), _claim_in_a_pause),
        ("has_operator", (memory_asked.MemoryAsked, "ask"), _ask_in_a_pause),
        ("has_operator", (work, "plan"), _a_pause_is_caught_up),
    ],
    ids=name_of,
)
def test_what_is_wrong_with_a_limit_is_found_out_and_the_story_is_short(
    part: str,
    at: tuple[Any, str],
    wrong: Any,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Count,
) -> None:
    monkeypatch.setattr(*at, wrong)

    name = f"{part}, {name_of(wrong) or at[1]}"
    find_out(name, record_property, within=_FOUND_WITHIN, part=part)


@pytest.mark.parametrize("seed", [2688, 2793])
def test_what_was_due_in_a_tenants_pause_is_not_caught_up_by_who_leaves_it(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that was moved out of a paused tenant was dispatched for what it had missed."""
    kept = not live(Choices(seed))

    monkeypatch.setattr(memory_timetable, "put", _who_leaves_was_never_paused)

    assert kept
    assert live(Choices(seed)), "this seed meets that no more: take another"
