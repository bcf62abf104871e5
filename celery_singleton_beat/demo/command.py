"""The demo's command line.

Runs in: the demo.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.demo.cast import Cast
from celery_singleton_beat.demo.server import find_server_binary
from celery_singleton_beat.demo.story import Story
from celery_singleton_beat.demo.view import print_ledger, view_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

PROGRAM: Final = "python -m celery_singleton_beat"

_ABOUT: Final = """\
Starts a Redis server of its own, three beats and two workers as real processes, lets them run,
kills a beat, freezes another, kills a worker in the middle of a task, and counts what became of
every occurrence. Nothing is installed, and nothing is left behind.
"""
_EXAMPLES: Final = f"""\
exit status: 0 if nothing was lost or executed twice, 1 if something was, 2 if it could not run

examples:
  {PROGRAM} demo                        the whole story, in less than a minute
  {PROGRAM} demo --plain                lines instead of a live table
  {PROGRAM} demo --seconds 120 --seed 7   longer, and another choice of victims
"""
_SHORTEST, _LONGEST = 10, 3600


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the answer is the exit status."""
    options = _parser().parse_args(arguments)
    try:
        find_server_binary()
    except FileNotFoundError as error:
        print(f"{PROGRAM} demo: {error}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        return _play(seconds=options.seconds, seed=options.seed, plain=options.plain)
    except KeyboardInterrupt:
        print("\nstopped; nothing is left running", file=sys.stderr)
        return 130
    except (OSError, RuntimeError) as error:
        print(f"{PROGRAM} demo: {error}", file=sys.stderr)
        return 2


def _play(*, seconds: float, seed: int | None, plain: bool) -> int:
    chosen = random.SystemRandom().randrange(10_000) if seed is None else seed
    view = view_for(plain=plain)
    cast = Cast()
    try:
        with cast:
            story = Story(cast, view, seconds, random.Random(chosen))
            story.play()
            counts, lanes = story.counts(), story.lanes()
    finally:
        # Whoever is impatient now would leave processes behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        view.close()
        cast.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    print_ledger(counts, lanes)
    print(f"  The same victims again: {PROGRAM} demo --seed {chosen}")
    return 0 if counts.is_clean else 1


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM)
    commands = parser.add_subparsers(required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="three beats and two workers on this machine, and what befalls them",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument(
        "--seconds",
        type=_seconds,
        default=25.0,
        help="how long occurrences are counted (default: %(default)g)",
    )
    demo.add_argument("--seed", type=int, help="who is killed, and when (default: any)")
    demo.add_argument("--plain", action="store_true", help="print lines, also in a terminal")
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not _SHORTEST <= seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from {_SHORTEST} to {_LONGEST}"
        )
    return seconds
