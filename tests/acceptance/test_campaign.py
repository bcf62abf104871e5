"""Runs over shared lock keys through every fault at once: counted by a resource and a witness.

The seed is printed; `SINGLETON_BEAT_SEED` sets it. `pytest -m campaign` runs the long one, and
the same on the peers, beside ours.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.campaign import Outcome, Plan, carry_out
from tests.acceptance.campaign_app import ONCE, OURS, SINGLETON

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celery_singleton_beat.demo.server import EmbeddedServer

PEERS = {SINGLETON: "celery_singleton", ONCE: "celery_once"}
MUST_BE_NONE = (
    "overlaps by the resource",
    "bodies at once, without a fault",
    "completed twice, end recorded",
    "lost",
)


def seeded(plan: Plan) -> Plan:
    """The plan with this run's seed."""
    return dataclasses.replace(
        plan, seed=int(os.environ.get("SINGLETON_BEAT_SEED") or random.randrange(10**6))
    )


@pytest.fixture
def show_lines(capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], None]:
    """A printer past pytest's capture."""

    def show_lines(lines: list[str]) -> None:
        with capsys.disabled():
            print("\n" + "\n".join(lines))  # noqa: T201  # to be seen is its purpose

    return show_lines


def table(columns: Mapping[str, Mapping[str, object]]) -> list[str]:
    """One row for each count, one column for each side."""
    counts = dict.fromkeys(row for rows in columns.values() for row in rows)
    lines = [f"{'':44}" + "".join(f"{side:>18}" for side in columns)]
    for count in counts:
        cells = "".join(f"{rows.get(count, '-')!s:>18}" for rows in columns.values())
        lines.append(f"{count:44}{cells}")
    return lines


def stories(outcome: Outcome) -> list[str]:
    """What is known about the runs that must not be."""
    lost, vanished = outcome.ledger.lost()
    twice = outcome.ledger.completed_twice()
    named = {"lost": lost, "vanished": vanished, **twice}
    return [
        line
        for what, runs in named.items()
        for run in sorted(runs)
        for line in (f"{what}: {run}", *outcome.ledger.story(run))
    ]


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(runs=500, keys=20, seconds=32, fault_every_s=2.0), id="short"),
        pytest.param(
            Plan(runs=5000, keys=50, seconds=300, fault_every_s=3.0),
            id="long",
            marks=[pytest.mark.campaign, pytest.mark.timeout(900)],
        ),
    ],
)
def test_no_two_runs_of_a_key_meet_and_none_is_lost_whatever_fails(
    make_redis: Callable[..., EmbeddedServer],
    show_lines: Callable[[list[str]], None],
    plan: Plan,
) -> None:
    """The main job of a worker: S0-01, S0-21, S0-37, S0-39, S1-13, C1, C8, F5, F6, F7, F8."""
    plan = seeded(plan)
    show_lines([f"campaign: seed {plan.seed}, {plan.runs} runs, {plan.keys} keys"])

    outcome = carry_out(plan, make_redis)
    show_lines([*outcome.faults, *table({OURS: outcome.rows()}), *stories(outcome)])

    assert {count: outcome.rows()[count] for count in MUST_BE_NONE} == dict.fromkeys(
        MUST_BE_NONE, 0
    )


@pytest.mark.campaign
@pytest.mark.timeout(1200)
def test_the_same_storm_over_the_peers(
    make_redis: Callable[..., EmbeddedServer],
    show_lines: Callable[[list[str]], None],
) -> None:
    """Beside ours, one after the other, with the same seed; of a peer nothing is demanded."""
    plan = seeded(Plan(runs=1500, keys=50, seconds=100, fault_every_s=3.0))
    columns: dict[str, dict[str, object]] = {}
    for side in (OURS, *PEERS):
        if side in PEERS and importlib.util.find_spec(PEERS[side]) is None:
            columns[side] = {"runs sent": "not installed"}
            continue
        columns[side] = carry_out(dataclasses.replace(plan, side=side), make_redis).rows()

    show_lines([f"campaign: seed {plan.seed}, {plan.runs} calls", *table(columns)])

    assert list(columns) == [OURS, *PEERS]
