"""Store, broker or both away, for a while or from the start; then each missed occurrence once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.acceptance import timetable
from tests.acceptance.deployment import ENOUGH, GOVERNS, Deployment, account
from tests.acceptance.timetable import Every

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.processes import Proc

SECOND_MS = 1000
ENTRIES = (
    Every("all-a", SECOND_MS, catch_up="all"),
    Every("all-b", 2 * SECOND_MS, catch_up="all"),
    Every("latest-a", SECOND_MS, catch_up="latest"),
    Every("latest-b", 2 * SECOND_MS, catch_up="latest"),
)
PERIODS_MS = {entry.name: entry.period_ms for entry in ENTRIES}
LOST_LINES = {"store": "The store does not answer", "broker": "The broker cannot be reached"}
AWAY = [("store",), ("broker",), ("store", "broker")]


class Site:
    """A deployment whose store and broker are servers of their own, which keep what they said."""

    def __init__(
        self,
        make_deployment: Callable[..., Deployment],
        make_redis: Callable[..., EmbeddedServer],
    ) -> None:
        self.servers = {name: make_redis(appendonly=True) for name in ("store", "broker")}
        self.deployment = make_deployment(
            self.servers["store"].url(),
            timetable.schedule(*ENTRIES),
            broker_url=self.servers["broker"].url(),
            # kombu's Redis transport loses a message whose broker dies as it hands it out.
            singleton_beat_start_deadline=10,
        )
        self.worker: Proc | None = None

    def go_away(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.servers[name].kill()

    def supervise(self) -> None:
        """Start the worker if there is none, as whatever supervises it would.

        Celery 5.7's worker ends itself (AttributeError in kombu) when it comes to acknowledge a
        message on a channel that the outage has closed.
        """
        if self.worker is None or not self.worker.running:
            self.worker = self.deployment.worker()

    def all_treated(self, due: set[str]) -> bool:
        """Whether each of these has ended or is recorded as superseded."""
        self.supervise()
        facts = self.deployment.facts
        return due <= facts.ended.keys() | facts.superseded(PERIODS_MS).keys()

    def come_back(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.servers[name].restart()

    def last_for(self, seconds: float) -> None:
        """The length of an outage is the fault itself, not a wait for somebody."""
        threading.Event().wait(seconds)


@pytest.mark.parametrize("away", AWAY, ids="+".join)
@pytest.mark.parametrize("seconds", [5, pytest.param(20, marks=pytest.mark.campaign)])
def test_after_an_outage_each_missed_occurrence_is_caught_up_once_by_its_policy(
    make_deployment: Callable[..., Deployment],
    make_redis: Callable[..., EmbeddedServer],
    show: Callable[..., None],
    away: tuple[str, ...],
    seconds: int,
) -> None:
    """F7, C1, S0-39, S1-23: beats keep ticking, log once, queue nothing for later."""
    site = Site(make_deployment, make_redis)
    deployment, facts = site.deployment, site.deployment.facts
    begun_ms = deployment.now_ms()
    site.supervise()
    beats = [deployment.beat() for _ in range(3)]
    for beat in beats:
        beat.wait_for(GOVERNS, ENOUGH)
    from_ms = deployment.now_ms()
    facts.wait_past(from_ms + SECOND_MS)

    going_ms = deployment.now_ms()
    site.go_away(away)
    gone_ms = round(time.time() * 1000)
    wait_until_told(beats, away)
    site.last_for(seconds)
    site.come_back(away)
    back_ms = deployment.now_ms()
    due = timetable.keys(ENTRIES, from_ms, back_ms + 3 * SECOND_MS)
    facts.wait_until(lambda _: site.all_treated(due))

    tally, superseded = deployment.witness.tally(), facts.superseded(PERIODS_MS)
    may = timetable.keys(ENTRIES, begun_ms, deployment.now_ms())
    counts = account(tally, facts, due, superseded, may) | {"superseded": len(superseded)}
    show(f"{' and '.join(away)} away", counts)
    assert all(beat.running for beat in beats)
    assert all(beat_told_once(beat) for beat in beats)
    assert tally.duplicates() == set()
    assert tally.lost(due, superseded.keys()) == set()
    assert tally.unexpected(may) == set()
    # What was being published just then may have been sent without that being noted.
    uncertain = {key for e in ENTRIES for key in e.keys(going_ms - e.period_ms, gone_ms)}
    assert superseded.keys() & tally.bodies.keys() <= uncertain
    assert {key.partition("@")[0] for key in superseded} == {"latest-a", "latest-b"}


@pytest.mark.parametrize("away", AWAY, ids="+".join)
def test_beats_that_start_during_an_outage_wait_and_then_work(
    make_deployment: Callable[..., Deployment],
    make_redis: Callable[..., EmbeddedServer],
    away: tuple[str, ...],
) -> None:
    """F7: down at the start is the same case."""
    site = Site(make_deployment, make_redis)
    deployment, facts = site.deployment, site.deployment.facts

    site.go_away(away)
    beats = [deployment.beat() for _ in range(2)]
    wait_until_told(beats, away)
    site.come_back(away)
    for beat in beats:
        beat.wait_for(GOVERNS, ENOUGH)
    site.supervise()
    from_ms = deployment.now_ms()
    due = timetable.keys(ENTRIES, from_ms, from_ms + 3 * SECOND_MS)
    facts.wait_until(lambda _: site.all_treated(due))

    tally = deployment.witness.tally()
    assert all(beat_told_once(beat) for beat in beats)
    assert tally.duplicates() == set()


def wait_until_told(beats: list[Proc], away: tuple[str, ...]) -> None:
    """Return when each replica has said that something is away: whatever it met first."""
    for beat in beats:
        beat.wait_for("|".join(LOST_LINES[name] for name in away), ENOUGH)


def beat_told_once(beat: Proc) -> bool:
    """Whether a replica said at most once of each that it is away."""
    return all(sum(lost in line for line in beat.lines) <= 1 for lost in LOST_LINES.values())
