"""Shrinking: the fewest decisions that still break a promise."""

from __future__ import annotations

from itertools import islice

from tests.simulation.choices import Choices, Given
from tests.simulation.deployment import Deployment, MakeBackend
from tests.simulation.promises import Broken
from tests.simulation.settings import Setting
from tests.simulation.stores import PureBackend


def live(choices: Choices, make: MakeBackend = PureBackend, story: list[str] | None = None) -> str:
    """Live through one history; tell which promise was broken, or nothing."""
    try:
        Deployment(choices, make, story).run()
    except Broken as broken:
        return str(broken)
    return ""


def shrink(made: dict[int, int], make: MakeBackend = PureBackend) -> dict[int, int]:
    """Leave out decisions, in ever smaller parts, while any promise is still broken.

    Then those that are left are made smaller. The result breaks a promise, and
    leaving out any one decision of it keeps them all.
    """
    size = len(made)
    while size:
        for at in reversed(range(0, len(made), size)):
            numbers = sorted(made)
            less = {n: made[n] for n in numbers[:at] + numbers[at + size :]}
            if len(less) < len(made) and (found := _broken(less, make)) is not None:
                made = found
        size //= 2
    for number in sorted(made):
        for smaller in range(1, made.get(number, 0)):
            if (found := _broken({**made, number: smaller}, make)) is not None:
                made = found
                break
    return _without_each(made, make)


def _without_each(made: dict[int, int], make: MakeBackend) -> dict[int, int]:
    for number in sorted(made, reverse=True):
        less = {n: chosen for n, chosen in made.items() if n != number}
        if (found := _broken(less, make)) is not None:
            return _without_each(found, make)
    return made


def _broken(given: dict[int, int], make: MakeBackend) -> dict[int, int] | None:
    """Tell which of these decisions a history took that still breaks a promise."""
    choices = Given(given)
    if not live(choices, make):
        return None
    return {number: chosen for number, chosen in choices.made.items() if chosen}


def told(made: dict[int, int], make: MakeBackend = PureBackend) -> str:
    """Tell the story of a history, line by line."""
    story: list[str] = []
    live(Given(made), make, story)
    return "\n".join(story)


def shortest_story(within: int, of: int = 3, part: str = "beats") -> str:
    """Tell the shortest of the stories of the first few seeds that break a promise.

    Only those are lived through in whose setting ``part`` is.
    What is shrunk cannot lose a fault that another one needs: some stay long.
    """
    seeds = (seed for seed in range(within) if getattr(Setting.drawn(Choices(seed)), part))
    found = islice((c for c in map(Choices, seeds) if live(c)), of)
    return min((told(shrink(c.made)) for c in found), key=lambda story: story.count("\n"))
