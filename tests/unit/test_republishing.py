"""What replicas publish once more: what nobody began, and the runs whose workers died."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.dispatcher import Dispatcher
from celery_singleton_beat.engine.publisher import Delivery, Publication, Sent
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.run import NOTICE_MS, Attempt
from celery_singleton_beat.protocol.stored import Put
from celery_singleton_beat.testing import START_MS, RecordingPublisher
from celery_singleton_beat.testing.harness import NO_QUOTA, TTL_MS
from tests.unit.replicas import Deployment, timings

FIRST_MS = START_MS + 1000
DEADLINE_MS = 4000


class OneLine(RecordingPublisher):
    """A publisher on one connection: a poisoned message breaks it, as a missing exchange does.

    With the message that it ``goes_with`` the broker is away.
    """

    def __init__(self) -> None:
        super().__init__()
        self.poison: set[str] = set()
        self.is_broken = False
        self.failed: list[str] = []
        self.goes_with = ""

    def connect(self) -> None:
        super().connect()
        self.is_broken = False

    def publish(
        self, publications: Sequence[Publication], may_go_on: Callable[[], bool]
    ) -> list[Delivery]:
        return [self._try(one, may_go_on) for one in publications]

    def publish_again(self, message: str) -> Delivery:
        if self.is_broken or message in self.poison:
            return self._fail(message)
        return super().publish_again(message)

    def _try(self, one: Publication, may_go_on: Callable[[], bool]) -> Delivery:
        if self.is_broken or one.occurrence.entry in self.poison:
            return self._fail(one.occurrence.entry)
        return super().publish([one], may_go_on)[0]

    def _fail(self, name: str) -> Delivery:
        fate = Sent.UNSENT if self.is_broken else Sent.UNKNOWN
        self.failed += [name] * (not self.is_broken)
        self.is_broken = True
        self.is_away |= name == self.goes_with
        return Delivery(fate, "", "no exchange")


@pytest.fixture
def it() -> Deployment:
    return Deployment()


def never_began(it: Deployment) -> Dispatcher:
    """Let the one occurrence of an entry be published; nobody begins it."""
    replica = it.replica(timings(start_deadline_ms=DEADLINE_MS, max_runs=1))
    it.run(3, replica)
    assert it.sent() == [FIRST_MS]
    return replica


def test_what_cannot_be_published_again_once_is_tried_again(it: Deployment) -> None:
    replica = never_began(it)
    it.broker.fates["x"] = Sent.FAILED
    it.run(2, replica)
    failed = [(one.attempt, one.given_up) for one in it.heard(happened.DispatchFailed)]  # type: ignore[attr-defined]
    it.broker.fates.clear()

    it.run(3, replica)

    assert failed == [(1, False)]
    assert it.sent() == [FIRST_MS] * 2
    assert [fact.kind for fact in it.store.history(9)] == [
        *("published_again", "dispatch_failed", "published")
    ]


def test_what_can_never_be_published_again_is_given_up_as_at_first(it: Deployment) -> None:
    replica = never_began(it)
    it.broker.fates["x"] = Sent.FAILED

    it.run(600, replica)

    told = [(one.attempt, one.given_up) for one in it.heard(happened.DispatchFailed)]  # type: ignore[attr-defined]
    assert told == [(1, False), (2, False), (3, True)]
    facts = [fact.kind for fact in it.store.history(9)]
    assert facts == ["dispatch_failed"] * 3 + ["published"]
    assert it.store.overview().awaited == 0


def test_what_this_replica_cannot_read_is_left_and_published_when_it_can(it: Deployment) -> None:
    """A newer release wrote the entry anew, while a replica of the older one is still there."""
    replica = it.replica(timings(3_600_000, "c"))
    it.run(2, replica)
    put(it, 5)
    it.run(5, replica)
    put(it, 3600, version=99)

    it.run(300, replica)
    before, set_aside = it.sent("s"), it.heard(happened.EntrySetAside)
    put(it, 3600)
    it.run(61, replica)

    assert len(before) == 1
    assert 3 <= len(set_aside) <= 10
    assert it.sent("s") == before * 2


def test_what_is_published_again_says_as_of_which_revision_it_was_at_first(it: Deployment) -> None:
    """Its entry may be changed, and what was queued called back, while it is published again."""
    replica = it.replica(timings(3_600_000, "c"))
    it.run(2, replica)
    put(it, 5)
    it.run(5, replica)
    put(it, 3600)

    it.run(61, replica)

    first, again = [one.revision for one in it.broker.sent if one.entry == "s"]
    (kept,) = it.store.kept(["s"])
    assert kept is not None
    assert first == again < kept.card.revision


def put(it: Deployment, every_s: int, **fields: object) -> None:
    """Store an entry with a start deadline; its next occurrence is its first."""
    entry = Entry("s", "t", float(every_s), start_deadline=60)
    definition = {**json.loads(entry.to_json()), **fields}
    at_ms = (it.clock.now_ms // (every_s * 1000) + 1) * every_s * 1000
    asked = Put("s", json.dumps(definition), entry.timing().rule, at_ms, at_ms)
    it.store.put([asked], NO_QUOTA)


def test_of_an_entry_that_is_gone_nothing_is_published_again(it: Deployment) -> None:
    old = never_began(it)
    old.leave()
    new = it.replica(timings(names="y"))

    it.run(60, new)

    assert it.sent("x") == [FIRST_MS]
    assert it.store.overview().awaited == 0


def test_what_breaks_the_line_each_time_does_not_keep_the_others_from_being_recalled(
    it: Deployment,
) -> None:
    it.broker = OneLine()
    names = "abcdef"
    replica = it.replica(timings(names=names, start_deadline_ms=DEADLINE_MS, max_runs=1))
    it.run(3, replica)
    lost = {occurrence.entry: occurrence.task_id("test") for occurrence in it.broker.sent}
    it.broker.poison = {min(lost, key=lost.__getitem__)}

    it.run(30, replica)

    assert {name for name in names if len(it.sent(name)) > 1} == set(names) - it.broker.poison


def test_what_breaks_the_line_each_time_does_not_keep_the_others_from_being_run_again(
    it: Deployment,
) -> None:
    """One exchange was deleted: the broker closes the channel on each message to it."""
    broker = it.broker = OneLine()
    broker.poison = {"a", "c"}
    replica = it.replica(timings())
    it.run(2, replica)
    for run in "abcd":
        attempt = Attempt(run, run, run, TTL_MS, message=run)
        it.store.begin(attempt, close_if_busy=False, grace_ms=0)

    it.run((TTL_MS + NOTICE_MS) // 1000 + 1, replica)

    assert broker.again == ["b", "d"]
    assert len(broker.failed) == 2
    it.run(60, replica)
    assert len(broker.failed) == 4


def test_without_a_broker_the_others_are_left_for_later(it: Deployment) -> None:
    broker = it.broker = OneLine()
    broker.poison, broker.goes_with = {"a"}, "a"
    replica = it.replica(timings())
    it.run(2, replica)
    for run in "ab":
        attempt = Attempt(run, run, run, TTL_MS, message=run)
        it.store.begin(attempt, close_if_busy=False, grace_ms=0)
    it.run((TTL_MS + NOTICE_MS) // 1000 + 1, replica)
    assert broker.again == []

    broker.is_away = False
    it.run(6, replica)

    assert broker.again == ["b"]
