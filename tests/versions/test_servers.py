"""All that a store promises, on servers of every release that is supported.

Run by ``pytest -m servers``: it downloads servers, which are kept in pytest's cache.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from celery_singleton_beat.errors import StoreUnavailable
from celery_singleton_beat.protocol.run import Attempt
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import check_store
from tests.acceptance import timetable
from tests.acceptance.deployment import ENOUGH, GOVERNS, Deployment
from tests.acceptance.timetable import Every
from tests.conftest import SHOWN
from tests.rig.absent import skip_or_fail
from tests.rig.cluster import Cluster
from tests.rig.replicated import Replicated
from tests.versions.binaries import RELEASES, Release, version_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from celery_singleton_beat.store.port import Store
    from tests.rig.proxy import FaultProxy

pytestmark = pytest.mark.servers
ENTRIES = tuple(Every(f"every-second-{number}", 1000) for number in range(3))


@pytest.fixture(params=RELEASES, ids=lambda release: release.name, scope="module")
def redis_binary(request: pytest.FixtureRequest) -> str:
    """The binary of one release, instead of the session's: every server here is made of it."""
    release: Release = request.param
    binary = release.binary(request.config.cache.mkdir("servers"))
    if binary is None:
        skip_or_fail(release.name)
    return str(binary)


@pytest.fixture
def note(
    redis_binary: str, record_property: Callable[[str, object], None]
) -> Callable[[str], None]:
    """A teller of what was seen working; it is printed with the server's version."""
    version = version_of(Path(redis_binary))
    return lambda seen: record_property(SHOWN, f"{version}: {seen}")


def maker(url: str, **options: Any) -> Callable[[Callable[[], int]], Store]:
    def make(clock: Callable[[], int]) -> Store:
        prefix = f"contract-{uuid.uuid4().hex}"
        return RedisStore(Wire(url, **options), prefix=prefix, app="app", now_ms=clock)

    return make


def test_a_store_keeps_what_every_store_promises(
    own_redis: EmbeddedServer, note: Callable[[str], None]
) -> None:
    check_store(maker(own_redis.url()))
    note("contract")


def test_a_cluster_keeps_it_too(redis_binary: str, note: Callable[[str], None]) -> None:
    cluster = Cluster(redis_binary, replicas=0)
    try:
        check_store(maker(cluster.url()))
    finally:
        cluster.stop()
    note("contract on a cluster")


def test_an_answer_that_no_replica_has_is_none(
    make_redis: Callable[..., EmbeddedServer],
    make_proxy: Callable[[int], FaultProxy],
    note: Callable[[str], None],
) -> None:
    """Asked once, and again on another connection; and the contract holds while all is well."""
    replicated = Replicated(make_redis, make_proxy)
    check_store(maker(replicated.primary.url(), wait_replicas=1))
    replicated.replica.freeze()

    for _ in range(2):
        wire = Wire(replicated.primary.url(), wait_replicas=1, wait_timeout_ms=300)
        store = RedisStore(wire, prefix="shop", app="shop")
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            store.begin(Attempt("run", "holder", "key", 30_000), close_if_busy=False, grace_ms=0)

    replicated.replica.thaw()
    note("waits for a replica")


def test_beats_and_a_worker_run_each_occurrence_once(
    make_deployment: Callable[..., Deployment],
    own_redis: EmbeddedServer,
    note: Callable[[str], None],
) -> None:
    """It is the broker too."""
    deployment = make_deployment(own_redis.url(), timetable.schedule(*ENTRIES))
    begun_ms = deployment.now_ms()
    deployment.worker()
    for beat in [deployment.beat() for _ in range(2)]:
        beat.wait_for(GOVERNS, ENOUGH)
    from_ms = deployment.now_ms()
    deployment.facts.wait_past(from_ms + 3000)
    due = timetable.keys(ENTRIES, from_ms, from_ms + 3000)
    deployment.facts.wait_accounted(due)

    tally = deployment.witness.tally()
    may = timetable.keys(ENTRIES, begun_ms, deployment.now_ms())
    assert (tally.duplicates(), tally.lost(due), tally.unexpected(may)) == (set(), set(), set())
    note(f"beats and a worker ({len(due)} occurrences)")
