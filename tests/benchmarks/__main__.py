"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import (
    capacity,
    dispatch_rate,
    figures_cost,
    lateness,
    older_celery,
    peers_rate,
    reconcile_rate,
    renewal,
    startup,
    takeover,
    task_cost,
    task_peers,
    timetable_changes,
    timetable_peers,
    timetable_rate,
    timetable_writes,
)
from tests.benchmarks.rounds import Bench
from tests.benchmarks.servers import Servers, private_servers
from tests.benchmarks.tables import Table, markdown, show

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS: dict[str, tuple[Callable[[Bench], list[Table]], str | None]] = {
    "dispatch-rate": (dispatch_rate.run, dispatch_rate.__doc__),
    "older-celery": (older_celery.run, older_celery.__doc__),
    "peers": (peers_rate.run, peers_rate.__doc__),
    "lateness": (lateness.run, lateness.__doc__),
    "startup": (startup.run, startup.__doc__),
    "takeover": (takeover.run, takeover.__doc__),
    "task-cost": (task_cost.run, task_cost.__doc__),
    "task-peers": (task_peers.run, task_peers.__doc__),
    "timetable-changes": (timetable_changes.run, timetable_changes.__doc__),
    "timetable-peers": (timetable_peers.run, timetable_peers.__doc__),
    "timetable-rate": (timetable_rate.run, timetable_rate.__doc__),
    "timetable-writes": (timetable_writes.run, timetable_writes.__doc__),
    "capacity": (capacity.run, capacity.__doc__),
    "figures": (figures_cost.run, figures_cost.__doc__),
    "renewal": (renewal.run, renewal.__doc__),
    "reconcile": (reconcile_rate.run, reconcile_rate.__doc__),
}
NEEDS_LINUX = "some figures (memory, CPU of workers) are read from /proc: Linux only"


def main() -> int:
    """Run what was asked for; the exit status tells of breakage, never of a missed target."""
    asked = _arguments()
    tables: list[Table] = []
    with private_servers() as servers:
        bench = Bench(
            servers,
            rounds=asked.rounds or (1 if asked.quick else 3),
            quick=asked.quick,
            older_python=os.environ.get(older_celery.VARIABLE),
        )
        heading = _surroundings(servers, bench)
        print(heading)
        for name in asked.only or BENCHMARKS:
            for table in BENCHMARKS[name][0](bench):
                tables.append(table)
                show(table)
    if asked.markdown:
        markdown(tables, heading, asked.markdown)
    return 0


def _arguments() -> argparse.Namespace:
    lines = [f"  {name:18} {_first_line(doc)}" for name, (_, doc) in BENCHMARKS.items()]
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure beside a bare loop, stock beat and RedBeat; A B A B in one run.",
        epilog="\n".join(["benchmarks:", *lines, "", NEEDS_LINUX]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=list(BENCHMARKS),
        help="may be repeated",
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes, one round")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each comparison")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there too")
    return parser.parse_args()


def _first_line(doc: str | None) -> str:
    return (doc or "").split("\n", 1)[0]


def _surroundings(servers: Servers, bench: Bench) -> str:
    day = datetime.now(timezone.utc).date().isoformat()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("celery", "kombu", "redis"))
    return (
        f"Benchmarks of {day}: {libraries}, Python {platform.python_version()}, "
        f"{servers.store.version}, {os.cpu_count()} CPUs, {bench.rounds} rounds"
        f"{', quick' if bench.quick else ''}"
    )


if __name__ == "__main__":
    sys.exit(main())
