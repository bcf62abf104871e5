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
    """The table, ours and the peers' in pairs of columns."""
    rows: dict[str, dict[str, Account]] = {}
    scenarios: dict[str, Scenario] = {}
    for result in results:
        scenarios[result.scenario.name] = result.scenario
        rows.setdefault(result.scenario.name, {})[result.side] = result.account
    headings = [f"{name}: {side}" for side in ("ours", "peers") for name in HEADINGS]
    lines = [f"| scenario | {' | '.join(headings)} |", f"|---|{'---:|' * len(headings)}"]
    for name, accounts in rows.items():
        cells = [
            cell
            for side in (OURS, PEERS)
            for cell in (accounts[side].cells() if side in accounts else ("",) * len(HEADINGS))
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", *(f"- **{name}**: {scenarios[name].about}" for name in rows)]
    return "\n".join(lines)
