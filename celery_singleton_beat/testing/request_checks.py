"""What every store promises of requests: asked once, refused, cancelled, listed."""

from __future__ import annotations

from celery_singleton_beat.protocol.asked import KEEP_MS, AskAnswer, Asked, Asking
from celery_singleton_beat.protocol.claim import Settled
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.testing.asking import (
    LATER_MS,
    LONG,
    OPENED,
    ask,
    claim,
    claimed,
    has_entry,
    open_requests,
    settle,
)
from celery_singleton_beat.testing.harness import HOLD_MS, StoreUnderTest, equal


def a_request_is_made_once_for_each_id(it: StoreUnderTest) -> None:
    """C19: an answer that was lost may be asked for again, also when all is done."""
    has_entry(it)
    answers = [ask(it)]
    it.clock.advance(5)
    answers.append(ask(it))
    (one,) = claim(it).claims
    settle(it, one)
    it.clock.advance(KEEP_MS - 1)
    answers.append(ask(it))

    equal(answers, [OPENED] * 3)
    equal((claim(it).claims, it.kinds()), ((), ["asked"]))
    it.clock.advance(1)
    equal(ask(it), AskAnswer(Asked.ASKED, it.clock.now_ms))


def an_id_is_not_given_to_another_request(it: StoreUnderTest) -> None:
    has_entry(it)
    has_entry(it, "y")
    ask(it)
    it.store.ask(LONG)

    others = [
        Asking("q", "y"),
        LONG._replace(request="q"),
        LONG._replace(until_ms=10),
        LONG._replace(from_ms=8),
        Asking("long", "x"),
    ]

    equal([it.store.ask(one).verdict for one in others], [Asked.CONFLICT] * 5)
    equal(it.store.ask(LONG._replace(by="you", total=3)), AskAnswer(Asked.ASKED, 7))


def an_entry_that_is_not_there_cannot_be_asked_for(it: StoreUnderTest) -> None:
    it.plan(config=LATER_MS, gone=ABSENT)

    equal(ask(it, "a", "nobody").verdict, Asked.UNKNOWN)
    equal(it.store.ask(LONG).verdict, Asked.UNKNOWN)
    equal((claim(it).claims, it.kinds()), ((), []))


def what_is_stopped_does_not_run_now(it: StoreUnderTest) -> None:
    """The answer says what stopped it; the widest reason first."""
    has_entry(it, tenant="t", is_enabled=False)
    reasons = [ask(it).stopped_by]
    it.pause()
    reasons.append(ask(it).stopped_by)
    it.store.pause_all("t", paused=True)
    reasons.append(ask(it).stopped_by)
    it.store.pause_all(None, paused=True)
    reasons.append(ask(it).stopped_by)

    equal(reasons, ["disabled", "paused", "tenant", "all"])
    equal(it.store.ask(LONG).verdict, Asked.ASKED)
    equal(ask(it).verdict, Asked.STOPPED)


def a_request_that_is_cancelled_is_over(it: StoreUnderTest) -> None:
    """Also while it is held: what was published of it is told, and it is gone."""
    has_entry(it)
    it.store.ask(LONG)
    ask(it)
    (one, _) = claim(it, limit=101).claims

    equal(it.store.cancel_asked(["long", "nobody", "q"], "op|"), [True, False, True])
    equal(it.store.cancel_asked(["long"], "op"), [False])

    told = (Told("published", 7, "run", "r1"), Told("superseded", 8))
    equal(settle(it, one, told=told), Settled.GONE)
    it.clock.advance(HOLD_MS)
    equal((claim(it).claims, it.claim().asked_ms), ((), None))
    equal(it.store.ask(LONG), AskAnswer(Asked.ASKED, 7))
    equal(claim(it).claims, ())
    facts = it.store.history(10)[::-1]
    equal([one.kind for one in facts], ["asked", "asked", "called_off", "called_off", "published"])
    equal(
        [(f.entry, f.scheduled_ms, f.by, f.note) for f in facts[:3:2]],
        [("x", 7, "me?", "long"), ("x", 7, "op?", "long")],
    )


def an_entry_that_is_removed_takes_its_requests_with_it(it: StoreUnderTest) -> None:
    """One that is put again has none."""
    has_entry(it)
    has_entry(it, "y")
    it.store.ask(LONG)
    ask(it, "q")
    ask(it, "other", "y")
    one = claim(it).claims[0]

    it.store.remove(["x"])
    has_entry(it)

    equal(settle(it, one), Settled.GONE)
    it.clock.advance(HOLD_MS)
    equal(claimed(it), [("other", 1)])
    equal(it.kinds()[3:], ["dropped", "dropped"])
    equal([one.request for one in open_requests(it)], ["other"])


def what_is_open_can_be_listed(it: StoreUnderTest) -> None:
    it.plan(config=LATER_MS)
    has_entry(it)
    ask(it, "q1")
    ask(it, "q2", "config")
    it.clock.advance(1)
    it.store.ask(LONG)
    settle(it, claim(it, limit=1).claims[0])

    found = sorted(open_requests(it))

    equal([one.request for one in found], ["long", "q2"])
    equal((found[0].ask.total, found[0].slot.slot_ms, found[1].ask.is_config), (250, 7, True))


REQUEST_CHECKS = (
    a_request_is_made_once_for_each_id,
    an_id_is_not_given_to_another_request,
    an_entry_that_is_not_there_cannot_be_asked_for,
    what_is_stopped_does_not_run_now,
    a_request_that_is_cancelled_is_over,
    an_entry_that_is_removed_takes_its_requests_with_it,
    what_is_open_can_be_listed,
)
