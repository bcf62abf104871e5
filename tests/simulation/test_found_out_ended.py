"""What the simulation finds out about what somebody ends: queued messages, and locks of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from celery_singleton_beat.engine.lease import Lease
from celery_singleton_beat.protocol import lease
from celery_singleton_beat.protocol.run import Lock, Run
from celery_singleton_beat.store import memory_runs
from celery_singleton_beat.store.memory_runs import MemoryRuns
from celery_singleton_beat.store.memory_timetable import MemoryTimetable
from tests.simulation.choices import Choices
from tests.simulation.finding import find_out, name_of
from tests.simulation.shrink import live

_FOUND_WITHIN = 30_000

Count = Callable[[str, object], None]


def _nothing_is_called_back(_store: Any, _entry: str, _revision: int, _keep_ms: int) -> None:
    pass


def _what_is_called_back_is_dated_anew(
    store: Any, entry: str, revision: int, _keep_ms: int
) -> None:
    state = store._state  # noqa: SLF001
    state.cancelled[entry] = revision
    for run, one in state.published.items():
        if one.entry == entry:
            state.published[run] = one._replace(revision=revision)


def _a_change_is_called_back_itself(store: Any, entry: str, revision: int, _keep_ms: int) -> None:
    store._state.cancelled[entry] = revision + 1  # noqa: SLF001


def _nothing_is_freed(store: Any, name: str, _by: str) -> bool:
    return name in store._state.locks  # noqa: SLF001


def _nobody_is_told_to_have_had_it(store: Any, name: str, _by: str) -> bool:
    store._state.locks.pop(name, None)  # noqa: SLF001
    return False


def _what_was_freed_is_taken_back(held: lease.Held, attempt: Any, **options: Any) -> Any:
    run = held.run
    if run is not None and held.lock is None and run.holder == attempt.holder:
        lock = Lock(run.holder, run.token, run.deadline_ms, run.deadline_ms, attempt.owner)
        held = replace(held, lock=lock)
    return lease.renew(held, attempt, **options)


_is_never_lost = property(lambda _: False)


@pytest.mark.parametrize(
    ("part", "at", "wrong"),
    [
        ("lag_ms", (MemoryTimetable, "cancel_queued"), _nothing_is_called_back),
        ("lag_ms", (MemoryTimetable, "cancel_queued"), _a_change_is_called_back_itself),
        (
            "lag_ms",
            (MemoryTimetable, "cancel_queued"),
            _what_is_called_back_is_dated_anew,
        ),
        ("has_operator", (MemoryRuns, "unlock"), _nothing_is_freed),
        ("has_operator", (MemoryRuns, "unlock"), _nobody_is_told_to_have_had_it),
        ("has_operator", (memory_runs, "renew"), _what_was_freed_is_taken_back),
        ("has_operator", (Lease, "lost"), _is_never_lost),
    ],
    ids=name_of,
)
def test_what_is_wrong_with_an_end_is_found_out_and_the_story_is_short(
    part: str,
    at: tuple[Any, str],
    wrong: Any,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Count,
) -> None:
    monkeypatch.setattr(*at, wrong)

    name = f"{part}, {name_of(wrong) or at[1]}"
    find_out(name, record_property, within=_FOUND_WITHIN, part=part)


@pytest.mark.parametrize("seed", [63731, 179875])
def test_what_is_claimed_after_a_change_begins_although_an_older_message_comes_first(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody had settled what was published before: the older message closed the run for both."""
    kept = not live(Choices(seed))

    monkeypatch.setattr(Run, "is_called_back", property(lambda _: False))

    assert kept
    broken = live(Choices(seed))
    assert "published before it" in broken, "this seed meets that no more: take another"
