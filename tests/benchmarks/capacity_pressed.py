"""A store under pressure: many processes that begin and finish runs without a pause.

That is where the model's unit for a run has to hold without its term for pauses, on many
connections at a time.
"""

from __future__ import annotations

import multiprocessing
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from tests.benchmarks.capacity_units import Caller, lasting_server

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

PROCESSES = 8
RUNS = 1_000
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Pressed:
    """What the server spent on each run, and how many there were in a second."""

    cpu_us: float
    a_second: float


def cost_of_a_run() -> Pressed:
    """Let processes run against each other, and see what their server spends."""
    context = multiprocessing.get_context("spawn")
    with lasting_server() as server:
        barrier = context.Barrier(PROCESSES + 1)
        children = [
            context.Process(target=_press, args=(server.url, number, barrier), daemon=True)
            for number in range(PROCESSES)
        ]
        for child in children:
            child.start()
        barrier.wait(PATIENCE_S)
        before, from_s = server.usage().cpu_s, time.monotonic()
        barrier.wait(PATIENCE_S)
        for child in children:
            child.join()
        spent_us, for_s = (server.usage().cpu_s - before) * 1e6, time.monotonic() - from_s
    runs = PROCESSES * RUNS
    return Pressed(spent_us / runs, runs / for_s)


def _press(url: str, number: int, barrier: Barrier) -> None:
    with closing(Wire(url)) as wire:
        caller = Caller(RedisStore(wire, prefix="capacity", app="bench"), first=number * 10**6)
        caller.run()
        barrier.wait(PATIENCE_S)  # all are connected
        barrier.wait(PATIENCE_S)
        for _ in range(RUNS):
            caller.run()
