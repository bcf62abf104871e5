"""A campaign: calls at an even pace through a storm of faults, and what comes of them."""

from __future__ import annotations

import contextlib
import json
import pathlib
import random
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import redis
from kombu.exceptions import OperationalError

from celery_singleton_beat.demo.server import HOST
from tests.acceptance import campaign_losses, campaign_resource
from tests.acceptance.campaign_app import OURS, TASK, VARIABLE, make_app
from tests.acceptance.campaign_faults import BROKER, STORE
from tests.acceptance.campaign_ledger import Ledger
from tests.acceptance.campaign_storm import Storm
from tests.acceptance.deployment import CONF
from tests.rig.processes import CeleryRig, Processes
from tests.rig.proxy import FaultProxy
from tests.rig.witness import Witness, clock_ns, record

if TYPE_CHECKING:
    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.acceptance.campaign_faults import Server

WORKERS = 3
TTL_S: float = CONF["singleton_beat_lock_ttl"]
BACKLOG = 100
# Longer than a visibility timeout, a lease and a worker's start, one after the other.
SILENCE_S = 20.0
# Longer than a message is neither in a queue nor noted as unacknowledged.
PAUSE_S = 3.0
DRAINED_WITHIN_S = 180.0
AMQP_PORT = 5672
# A message counts as sent when the broker has it on record.
CONFIRMED = {"broker_transport_options": {"confirm_publish": True}}


@dataclass
class Plan:
    """How much of what."""

    runs: int
    keys: int
    seconds: float
    fault_every_s: float
    side: str = OURS
    seed: int = 0


@dataclass
class Outcome:
    """What came of it."""

    ledger: Ledger
    turned_away: int
    restarts_to_drain: int
    faults: list[str] = field(default_factory=list)

    def rows(self) -> dict[str, object]:
        away = {"turned away when called": self.turned_away}
        return {
            **away,
            **self.ledger.rows(),
            "all workers renewed to drain": self.restarts_to_drain,
        }


class Campaign:
    """Calls at an even pace while the storm lasts; then the queue is drained."""

    def __init__(self, plan: Plan, storm: Storm, witness: Witness, app: Any) -> None:
        self._plan, self._storm, self._witness = plan, storm, witness
        self._task, self._broker_url = app.tasks[TASK], app.conf.broker_url
        self._chance = random.Random(plan.seed + 1)
        self._begun = time.monotonic()
        self._seen = 0
        self._again: list[tuple[str, str, int]] = []
        self.sent: set[str] = set()
        self.turned_away = 0
        self.done: set[str] = set()
        self.restarts_to_drain = 0

    def conduct(self) -> None:
        """Call all that is planned, through the storm; then wait until the queue is drained."""
        while self._called < self._plan.runs or self._again:
            self._storm.tick()
            self._call_what_is_due()
            self._hear(min(max(self._storm.until_next_s, 0.001), 0.05))
        self._storm.end()
        self._drain()

    def _drain(self) -> None:
        """Wait until all is done, or until what is missing is in no queue and in no worker."""
        deadline = time.monotonic() + DRAINED_WITHIN_S
        while not self.sent <= self.done and time.monotonic() < deadline:
            if self._hears_news(PAUSE_S):
                continue
            if not self._is_anything_left():
                return
            if self._hears_news(SILENCE_S):
                continue
            if self.restarts_to_drain:
                return
            self.restarts_to_drain += 1
            self._storm.renew_workers()

    def _is_anything_left(self) -> bool:
        """Whether a message waits, or is with a worker and not acknowledged; if nobody knows: yes.

        RabbitMQ does not tell of those that are with workers.
        """
        if not self._broker_url.startswith("redis:"):
            return True
        with redis.Redis.from_url(self._broker_url) as broker:
            return bool(broker.llen("celery") or broker.hlen("unacked"))

    @property
    def _called(self) -> int:
        return len(self.sent) + self.turned_away + len(self._again)

    def _call_what_is_due(self) -> None:
        if not self._storm.is_broker_up:
            return
        calls, self._again = self._again, []
        elapsed_s = time.monotonic() - self._begun
        due = min(self._plan.runs, int(self._plan.runs * elapsed_s / self._plan.seconds))
        room = BACKLOG - len(self.sent - self.done) if self._plan.side == OURS else BACKLOG
        calls += [self._draw() for _ in range(min(due - self._called - len(calls), room))]
        for call in calls:
            try:
                self._call(*call)
            except (OSError, OperationalError, redis.RedisError):
                self._again.append(call)

    def _draw(self) -> tuple[str, str, int]:
        """A run: its id, its lock key, and how long it lasts; some keys are dear to many."""
        chance = self._chance
        number = chance.randrange(5 if chance.random() < 0.1 else self._plan.keys)
        lasts_ms = (
            chance.randrange(300, 4500) if chance.random() < 0.03 else chance.randrange(1, 40)
        )
        return str(uuid.UUID(int=chance.getrandbits(128))), f"key-{number:02}", lasts_ms

    def _call(self, run: str, key: str, lasts_ms: int) -> None:
        answer = self._task.apply_async((key, lasts_ms), task_id=run, retry=False)
        if answer.id == run:
            record(self._witness.directory, kind="sent", run=run)
            self.sent.add(run)
        else:
            self.turned_away += 1

    def _hears_news(self, within_s: float) -> bool:
        """Whether there is a fact within that time; a call of the bell may be for one known."""
        heard, deadline = self._seen, time.monotonic() + within_s
        while self._seen == heard and (left_s := deadline - time.monotonic()) > 0:
            self._hear(left_s)
        return self._seen > heard

    def _hear(self, within_s: float) -> None:
        self._witness.hear(within_s)
        facts = self._witness.facts()
        for fact in facts[self._seen :]:
            if fact["kind"] == "end" and fact["outcome"] == "succeeded":
                self.done.add(fact["key"])
        self._seen = len(facts)


class DistantBroker:
    """A broker that stays up, at the end of a line that can be lost. For AMQP."""

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        self._line = FaultProxy(at.port or AMQP_PORT, at.hostname or HOST)
        self._url = url.replace(f":{at.port}", f":{self._line.port}")

    def url(self) -> str:
        """The broker's, through the line."""
        return self._url

    def kill(self) -> None:
        self._line.refuse()

    def restart(self) -> None:
        """Break every connection; new ones are served."""
        self._line.reset()
        self._line.heal()

    def close(self) -> None:
        self._line.close()


def carry_out(plan: Plan, broker: EmbeddedServer | DistantBroker, store: EmbeddedServer) -> Outcome:
    """A campaign with workers and a witness of its own, on servers that nobody else needs."""
    conf = CONF | CONFIRMED if _is_amqp(broker) else CONF
    given = {"side": plan.side, "broker": broker.url(), "conf": conf}
    with contextlib.ExitStack() as stack:
        seen, resource, cwd = (
            stack.enter_context(tempfile.TemporaryDirectory(prefix=f"campaign-{what}-"))
            for what in ("witness", "resource", "cwd")
        )
        witness = stack.enter_context(contextlib.closing(Witness(seen)))
        processes = stack.enter_context(contextlib.closing(Processes(witness)))
        lines = [FaultProxy(store.port) for _ in range(WORKERS)]
        for line in lines:
            stack.callback(line.close)
        env = {VARIABLE: json.dumps(given), "CAMPAIGN_RESOURCE": resource}
        rig = CeleryRig(processes, "tests.acceptance.campaign_app", env, cwd)
        timing = {"every_s": plan.fault_every_s, "ttl_s": TTL_S}
        servers: dict[str, Server] = {BROKER: broker, STORE: store}
        storm = Storm(rig, random.Random(plan.seed), witness, lines, servers, **timing)
        app = stack.enter_context(contextlib.closing(make_app(given, store.url())))
        begun_ns = clock_ns()
        campaign = Campaign(plan, storm, witness, app)
        campaign.conduct()
        storm.stop_workers()
        written = campaign_resource.read(resource)
        lost = _lost_by(broker)
        ledger = Ledger(witness.facts(), written, storm, campaign.sent, lost, ttl_s=TTL_S)
        faults = [fault.told(begun_ns) for fault in storm.faults]
        return Outcome(ledger, campaign.turned_away, campaign.restarts_to_drain, faults)


def _lost_by(broker: EmbeddedServer | DistantBroker) -> set[str]:
    """What a broker lost by itself; RabbitMQ, which puts back what nobody acknowledged, nothing."""
    if _is_amqp(broker):
        return set()
    with redis.Redis.from_url(broker.url(), decode_responses=True) as client:
        directory = client.config_get("dir")["dir"]
    return campaign_losses.never_noted(campaign_losses.read(pathlib.Path(directory)))


def _is_amqp(broker: EmbeddedServer | DistantBroker) -> bool:
    return broker.url().startswith("amqp:")
