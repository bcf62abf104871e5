"""Sentry Crons beside us: each message's check-in is opened once, and closed."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from celery_singleton_beat import Entry
from tests.integration.timetabled import Timetabled
from tests.integration.workers import ENOUGH

if TYPE_CHECKING:
    import pathlib

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.processes import Processes
    from tests.rig.skew import ClockSkew

MINUTE_S = 60
BEFORE_THE_MINUTE_S = 5
GOVERNS = "standing='GOVERNS'"


class Monitored(Timetabled):
    """A shop whose beats and workers have Sentry, and what they check in."""

    module = "tests.integration.sentry_app"

    def check_ins(self) -> dict[str, dict[str, list[str]]]:
        """The states of each check-in, in their order, by monitor and check-in."""
        found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for told in self.told_sentry():
            found[told["monitor_slug"]][told["check_in_id"]].append(told["status"])
        return {slug: dict(of) for slug, of in found.items()}

    def told_sentry(self) -> list[dict[str, Any]]:
        facts = [fact for fact in self.witness.facts() if fact["kind"] == "check-in"]
        return [fact["told"] for fact in sorted(facts, key=lambda fact: fact["at_ns"])]

    def wait_ran(self, slug: str) -> None:
        """Wait until a monitor has check-ins, of one minute or of more, and each has ended well."""

        def states() -> list[list[str]]:
            return list(self.check_ins().get(slug, {}).values())

        self.witness.wait_until(
            lambda _: states() != [] and all(s == RAN for s in states()), ENOUGH
        )

    def wait_states(self, slug: str, wanted: list[list[str]]) -> None:
        """Wait until a monitor has these check-ins, each with its states."""

        def states() -> list[list[str]]:
            return sorted(self.check_ins().get(slug, {}).values())

        try:
            self.witness.wait_until(lambda _: states() == sorted(wanted), ENOUGH)
        except TimeoutError:
            assert states() == sorted(wanted)  # says which it has instead


RAN = ["in_progress", "ok"]
FAILED = ["in_progress", "error"]


@pytest.fixture
def make_monitored(
    own_redis: EmbeddedServer, processes: Processes, tmp_path: pathlib.Path
) -> Iterator[Callable[..., Monitored]]:
    made: list[Monitored] = []

    def make(server: EmbeddedServer = own_redis, **conf: Any) -> Monitored:
        made.append(Monitored(server, processes, tmp_path, **conf))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def monitored(make_monitored: Callable[..., Monitored]) -> Monitored:
    return make_monitored()


class Clocked:
    """A server whose clock can be set to where a minute is over soon.

    That is the shortest time that Sentry has monitors for. The beats notice a
    clock that jumps, and rest as long as a lease lasts.
    """

    def __init__(self, make_redis: Callable[..., EmbeddedServer], skew: ClockSkew) -> None:
        self._skew = skew
        self.server = make_redis(env=skew.env)

    def near_a_minute(self) -> None:
        self._skew.set_ms(int((MINUTE_S - BEFORE_THE_MINUTE_S - time.time()) % MINUTE_S * 1000))


@pytest.fixture
def clocked(
    make_redis: Callable[..., EmbeddedServer], make_skew: Callable[[int], ClockSkew]
) -> Clocked:
    return Clocked(make_redis, make_skew(0))


def test_each_occurrence_checks_in_once_whichever_beat_sends_it(
    make_monitored: Callable[..., Monitored], clocked: Clocked
) -> None:
    """Entries of both kinds, each with the rule and the zone that Sentry is to expect it by."""
    monitored = make_monitored(clocked.server)
    stored: dict[str, Any] = {"task": "shop.early", "timezone": "Europe/Rome"}
    monitored.timetable.put(Entry("stored", recurrence="* * * * *", args=["stored"], **stored))
    monitored.timetable.put(Entry("stored too", recurrence=60, args=["stored too"], **stored))
    monitored.worker()
    for beat in [monitored.beat() for _ in range(2)]:
        beat.wait_for(GOVERNS, ENOUGH)
    clocked.near_a_minute()

    rules = {
        "by zone": ("crontab", "* * * * *", "Asia/Tokyo"),
        "by app": ("crontab", "* * * * *", "UTC"),
        "each minute": ("interval", 1, "UTC"),
        "of no SingletonTask": ("crontab", "* * * * *", "UTC"),
        "stored": ("crontab", "* * * * *", "Europe/Rome"),
        "stored too": ("interval", 1, "Europe/Rome"),
    }
    for slug in rules:
        monitored.wait_ran(slug)
    for told in monitored.told_sentry():
        rule = told["monitor_config"]["schedule"]
        zone = told["monitor_config"]["timezone"]
        assert (rule["type"], rule["value"], zone) == rules[told["monitor_slug"]]


def test_a_run_that_fails_says_so(monitored: Monitored) -> None:
    """Sentry imports RedBeat where that is installed, as here; the beat's log is quiet about it."""
    beat = monitored.beat()
    monitored.worker()

    monitored.asked("failing", "shop.early", "f", ("fail", "no more paper"))

    monitored.wait_states("failing", [FAILED])
    assert "acquire_distributed_beat_lock" not in beat.output


@pytest.mark.parametrize(
    ("task", "states"), [("early", FAILED), ("late", RAN), ("rerun", [*FAILED, "ok"])]
)
def test_a_run_whose_process_dies_is_an_error_unless_its_message_comes_again(
    monitored: Monitored, task: str, states: list[str]
) -> None:
    """Where beats publish it again, Celery has called it failed already."""
    monitored.beat()
    worker = monitored.worker()
    monitored.asked("dying", f"shop.{task}", "one", ("gate", "g"))
    monitored.began("one")

    body = monitored.bodies("one")[0]
    worker.kill_child((body["pid"], body["born"]))
    if task != "early":
        monitored.began("one", 2)
    monitored.let("g")

    monitored.wait_states("dying", [states])


def test_a_run_beyond_its_time_limit_is_an_error(monitored: Monitored) -> None:
    monitored.beat()
    monitored.worker()

    monitored.asked("endless", "shop.early", "one", ("gate", "g"), options={"time_limit": 1})

    monitored.wait_states("endless", [FAILED])


def test_a_run_that_gives_way_closes_its_check_in(monitored: Monitored) -> None:
    """The key is held: all is well, and nothing is reported as missed."""
    monitored.beat()
    monitored.worker()
    holder = monitored.send("early", "one", ("gate", "g"))
    monitored.began("one")

    run = monitored.asked("second", "shop.early", "one")

    monitored.wait_states("second", [RAN])
    assert monitored.run_record(run).outcome == "skipped"  # type: ignore[union-attr]
    monitored.let("g")
    monitored.wait_done(holder.id)


def test_a_run_that_waits_for_its_key_is_in_progress_until_it_has_run(monitored: Monitored) -> None:
    """The message is queued again, and its check-in goes with it."""
    monitored.beat()
    worker = monitored.worker()
    monitored.send("again", "one", ("gate", "g"))
    monitored.began("one")

    monitored.asked("patient", "shop.again", "one")
    worker.wait_for("Run re-queued", ENOUGH)
    monitored.wait_states("patient", [["in_progress"]])
    monitored.let("g")

    monitored.wait_states("patient", [RAN])


def test_a_second_message_of_a_run_closes_the_check_in_it_opened(
    make_monitored: Callable[..., Monitored], clocked: Clocked
) -> None:
    """Nobody began it in time, so it was published again: two messages, two check-ins, one run."""
    monitored = make_monitored(clocked.server, singleton_beat_start_deadline=1)
    monitored.timetable.put(Entry("late", "shop.early", "* * * * *", args=["one"]))
    beat = monitored.beat()
    beat.wait_for(GOVERNS, ENOUGH)
    clocked.near_a_minute()
    beat.wait_for("nobody began was published again: entry='late'", ENOUGH)
    beat.terminate()

    # One after the other: a twin would be queued again, for a time by the clock that was set.
    monitored.worker(concurrency=1)

    messages = len(monitored.check_ins()["late"])
    assert messages > 1
    monitored.wait_states("late", [RAN] * messages)
    assert monitored.began("one").started("one") == 1


def test_what_was_cancelled_is_well(monitored: Monitored) -> None:
    """Its entry was removed while its message waited, by somebody who wanted it so."""
    beat = monitored.beat()
    monitored.asked("cancelled", "shop.early", "one")
    monitored.wait_states("cancelled", [["in_progress"]])
    beat.terminate()

    monitored.timetable.remove("cancelled", cancel_queued=True)
    monitored.worker()

    monitored.wait_states("cancelled", [RAN])


def test_what_was_revoked_is_well(monitored: Monitored) -> None:
    worker = monitored.worker()
    monitored.wait_reachable()
    run = monitored.asked("revoked", "shop.early", "one")
    monitored.client.control.revoke(run)
    worker.wait_for("Tasks flagged as revoked", ENOUGH)

    monitored.beat()

    monitored.wait_states("revoked", [RAN])


def test_what_nobody_ran_although_it_was_wanted_is_an_error(monitored: Monitored) -> None:
    """It expired, its task is known to no worker, or it could not even be sent."""
    beat = monitored.beat()
    monitored.asked("stale", "shop.early", "one", options={"expires": 0.001})
    monitored.asked("unknown", "shop.of_an_older_release", "two")
    monitored.asked("unsendable", "shop.early", "three", options={"serializer": "of nobody"})
    monitored.wait_states("unknown", [["in_progress"]])
    monitored.wait_states("stale", [["in_progress"]])
    beat.wait_for("An entry could not be dispatched", ENOUGH)
    monitored.worker()

    for slug in ("stale", "unknown"):
        monitored.wait_states(slug, [FAILED])
    states = list(monitored.check_ins()["unsendable"].values())
    assert states == [FAILED] * len(states)
    assert states


def test_a_message_that_may_be_lost_on_its_way_is_an_error_and_its_repeat_is_watched(
    make_monitored: Callable[..., Monitored], make_redis: Callable[..., EmbeddedServer]
) -> None:
    """The broker goes away under a beat that is connected to it."""
    store, broker = make_redis(), make_redis()
    monitored = make_monitored(store, broker_url=broker.url(), singleton_beat_claim_hold=2)
    beat = monitored.beat()
    monitored.asked("before", "shop.early", "one")
    monitored.wait_history(lambda facts: "published" in {fact.kind for fact in facts})

    broker.kill()
    monitored.asked("lost", "shop.early", "two")
    beat.wait_for("The broker cannot be reached", ENOUGH)
    broker.restart()
    monitored.worker()

    monitored.wait_states("lost", [FAILED, RAN])


def test_a_body_that_ends_without_a_result_closes_its_check_in(monitored: Monitored) -> None:
    monitored.beat()
    monitored.worker()

    monitored.asked("silent", "shop.early", "one", ("ignore", None))

    monitored.wait_states("silent", [RAN])
