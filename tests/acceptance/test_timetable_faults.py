"""The main job on stored entries, under faults, while a client changes them at random.

The seed is printed; `SINGLETON_BEAT_SEED` sets it, `SINGLETON_BEAT_FAULT_SECONDS` the length.
"""

from __future__ import annotations

import collections
import contextlib
import os
import random
from functools import partial
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from celery_singleton_beat.adapters.extension import extension_of
from tests.acceptance import timetable
from tests.acceptance.changing import LOST, Client, Ledger
from tests.acceptance.storm import Storm
from tests.acceptance.timetable import Every

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from celery_singleton_beat.protocol.history import Fact
    from tests.acceptance.deployment import Deployment, Facts
    from tests.rig.skew import ClockSkew

TICK = Every("tick", 500)  # of the configuration: it shows time pass
ENTRIES = 24
START_DEADLINE_S = 15
FACTS = 1_000_000
LIMITS = {"max_entries": None, "min_interval": None}


@pytest.mark.parametrize(
    "seconds", [20, pytest.param(180, marks=(pytest.mark.campaign, pytest.mark.timeout(600)))]
)
def test_changes_and_faults_lose_repeat_and_revive_nothing(
    make_deployment: Callable[..., Deployment],
    make_skew: Callable[[int], ClockSkew],
    make_redis: Callable[..., EmbeddedServer],
    show: Callable[..., None],
    seconds: int,
) -> None:
    """S0-01, S2-01, S2-02, S2-14, S2-17, S2-18, F16, C15, C19."""
    seed = int(os.environ.get("SINGLETON_BEAT_SEED") or random.randrange(10**6))
    seconds = int(os.environ.get("SINGLETON_BEAT_FAULT_SECONDS") or seconds)
    show("faults on stored entries", {"seed": seed, "seconds": seconds})
    store = make_redis()
    deployment = make_deployment(
        store.url(),
        timetable.schedule(TICK),
        singleton_beat_catch_up="all",
        singleton_beat_start_deadline=START_DEADLINE_S,
        singleton_beat_on_crash="rerun",  # as in test_faults with this broker
        singleton_beat_tenant_limits=LIMITS,
        singleton_beat_history=FACTS,
    )
    facts = deployment.facts
    app = Celery("acceptance", set_as_current=False)
    app.conf.update(singleton_beat_redis_url=store.url(), singleton_beat_tenant_limits=LIMITS)
    client = Client(app, deployment.now_ms, random.Random(seed))
    storm = Storm(deployment, make_skew, random.Random(seed + 1))

    client.begin(ENTRIES)
    from_ms = deployment.now_ms()
    until_ms = from_ms + seconds * 1000
    while deployment.now_ms() < until_ms:
        facts.wait_past(min(deployment.now_ms() + 1000, until_ms))
        storm.strike()
    ended_ms = client.stop()
    history = partial(extension_of(app).store.history, FACTS)
    ledger = Ledger(client.known.values(), ended_ms)
    ticks = TICK.keys(from_ms, ended_ms)
    with contextlib.suppress(TimeoutError):  # the ledger says better what is missing
        facts.wait_ended(ticks)
        facts.wait_until(lambda facts: not lost(ledger, facts, history))
    for beat in storm.beats:
        beat.terminate()
    facts.read()

    tally = deployment.witness.tally()
    fates = ledger.fates(facts.ended, facts.published, history)
    show("faults", storm.counts | {"orphaned claims": storm.orphaned})
    show("changes", client.counts)
    show("events", facts.events)
    show(
        "ledger",
        {
            "due": len(ledger.due),
            "executed": len(ledger.due) - len(fates),
            **collections.Counter(fates.values()),
            "rerun": tally.reruns(),
            "duplicates": len(tally.duplicates()),
        },
    )
    assert any(storm.orphaned)  # but for what the client has just removed: each of them
    assert tally.duplicates() == set()
    assert [ledger.told(key, history) for key in lost(ledger, facts, history)] == []
    assert tally.lost(ticks) == set()
    assert ledger.strange(deployment.witness.facts()) == []


def lost(ledger: Ledger, facts: Facts, history: Callable[[], list[Fact]]) -> set[str]:
    """What was due, did not run, and for which there is no reason on record."""
    fates = ledger.fates(facts.ended, facts.published, history)
    return {key for key, fate in fates.items() if fate == LOST}
