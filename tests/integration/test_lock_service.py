"""Locks by hand as code uses them: beside tasks, in scripts, in threads and after a fork."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery

from celery_singleton_beat import (
    ConfigurationError,
    ForeignStore,
    Locked,
    LockService,
    StoreUnavailable,
)
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.protocol.run import Lock
from celery_singleton_beat.store.keys import Keys
from tests.integration.workers import ENOUGH
from tests.rig.processes import clean_environment

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator

    from celery_singleton_beat.demo.server import EmbeddedServer
    from celery_singleton_beat.protocol.history import Fact
    from tests.integration.workers import Shop

GLOBS = ["*", "[a-z]?", "x{y}*\\", "a|b"]
_made: list[LockService] = []


@pytest.fixture(autouse=True)
def services_end_with_their_test() -> Iterator[None]:
    """Renew no lease any more."""
    yield
    while _made:
        _made.pop()._extension.own_heartbeat.stop()  # noqa: SLF001  # a process ends instead


def service_at(url: str, main: str = "shop", **conf: Any) -> LockService:
    """A lock service of an app that has only the connection settings."""
    app = Celery(main, broker="memory://", set_as_current=False)
    app.conf.update(singleton_beat_redis_url=url, **conf)
    _made.append(LockService(app))
    return _made[-1]


def beside(shop: Shop, **conf: Any) -> LockService:
    """A lock service of the shop's application."""
    ours = {name: value for name, value in shop.conf.items() if name.startswith("singleton_beat_")}
    ours.pop("singleton_beat_redis_url")
    return service_at(shop.conf["singleton_beat_redis_url"], **{**ours, **conf})


def history(service: LockService) -> list[Fact]:
    return service._extension.store.history(100)  # noqa: SLF001  # what a user sees is not here yet


@pytest.fixture(params=["redis", "memory"])
def service(request: pytest.FixtureRequest) -> LockService:
    """A lock service, on each kind of store."""
    if request.param == "memory":
        return service_at("memory://")
    return service_at(request.getfixturevalue("redis_url"))


@pytest.fixture
def run_program(
    redis_url: str, tmp_path: pathlib.Path
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """A runner of plain scripts: a lock service named ``service`` is there for them."""
    prologue = (
        "import os, sys\n"
        "from celery import Celery\n"
        "from celery_singleton_beat import *\n"
        f"app = Celery('shop', broker={redis_url!r})\n"
        "service = LockService(app)\n"
    )

    def run(program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", prologue + program],
            cwd=tmp_path,
            env=clean_environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_a_key_is_held_by_one_and_free_when_it_is_released(service: LockService) -> None:
    """S1-01, S1-02, S1-04, S3-08."""
    lease = service.acquire("report:7", ttl=60)
    assert lease is not None
    refused, locked = service.acquire("report:7"), service.is_locked("report:7")

    recorded = service.release(lease)

    assert (refused, locked, recorded) == (None, True, True)
    assert not service.is_locked("report:7")
    assert [service.release(lease), service.release(refused)] == [False, False]
    assert (lease.key, lease.lost, service.renew(lease)) == ("report:7", True, False)


def test_a_listing_tells_all_of_every_lock(redis_url: str) -> None:
    """S0-22, S0-23, S0-31: name, owner, acquired, expires, seen from elsewhere."""
    holder, reader = service_at(redis_url, singleton_beat_instance_id="web"), service_at(redis_url)
    before = datetime.now(timezone.utc)
    lease = holder.acquire("report:7", ttl=timedelta(minutes=2))
    holder.acquire("other", ttl=60)
    assert lease is not None

    first, second = reader.locks()

    assert (first.key, first.token, second.key) == ("report:7", lease.token, "other")
    assert first.owner.startswith(f"web:{os.getpid()}:")
    assert abs(first.acquired - before) < timedelta(minutes=1)
    assert first.expires - first.acquired == timedelta(minutes=2)
    assert reader.locks(limit=1) == [first]


def test_nothing_held_is_an_empty_list(service: LockService) -> None:
    lease = service.acquire("report:7")
    service.release(lease)

    assert service.locks() == []


def test_only_its_holder_frees_a_key_except_by_force(service: LockService) -> None:
    """S1-03, S1-17, C5: the forced one is in the history, with who did it."""
    lease = service.acquire("report:7")
    assert lease is not None

    forced = [service.force_release("report:7"), service.force_release("report:7")]
    follower = service.acquire("report:7")
    kept = service.renew(lease)
    service.release(lease)

    assert (forced, kept, lease.lost) == ([True, False], False, True)
    assert follower is not None
    assert follower.token > lease.token
    assert service.is_locked("report:7")
    by = extension_of(service._extension._app).instance  # noqa: SLF001
    unlocked = [fact for fact in history(service) if fact.kind == "unlocked"]
    assert [(fact.by, fact.note) for fact in unlocked] == [(by, "report:7")]


def test_threads_that_wait_take_turns(service: LockService) -> None:
    """S4-08: in memory too, one at a time."""
    inside, overlaps, tokens = [0], [0], []

    def work() -> None:
        for _ in range(5):
            with service.lock("turn", wait=None) as lease:
                inside[0] += 1
                overlaps[0] += inside[0] > 1
                tokens.append(lease.token)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert overlaps == [0]
    assert len(tokens) == 20
    assert tokens == sorted(set(tokens))


def test_a_block_holds_its_key_and_frees_it_however_it_ends(service: LockService) -> None:
    """S1-05; and the history says how."""
    held = []

    def fail() -> None:
        with service.lock("report:7") as lease:
            held.append((service.is_locked("report:7"), lease.lost))
            raise ValueError("bad luck")

    with pytest.raises(ValueError, match="bad luck"):
        fail()

    assert held == [(True, False)]
    assert not service.is_locked("report:7")
    assert [fact.kind for fact in history(service)] == ["failed", "started"]


def test_a_block_whose_key_is_held_is_not_entered(service: LockService) -> None:
    """Locks are not reentrant: not for who holds it either."""
    with (
        service.lock("report:7"),
        pytest.raises(Locked, match="lock key 'report:7' is held by"),
        service.lock("report:7", wait=0.01),
    ):
        pytest.fail("two were let in")


def test_a_block_is_renewed_for_as_long_as_it_runs(shop: Shop) -> None:
    """S0-24, F5: beyond its TTL, by this process's own heartbeat."""
    service = beside(shop)

    with service.lock("long", ttl=1) as lease:
        shop.wait_renewed("long", 2, ttl_ms=1000)
        lost = lease.lost

    assert not lost
    assert not service.is_locked("long")


def test_a_task_whose_key_is_locked_by_hand_gives_way(shop: Shop) -> None:
    """S3-08: and its result names the holder."""
    shop.worker("solo", 1)
    service = beside(shop, singleton_beat_instance_id="by hand")

    with service.lock("early:held"):
        skipped = shop.send("early", "held").get(timeout=ENOUGH)
    ran = shop.send("early", "held").get(timeout=ENOUGH)

    assert skipped["singleton_skipped"] == "locked"
    assert skipped["holder"].startswith(f"by hand:{os.getpid()}:")
    assert ran["token"] is not None


def test_a_key_that_a_task_holds_is_not_given_away(shop: Shop) -> None:
    """S3-08, S0-31: and the listing names the worker."""
    worker = shop.worker("prefork", 1)
    service = beside(shop)
    shop.send("early", "held", ("gate", "g"))
    shop.began("held")

    refused, (found,) = service.acquire("early:held"), service.locks()
    shop.let("g")
    shop.wait_free("early:held")

    assert refused is None
    assert (found.key, found.owner) == ("early:held", f"{worker.name}@rig")
    assert service.acquire("early:held") is not None


def test_a_task_whose_key_was_freed_by_force_knows_that_its_lease_is_lost(shop: Shop) -> None:
    """S1-17: with its next renewal, while its body runs."""
    shop.worker("prefork", 1)
    service = beside(shop)
    shop.send("early", "forced", ("until lost", None))
    trusted = shop.told("trusts", "forced")

    freed = service.force_release("early:forced")
    told = shop.told("lost", "forced")

    assert (trusted["lost"], freed) == (False, True)
    assert "early:forced" in told["text"]


def test_a_script_that_dies_leaves_its_key_for_a_ttl_and_its_notice(
    shop: Shop, run_program: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    """S1-01, F6: and not for longer."""
    url = shop.conf["singleton_beat_redis_url"]
    outcome = run_program(
        f"app.conf.singleton_beat_redis_url = {url!r}\n"
        "service.lock('script', ttl=1).__enter__()\n"
        "os._exit(9)\n"
    )
    service = beside(shop)

    refused = service.acquire("script")
    with service.lock("script", wait=None) as lease:
        held = service.is_locked("script")

    assert (outcome.returncode, refused, held) == (9, None, True)
    assert lease.token > 0


def test_a_plain_script_needs_nothing_but_the_settings(
    run_program: Callable[[str], subprocess.CompletedProcess[str]], redis_url: str
) -> None:
    """S0-31: neither beat nor worker."""
    service = service_at(redis_url)
    service.acquire("mine")

    outcome = run_program(
        "print(service.acquire('mine'), service.locks()[0].key, service.is_locked('yours'))\n"
        "with service.lock('yours') as lease: print(lease.lost, service.is_locked('yours'))\n"
    )

    assert outcome.stdout.splitlines() == ["None mine False", "False True"], outcome.stderr


def test_a_child_that_was_forked_is_a_holder_of_its_own(
    run_program: Callable[[str], subprocess.CompletedProcess[str]], redis_url: str
) -> None:
    """A child sees its parent's lease, cannot end it, and locks under its own name."""
    outcome = run_program(
        "before = service.acquire('before')\n"
        "pid = 0\n"
        "with service.lock('parent') as lease:\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        print(lease.lost, service.acquire('parent'), before.lost)\n"
        "        with service.lock('child'):\n"
        "            owners = {l.key: l.owner for l in service.locks()}\n"
        "            print(str(os.getpid()) in owners['child'], len(set(owners.values())))\n"
        "        service.release(before)\n"
        "    else:\n"
        "        os.waitpid(pid, 0)\n"
        "        print(service.is_locked('parent'), lease.lost, before.lost)\n"
        "sys.stdout.flush()\n"
        "if pid == 0: os._exit(0)\n"
        "print(service.is_locked('parent'))\n"
    )

    assert outcome.stdout.splitlines() == [
        "False None False",
        "True 2",
        "True False True",
        "False",
    ], outcome.stderr
    assert service_at(redis_url).locks() == []


def test_glob_characters_are_characters(redis_url: str) -> None:
    """F12: in the prefix and in keys."""
    prefix = "a*[b]?\\"
    service = service_at(redis_url, singleton_beat_key_prefix=prefix)
    near = service_at(redis_url, main="near", singleton_beat_key_prefix="aXb")
    near.acquire("a")
    leases = [service.acquire(key) for key in GLOBS]

    listed = {lock.key for lock in service.locks()}
    released = [service.release(lease) for lease in leases[:2]]
    forced = [service.force_release(key) for key in GLOBS[2:]]

    assert listed == set(GLOBS)
    assert (released, forced) == ([True, True], [True, True])
    assert service.locks() == []
    assert [lock.key for lock in near.locks()] == ["a"]


def test_a_listing_costs_two_commands_however_much_else_there_is(
    own_redis: EmbeddedServer,
) -> None:
    """F11: 1,000 locks among 100,000 other keys."""
    service = service_at(own_redis.url())
    for number in range(1000):
        service.acquire(f"key{number}", ttl=3600)
    service.locks()
    with redis.Redis.from_url(own_redis.url()) as client:
        client.eval("for i = 1, 100000 do redis.call('SET', 'lock:' .. i, i) end", 0)
        client.config_resetstat()

        found = service.locks()
        stats: Any = client.info("commandstats")

    # What scripts call inside is counted too; only these can have come from outside.
    calls = {name.removeprefix("cmdstat_"): about["calls"] for name, about in stats.items()}
    inside = {"time", "hmget", "zrevrangebyscore", "mget", "config|resetstat", "info"}
    assert len(found) == 1000
    assert {name: calls[name] for name in calls.keys() - inside} == {"evalsha": 2}


def test_five_thousand_locks_can_be_listed_at_once(service: LockService) -> None:
    for number in range(5000):
        service.acquire(f"key{number}", ttl=3600)

    assert len(service.locks(limit=5000)) == 5000


def test_a_store_that_is_away_is_told_from_a_free_key() -> None:
    """S1-04, S3-10: never "no" when it does not know."""
    service = service_at("redis://127.0.0.1:1/0")

    assert not service.is_connected()
    for ask in (
        lambda: service.is_locked("key"),
        lambda: service.acquire("key"),
        lambda: service.lock("key").__enter__(),
        service.locks,
        lambda: service.force_release("key"),
    ):
        with pytest.raises(StoreUnavailable):
            ask()


def test_who_is_connected_is_told_so(service: LockService) -> None:
    """S3-10."""
    assert service.is_connected()


def test_tokens_keep_growing_across_a_wiped_store(own_redis: EmbeddedServer) -> None:
    """F10: by the server's clock; the lease is taken back, and nobody is told "no" meanwhile."""
    service = service_at(own_redis.url())
    lease = service.acquire("key")
    assert lease is not None
    token = lease.token
    others = [service.acquire(f"key{number}", ttl=1) for number in range(50)]
    own_redis.restart(wipe=True)

    with pytest.raises(StoreUnavailable, match="came back empty"):
        service.is_locked("key0")
    refused = service.acquire("key0", ttl=1)
    kept = service.renew(lease)

    assert (refused, kept, lease.lost) == (None, True, False)
    assert lease.token > max([token, *(other.token for other in others if other)])
    # To a process that remembers nothing it is a new store, and what it gives away is newer, too.
    found = service_at(own_redis.url()).locks()
    assert [(lock.key, lock.token) for lock in found] == [("key", lease.token)]


def test_in_memory_a_warning_says_whom_it_excludes(caplog: pytest.LogCaptureFixture) -> None:
    """S4-09, S4-10: it does not coordinate machines; said once."""
    service = service_at("memory://")

    with caplog.at_level(logging.WARNING):
        service.acquire("one")
        service.acquire("two")

    (warned,) = [record for record in caplog.records if "memory://" in record.getMessage()]
    assert "nobody in another process or on another machine" in warned.getMessage()


@pytest.mark.parametrize("ttl", [0, -1, 86_401, float("nan"), float("inf"), True, "30", [30]])
def test_a_ttl_that_cannot_be_is_refused(service: LockService, ttl: Any) -> None:
    """C2, F13: zero, negative, and what looks like milliseconds."""
    for ask in (
        lambda: service.acquire("key", ttl=ttl),
        lambda: service.lock("key", ttl=ttl),
        lambda: service.locked("key", ttl=ttl),
    ):
        with pytest.raises(ConfigurationError, match="ttl"):
            ask()
    assert service.locks() == []


def test_a_fraction_and_a_timedelta_are_durations(service: LockService) -> None:
    """C2, F13."""
    service.acquire("long", ttl=timedelta(days=3))
    service.acquire("short", ttl=20.5)

    lived = {lock.key: lock.expires - lock.acquired for lock in service.locks()}

    assert lived == {"long": timedelta(days=3), "short": timedelta(seconds=20.5)}


def test_a_ttl_that_one_late_renewal_would_lose_is_refused_where_it_is_renewed(
    redis_url: str,
) -> None:
    service = service_at(redis_url, singleton_beat_renew_every=5)

    with pytest.raises(ConfigurationError, match=r"ttl \(10\) must be at least three times"):
        service.lock("key", ttl=10)

    assert service.acquire("key", ttl=10) is not None


@pytest.mark.parametrize("key", ["", "  ", None, 7, b"key"])
def test_a_key_that_is_no_text_is_refused(service: LockService, key: Any) -> None:
    for ask in (service.acquire, service.lock, service.is_locked, service.force_release):
        with pytest.raises(ConfigurationError, match="key"):
            ask(key)


def test_a_long_key_is_cut_as_a_tasks_is(service: LockService) -> None:
    """The ends of long keys count, in both places."""
    long = "fetch:" + 300 * "é"

    @service.locked("fetch:{url}")
    def fetch(url: str) -> list[object]:
        return [service.acquire(long), service.is_locked(f"fetch:{url}"), len(service.locks())]

    assert fetch(300 * "é") == [None, True, 1]
    assert not service.is_locked(long)


def test_a_foreign_value_under_the_lock_is_overwritten_or_named(redis_url: str) -> None:
    """F13: it blocks nobody for ever."""
    service = service_at(redis_url)
    keys = Keys("csb:shop")
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.set(keys.lock("text"), "somebody else's")

        locked, lease = service.is_locked("text"), service.acquire("text")
        record = str(client.get(keys.lock("text")))

    assert (locked, lease is not None) == (False, True)
    assert Lock.from_text(record).token == (lease and lease.token)


def test_another_apps_store_is_refused(redis_url: str) -> None:
    service_at(redis_url, singleton_beat_key_prefix="shared").acquire("key")
    other = service_at(redis_url, main="warehouse", singleton_beat_key_prefix="shared")

    with pytest.raises(ForeignStore, match="'shop'"):
        other.is_locked("key")


class Reports:
    """What is decorated below."""

    def __init__(self, service: LockService) -> None:
        self.service = service
        self.seen: list[list[str]] = []

    def body(self, customer: int, *, day: str = "today") -> str:
        """Note what is locked meanwhile."""
        self.seen.append([lock.key for lock in self.service.locks()])
        return f"{customer} {day}"


@pytest.mark.parametrize(
    ("key", "held"),
    [
        ("nightly", "nightly"),
        ("report:{customer}:{day}", "report:7:today"),
        (lambda customer, **_: f"c{customer}", "c7"),
        (["customer"], "test_lock_service.Reports.body:customer=7"),
    ],
)
def test_a_function_holds_its_key_while_it_runs(service: LockService, key: Any, held: str) -> None:
    """S3-08: the key is what a task's can be."""
    reports = Reports(service)
    report = service.locked(key)(reports.body)

    answers = [report(7), report(customer=7)]

    assert answers == ["7 today", "7 today"]
    assert [
        [name.removeprefix("tests.integration.") for name in seen] for seen in reports.seen
    ] == [
        [held],
        [held],
    ]
    assert service.locks() == []


def test_a_call_whose_key_is_held_raises_or_is_skipped_as_asked(service: LockService) -> None:
    calls: list[int] = []
    strict = service.locked("report:{customer}")(_noting(calls))
    lenient = service.locked("report:{customer}", on_locked="skip")(_noting(calls))

    with service.lock("report:7"):
        with pytest.raises(Locked):
            strict(7)
        skipped = lenient(7)
        others = [strict(8), lenient(8)]

    assert (skipped, others, calls) == (None, [8, 8], [8, 8])


def test_what_a_body_raises_is_not_taken_for_a_held_key(service: LockService) -> None:
    @service.locked("outer", on_locked="skip")
    def body() -> None:
        raise Locked("of the body's own")

    with pytest.raises(Locked, match="of the body's own"):
        body()
    assert not service.is_locked("outer")


def test_a_key_that_no_call_can_have_is_refused_at_once(service: LockService) -> None:
    with pytest.raises(ConfigurationError, match="names no argument 'nobody'"):
        service.locked("report:{nobody}")(_noting([]))
    with pytest.raises(ConfigurationError, match="on_locked"):
        service.locked("key", on_locked="retry")  # type: ignore[call-overload]


def test_a_call_that_no_key_can_be_made_for_says_so(service: LockService) -> None:
    strict = service.locked(["customer"])(_noting([]))
    nobody: Any = object()

    with pytest.raises(ConfigurationError, match="does not fit its call: TypeError"):
        strict(nobody)


def test_a_function_that_returns_before_its_body_has_run_is_refused(service: LockService) -> None:
    async def later() -> None:
        pass

    def lazily() -> Iterator[int]:
        yield 1

    for function in (later, lazily):
        with pytest.raises(ConfigurationError, match="returns before its body has run"):
            service.locked("key")(function)


def _noting(calls: list[int]) -> Callable[[int], int]:
    def note(customer: int) -> int:
        calls.append(customer)
        return customer

    return note
