"""The application of the worker tests: tasks that play what the test wrote for them.

A task's body is a list of steps, given in its message: wait at a gate, hold the
interpreter lock, retry, fail, tell what it knows of itself. The witness sees it
begin and end, under the key that the test chose; that key is in the lock key too.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import select
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery import Celery, Task, signals
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from kombu.transport.redis import Channel, QoS

from celery_singleton_beat import LeaseLost, SingletonTask
from celery_singleton_beat.adapters.ticket import FIELD
from tests.rig import witness

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "SHOP_CONF"
GIVE_UP_SECONDS = 60.0

given: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
app = Celery(given.pop("main", "shop"), task_cls=given.pop("task_cls", Task))
app.conf.update(given)

if not hasattr(Channel, "unacked_restore_throttle"):
    # kombu before 5.7 looks for what nobody acknowledged every hundred seconds, whatever it is
    # told; so it does every ten.
    QoS.restore_visible.__defaults__ = (0, 10, 1)


def fact(kind: str, **facts: object) -> None:
    """Tell the witness something beside beginnings and ends."""
    witness.record(os.environ[witness.VARIABLE], kind=kind, **facts)


def play(task: Any, key: str, steps: list[Any], **details: object) -> dict[str, Any]:
    """Do the steps of a body that the witness sees."""
    request, lease = task.request, getattr(task, "lease", None)
    token = lease.token if lease else None
    told = {"run": request.id, "retries": request.retries, "token": token, **details}
    with witness.body(key, **told):
        for verb, argument in steps:
            STEPS[verb](task, key, argument)
    return told


def at_gate(_task: Any, _key: str, gate: str) -> None:
    """Wait until the test lets one through."""
    path = pathlib.Path(os.environ[witness.VARIABLE], f"gate-{gate}")
    opening = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            select.select([opening], [], [])  # gevent makes a greenlet's own wait of it
            with contextlib.suppress(BlockingIOError):
                os.read(opening, 1)
                return
    finally:
        os.close(opening)


def at_gate_whatever_comes(task: Any, key: str, gate: str) -> None:
    """Wait at a gate, also when the process is asked to end."""
    while True:
        with contextlib.suppress(SystemExit):
            return at_gate(task, key, gate)


def at_gate_unless_warned(task: Any, key: str, gate: str) -> None:
    """Wait at a gate; of a soft time limit, tell and go on."""
    try:
        fact("waits", key=key)
        at_gate(task, key, gate)
    except SoftTimeLimitExceeded:
        fact("warned", key=key)


def hold_the_interpreter(_task: Any, key: str, gate: str) -> None:
    """Wait at a gate in a C call that keeps the interpreter lock.

    Tells how far a thread beside it got meanwhile.
    """
    ticks, over = [0], threading.Event()

    def tick() -> None:
        while not over.wait(0.01):
            ticks[0] += 1

    path = pathlib.Path(os.environ[witness.VARIABLE], f"gate-{gate}")
    threading.Thread(target=tick).start()
    # PyDLL, unlike CDLL, does not let go of the lock.
    read, buffer = ctypes.PyDLL(None).read, ctypes.create_string_buffer(1)
    with path.open("rb", buffering=0) as opening:
        before = ticks[0]
        read(opening.fileno(), buffer, 1)
        passed = ticks[0] - before
    over.set()
    fact("held", key=key, ticks=passed)


def wait_until_lost(task: Any, key: str, _: None) -> None:
    """Wait until the lease says that it is lost; tell whether ``check`` says so too."""
    over, limit = threading.Event(), time.monotonic() + GIVE_UP_SECONDS
    fact("trusts", key=key, lost=task.lease.lost)
    while not task.lease.lost and time.monotonic() < limit:
        over.wait(0.02)
    try:
        task.lease.check()
    except LeaseLost as error:
        fact("lost", key=key, text=str(error))


def tell_itself(task: Any, key: str, _: None) -> None:
    """Tell what the run knows of its occurrence and its lease."""
    about, lease = task.occurrence, task.lease
    occurrence = about and {
        "entry": about.entry,
        "cause": about.cause,
        "scheduled_at": about.scheduled_at.isoformat(),
        "previous_at": about.previous_at and about.previous_at.isoformat(),
    }
    headers = sorted(task.request.headers or {})
    on_board = bool((task.request.properties or {}).get(FIELD))
    told = {"lease": lease and lease.key, "headers": headers, "on_board": on_board}
    trust = {"token": lease and lease.token, "lost": lease and lease.lost}
    fact("self", key=key, occurrence=occurrence, **told, **trust)


def retry_until(task: Any, _key: str, retries: int) -> None:
    """Retry, in 0.3 s, unless this is already that attempt."""
    if task.request.retries < retries:
        raise task.retry(countdown=0.3)


def retry_and_go_on(task: Any, _key: str, seconds: float | None) -> None:
    """Ask for one retry, in so many seconds, without leaving the body."""
    if task.request.retries == 0:
        task.retry(countdown=seconds or 0.3, throw=False)


def retry_in(task: Any, _key: str, seconds: float) -> None:
    """Retry once, in so many seconds."""
    if task.request.retries == 0:
        raise task.retry(countdown=seconds)


def stumble_until(task: Any, _key: str, retries: int) -> None:
    """Raise what ``autoretry_for`` names, unless this is already that attempt."""
    if task.request.retries < retries:
        raise ConnectionError("try me again")


def give_back_once(task: Any, _key: str, _: None) -> None:
    """Reject the message, to be queued again, when it comes the first time."""
    if not task.request.delivery_info.get("redelivered"):
        raise Reject("not now", requeue=True)


def fail(_task: Any, _key: str, text: str) -> None:
    """Fail."""
    raise ValueError(text)


def ignore(_task: Any, _key: str, _: None) -> None:
    """End without a result."""
    raise Ignore


STEPS: dict[str, Callable[[Any, str, Any], None]] = {
    "gate": at_gate,
    "stubborn gate": at_gate_whatever_comes,
    "patient gate": at_gate_unless_warned,
    "holding gate": hold_the_interpreter,
    "until lost": wait_until_lost,
    "tell": tell_itself,
    "retry": retry_until,
    "retry and go on": retry_and_go_on,
    "retry in": retry_in,
    "stumble": stumble_until,
    "give back": give_back_once,
    "fail": fail,
    "ignore": ignore,
}


@signals.task_prerun.connect
def stumble_before(args: Any = (), **_: Any) -> None:
    """Be a receiver of somebody's that fails for one key."""
    if args and args[0] == "tripped":
        fact("tripped", key=args[0])
        raise RuntimeError("a receiver failed")


class Careless(SingletonTask):
    """A base of the user's that overrides a hook and calls no super()."""

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Tell, and nothing else."""
        del task_id, kwargs
        fact("user's before_start", key=args[0], holds=self.lease is not None)


def task(name: str, **options: Any) -> Any:
    """A task that plays its message, with a lock key of its own for every key of a test."""
    options = {"base": SingletonTask, "lock_key": f"{name}:{{key}}", **options}

    @app.task(name=f"shop.{name}", bind=True, **options)
    def body(self: Any, key: str, steps: list[Any] = []) -> dict[str, Any]:  # noqa: B006
        return play(self, key, steps)

    return body


late = {"acks_late": True, "reject_on_worker_lost": True}
task("early")
task("late", **late)
task("again", on_locked="retry", lock_retry_delay=0.3)
task("again_twice", on_locked="retry", lock_retry_delay=0.3, lock_retries=2)
task("again_late", on_locked="retry", lock_retry_delay=0.3, **late)
task("strict", on_locked="raise")
task("rerun", on_crash="rerun", max_attempts=2)
task("rerun_late", on_crash="rerun", **late)
task("yearly", once_per=timedelta(days=365))
task("each_second", once_per=1)
task("lingering", lock_at_least=3600)
task("kept_through", lock_through_retries=True)
task("open", on_store_outage="run")
task("forgoing", on_store_outage="skip")
task("stopped", on_lease_lost="stop")
task("careless", base=Careless)
task("stumbling", autoretry_for=(ConnectionError,), retry_backoff=False, default_retry_delay=0.2)


@app.task(name="shop.keyless", bind=True, base=SingletonTask)
def keyless(self: Any, key: str, steps: list[Any] = []) -> dict[str, Any]:  # noqa: B006
    """The task whose lock key is its own name."""
    return play(self, key, steps)


@app.task(name="shop.counted", base=SingletonTask, lock_key="counted:{number}")
def counted(number: int) -> None:
    """Be counted in the broker's server: the witness is too slow for thousands."""
    with app.pool.acquire(block=True) as connection:
        connection.default_channel.client.rpush("counted", number)


@app.task(name="shop.gather", bind=True)
def gather(self: Any, results: Any, key: str) -> Any:
    """The body of a chord, or the next of a chain: tell what came in."""
    with witness.body(key, run=self.request.id):
        return results


@app.task(name="shop.pass_gate")
def pass_gate(gate: str) -> str:
    """What ``celery.map`` calls: wait at a gate."""
    with witness.body(f"passes {gate}"):
        at_gate(None, "", gate)
    return gate


@app.task(name="shop.by_class", bind=True)
def by_class(self: Any, key: str, steps: list[Any] = []) -> dict[str, Any]:  # noqa: B006
    """The task that is a singleton only if the application's task class is."""
    return play(self, key, steps)


def made_key(value: Any, **_: Any) -> Any:
    """A key maker of the user's that some values upset."""
    if value == "unlucky":
        raise LookupError("no such customer")
    return None if value == "nothing" else f"made:{value}"


def valued(name: str, lock_key: Any, **options: Any) -> None:
    """A task that plays its message; its lock key is of a value beside the test's key."""

    @app.task(name=f"shop.{name}", bind=True, base=SingletonTask, lock_key=lock_key, **options)
    def body(self: Any, value: Any, key: str, steps: list[Any] = []) -> dict[str, Any]:  # noqa: B006
        del value
        return play(self, key, steps)


valued("filled", "filled:{value}")
valued("monthly", "monthly:{value:%Y-%m}")
valued("named", ["value"])
valued("made", made_key)
valued("opted_out", "opted_out:{value}", singleton=False)
valued("opted_out_unread", "opted_out:{nobody}", singleton=False)
