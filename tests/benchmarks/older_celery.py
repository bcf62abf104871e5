"""Dispatch rate without batches: ours beside a bare loop on a Celery that is older than 5.7.

The interpreter of an environment with that Celery (5.5 or 5.6), `redis` and `tzdata` is named by
SINGLETON_BENCHMARK_OLDER_PYTHON; without it nothing is measured. kombu has batches from 5.7 on,
so here every message is a round trip of its own on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.dispatch_rate import pair
from tests.benchmarks.tables import Table, Target

if TYPE_CHECKING:
    from tests.benchmarks.rounds import Bench

VARIABLE = "SINGLETON_BENCHMARK_OLDER_PYTHON"
UNBATCHED = Target(at_least=0.9)


def run(bench: Bench) -> list[Table]:
    """Measure at 100 and 10,000 due entries with the other interpreter."""
    if bench.older_python is None:
        missing = Table("Dispatch rate on an older Celery")
        missing.notes.append(f"not measured: {VARIABLE} names no interpreter")
        return [missing]
    many = bench.scaled(10_000, 2_000)
    python = bench.older_python
    few = "Dispatch rate on an older Celery, 100 due entries"
    full = f"Dispatch rate on an older Celery, {many:,} due entries"
    return [
        pair(bench, few, UNBATCHED, entries=100, bursts=10, python=python),
        pair(bench, full, UNBATCHED, entries=many, python=python),
    ]
