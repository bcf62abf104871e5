"""A connection that died in silence while it was idle is found out before it is used."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from celery_singleton_beat.demo.server import EmbeddedServer
from celery_singleton_beat.errors import StoreUnavailable
from celery_singleton_beat.protocol.run import Attempt, Begun
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.store.redis_words import command, exchange
from tests.rig.proxy import TO_SERVER, FaultProxy

ATTEMPT = Attempt("run", "holder", "key", 30_000)
AT_ONCE: dict[str, object] = {"health_check_interval": 1e-9}


@pytest.fixture
def proxy(make_proxy: Callable[[int], FaultProxy], redis_server: EmbeddedServer) -> FaultProxy:
    return make_proxy(redis_server.port)


def store_through(
    proxy: FaultProxy, *, options: dict[str, object] | None = None, health_check_ms: int = 0
) -> RedisStore:
    wire = Wire(
        proxy.url(1), options=options, socket_timeout_ms=300, health_check_ms=health_check_ms
    )
    return RedisStore(wire, prefix=f"health-{time.time_ns()}", app="shop")


def begin(store: RedisStore) -> Begun:
    return store.begin(ATTEMPT, close_if_busy=False, grace_ms=0).verdict


def test_a_run_begins_although_the_idle_connection_is_silently_dead(proxy: FaultProxy) -> None:
    """S0-13, S0-25: the health check."""
    store = store_through(proxy, options=AT_ONCE)
    store.ping()
    proxy.forget()

    verdict = begin(store)

    assert verdict is Begun.RUN
    assert proxy.swallowed[TO_SERVER] == len(command("PING"))


def test_without_the_check_it_is_found_out_by_the_run(proxy: FaultProxy) -> None:
    """S0-13, S0-25: it can be switched off."""
    store = store_through(proxy, health_check_ms=0)
    store.ping()
    proxy.forget()

    with pytest.raises(StoreUnavailable, match=r"(?i)timed out"):
        begin(store)
    assert begin(store) is Begun.RUN


def test_a_connection_that_is_in_use_is_not_asked(proxy: FaultProxy) -> None:
    wire = Wire(proxy.url(1), health_check_ms=3_600_000)
    store = RedisStore(wire, prefix=f"health-{time.time_ns()}", app="shop")
    begin(store)
    asked = pings(wire)

    begin(store)
    store.ping()

    assert pings(wire) == asked


def test_who_waits_for_changes_notices_that_nothing_can_be_heard(proxy: FaultProxy) -> None:
    """S0-13, S0-25: the line on which a beat hears of changes."""
    store = store_through(proxy, options=AT_ONCE)
    assert store.wait_change(0.01) is True
    proxy.forget()

    answers = iter(lambda: store.wait_change(0.05), False)

    assert set(answers) == {True}


def test_who_waits_on_a_living_line_goes_on_hearing(proxy: FaultProxy) -> None:
    store = store_through(proxy, options=AT_ONCE)

    answers = {store.wait_change(0.05) for _ in range(20)}

    assert answers == {True}


def pings(wire: Wire) -> int:
    """Count the pings that the server has had, as it tells itself."""
    connection = wire.new_connection()
    connection.connect()
    told = exchange(connection, command("INFO", "commandstats"))
    connection.disconnect()
    found = [line for line in told.splitlines() if line.startswith("cmdstat_ping:")]
    return int(found[0].partition("calls=")[2].partition(",")[0]) if found else 0
