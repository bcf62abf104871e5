"""Capacity: what one Redis carries, by a model of unit costs, held against real deployments.

The model is in `capacity_model`, what its units are in `capacity_units`. They are measured before
and after each deployment, and its prediction rests on the mean of both: a machine that others use
too is not the same a minute later. Predicted is compared with measured, for the store's CPU beyond
what it idles and for how many scripts are called.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING

from tests.benchmarks.bursts import NotMeasured
from tests.benchmarks.capacity_model import (
    SHARE,
    Units,
    most_beats,
    most_occurrences,
    predicted,
)
from tests.benchmarks.capacity_pressed import cost_of_a_run
from tests.benchmarks.capacity_sites import Site, watched
from tests.benchmarks.capacity_units import measured
from tests.benchmarks.tables import Table

if TYPE_CHECKING:
    from tests.benchmarks.rounds import Bench

SITES = (
    Site(1, 30),
    Site(2, 5),
    Site(3, 120),
    Site(6, 40, spread=False),
    Site(4, 17, spread=False),
    Site(4, 60),
    Site(4, 60, stored=True),
    Site(10, 60, spread=False),
    Site(10, 20),
    Site(2, 200, spread=False),
    Site(4, 200),
)
TITLES = {
    "tick": "a tick with nothing due",
    "replica": "each replica in it",
    "dispatch": "a dispatch",
    "occurrence": "each occurrence in it",
    "stored_dispatch": "a dispatch of stored entries",
    "stored_occurrence": "each stored occurrence in it",
    "run": "a run, begun and finished",
    "renewal": "a lease renewed, of a hundred",
    "visit": "a call after a long pause, more",
    "cooling": "the cooling of caches",
}


def run(bench: Bench) -> list[Table]:
    """Measure units and deployments in turn."""
    held = Table("The capacity model beside deployments")
    seen = [_units(bench)]
    sites = SITES[4:7] if bench.quick else SITES
    for site in sites:
        _hold(bench, site, held, seen)
    found = Table("Capacity of one Redis")
    for field in fields(Units):
        values = [getattr(units, field.name) for units in seen]
        found.add(TITLES[field.name], values, "us")
    pressed = [cost_of_a_run() for _ in range(bench.rounds)]
    found.add(
        "a run among eight processes that do not pause", [one.cpu_us for one in pressed], "us"
    )
    found.add("of these", [one.a_second for one in pressed], "a second")
    for beats in (4, 20):
        for stored in (False, True):
            most = [most_occurrences(units, beats, stored=stored) for units in seen]
            kind = "stored occurrences" if stored else "occurrences"
            found.add(f"{kind} at {SHARE:.0%} of a core, {beats} beats", most, "a second")
    for moments, name in ((0, "idle"), (1, "all due at once"), (10, "due at any moment")):
        most = [most_beats(units, moments) for units in seen]
        found.add(f"replicas at {SHARE:.0%} of a core, {name}", most, "")
    return [found, held]


def _hold(bench: Bench, site: Site, held: Table, seen: list[Units]) -> None:
    by_cpu, by_calls, shares = [], [], []
    for number in range(1, bench.rounds + 1):
        print(f"  {held.title}: round {number} of {bench.rounds}, {site}", file=sys.stderr)
        try:
            found = watched(bench, site)
        except NotMeasured as error:
            held.notes.append(f"{site}, left out: {error}")
            continue
        seen.append(_units(bench))
        predicted_us = sum(predicted(units, site.load) for units in seen[-2:]) / 2
        shares.append(found.cpu_us / 1e4)
        by_cpu.append(predicted_us / found.cpu_us)
        by_calls.append(site.load.calls / found.calls)
    held.add(f"{site}: CPU", shares, "%")
    held.add(f"{site}: CPU, predicted by measured", by_cpu, "x")
    held.add(f"{site}: calls, predicted by measured", by_calls, "x")


def _units(bench: Bench) -> Units:
    return measured(bench.scaled(2_000, 1_000))
