"""``python -m tests.simulation``: live through histories by hand, and read the story of one."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack

from celery_singleton_beat.demo.server import EmbeddedServer, find_server_binary
from tests.simulation.choices import Choices
from tests.simulation.deployment import MakeBackend
from tests.simulation.shrink import live, shrink, told
from tests.simulation.stores import PureBackend, lua_on


def main() -> int:
    """Live through so many histories; stop at the first that breaks a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="that of the first history")
    parser.add_argument("--histories", type=int, default=1000, help="how many")
    parser.add_argument("--lua", action="store_true", help="on the scripts, on a real Redis")
    parser.add_argument("--story", action="store_true", help="tell the first history whole")
    asked = parser.parse_args()
    with ExitStack() as stack:
        make: MakeBackend = PureBackend
        if asked.lua:
            server = stack.enter_context(EmbeddedServer(find_server_binary()).start())
            make = stack.enter_context(lua_on(server.url(0)))
        return _live_all(asked, make)


def _live_all(asked: argparse.Namespace, make: MakeBackend) -> int:
    began, faults = time.perf_counter(), 0
    for seed in range(asked.seed, asked.seed + asked.histories):
        choices = Choices(seed)
        story: list[str] | None = [] if asked.story and seed == asked.seed else None
        broken = live(choices, make, story)
        faults += len(choices.made)
        if story:
            _print("\n".join(story))
        if broken:
            _print(f"seed {seed} breaks a promise: {broken}")
            fewest = shrink(choices.made, make)
            _print(f"{len(choices.made)} decisions, of which {len(fewest)} suffice:")
            _print(told(fewest, make))
            return 1
    took_s = time.perf_counter() - began
    _print(f"{asked.histories} histories, {faults} decisions, {took_s:.1f} s: all promises kept")
    return 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
