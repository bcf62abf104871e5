"""Occurrences: one identity on every replica, and headers that may hold anything."""

from __future__ import annotations

from uuid import uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_singleton_beat.protocol.occurrence import NAMESPACE, Occurrence

texts = st.text(st.characters(exclude_categories=["Cs"]))
times = st.integers(0, 253_402_300_799_999)  # the last of the year 9999


@given(prefix=texts, entry=texts, scheduled_ms=times, cause=texts)
def test_its_task_id_is_the_uuid5_of_what_identifies_it(
    prefix: str, entry: str, scheduled_ms: int, cause: str
) -> None:
    occurrence = Occurrence(entry, scheduled_ms, cause, previous_ms=1, not_after_ms=2)

    task_id = occurrence.task_id(prefix)

    assert task_id == str(uuid5(NAMESPACE, f"{prefix}\0{entry}\0{scheduled_ms}\0{cause}"))


@given(
    entry=texts, scheduled_ms=times, previous_ms=st.none() | times, window_ms=times, revision=times
)
def test_a_header_brings_back_what_was_written(
    entry: str, scheduled_ms: int, previous_ms: int | None, window_ms: int, revision: int
) -> None:
    occurrence = Occurrence(
        entry, scheduled_ms, "", previous_ms, scheduled_ms, window_ms, revision=revision
    )

    assert Occurrence.from_header(occurrence.to_header()) == occurrence


@pytest.mark.parametrize(
    "broken",
    [
        {"entry": 5},
        {"scheduled_ms": "now"},
        {"scheduled_ms": True},
        {"scheduled_ms": 1 << 60},
        {"cause": None},
        {"previous_ms": 1.5},
        {"not_after_ms": None},
        {"window_ms": []},
        {"revision": "1"},
    ],
)
def test_a_header_with_something_else_in_it_is_no_occurrence(broken: dict[str, object]) -> None:
    header = {**Occurrence("x", 1).to_header(), **broken}

    assert Occurrence.from_header(header) is None


@given(st.recursive(st.none() | st.integers() | texts, st.lists, max_leaves=3))
def test_whatever_stands_in_a_header_nothing_raises(value: object) -> None:
    assert Occurrence.from_header(value) is None
