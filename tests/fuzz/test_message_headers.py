"""Whatever a message says of itself: a worker runs it or not, and goes on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery, Task
from celery.worker.request import Request
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from kombu.message import Message

from celery_singleton_beat import SingletonTask
from celery_singleton_beat.adapters.discards import discard_unknown
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.request import SingletonRequest
from celery_singleton_beat.adapters.ticket import FIELD
from celery_singleton_beat.protocol.occurrence import HEADER
from tests.fuzz.test_definitions import anything, scalars

CHECKED = settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
OURS = {
    "entry": "e",
    "scheduled_ms": 1_700_000_000_000,
    "not_after_ms": 4_000_000_000_000,
    "window_ms": 60_000,
    "previous_ms": 1_600_000_000_000,
    "cause": "",
    "awaited": True,
    "revision": 0,
}
names = st.sampled_from((*OURS, "x"))
occurrences = (
    st.builds(lambda name, value: {**OURS, name: value}, names, anything)
    | st.dictionaries(names, anything, max_size=4)
    | anything
)
tickets = anything | st.lists(scalars, max_size=25) | st.just(["board", 1, *[None] * 17])
headers = st.fixed_dictionaries(
    {},
    optional={
        HEADER: occurrences,
        "singleton_lock_tries": anything,
        "singleton_run": anything,
        FIELD: tickets,
        "retries": anything,
        "id": scalars | st.just("i" * 100_000),
        "root_id": anything,
        "group": anything,
        "origin": anything,
        "shadow": anything,
        "stamps": anything,
        "argsrepr": anything,
        "ignore_result": anything,
        "timelimit": anything,
    },
)
properties = st.dictionaries(
    st.sampled_from((FIELD, "reply_to", "correlation_id", "priority", "x")), tickets, max_size=3
)


class Worker:
    """A worker's way with one message, from what came to what is left of it."""

    def __init__(self, url: str) -> None:
        self.app = Celery("hostile", broker="memory://", backend="cache+memory://")
        self.app.conf.update(
            singleton_beat_redis_url=url, singleton_beat_lock_ttl=30, task_acks_late=True
        )
        self.client = redis.Redis.from_url(url)
        self.ran: list[Any] = []
        self.task = self._task("singleton", SingletonTask, lock_key="key:{n}")
        self.plain = self._task("plain", Task)

    def close(self) -> None:
        extension = extension_of(self.app)
        extension.heartbeat.stop()
        extension.own_heartbeat.stop()
        self.client.close()
        self.app.close()

    def _task(self, name: str, base: type[Task], **options: Any) -> Any:
        def body(task: Any, n: int = 0) -> None:
            self.ran.append((name, n, str(getattr(task, "occurrence", None))))

        return self.app.task(body, name=name, base=base, bind=True, **options)

    def meet(self, kind: type[Request], task: Any, given: dict[str, Any], about: Any) -> None:
        """Take a message in hand and execute it here, as a solo pool does."""
        whole = {"lang": "py", "task": task.name, "id": str(uuid.uuid4()), "retries": 0, **given}
        embed: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        make: Any = Message
        message = make(
            body=b"", headers=whole, properties=about, content_type="application/json", channel=None
        )
        request = kind(
            message, app=self.app, task=task, headers=whole, decoded=True, body=((), {}, embed),
            hostname="me",
        )  # fmt: skip
        if isinstance(request, SingletonRequest):
            request.take_in_hand(SimpleNamespace())
        request.acknowledge = lambda: None
        request.execute()
        if isinstance(request, SingletonRequest):
            request.revoked()


@pytest.fixture
def worker(redis_url: str) -> Iterator[Worker]:
    made = Worker(redis_url)
    yield made
    made.close()


def test_no_header_ends_a_worker_that_would_have_run_a_plain_task(worker: Worker) -> None:
    """What Celery bears with, we do too; what is not ours to read is left to Celery."""

    @CHECKED
    @given(headers, properties)
    def check(given: dict[str, Any], about: dict[str, Any]) -> None:
        try:
            worker.meet(Request, worker.plain, given, dict(about))
        except Exception:  # noqa: BLE001  # Celery's own way with it
            assume(False)
        worker.meet(SingletonRequest, worker.task, given, dict(about))

        worker.ran.clear()
        worker.meet(SingletonRequest, worker.task, {}, {})
        assert [name for name, *_ in worker.ran] == ["singleton"]

    check()


def test_no_message_of_an_unknown_task_ends_a_worker(worker: Worker) -> None:
    """Their runs are closed by what their headers say, whatever that is."""
    sender = SimpleNamespace(app=worker.app, hostname="me")

    @CHECKED
    @given(headers)
    def check(given: dict[str, Any]) -> None:
        discard_unknown(sender, SimpleNamespace(headers={"id": "x", **given}))

    check()


@pytest.mark.parametrize(
    "given",
    [
        {HEADER: {**OURS, "scheduled_ms": 1 << 51}},
        {HEADER: {**OURS, "previous_ms": -(1 << 51)}},
        {HEADER: {**OURS, "entry": "e" * 100_000}},
        {HEADER: {**OURS, "window_ms": 10**300}},
        {HEADER: ["entry"]},
        {"retries": "three"},
        {"retries": -5},
        {"retries": 10**400},
        {"retries": {}},
        {"id": "i" * 100_000},
        {"singleton_lock_tries": "many"},
        {"singleton_run": None},
        {"singleton_run": {"attempt": 1}},
        {"is_eager": True},
        {"called_directly": True},
        {FIELD: ["board", 0]},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_message_runs_though_it_says_nonsense_of_itself(
    worker: Worker, given: dict[str, Any]
) -> None:
    """It is a run like any other, of no occurrence where that cannot be read; its task sees it."""
    worker.meet(SingletonRequest, worker.task, given, {})

    assert [name for name, *_ in worker.ran] == ["singleton"]
    assert "started" in [fact.kind for fact in extension_of(worker.app).store.history(10)]
    assert max(map(len, worker.client.keys("*"))) < 1000


@pytest.mark.parametrize("kind", [SingletonRequest, Request])
def test_a_ticket_from_elsewhere_is_not_taken_for_this_process_own(
    worker: Worker, kind: type[Request]
) -> None:
    """A message cannot bring a lease along, nor the name of somebody's holder."""
    forged = ["another board", 0, "run", "holder", "another's key", 30_000]

    worker.meet(kind, worker.task, {FIELD: forged}, {FIELD: forged})

    store = extension_of(worker.app).store
    (key,) = (fact.note for fact in store.history(10) if fact.kind == "started")
    assert key == "key:0"
