"""Alternated rounds: the sides of a comparison take turns, so a busy minute hits all of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tests.benchmarks.bursts import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.benchmarks.servers import Servers
    from tests.benchmarks.tables import Table

Result = TypeVar("Result")


@dataclass(frozen=True)
class Bench:
    """What every benchmark is given: servers, how long it may take, a second interpreter."""

    servers: Servers
    rounds: int
    quick: bool
    older_python: str | None = None

    def scaled(self, full: int, quick: int) -> int:
        """Return `full`, or `quick` where only a rough look is wanted."""
        return quick if self.quick else full


def alternate(
    sides: Mapping[str, Callable[[], Result]],
    rounds: int,
    table: Table,
) -> dict[str, list[Result]]:
    """Run all sides `rounds` times in turn: A B A B, never A A B B.

    A side that fails is noted in `table` and left out from then on.
    """
    results: dict[str, list[Result]] = {name: [] for name in sides}
    left_out: set[str] = set()
    for number in range(1, rounds + 1):
        for name, side in sides.items():
            if name in left_out:
                continue
            print(f"  {table.title}: round {number} of {rounds}, {name}", file=sys.stderr)
            try:
                results[name].append(side())
            except NotMeasured as error:
                left_out.add(name)
                table.notes.append(f"{name} was left out: {error}")
    return results


def complete(results: Mapping[str, list[Result]], rounds: int) -> dict[str, list[Result]]:
    """Return only the sides that were measured in every round: only those can be compared."""
    return {name: values for name, values in results.items() if len(values) == rounds}
