"""The test machinery itself: each piece does what the tests that stand on it believe."""

from __future__ import annotations

import os
import pathlib
import re
import select
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
import redis
from celery import Celery

from celery_singleton_beat.demo.server import BINARY_VARIABLE, HOST, find_server_binary
from tests.rig.processes import Processes
from tests.rig.proxy import TO_CLIENT, TO_SERVER, FaultProxy
from tests.rig.witness import Tally, Witness, key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.processes import CeleryRig, Proc
    from tests.rig.skew import ClockSkew

HOUR_MS = 3_600_000
LONG_MS = 3000  # beyond the patience of a client here, also of one that was held up itself
ENOUGH = 20.0

# Prints the wall clock and the length of a timed wait whenever a line comes in on a FIFO.
TELL_TIME = """
import sys, threading, time
for line in open(sys.argv[1]):
    began = time.monotonic()
    threading.Lock().acquire() and threading.Event().wait(0.05)
    print("wall", int(time.time() * 1000), time.time_ns() // 10**6, "waited",
          int(1000 * (time.monotonic() - began)), flush=True)
"""
START_SERVER = """
import threading
from celery_singleton_beat.demo.server import EmbeddedServer
with EmbeddedServer() as server:
    print("server", server.pid, flush=True)
    threading.Event().wait()
"""
START_FAMILY = """
import subprocess, sys, threading
wait = [sys.executable, "-c", "import threading; threading.Event().wait()"]
same, other = (subprocess.Popen(wait, start_new_session=apart) for apart in (False, True))
print("pids", same.pid, other.pid, flush=True)
threading.Event().wait()
"""
COUNT = "import itertools\nfor n in itertools.count(): print('n', n, flush=True)"


def client(url: str, timeout_seconds: float = 1.0) -> redis.Redis:
    """A client that does not retry: what the network did is what the test sees."""
    return redis.Redis.from_url(url, socket_timeout=timeout_seconds, retry=None)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def hours_ahead(wall_ms: int) -> int:
    """The skew in whole hours: what a busy machine cannot blur."""
    return round((wall_ms - now_ms()) / HOUR_MS)


# --- servers ------------------------------------------------------------------------------


def test_the_server_that_answers_is_the_one_that_was_started(own_redis: EmbeddedServer) -> None:
    facts = client(own_redis.url()).info("server")

    assert facts["process_id"] == own_redis.pid
    assert facts["tcp_port"] == own_redis.port


def test_a_port_that_is_taken_is_refused_with_the_servers_own_words(
    own_redis: EmbeddedServer, make_redis: Callable[..., EmbeddedServer]
) -> None:
    other = make_redis()
    other.kill()

    with pytest.raises(RuntimeError, match="Address already in use"):
        other.start(port=own_redis.port)


def test_a_restart_keeps_the_port_and_the_data_and_a_wipe_keeps_the_port_alone(
    own_redis: EmbeddedServer,
) -> None:
    port, store = own_redis.port, client(own_redis.url())
    store.set("kept", 1)

    own_redis.restart(wipe=False)
    after_restart = store.get("kept")
    own_redis.restart(wipe=True)
    after_wipe = store.get("kept")

    assert (after_restart, after_wipe, own_redis.port) == (b"1", None, port)


def test_acknowledged_writes_survive_a_kill_only_with_persistence(
    make_redis: Callable[..., EmbeddedServer],
) -> None:
    keeping, forgetting = make_redis(appendonly=True), make_redis(appendonly=False)
    for server in (keeping, forgetting):
        client(server.url()).set("written", 1)

    for server in (keeping, forgetting):
        server.kill()
        server.restart()

    assert client(keeping.url()).get("written") == b"1"
    assert client(forgetting.url()).get("written") is None


def test_a_frozen_or_paused_server_answers_nobody_and_then_everybody(
    own_redis: EmbeddedServer,
) -> None:
    store = client(own_redis.url())

    own_redis.freeze()
    with pytest.raises(redis.TimeoutError):
        store.ping()
    own_redis.thaw()
    own_redis.pause_clients(LONG_MS)
    with pytest.raises(redis.TimeoutError):
        store.ping()

    assert client(own_redis.url(), timeout_seconds=ENOUGH).ping()


def test_each_test_gets_an_empty_database(redis_url: str) -> None:
    store = client(redis_url)

    assert store.dbsize() == 0


def test_a_binary_that_is_not_there_is_named_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(BINARY_VARIABLE, "/nowhere/redis-server")

    with pytest.raises(FileNotFoundError, match=f"{BINARY_VARIABLE}.*nowhere"):
        find_server_binary()


def test_a_server_dies_with_the_process_that_started_it(
    processes: Processes, tmp_path: pathlib.Path
) -> None:
    parent = processes.start(
        [
            sys.executable,
            "-c",
            START_SERVER,
        ],
        env={"TMPDIR": str(tmp_path)},  # the killed one cannot clean up
    )
    server_pid = int(parent.wait_for("server", ENOUGH).split()[1])
    server = os.pidfd_open(server_pid)

    os.kill(parent.pid, signal.SIGKILL)

    assert ended(server)


def ended(handle: int) -> bool:
    """Whether the process of that handle ends, waited for."""
    try:
        return bool(select.select([handle], [], [], ENOUGH)[0])
    finally:
        os.close(handle)


def test_rabbitmq_carries_a_message(rabbitmq: str) -> None:
    with Celery(broker=rabbitmq).connection() as connection, connection.SimpleQueue("rig") as queue:
        queue.put("hello")

        message = queue.get(timeout=ENOUGH)
        message.ack()

    assert message.payload == "hello"


# --- processes ----------------------------------------------------------------------------


def test_a_frozen_process_stands_still_and_a_thawed_one_goes_on(processes: Processes) -> None:
    counting = processes.start([sys.executable, "-c", COUNT])
    counting.wait_for("n 10$", ENOUGH)

    counting.freeze()
    states = state(counting)
    counting.thaw()
    counting.wait_for("n", ENOUGH, since=len(counting.lines) + 1)

    assert states == "T"
    assert state(counting) != "T"


def state(proc: Proc) -> str:
    stat = pathlib.Path("/proc", str(proc.pid), "stat").read_text()
    return stat.rpartition(")")[2].split()[0]


def test_waiting_for_a_line_of_a_process_that_ends_says_what_it_printed(
    processes: Processes,
) -> None:
    brief = processes.start([sys.executable, "-c", "print('last words'); raise SystemExit(3)"])

    with pytest.raises(RuntimeError, match=r"ended \(3\)(.|\n)*last words"):
        brief.wait_for("never printed", ENOUGH)


def test_a_kill_takes_the_group_and_a_close_takes_those_who_left_it() -> None:
    started = Processes()
    family = started.start(
        [
            sys.executable,
            "-c",
            START_FAMILY,
        ]
    )
    pids = [int(pid) for pid in family.wait_for("pids", ENOUGH).split()[1:]]
    in_group, stray = (os.pidfd_open(pid) for pid in pids)

    family.kill()
    started.close()

    assert family.returncode == -signal.SIGKILL
    assert ended(in_group)
    assert ended(stray)


# --- Celery, seen by the witness ----------------------------------------------------------


def test_a_beat_and_a_worker_run_and_the_witness_sees_it(
    make_celery: Callable[..., CeleryRig], witness: Witness, redis_url: str
) -> None:
    rig = make_celery("tests.rig.app", {"RIG_BROKER": redis_url})
    rig.worker()

    rig.beat()
    tally = witness.wait_until(lambda tally: tally.ended("beat") >= 1, ENOUGH)

    assert tally.started("beat") >= 1


def test_a_beat_with_a_skewed_clock_runs_ahead_of_its_worker(
    make_celery: Callable[..., CeleryRig],
    make_skew: Callable[[int], ClockSkew],
    witness: Witness,
    redis_url: str,
) -> None:
    rig = make_celery("tests.rig.app", {"RIG_BROKER": redis_url})
    skewed = rig.worker(skew=make_skew(5 * HOUR_MS))

    rig.beat()
    witness.wait_until(lambda tally: tally.ended("beat") >= 1, ENOUGH)

    walls = [fact["wall_ms"] for fact in witness.facts() if fact["kind"] == "begin"]
    assert hours_ahead(walls[0]) == 5
    assert skewed.running


def test_a_killed_worker_leaves_nobody_and_its_body_is_known_dead(
    make_celery: Callable[..., CeleryRig], witness: Witness, redis_url: str
) -> None:
    rig = make_celery("tests.rig.app", {"RIG_BROKER": redis_url})
    worker = rig.worker()
    Celery(broker=redis_url).send_task("rig.hang", ("hung",))
    witness.wait_until(lambda tally: tally.started("hung") == 1, ENOUGH)

    members = worker.group()
    worker.kill()

    assert len(members) > 1  # the pool's child, which ran the body, is one of them
    assert worker.group() == []
    assert [body.cut_short for body in witness.tally().bodies["hung"]] == [True]
    assert witness.tally().unfinished() == []


# --- clocks -------------------------------------------------------------------------------


def test_a_skewed_python_process_is_wrong_about_the_date_and_right_about_durations(
    processes: Processes, make_skew: Callable[[int], ClockSkew], tmp_path: pathlib.Path
) -> None:
    asking = tmp_path / "asking"
    os.mkfifo(asking)
    skew = make_skew(3 * HOUR_MS)
    proc = processes.start([sys.executable, "-c", TELL_TIME, str(asking)], skew=skew)

    with asking.open("w") as ask:
        answers = []
        for shift_ms in (3 * HOUR_MS, -2 * HOUR_MS):
            skew.set_ms(shift_ms)
            heard = len(proc.lines)
            print("now", file=ask, flush=True)
            answers.append(proc.wait_for("wall", ENOUGH, since=heard))

    facts = [re.findall(r"\d+", answer) for answer in answers]
    assert [[hours_ahead(int(wall)) for wall in fact[:2]] for fact in facts] == [[3, 3], [-2, -2]]
    assert all(int(fact[2]) < 1000 * ENOUGH for fact in facts)


def test_a_skewed_server_steps_its_time_while_it_runs(
    make_redis: Callable[..., EmbeddedServer], make_skew: Callable[[int], ClockSkew]
) -> None:
    skew = make_skew(2 * HOUR_MS)
    store = client(make_redis(env=skew.env).url())

    before = hours_ahead(store.time()[0] * 1000)
    skew.step_ms(-3 * HOUR_MS)
    after = hours_ahead(int(store.eval("return redis.call('TIME')[1]", 0)) * 1000)

    assert (before, after, skew.shift_ms) == (2, -1, -HOUR_MS)


# --- the network --------------------------------------------------------------------------


@pytest.fixture
def lossy(own_redis: EmbeddedServer, make_proxy: Callable[[int], FaultProxy]) -> FaultProxy:
    return make_proxy(own_redis.port)


def test_a_lost_reply_leaves_the_write_done(own_redis: EmbeddedServer, lossy: FaultProxy) -> None:
    store = client(lossy.url())
    store.ping()

    lossy.blackhole(TO_CLIENT)
    with pytest.raises(redis.TimeoutError):
        store.incr("written")
    lossy.wait_until(lambda proxy: proxy.swallowed[TO_CLIENT] > 0)

    assert client(own_redis.url()).get("written") == b"1"
    lossy.heal()
    assert store.get("written") == b"1"


def test_a_lost_request_leaves_the_write_undone(
    own_redis: EmbeddedServer, lossy: FaultProxy
) -> None:
    store = client(lossy.url())
    store.ping()

    lossy.blackhole(TO_SERVER)
    with pytest.raises(redis.TimeoutError):
        store.incr("written")
    lossy.heal()

    assert client(own_redis.url()).get("written") is None


def test_a_held_request_arrives_late(own_redis: EmbeddedServer, lossy: FaultProxy) -> None:
    store = client(lossy.url(), timeout_seconds=ENOUGH)
    store.ping()
    lossy.hold(TO_SERVER)
    late = threading.Thread(target=store.incr, args=("written",))
    late.start()

    lossy.wait_until(lambda proxy: proxy.held[TO_SERVER] > 0)
    meanwhile = client(own_redis.url()).get("written")
    lossy.heal()
    late.join(ENOUGH)

    assert (meanwhile, client(own_redis.url()).get("written")) == (None, b"1")


def test_a_torn_reply_breaks_the_connection_after_the_write(
    own_redis: EmbeddedServer, lossy: FaultProxy
) -> None:
    store = client(lossy.url())
    store.ping()

    lossy.tear_reply(after_bytes=1)
    with pytest.raises(redis.ConnectionError):
        store.incr("written")

    assert (client(own_redis.url()).get("written"), lossy.torn) == (b"1", 1)
    assert store.ping()


def test_a_refusing_network_resets_and_refuses_until_it_is_healed(lossy: FaultProxy) -> None:
    store = client(lossy.url())
    store.ping()

    lossy.refuse()
    for _ in range(2):  # the open connection, then a new one
        with pytest.raises(redis.ConnectionError):
            store.ping()
    lossy.heal()

    assert store.ping()


def test_a_reset_breaks_open_connections_and_new_ones_work(lossy: FaultProxy) -> None:
    # A plain socket: a driver's pool would notice the broken connection and open another.
    with socket.create_connection((HOST, lossy.port), timeout=ENOUGH) as connection:
        lossy.wait_until(lambda proxy: proxy.connections == 1)

        lossy.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)

    assert client(lossy.url()).ping()


def test_latency_outlasts_a_short_timeout(lossy: FaultProxy) -> None:
    store = client(lossy.url())
    store.ping()

    lossy.latency(LONG_MS)
    with pytest.raises(redis.TimeoutError):
        store.ping()
    lossy.heal()

    assert store.ping()


# --- the witness --------------------------------------------------------------------------

KEY = key_of("tick", 1_000)


def begin(body: str, at_ns: int, pid: int = 1, key: str = KEY) -> dict[str, object]:
    return {"kind": "begin", "key": key, "body": body, "at_ns": at_ns, "pid": pid, "born": 7}


def end(
    body: str, at_ns: int, pid: int = 1, outcome: str = "succeeded", key: str = KEY
) -> dict[str, object]:
    fact = begin(body, at_ns, pid, key)
    return {**fact, "kind": "end", "outcome": outcome}


def died(pid: int, at_ns: int) -> dict[str, object]:
    who = {"dead_pid": pid, "dead_born": 7, "died_ns": at_ns}
    return {"kind": "died", "at_ns": at_ns + 5, "pid": 99, "born": 7, **who}


def test_one_body_is_one_execution() -> None:
    tally = Tally([begin("a", 10), end("a", 20)])

    ledger = tally.ledger(due=[KEY])

    expected = {"due": 1, "begun": 1, "executed": 1, "rerun": 0, "duplicates": 0}
    assert ledger == expected | {"lost": 0, "unexpected": 0}


def test_two_bodies_that_ended_are_a_duplicate_even_one_after_the_other() -> None:
    tally = Tally([begin("a", 10), end("a", 20), begin("b", 30, 2), end("b", 40, 2)])

    assert (tally.duplicates(), tally.overlapping(KEY), tally.ended(KEY)) == ({KEY}, 0, 2)


def test_two_bodies_alive_at_once_are_a_duplicate_even_if_one_never_ends() -> None:
    overlapped = Tally([begin("a", 10), begin("b", 15, 2), end("b", 30, 2), died(1, 20)])
    alive = Tally([begin("a", 10), begin("b", 1_000, 2), end("b", 1_001, 2)])

    assert (overlapped.duplicates(), overlapped.overlapping(KEY)) == ({KEY}, 1)
    assert (alive.duplicates(), len(alive.unfinished())) == ({KEY}, 1)


def test_a_restart_after_a_killed_attempt_is_a_rerun_and_no_duplicate() -> None:
    tally = Tally([begin("a", 10), died(1, 20), begin("b", 30, 2), end("b", 40, 2)])

    assert (tally.reruns(), tally.duplicates(), tally.lost([KEY])) == (1, set(), set())


def test_an_attempt_that_asks_for_a_retry_has_not_ended_the_run() -> None:
    retried = end("a", 20, outcome="retried")

    tally = Tally([begin("a", 10), retried, begin("b", 30), end("b", 40)])

    assert (tally.ended(KEY), tally.duplicates(), tally.reruns()) == (1, set(), 0)


def test_a_process_that_bears_a_dead_ones_number_is_another() -> None:
    reborn = {**begin("b", 30), "born": 8}

    tally = Tally([begin("a", 10), died(1, 20), reborn])

    assert [body.died_ns for body in tally.bodies[KEY]] == [20, None]


def test_what_is_due_is_lost_unless_it_ended_or_was_superseded() -> None:
    due = [key_of("tick", moment) for moment in (1_000, 2_000, 3_000, 4_000)]
    skipped = {"kind": "superseded", "key": due[1], "by": due[2], "at_ns": 1, "pid": 1, "born": 7}

    tally = Tally([begin("a", 10), end("a", 20), begin("c", 30, key=due[2]), skipped])

    assert tally.lost(due) == {due[2], due[3]}
    assert tally.unexpected(due[:2]) == {due[2]}


def test_facts_of_other_processes_wake_the_reader(witness: Witness, processes: Processes) -> None:
    writing = "from tests.rig.witness import body\nwith body('k'): print('inside')"
    processes.start([sys.executable, "-c", writing])

    tally = witness.wait_until(lambda tally: tally.ended("k") == 1, ENOUGH)

    assert (tally.started("k"), tally.duplicates(), tally.unfinished()) == (1, set(), [])


@pytest.mark.parametrize(("told", "duplicates", "cut_off"), [([], set(), 1), (["over"], {"x"}, 0)])
def test_a_body_that_was_killed_before_its_end_was_known_is_no_second_one(
    told: list[str], duplicates: set[str], cut_off: int
) -> None:
    process, other = {"pid": 1, "born": 1}, {"pid": 2, "born": 2}

    def fact(kind: str, at_ns: int, of: dict[str, int], **more: object) -> dict[str, object]:
        return {"kind": kind, "at_ns": at_ns, "key": "x", "outcome": "succeeded", **of, **more}

    first = {"body": "first", "is_tracked": True}
    facts = [
        fact("begin", 1, process, **first),
        fact("end", 2, process, **first),
        *(fact(kind, 3, process, **first) for kind in told),
        {"kind": "died", "at_ns": 4, "dead_pid": 1, "dead_born": 1, "died_ns": 4},
        fact("begin", 5, other, body="second", is_tracked=True),
        fact("end", 6, other, body="second"),
        fact("over", 7, other, body="second"),
    ]

    tally = Tally(facts)

    assert tally.duplicates() == duplicates
    assert (tally.cut_off(), tally.reruns()) == (cut_off, cut_off)
    assert Tally(facts[: 2 + len(told)] + facts[-4:-3]).lost({"x"}) == set()
