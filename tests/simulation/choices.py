"""Choices: every decision of a history, drawn from a seed or repeated from a list."""

from __future__ import annotations

import random
from collections.abc import Mapping


class Choices:
    """Decides what happens next, and remembers what it decided.

    Decisions are numbered in the order in which they are asked for. 0 always means
    that all goes well, so only the others are kept: a history is known by them, and
    one with fewer of them is a simpler one.
    """

    def __init__(self, seed: int) -> None:
        self.made: dict[int, int] = {}
        self._asked = 0
        self._is_calm = False
        draw = random.Random(seed)
        self._random = draw.random
        # A history has its own taste: how often anything goes wrong, and what never does.
        self._odds = draw.choice((0.03, 0.08, 0.15, 0.25))
        self._spared = frozenset(draw.sample(range(1, 12), draw.randrange(8)))

    def setting(self, count: int) -> int:
        """Choose one of so many settings of a deployment, all equally likely."""
        self._asked += 1
        return self._note(int(self._random() * count))

    def fault(self, count: int, rarely: float = 1.0) -> int:
        """Choose 0, as a rule, or one of ``count - 1`` things that go wrong."""
        self._asked += 1
        if self._is_calm or self._random() >= self._odds * rarely:
            return 0
        chosen = int(self._random() * (count - 1)) + 1
        return 0 if chosen in self._spared and count > 2 else self._note(chosen)

    def of(self, count: int) -> int:
        """Choose how: only asked for after something went wrong."""
        self._asked += 1
        return self._note(int(self._random() * count))

    def calm_down(self) -> None:
        """Let all go well from now on."""
        self._is_calm = True

    def _note(self, chosen: int) -> int:
        if chosen:
            self.made[self._asked] = chosen
        return chosen


class Given(Choices):
    """The decisions of an earlier history, or some of them; all others are 0."""

    def __init__(self, given: Mapping[int, int]) -> None:
        super().__init__(0)
        self._given = given

    def setting(self, count: int) -> int:
        self._asked += 1
        return self._note(self._given.get(self._asked, 0) % count)

    def fault(self, count: int, rarely: float = 1.0) -> int:  # noqa: ARG002  # as for others
        return 0 if self._is_calm_now() else self.setting(count)

    def of(self, count: int) -> int:
        return self.setting(count)

    def _is_calm_now(self) -> bool:
        self._asked += self._is_calm
        return self._is_calm
