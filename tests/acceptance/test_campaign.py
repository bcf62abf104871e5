"""Runs over shared lock keys through every fault at once: counted by a resource and a witness.

The seed is printed; `SINGLETON_BEAT_SEED` sets it. `pytest -m campaign` runs the long one, and
the same on the peers, beside ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.campaign import DistantBroker, Outcome, Plan, carry_out
from tests.acceptance.campaign_app import ONCE, OURS, SINGLETON
from tests.conftest import SHOWN

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
VANISHED = "vanished in the broker"
LONG = (pytest.mark.campaign, pytest.mark.timeout(900))


def seeded(plan: Plan) -> Plan:
    """The plan with this run's seed."""
    return dataclasses.replace(
        plan, seed=int(os.environ.get("SINGLETON_BEAT_SEED") or random.randrange(10**6))
    )


@pytest.fixture
def show_lines(record_property: Callable[[str, object], None]) -> Callable[[list[str]], None]:
    """A teller of lines that stand at the end of every run's output."""

    def show_lines(lines: list[str]) -> None:
        record_property(SHOWN, "\n".join(lines))

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
    met = [pair for pair, is_known in outcome.ledger.at_once().items() if not is_known]
    met_runs = {body.partition(" ")[0] for pair in met for body in pair}
    named = {"lost": lost, "vanished": vanished, **twice, f"met {met}": met_runs}
    return [
        line
        for what, runs in named.items()
        for run in sorted(runs)
        for line in (f"{what}: {run}", *outcome.ledger.story(run))
    ]


@pytest.mark.parametrize(
    ("broker", "plan"),
    [
        pytest.param("redis", Plan(500, 20, seconds=30, fault_every_s=1.8), id="short"),
        pytest.param(
            "redis", Plan(5000, 50, seconds=280, fault_every_s=3.0), id="long", marks=LONG
        ),
        pytest.param(
            "rabbitmq", Plan(2000, 50, seconds=110, fault_every_s=3.0), id="rabbitmq", marks=LONG
        ),
    ],
)
def test_no_two_runs_of_a_key_meet_and_none_is_lost_whatever_fails(
    request: pytest.FixtureRequest,
    make_redis: Callable[..., EmbeddedServer],
    show_lines: Callable[[list[str]], None],
    broker: str,
    plan: Plan,
) -> None:
    """The worker's main job: S0-01, S0-21, S0-37, S0-39, S1-13, C1, C8, F5, F6, F7, F8.

    What a Redis broker lost by its own log is counted apart; RabbitMQ loses nothing.
    """
    plan = seeded(plan)
    show_lines([f"campaign on {broker}: seed {plan.seed}, {plan.runs} runs, {plan.keys} keys"])
    must_be_none = MUST_BE_NONE if broker == "redis" else (*MUST_BE_NONE, VANISHED)

    with contextlib.ExitStack() as stack:
        place: EmbeddedServer | DistantBroker
        if broker == "rabbitmq":
            place = DistantBroker(request.getfixturevalue("rabbitmq"))
            stack.callback(place.close)
        else:
            place = make_redis(appendonly=True)
        outcome = carry_out(plan, place, make_redis(appendonly=True))
    rows = outcome.rows()
    show_lines([*outcome.faults, *table({OURS: rows}), *stories(outcome)])

    assert {count: rows[count] for count in must_be_none} == dict.fromkeys(must_be_none, 0)


@pytest.mark.campaign
@pytest.mark.timeout(1200)
def test_the_same_storm_over_the_peers(
    make_redis: Callable[..., EmbeddedServer],
    show_lines: Callable[[list[str]], None],
) -> None:
    """Beside ours, one after the other, with the same seed; of a peer nothing is demanded."""
    plan = seeded(Plan(1500, 50, seconds=100, fault_every_s=3.0))
    columns: dict[str, dict[str, object]] = {}
    for side in (OURS, *PEERS):
        if side in PEERS and importlib.util.find_spec(PEERS[side]) is None:
            columns[side] = {"runs sent": "not installed"}
            continue
        servers = (make_redis(appendonly=True), make_redis(appendonly=True))
        columns[side] = carry_out(dataclasses.replace(plan, side=side), *servers).rows()

    show_lines([f"campaign: seed {plan.seed}, {plan.runs} calls", *table(columns)])

    assert list(columns) == [OURS, *PEERS]
