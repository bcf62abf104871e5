"""Exhaustive exploration: every state that a small deployment can come into, each once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from celery_singleton_beat.protocol.run import Outcome
from tests.simulation.moves import moves
from tests.simulation.nodes import Budget, Node, shape
from tests.simulation.promises import Broken
from tests.simulation.rig import Rig


@dataclass
class Found:
    """How much there was; the way to the first broken promise, if there was one."""

    states: int = 0
    moves: int = 0
    ends: int = 0
    broken: str = ""


def explore(rig: Rig, budget: Budget, most: int = 10_000_000) -> Found:
    """Go every way from the first state; stop at the first broken promise.

    Where nothing can happen any more, all must be well: every slot has moved on,
    and everything that was published has run. Where less has gone wrong is gone
    first: a state that comes again after more has gone wrong can go no new way.

    Raises:
        AssertionError: there are more states than ``most``.
    """
    first = rig.first()._replace(budget=budget)
    seen, found = _Seen(), Found()
    todo: dict[int, list[tuple[int, Node]]] = defaultdict(list)
    todo[0].append((seen.add(first, 0, "") or 0, first))
    for spent in range(budget.left + 1):
        while todo[spent]:
            at, node = todo[spent].pop()
            found.states += 1
            assert found.states <= most, f"more than {most} states"
            is_end = True
            try:
                for text, after in moves(rig, node):
                    is_end = False
                    found.moves += 1
                    _one_yes(rig, after)
                    new = seen.add(after, at, text)
                    if new is not None:
                        todo[budget.left - after.budget.left].append((new, after))
                if is_end:
                    found.ends += 1
                    _all_is_well(rig, node)
            except Broken as broken:
                found.broken = "\n".join([*seen.way(at), f"BROKEN: {broken}"])
                return found
    return found


class _Seen:
    """The states that were come to: by which way, and with how much that could still go wrong.

    Of a shape its hash of 64 bits is kept: among 300,000 states two have one by chance about
    once in 400 million explorations.
    """

    def __init__(self) -> None:
        self._budgets: dict[int, list[Budget]] = defaultdict(list)
        self._came: list[tuple[int, str]] = []

    def add(self, node: Node, came_from: int, by: str) -> int | None:
        """Note a state; None if it was there, and no less could go wrong then."""
        budgets = self._budgets[hash(shape(node))]
        if any(before.covers(node.budget) for before in budgets):
            return None
        budgets.append(node.budget)
        self._came.append((came_from, by))
        return len(self._came) - 1

    def way(self, at: int) -> list[str]:
        """Tell how a state was first come to."""
        told: list[str] = []
        while at:
            at, text = self._came[at]
            told.append(text)
        return told[::-1]


def _one_yes(rig: Rig, node: Node) -> None:
    told = [
        worker.attempt.key
        for worker in node.workers
        if worker.attempt and worker.runs and node.now_ms < worker.trusted_ms
    ]
    if len(told) > len(set(told)):
        rig.promises.broke("two are told that they have the key")


def _all_is_well(rig: Rig, node: Node) -> None:
    if node.memory.ended != set(rig.timings):
        rig.promises.broke("nobody can do anything, and a slot has not moved on")
    runs = node.store.runs
    if any(
        run not in runs or runs[run].outcome != Outcome.SUCCEEDED.value for run in node.accepted
    ):
        rig.promises.broke("nobody can do anything, and what was published has not run")
