"""What the ledger of changed entries takes for a reason, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from celery_singleton_beat.protocol.history import Fact, LeftOut
from tests.acceptance.changing import LOST, NOT_YET, Known, Ledger, State

FIRST = State(1000, 1001, version=1, period_ms=1000)
# Its rule is changed at 3,100 ms: the next occurrences are at 4,000 and 6,000.
RETIMED = replace(FIRST, before_ms=3100, after_ms=3101, version=2, period_ms=2000)
RAN = {"entry@2000", "entry@3000", "entry@8000"}


def taken_on(at_ms: int, entry: str = "entry", by: str = "changed") -> Fact:
    note = LeftOut(3000, by, 1).to_note()
    return Fact(at_ms, "superseded", entry, scheduled_ms=3000, note=note)


@pytest.mark.parametrize(
    ("history", "fates"),
    [
        ([], [LOST, LOST]),
        ([taken_on(5100)], [NOT_YET, LOST]),
        ([taken_on(6000)], [NOT_YET, NOT_YET]),
        ([taken_on(3999)], [LOST, LOST]),
        ([taken_on(6000, entry="another")], [LOST, LOST]),
        ([taken_on(6000, by="paused")], [LOST, LOST]),
    ],
)
def test_what_came_before_a_new_rule_was_taken_on_needs_a_note(
    history: list[Fact], fates: list[str]
) -> None:
    known = Known("entry", "", 0.0, FIRST)
    known.states.append(RETIMED)

    found = Ledger([known], until_ms=8500).fates(RAN, set(), lambda: history)

    assert found == dict(zip(["entry@4000", "entry@6000"], fates, strict=True))
