"""Each scenario on ours: where the store keeps its promise, nothing twice and nothing lost.

`python -m tests.scenarios --peers` carries them out on the peers too, and writes the table.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from celery_singleton_beat.demo.server import BINARY_VARIABLE
from tests.conftest import SHOWN
from tests.rig.absent import skip_or_fail
from tests.scenarios.catalogue import SCENARIOS, Scenario
from tests.scenarios.runner import carry_out, markdown
from tests.scenarios.site import OURS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IN_CI = ("kills", "network cut")
CHOSEN = [
    pytest.param(one, id=one.name, marks=[] if one.name in IN_CI else [pytest.mark.campaign])
    for one in SCENARIOS
]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scenario", CHOSEN)
def test_a_scenario_leaves_nothing_twice_and_nothing_lost(
    scenario: Scenario, redis_binary: str, record_property: Callable[[str, object], None]
) -> None:
    """Where the store forgets, only what it counts is shown."""
    assert redis_binary
    seed = int(os.environ.get("SINGLETON_BEAT_SEED") or random.randrange(10**6))

    result = carry_out(scenario, OURS, seed)
    if result.account is None:
        skip_or_fail(result.missing)
    account = result.account

    record_property(SHOWN, f"{scenario.name}, seed {seed}: {account}")
    assert account.due > 0
    if scenario.is_kept:
        assert (account.executed_twice, account.lost) == (0, 0)


def test_a_scenario_whose_server_is_not_here_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_binary: str
) -> None:
    """It has a row, without figures."""
    monkeypatch.setenv(BINARY_VARIABLE, redis_binary)
    monkeypatch.setenv("PATH", str(tmp_path))
    scenario = next(one for one in SCENARIOS if one.name == "RabbitMQ")

    result = carry_out(scenario, OURS, seed=1)

    assert "not carried out: rabbitmq-server is not installed" in str(result)
    assert "| RabbitMQ | - | - | - | - | - |" in markdown([result])
    assert "Not carried out: rabbitmq-server is not installed." in markdown([result])
