"""What the simulation finds out about dispatch, if it sends too little or too much."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from celery_singleton_beat.engine import outbound, work
from celery_singleton_beat.engine.outbound import Outbound
from celery_singleton_beat.engine.publisher import Delivery, Sent
from celery_singleton_beat.engine.republishing import Republishing
from celery_singleton_beat.engine.work import Work
from celery_singleton_beat.protocol import overlap, plan
from celery_singleton_beat.protocol.entry import CatchUp, Overlap
from celery_singleton_beat.protocol.plan import Missed
from tests.simulation.finding import find_out, name_of

_FOUND_WITHIN = 6_000

Count = Callable[[str, object], None]


def _all_is_superseded(timing: Any, slot: Any, **when: Any) -> Any:
    planned = plan.plan(timing, slot, **when)
    if not planned.publish:
        return planned
    first, last = planned.publish[0], planned.publish[-1]
    left = Missed(first.scheduled_ms, last.scheduled_ms, len(planned.publish), None)
    return planned._replace(publish=(), missed=(*planned.missed, left))


def _all_is_caught_up(timing: Any, slot: Any, **when: Any) -> Any:
    if timing.catch_up is CatchUp.LATEST:
        timing = replace(timing, catch_up=CatchUp.ALL)
    return plan.plan(timing, slot, **when)


def _nothing_stands_for_what_is_left_out(timing: Any, slot: Any, **when: Any) -> Any:
    planned = plan.plan(timing, slot, **when)
    return planned._replace(missed=tuple(replace(one, by_ms=None) for one in planned.missed))


def _what_is_late_is_caught_up(timing: Any, slot: Any, **when: Any) -> Any:
    if timing.catch_up is CatchUp.NONE:
        timing = replace(timing, catch_up=CatchUp.LATEST)
    return plan.plan(timing, slot, **when)


def _at_most_once_is_never(
    self: Any, claimed: Work, now_ms: int, _asked_ms: int, settling: Any
) -> Any:
    sent = [Delivery(Sent.SENT)] * len(claimed.plan.publish)
    settlement, _ = claimed.settlement(sent, now_ms, self._replica, is_in_time=True)
    settling.settle_once(settlement)
    return [settlement]


def _whoever_has_settled_is_late(self: Any, claimed: Work, now_ms: int, _: int, to: Any) -> Any:
    return _publish_once(self, claimed, now_ms, -100_000, to)


_publish_once = Outbound._publish_once  # noqa: SLF001  # as it is without what is wrong


def _what_may_overlap_is_left_out(
    timing: Any, slot: Any, planned: Any, *, is_busy: bool, now_ms: int
) -> Any:
    is_busy = is_busy or timing.overlap is Overlap.SKIP
    return overlap.give_way(timing, slot, planned, is_busy=is_busy, now_ms=now_ms)


def _what_is_overdue_is_given_up(self: Any, _now_ms: int, _asked_ms: int) -> None:
    overdue = self._store.recall(limit=self._pace.batch, hold_ms=self._pace.hold_ms)
    self._store.dismiss([one.run for one in overdue])


def _what_crashed_is_given_up(self: Any, _asked_ms: int) -> None:
    limits = {"limit": self._pace.batch, "hold_ms": self._pace.hold_ms}
    self._store.give_up(self._store.reclaim(**limits))


def _what_crashed_is_put_off(self: Any, _asked_ms: int) -> None:
    limits = {"limit": self._pace.batch, "hold_ms": self._pace.hold_ms}
    self._store.rerun(self._store.reclaim(**limits))


def _what_crashed_is_left(*_: Any) -> None:
    pass


def _nothing_is_awaited(*_: Any) -> tuple[()]:
    return ()


def _a_hold_is_never_over(*_: Any) -> bool:
    return False


_overlap_does_not_matter = property(lambda _: False)


@pytest.mark.parametrize(
    ("at", "wrong", "told"),
    [
        ((work, "plan"), _all_is_superseded, "which catch-up selects"),
        ((work, "plan"), _all_is_caught_up, "catch-up leaves out|was over"),
        ((work, "plan"), _what_is_late_is_caught_up, "catch-up leaves out|does not"),
        ((work, "plan"), _nothing_stands_for_what_is_left_out, "no later one is told"),
        ((work, "GIVE_UP_AFTER"), 1, "given up too soon"),
        ((Work, "keeps_apart"), _overlap_does_not_matter, "publishes .*, and .* is "),
        ((outbound, "give_way"), _what_may_overlap_is_left_out, "the one before it was over"),
        ((Work, "_awaited"), _nothing_is_awaited, "not at rest"),
        ((Outbound, "_publish_once"), _at_most_once_is_never, "never sent it"),
        ((Outbound, "_publish_once"), _whoever_has_settled_is_late, "is not late"),
        ((Outbound, "is_over"), _a_hold_is_never_over, "does not hold it"),
        ((Republishing, "recall"), _what_is_overdue_is_given_up, "which nobody has begun"),
        ((Republishing, "rerun"), _what_crashed_is_given_up, "up, whose worker died"),
        ((Republishing, "rerun"), _what_crashed_is_put_off, "off, whose worker died"),
        ((Republishing, "rerun"), _what_crashed_is_left, "not at rest"),
    ],
    # Names alone: a place's own text is not the same in every process.
    ids=lambda value: value[1] if isinstance(value, tuple) else getattr(value, "__name__", "?"),
)
def test_who_dispatches_otherwise_than_is_promised_is_found_out_and_the_story_is_short(
    at: tuple[Any, str],
    wrong: Any,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Count,
) -> None:
    monkeypatch.setattr(*at, wrong)

    name = name_of(wrong) or at[1]
    what = find_out(name, record_property, within=_FOUND_WITHIN, lines=100)

    assert re.search(told, what)
