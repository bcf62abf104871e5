"""Every state that two replicas, two workers and two occurrences can come into."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from celery_singleton_beat.protocol import claim
from celery_singleton_beat.store import memory_slots
from tests.conftest import SHOWN
from tests.simulation.exhaustive import explore
from tests.simulation.nodes import Budget
from tests.simulation.rig import Rig

Count = Callable[[str, object], None]


def _explore(rig: Rig, budget: Budget, record_property: Count, most: int = 1_000_000) -> None:
    found = explore(rig, budget, most)

    assert not found.broken, found.broken
    record_property(
        SHOWN,
        f"exhaustive, {len(rig.timings)} entries, {'one key' if rig.one_key else 'a key each'},"
        f" {budget}: {found.states} states, {found.moves} moves, {found.ends} ends",
    )


@pytest.mark.timeout(900)
def test_no_state_of_a_small_deployment_breaks_a_promise(record_property: Count) -> None:
    _explore(Rig(entries=1, one_key=True), Budget(crashes=1, freezes=1, answers=2), record_property)


@pytest.mark.parametrize("budget", [Budget(1, 1, 0), Budget(0, 1, 1)], ids=str)
def test_two_entries_that_are_due_at_once_come_into_no_state_that_breaks_one(
    budget: Budget, record_property: Count
) -> None:
    _explore(Rig(entries=2, one_key=True), budget, record_property)


@pytest.mark.campaign
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("one_key", [True, False])
@pytest.mark.parametrize("entries", [1, 2])
@pytest.mark.parametrize("budget", [Budget(1, 1, 2), Budget(1, 1, 1, 1)], ids=str)
def test_no_state_with_more_keys_entries_or_lost_questions_breaks_a_promise(
    budget: Budget, entries: int, one_key: bool, record_property: Count
) -> None:
    _explore(Rig(entries=entries, one_key=one_key), budget, record_property, 50_000_000)


def test_an_exploration_tells_the_way_to_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle(slot, settlement, **options):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN003, ANN202
        return claim.settle(slot, settlement._replace(fence=slot.fence), **options)

    monkeypatch.setattr(memory_slots, "settle", settle)

    found = explore(Rig(entries=1, one_key=True), Budget(0, 1, 1))

    assert "BROKEN" in found.broken
    assert "stands still" in found.broken
