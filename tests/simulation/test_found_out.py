"""What the simulation finds out about deploys, stored entries and requests, if it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from celery_singleton_beat.engine import adoption, lock, work
from celery_singleton_beat.protocol import asked, claim, fleet, plan, stored
from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.store import memory_asked, memory_slots, memory_timetable
from celery_singleton_beat.store.memory_runs import MemoryRuns
from tests.simulation.choices import Choices
from tests.simulation.finding import find_out, name_of
from tests.simulation.shrink import live

_FOUND_WITHIN = 20_000

Count = Callable[[str, object], None]


def _everybody_governs(members: fleet.Fleet, *, timeout_ms: int) -> str | None:
    del timeout_ms
    return max(members.members.values(), key=lambda member: member.last_ms).digest


def _the_newest_governs_unsettled(members: fleet.Fleet, *, timeout_ms: int) -> str | None:
    del timeout_ms
    return max((members.numbers[one.digest], one.digest) for one in members.members.values())[1]


def _the_oldest_governs(members: fleet.Fleet, *, timeout_ms: int) -> str | None:
    del timeout_ms
    return min((members.numbers[one.digest], one.digest) for one in members.members.values())[1]


def _what_is_the_same_is_planned_anew(timing: Any, slot: Any, *, now_ms: int) -> Any:
    return plan.first_plan(timing, slot and replace(slot, rule="another"), now_ms=now_ms)


def _what_was_missed_is_fired(timing: Any, slot: Any, *, now_ms: int) -> Any:
    return plan.first_plan(timing, slot, now_ms=now_ms - 5000)


def _what_is_overdue_is_passed_over(timing: Any, slot: Any, *, now_ms: int) -> Any:
    if slot is not None and slot.rule != timing.rule:
        slot = replace(slot, slot_ms=ABSENT)
    return plan.first_plan(timing, slot, now_ms=now_ms)


def _a_change_is_not_minded(card: Any, slot: Any, settlement: Any, *, now_ms: int) -> Any:
    if card is not None:
        settlement = settlement._replace(revision=card.revision)
    return stored.settle_stored(card, slot, settlement, now_ms=now_ms)


def _what_is_stopped_is_looked_at(card: Any, slot: Any) -> Any:
    return stored.look_ms(replace(card, is_enabled=True, is_paused=False), slot)


def _a_change_has_no_revision(entry: Any, card: Any, slot: Any, **when: Any) -> Any:
    after, slot = stored.put(entry, card, slot, **when)
    return (replace(after, revision=card.revision) if card else after), slot


def _what_is_put_is_fired(entry: Any, card: Any, slot: Any, **when: Any) -> Any:
    after, moved = stored.put(entry, card, slot, **when)
    if slot is None and moved.slot_ms != ABSENT:
        moved = replace(moved, slot_ms=moved.slot_ms - 4000, due_ms=moved.due_ms - 4000)
    return after, moved


def _a_pause_is_caught_up(timing: Any, slot: Any, **when: Any) -> Any:
    return plan.plan(timing, slot, **{**when, "resumed_ms": 0})


def _a_new_rule_is_caught_up(timing: Any, slot: Any, **when: Any) -> Any:
    if when.get("changed_ms") is not None:
        when["changed_ms"] -= 5000
    return plan.plan(timing, slot, **when)


def _what_is_asked_for_of_a_stopped_entry_is_opened(*_: Any, **__: Any) -> str:
    return ""


def _a_request_is_over_after_its_first(slot: Any, settlement: Any, *, now_ms: int) -> Any:
    cut = settlement._replace(slot=replace(settlement.slot, slot_ms=ABSENT, due_ms=ABSENT))
    return asked.settle_asked(slot, cut, now_ms=now_ms)


def _a_request_that_lost_is_settled(slot: Any, settlement: Any, *, now_ms: int) -> Any:
    if slot is not None:
        settlement = settlement._replace(fence=slot.fence)
    return asked.settle_asked(slot, settlement, now_ms=now_ms)


def _none_of_a_backfill_but_the_first(*given: Any, **how: Any) -> Any:
    planned = asked.plan_asked(*given, **how)
    return planned._replace(publish=planned.publish[:1])


_a_lock_by_hand_is_never_lost = property(lambda _: False)


def _nothing_is_published_again(_store: Any, **_limits: Any) -> list[Any]:
    return []


@pytest.mark.parametrize(
    ("part", "at", "wrong"),
    [
        ("deploys", (memory_slots, "governor"), _everybody_governs),
        ("deploys", (memory_slots, "governor"), _the_newest_governs_unsettled),
        ("deploys", (memory_slots, "governor"), _the_oldest_governs),
        ("deploys", (adoption, "first_plan"), _what_is_the_same_is_planned_anew),
        ("deploys", (adoption, "first_plan"), _what_was_missed_is_fired),
        ("deploys", (adoption, "first_plan"), _what_is_overdue_is_passed_over),
        ("has_client", (memory_timetable, "settle_stored"), _a_change_is_not_minded),
        ("has_client", (memory_timetable, "look_ms"), _what_is_stopped_is_looked_at),
        ("has_client", (memory_timetable, "put"), _a_change_has_no_revision),
        ("has_client", (memory_timetable, "put"), _what_is_put_is_fired),
        ("has_client", (work, "plan"), _a_pause_is_caught_up),
        ("has_client", (work, "plan"), _a_new_rule_is_caught_up),
        (
            "has_asker",
            (memory_asked, "stopped_by"),
            _what_is_asked_for_of_a_stopped_entry_is_opened,
        ),
        ("has_asker", (memory_asked, "settle_asked"), _a_request_is_over_after_its_first),
        ("has_asker", (memory_asked, "settle_asked"), _a_request_that_lost_is_settled),
        ("has_asker", (work, "plan_asked"), _none_of_a_backfill_but_the_first),
        ("has_deadline", (memory_slots.MemorySlots, "recall"), _nothing_is_published_again),
        ("has_hand", (lock.HandLease, "lost"), _a_lock_by_hand_is_never_lost),
    ],
    ids=name_of,
)
def test_what_is_wrong_with_a_change_is_found_out_and_the_story_is_short(
    part: str,
    at: tuple[Any, str],
    wrong: Any,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Count,
) -> None:
    monkeypatch.setattr(*at, wrong)

    name = f"{part}, {name_of(wrong) or at[1]}"
    find_out(name, record_property, within=_FOUND_WITHIN, part=part)


def _given_up_for_good(slot: Any, settlement: Any, *, now_ms: int, governs: bool) -> Any:
    after, verdict = claim.settle(slot, settlement, now_ms=now_ms, governs=governs)
    is_given_up = settlement.slot.due_ms == ABSENT and not governs
    if after is not None and after is not slot and is_given_up:
        after = replace(after, due_ms=ABSENT)
    return after, verdict


@pytest.mark.parametrize("seed", [96429])
def test_what_a_former_governor_gives_up_is_not_lost(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did not know the entry, or its rule had ended: nobody looked at it any more."""
    kept = not live(Choices(seed))

    monkeypatch.setattr(memory_slots, "settle", _given_up_for_good)

    assert kept
    assert "not at rest" in live(Choices(seed)), "this seed meets that no more: take another"


@pytest.mark.parametrize("seed", [2063, 14595, 27348])
def test_what_was_read_long_ago_puts_nothing_in_place(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others had governed since, or gave up a claim: what was to be planned stayed unplanned."""
    kept = not live(Choices(seed))

    monkeypatch.setattr(
        memory_slots, "is_in_place", lambda slot, _rule, *, now_ms: slot is not None and now_ms
    )

    assert kept
    broken = live(Choices(seed))
    assert "before it was taken on" in broken, "this seed meets that no more: take another"


@pytest.mark.parametrize(
    ("seed", "at", "wrong"),
    [
        (14093, (Awaited, "again"), lambda _: None),
        (1758, (MemoryRuns, "_comes_again"), lambda it, attempt, _: it._arrived(attempt)),  # noqa: SLF001
    ],
    ids=["published again", "put off"],
)
def test_what_is_lost_on_its_second_way_is_published_again(
    seed: int, at: tuple[Any, str], wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker may lose any message, that of what it has lost before as well."""
    kept = not live(Choices(seed))

    monkeypatch.setattr(*at, wrong)

    assert kept
    assert "lost " in live(Choices(seed)), "this seed meets that no more: take another"
