"""The command line of the scenarios: `python -m tests.scenarios --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.scenarios.catalogue import SCENARIOS
from tests.scenarios.runner import Result, carry_out, markdown, peers_are_there
from tests.scenarios.site import OURS, PEERS

EXAMPLES = """examples:
  python -m tests.scenarios --only kills --only "store away"
  python -m tests.scenarios --peers --markdown scenarios.md   (about 40 minutes)
"""


def main() -> int:
    """Carry scenarios out, print a row of each, and write the table if asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.scenarios",
        description=__doc__,
        epilog=EXAMPLES + "\nscenarios:\n" + "\n".join(f"  {s.name}: {s.about}" for s in SCENARIOS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="may be repeated")
    parser.add_argument("--peers", action="store_true", help="the peers too, in turn with ours")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    given = parser.parse_args()
    chosen = [
        scenario for scenario in SCENARIOS if scenario.name in (given.only or [scenario.name])
    ]
    unknown = set(given.only or []) - {one.name for one in chosen}
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; --help lists them")
    if given.peers and not peers_are_there():
        parser.error("the peers are not installed: pip install celery-redbeat celery-singleton")
    results: list[Result] = []
    for scenario in chosen:
        for side in (OURS, PEERS) if given.peers else (OURS,):
            print(f"{scenario.name}, {side} …", file=sys.stderr)
            results.append(carry_out(scenario, side, given.seed))
            print(results[-1], flush=True)
    if given.markdown:
        given.markdown.write_text(markdown(results) + "\n", encoding="utf-8")
    return int(any(is_broken(result) for result in results))


def is_broken(result: Result) -> bool:
    """Whether ours broke a promise: where the store keeps its own, nothing twice, nothing lost."""
    account = result.account
    is_bound = result.side == OURS and result.scenario.is_kept
    return is_bound and account is not None and bool(account.executed_twice or account.lost)


if __name__ == "__main__":
    sys.exit(main())
