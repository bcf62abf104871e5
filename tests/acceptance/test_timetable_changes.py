"""A change of a stored entry, made in one process, as the beats in other processes see it."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from celery import Celery

from celery_singleton_beat import Entry, Timetable
from tests.acceptance.deployment import ENOUGH, GOVERNS, Deployment
from tests.rig.witness import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.processes import Proc, Processes

PATIENT = "tests.acceptance.patience:PatientScheduler"
WAKE = "{csb:acceptance}:wake"
HALF_SECOND = 0.5
IDLE_MS = 300

# What a user's web process might do.
ELSEWHERE = """
import sys
from celery import Celery
from celery_singleton_beat import Entry, Timetable
url, name, command = sys.argv[1:]
app = Celery("acceptance")
app.conf.singleton_beat_redis_url = url
timetable = Timetable(app)
if command == "put":
    timetable.put(Entry(name, "acceptance.work", recurrence=0.5, catch_up="all"), by="elsewhere")
else:
    getattr(timetable, command)(*[name] if name else [])
"""


def timetable_of(url: str) -> Timetable:
    """The timetable as this process has it."""
    app = Celery("acceptance", set_as_current=False)
    app.conf.singleton_beat_redis_url = url
    return Timetable(app)


def publishers(deployment: Deployment, entry: str) -> set[int]:
    """Which processes have published an entry."""
    return {
        fact["pid"]
        for fact in deployment.witness.facts()
        if fact["kind"] == "OccurrencePublished" and fact["told"]["entry"] == entry
    }


def wait_published(deployment: Deployment, entry: str, more_than: int = 0) -> None:
    """Return when the beats have told of more occurrences of an entry than so many."""
    deployment.facts.wait_until(lambda facts: published(facts, entry) > more_than)


def published(facts: Any, entry: str) -> int:
    return sum(key.startswith(f"{entry}@") for key in facts.published)


def delay_ms(deployment: Deployment, timetable: Timetable, name: str) -> int:
    """How long it took from a new entry, due at every 10 ms, until one of the beats claimed it."""
    pass_time(deployment, IDLE_MS)  # so that no beat is still awake for the entry before
    timetable.put(Entry(name, "acceptance.work", recurrence=0.01))
    put_ms = deployment.now_ms()
    wait_published(deployment, name)
    timetable.remove(name)
    told = next(
        fact["told"]
        for fact in deployment.witness.facts()
        if fact["kind"] == "OccurrencePublished" and fact["told"]["entry"] == name
    )
    return max(told["scheduled_ms"] + told["late_ms"] - put_ms, 0)


def in_words(delays: list[int]) -> dict[str, str]:
    return {"median": f"{statistics.median(delays):g} ms", "longest": f"{max(delays)} ms"}


def test_every_replica_hears_of_a_change_that_another_process_makes(
    make_deployment: Callable[..., Deployment],
    processes: Processes,
    redis_url: str,
    show: Callable[..., None],
) -> None:
    """C19, S2-02, S2-13: these would look at the store by themselves an hour later."""
    deployment = make_deployment(redis_url, {})
    beats = [deployment.rig.beat("-S", PATIENT) for _ in range(2)]
    for beat in beats:
        beat.wait_for(GOVERNS, ENOUGH)

    def elsewhere(command: str, name: str = "") -> None:
        arguments = [sys.executable, "-c", ELSEWHERE, redis_url, name, command]
        assert processes.start(arguments, name=f"{command} {name}").wait_ended(ENOUGH) == 0

    for hearing, other in (beats, beats[::-1]):
        name = f"heard by {hearing.name}"
        wait_listening(deployment, 2)
        other.freeze()
        elsewhere("put", name)
        wait_published(deployment, name)
        assert publishers(deployment, name) == {hearing.pid}
        other.thaw()
    elsewhere("pause_all")
    resumed_ms = deployment.now_ms()
    elsewhere("resume_all")
    deployment.facts.wait_until(
        lambda facts: any(key > key_of(name, resumed_ms) for key in facts.published if name in key)
    )
    for one in beats:
        elsewhere("remove", f"heard by {one.name}")

    delays = [delay_ms(deployment, timetable_of(redis_url), f"e{n}") for n in range(20)]
    show("a change is acted on, by pub/sub, after", in_words(delays))


def wait_listening(deployment: Deployment, count: int) -> None:
    """Return when so many replicas listen. They begin to after their first tick."""
    while deployment.store.pubsub_numsub(WAKE)[0][1] != count:
        pass_time(deployment, 10)


def pass_time(deployment: Deployment, milliseconds: int) -> None:
    """Let the server look for that long for a replica of itself, in vain."""
    deployment.store.wait(1, milliseconds)


@pytest.fixture
def without_channels(own_redis: EmbeddedServer) -> str:
    """The URL of a user who may do everything but speak and listen on channels."""
    own_redis.command("ACL", "SETUSER", "mute", "on", ">mute", "~*", "resetchannels", "+@all")
    place = urlsplit(own_redis.url()).netloc
    return f"redis://mute:mute@{place}/0"


def test_where_nothing_can_be_heard_a_change_is_seen_with_the_next_poll(
    make_deployment: Callable[..., Deployment],
    own_redis: EmbeddedServer,
    without_channels: str,
    show: Callable[..., None],
) -> None:
    """F19, C19: neither the beats nor who makes the change may use the channel."""
    deployment = make_deployment(without_channels, {}, broker_url=own_redis.url(1))
    deployment.worker()
    beats = started(deployment)
    timetable = timetable_of(without_channels)

    delays = [delay_ms(deployment, timetable, f"e{n}") for n in range(5)]
    timetable.put(Entry("steady", "acceptance.work", recurrence=HALF_SECOND))
    wait_published(deployment, "steady", more_than=3)
    deployment.facts.wait_until(lambda facts: any("steady@" in key for key in facts.ended))

    assert deployment.store.pubsub_numsub(WAKE)[0][1] == 0
    assert all(beat.running for beat in beats)
    assert not {"StoreLost", "TickFailed"} & deployment.facts.events.keys()
    show("a change is acted on, with nothing to be heard, after", in_words(delays))


def test_a_replica_whose_ear_was_cut_off_works_on_and_listens_again(
    make_deployment: Callable[..., Deployment], own_redis: EmbeddedServer
) -> None:
    """F19: `CLIENT KILL TYPE pubsub`, as a failover or a proxy does it."""
    deployment = make_deployment(own_redis.url(), {}, broker_url=own_redis.url(1))
    beats = started(deployment)
    timetable = timetable_of(own_redis.url())
    wait_listening(deployment, 2)

    own_redis.command("CLIENT", "KILL", "TYPE", "pubsub")
    timetable.put(Entry("deaf", "acceptance.work", recurrence=HALF_SECOND))
    wait_published(deployment, "deaf", more_than=3)
    wait_listening(deployment, 2)

    assert all(beat.running for beat in beats)
    assert not {"StoreLost", "TickFailed"} & deployment.facts.events.keys()


def test_a_thousand_changes_in_a_row_do_not_have_every_replica_look_a_thousand_times(
    make_deployment: Callable[..., Deployment], own_redis: EmbeddedServer, show: Callable[..., None]
) -> None:
    """What is said in quick succession is heard together."""
    deployment = make_deployment(own_redis.url(), {}, broker_url=own_redis.url(1))
    started(deployment)
    timetable = timetable_of(own_redis.url())
    wait_listening(deployment, 2)
    before = scripts_run(deployment)

    for number in range(1000):
        timetable.put(Entry(f"e{number}", "acceptance.work", recurrence="0 2 * * *"))

    looked = scripts_run(deployment) - before - 1000
    show("while 1000 entries were put one by one, two beats", {"looked": looked})
    assert looked < 500


def scripts_run(deployment: Deployment) -> int:
    """How many scripts the store has run, for anybody."""
    counts: Any = deployment.store.info("commandstats")
    return counts["cmdstat_evalsha"]["calls"]


def started(deployment: Deployment) -> list[Proc]:
    """Two replicas."""
    beats = [deployment.beat() for _ in range(2)]
    for beat in beats:
        beat.wait_for(GOVERNS, ENOUGH)
    return beats
