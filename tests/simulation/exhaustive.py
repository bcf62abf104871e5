"""Exhaustive exploration: every state that a small deployment can come into, each once."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    and everything that was published has run.

    Raises:
        AssertionError: there are more states than ``most``.
    """
    first = replace(rig.first(), budget=budget)
    root = hash(shape(first))
    came: dict[int, tuple[int, str]] = {root: (0, "")}
    todo, found = [(root, first)], Found()
    while todo:
        at, node = todo.pop()
        found.states += 1
        assert found.states <= most, f"more than {most} states"
        is_end = True
        try:
            for text, after in moves(rig, node):
                is_end = False
                found.moves += 1
                _one_yes(rig, after)
                key = hash(shape(after))
                if key not in came:
                    came[key] = (at, text)
                    todo.append((key, after))
            if is_end:
                found.ends += 1
                _all_is_well(rig, node)
        except Broken as broken:
            found.broken = "\n".join([*_way(came, at), f"BROKEN: {broken}"])
            return found
    return found


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
    if node.accepted - node.done:
        rig.promises.broke("nobody can do anything, and what was published has not run")


def _way(came: dict[int, tuple[int, str]], at: int) -> list[str]:
    way: list[str] = []
    while came[at][1]:
        before, text = came[at]
        way.append(text)
        at = before
    return way[::-1]
