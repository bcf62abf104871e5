"""What is wrong somewhere is found out, by a story that a person can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conftest import SHOWN
from tests.simulation.shrink import shortest_story

if TYPE_CHECKING:
    from collections.abc import Callable

BROKEN = "BROKEN: "


def find_out(
    name: str,
    show: Callable[[str, object], None],
    *,
    within: int,
    part: str = "beats",
    lines: int = 70,
) -> str:
    """Find out what is wrong with a ``part`` within so many histories; tell what is broken.

    The story has fewer lines than that, and the count is shown under the name of what is wrong.
    """
    story = shortest_story(within, part=part).splitlines()
    assert BROKEN in story[-1]
    assert len(story) < lines
    what = story[-1].split(BROKEN)[1]
    show(SHOWN, f"{name}, told in {len(story)} lines: {what}")
    return what


def name_of(value: Any) -> str:
    """The name of what is put in place of the right thing, and of a part: for a test's own name."""
    return value if isinstance(value, str) else getattr(value, "__name__", "")
