"""Scenarios carried out on one side or both, and the table of what came of them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.rig.absent import NotInstalled
from tests.scenarios.accounts import HEADINGS, Account
from tests.scenarios.site import OURS, PEERS, Site

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.scenarios.catalogue import Scenario

NEEDED = ("redbeat", "celery_singleton")


@dataclass(frozen=True)
class Result:
    """What came of one scenario on one side; without an account: what is not here for it."""

    scenario: Scenario
    side: str
    account: Account | None
    missing: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        return self.account.cells() if self.account else ("-",) * len(HEADINGS)

    def __str__(self) -> str:
        told = self.account or f"not carried out: {self.missing} is not installed."
        return f"{self.scenario.name:26} {self.side:26} {told}"


def carry_out(scenario: Scenario, side: str, seed: int) -> Result:
    """Run a scenario from the start of its servers to their end."""
    try:
        with Site(side, seed, size=scenario.size, servers=scenario.servers) as site:
            scenario.act(site)
            return Result(scenario, side, site.account())
    except NotInstalled as error:
        return Result(scenario, side, None, str(error))


def peers_are_there() -> bool:
    """Whether the peers are installed."""
    return all(importlib.util.find_spec(name) for name in NEEDED)


def markdown(results: Iterable[Result]) -> str:
    """The table: in each cell ours, and behind the stroke the peers', where they were asked."""
    rows: dict[Scenario, dict[str, Result]] = {}
    for result in results:
        rows.setdefault(result.scenario, {})[result.side] = result
    lines = [f"| scenario | {' | '.join(HEADINGS)} |", f"|---|{'---:|' * len(HEADINGS)}"]
    for scenario, both_sides in rows.items():
        sides = [both_sides[side].cells for side in (OURS, PEERS) if side in both_sides]
        cells = [" / ".join(both) for both in zip(*sides, strict=True)]
        lines.append(f"| {scenario.name} | {' | '.join(cells)} |")
    lines.append("")
    for scenario, both_sides in rows.items():
        lines.append(f"- **{scenario.name}**: {scenario.about}")
        missing = {one.missing for one in both_sides.values() if one.missing}
        lines += [f"  Not carried out: {one} is not installed." for one in missing]
    return "\n".join(lines)
