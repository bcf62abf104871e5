"""Both stores pass the suite that is published for every store."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from celery_singleton_beat.protocol.run import Begun
from celery_singleton_beat.store.memory_store import MemoryStore
from celery_singleton_beat.store.port import Store
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import CHECKS, Check, FakeClock, StoreUnderTest, check_store

Make = Callable[[Callable[[], int]], Store]


@pytest.fixture(params=["memory", "redis", "cluster"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "memory":
        return MemoryStore
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
    else:
        url = request.getfixturevalue("cluster").url()

    def make_redis(clock: Callable[[], int]) -> Store:
        prefix = f"contract-{uuid.uuid4().hex}"  # in a cluster there is but one database
        return RedisStore(Wire(url), prefix=prefix, app="app", now_ms=clock)

    return make_redis


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_store_keeps_its_promise(make: Make, check: Check) -> None:
    clock = FakeClock()

    check(StoreUnderTest(make(clock), clock))


def test_the_suite_names_the_promise_that_a_store_breaks() -> None:
    class Generous(MemoryStore):
        def begin(self, attempt, **options):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN003, ANN202
            answer = super().begin(attempt, **options)
            return answer if answer.verdict is not Begun.BUSY else type(answer)(Begun.RUN, 0)

    with pytest.raises(AssertionError, match="one_run_at_a_time_per_key"):
        check_store(Generous)
