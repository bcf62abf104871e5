"""Facts as Celery events: each has its type and its row in the documentation."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from celery_singleton_beat import events as happened
from celery_singleton_beat.observe.celery_events import BY_REQUEST, TYPES, fields_of, type_of

if TYPE_CHECKING:
    from celery_singleton_beat.events import Event

PAGE = Path(__file__).parents[2] / "docs" / "celery-channels.md"
CELERYS = {"type", "hostname", "pid", "clock", "timestamp", "utcoffset", "local_received"}
KINDS = sorted(TYPES, key=lambda kind: kind.__name__)


def sample(kind: type[Event]) -> Event:
    return kind(*range(len(fields(kind))))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_type_stands_in_the_documentation_with_its_fields(kind: type[Event]) -> None:
    (row,) = [line for line in PAGE.read_text("utf-8").splitlines() if f"`{TYPES[kind]}`" in line]

    missing = {name for name in fields_of(sample(kind)) if f"`{name}`" not in row}

    assert missing == set()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_sent_leaves_celerys_own_fields_alone(kind: type[Event]) -> None:
    sent = fields_of(sample(kind))

    assert sent.keys() & CELERYS == set()
    assert len(sent) == len(fields(kind))
    assert json.loads(json.dumps(sent)) == sent


def test_types_are_told_apart_and_are_a_group_of_their_own() -> None:
    assert len(set(TYPES.values())) == len(TYPES)
    assert all(name.startswith("singleton-") for name in TYPES.values())
    assert set(TYPES) > BY_REQUEST


def test_a_fact_that_only_its_process_cares_for_is_not_sent() -> None:
    assert type_of(happened.ClaimLost) is None
