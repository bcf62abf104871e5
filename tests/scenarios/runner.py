"""Scenarios carried out on one side or both, and the table of what came of them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.scenarios.accounts import HEADINGS, Account
from tests.scenarios.site import OURS, PEERS, Site

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.scenarios.catalogue import Scenario

NEEDED = ("redbeat", "celery_singleton")


@dataclass(frozen=True)
class Result:
    """What came of one scenario on one side."""

    scenario: Scenario
    side: str
    account: Account


def carry_out(scenario: Scenario, side: str, seed: int) -> Result:
    """Run a scenario from the start of its servers to their end."""
    with Site(side, seed, scenario.size) as site:
        scenario.act(site)
        return Result(scenario, side, site.account())


def peers_are_there() -> bool:
    """Whether the peers are installed."""
    return all(importlib.util.find_spec(name) for name in NEEDED)


def markdown(results: Iterable[Result]) -> str:
    """The table: in each cell ours, and behind the stroke the peers', where they were asked."""
    rows: dict[Scenario, dict[str, Account]] = {}
    for result in results:
        rows.setdefault(result.scenario, {})[result.side] = result.account
    lines = [f"| scenario | {' | '.join(HEADINGS)} |", f"|---|{'---:|' * len(HEADINGS)}"]
    for scenario, accounts in rows.items():
        sides = [accounts[side].cells() for side in (OURS, PEERS) if side in accounts]
        cells = [" / ".join(both) for both in zip(*sides, strict=True)]
        lines.append(f"| {scenario.name} | {' | '.join(cells)} |")
    lines += ["", *(f"- **{scenario.name}**: {scenario.about}" for scenario in rows)]
    return "\n".join(lines)
