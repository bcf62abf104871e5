"""What every store promises of published occurrences that nobody began."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.awaited import Awaited, Postponed
from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.entry import DAY_MS
from celery_singleton_beat.protocol.run import NOTICE_MS, Begun, Outcome
from celery_singleton_beat.testing.harness import START_MS, StoreUnderTest, equal

_DEADLINE_MS = 7000


def _publish(it: StoreUnderTest, *seconds: int, entry: str = "x") -> list[Awaited]:
    """Claim an entry and settle it as published for these seconds after the start."""
    claim = next(c for c in it.claim("r1").claims if c.entry == entry)
    awaited = [
        Awaited(f"{entry}{at}", entry, START_MS + at * 1000, _DEADLINE_MS, 60_000, None)
        for at in seconds
    ]
    due_ms = it.clock.now_ms
    slot = replace(claim.slot, due_ms=due_ms)
    it.store.settle("a", [Settlement(entry, claim.slot.fence, slot, tuple(awaited))])
    return awaited


def _begin(it: StoreUnderTest, second: int) -> Begun:
    attempt = it.attempt(
        f"x{second}", f"h{second}", key=f"k{second}",
        entry="x", is_awaited=True, scheduled_ms=START_MS + second * 1000,
    )  # fmt: skip
    return it.begin(attempt)


def what_began_is_not_overdue(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    _publish(it, 0)
    _begin(it, 0)

    it.clock.advance(_DEADLINE_MS)

    equal(int(it.claim("r1").has_overdue), 0)
    equal(it.store.recall(limit=5, hold_ms=1000), [])


def what_began_before_it_was_settled_is_not_overdue(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    _begin(it, 0)
    _publish(it, 0)

    it.clock.advance(_DEADLINE_MS)

    equal(it.store.recall(limit=5, hold_ms=1000), [])


def the_last_of_its_entry_is_recalled_at_its_deadline_and_held(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    awaited = _publish(it, 0)
    it.clock.advance(_DEADLINE_MS - 1)
    equal(it.store.recall(limit=5, hold_ms=1000), [])

    it.clock.advance(1)

    equal(int(it.claim("r1").has_overdue), 1)
    equal(it.store.recall(limit=5, hold_ms=1000), awaited)
    equal(it.store.recall(limit=5, hold_ms=1000), [])
    it.clock.advance(1000)
    equal(it.store.recall(limit=5, hold_ms=1000), awaited)


def while_a_later_one_waits_too_it_is_a_queue_and_not_a_loss(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    first, second = _publish(it, 0, 1)
    it.clock.advance(_DEADLINE_MS)
    equal(it.store.recall(limit=5, hold_ms=1000), [second])
    it.store.dismiss([second.run])

    _begin(it, 1)
    it.clock.advance(_DEADLINE_MS)

    equal(it.store.recall(limit=5, hold_ms=1000), [first])


def what_was_dismissed_is_awaited_no_longer(it: StoreUnderTest) -> None:
    it.plan(x=START_MS, y=START_MS)
    claims = it.claim("r1").claims
    awaited = Awaited("run", "x", START_MS, _DEADLINE_MS, 60_000, START_MS - 1000)
    it.store.settle(
        "a", [Settlement(c.entry, c.slot.fence, c.slot, (awaited,)) for c in claims[:1]]
    )

    it.store.dismiss([awaited.run, "nobody"])
    it.clock.advance(_DEADLINE_MS)

    equal(it.store.recall(limit=5, hold_ms=1000), [])


def what_was_published_again_is_awaited_for_twice_as_long(it: StoreUnderTest) -> None:
    """What comes again may be lost as well."""
    it.plan(x=START_MS, y=START_MS)
    (one,) = _publish(it, 0)
    it.clock.advance(_DEADLINE_MS)

    it.store.await_again([one.run, "nobody"], "r1")
    it.clock.advance(2 * _DEADLINE_MS - 1)
    equal(int(it.claim("r1").has_overdue), 0)
    it.clock.advance(1)

    equal(it.store.recall(limit=5, hold_ms=1000), [one._replace(deadline_ms=2 * _DEADLINE_MS)])
    it.store.await_again([one.run], "r1")
    equal(_begin(it, 0), Begun.RUN)
    it.clock.advance(4 * _DEADLINE_MS)
    equal(it.store.recall(limit=5, hold_ms=1000), [])
    equal(it.kinds(), ["published_again", "published_again", "started"])


def what_was_published_again_is_awaited_for_a_day_at_most(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    claim = it.claim("r1").claims[0]
    awaited = Awaited("run", "x", START_MS, DAY_MS // 2, 60_000)
    it.store.settle("a", [Settlement("x", claim.slot.fence, claim.slot, (awaited,))])
    it.clock.advance(DAY_MS)

    it.store.await_again(["run"], "r1")
    it.clock.advance(DAY_MS)
    (again,) = it.store.recall(limit=5, hold_ms=1000)
    equal(again.deadline_ms, DAY_MS)
    it.store.await_again(["run"], "r1")

    it.clock.advance(100 * DAY_MS)
    equal(it.store.recall(limit=5, hold_ms=1000), [])
    equal(it.kinds(), ["published_again", "published_again"])


def what_began_meanwhile_is_not_awaited_again(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    (one,) = _publish(it, 0)
    it.clock.advance(_DEADLINE_MS)
    it.store.recall(limit=5, hold_ms=1000)

    _begin(it, 0)
    it.store.await_again([one.run], "r1")

    it.clock.advance(2 * _DEADLINE_MS)
    equal(it.store.recall(limit=5, hold_ms=1000), [])
    equal(it.kinds(), ["started"])


def a_settlement_that_lost_awaits_nothing(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    claim = it.claim("r1").claims[0]
    awaited = Awaited("run", "x", START_MS, _DEADLINE_MS, 60_000)

    it.store.settle("a", [Settlement("x", claim.slot.fence + 1, claim.slot, (awaited,))])
    it.clock.advance(_DEADLINE_MS)

    equal(it.store.recall(limit=5, hold_ms=1000), [])


def what_ran_so_long_ago_that_it_is_forgotten_is_awaited_anew(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    attempt = it.attempt(
        "x0", key="k0", window_ms=5000, entry="x", is_awaited=True, scheduled_ms=START_MS
    )
    it.begin(attempt)
    it.finish(attempt, Outcome.SUCCEEDED)
    it.clock.advance(5000)
    awaited = _publish(it, 0)

    it.clock.advance(_DEADLINE_MS)

    equal(it.store.recall(limit=5, hold_ms=1000), awaited)


def what_began_before_a_later_one_was_published_is_not_lost(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    _begin(it, 0)
    it.clock.advance(1_000_000)
    _, later = _publish(it, 0, 1)

    it.clock.advance(_DEADLINE_MS)

    equal(it.store.recall(limit=5, hold_ms=1000), [later])


def what_is_put_off_is_awaited_until_it_comes_again(it: StoreUnderTest) -> None:
    """Its message goes back to the broker, which may lose it then as well as at first."""
    it.plan(x=START_MS)
    awaited = _publish(it, 0)
    it.begin(it.attempt("other", "h2", key="k0", ttl_ms=2 * _DEADLINE_MS))

    equal(_begin(it, 0), Begun.BUSY)
    it.clock.advance(_DEADLINE_MS)
    equal(it.store.recall(limit=5, hold_ms=1000), [])
    it.clock.advance(_DEADLINE_MS)
    equal(_begin(it, 0), Begun.WAIT)
    it.clock.advance(NOTICE_MS + _DEADLINE_MS - 1)
    equal(it.store.recall(limit=5, hold_ms=1000), [])
    it.clock.advance(1)

    equal(it.store.recall(limit=5, hold_ms=1000), awaited)
    equal(_begin(it, 0), Begun.RUN)
    it.clock.advance(_DEADLINE_MS)
    equal(it.store.recall(limit=5, hold_ms=1000), [])


def what_could_not_be_published_again_is_awaited_later(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    (one,) = _publish(it, 0)
    for attempt, error in ((1, "no route"), (0, ""), (2, "é" * 300)):
        it.clock.advance(_DEADLINE_MS)
        it.store.recall(limit=5, hold_ms=1000)

        it.store.postpone([Postponed(one.run, 2000, attempt, error)], "r|1")
        it.clock.advance(1999)
        equal(int(it.claim("r1").has_overdue), 0)
        equal(it.store.recall(limit=5, hold_ms=1000), [])
        it.clock.advance(1)

        equal(int(it.claim("r1").has_overdue), 1)
        (again,) = it.store.recall(limit=5, hold_ms=1000)
        equal(again, one._replace(failures=attempt or 1))
    facts = [fact for fact in it.store.history(10) if fact.kind == "dispatch_failed"]
    equal([fact.note for fact in facts], ["é" * 200, "no route"])
    equal((facts[0].entry, facts[0].scheduled_ms), ("x", START_MS))
    equal((facts[0].run, facts[0].by), (one.run, "r|1"))


def what_failed_too_often_is_given_up(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    (one,) = _publish(it, 0)
    for attempt in (1, 1, 3, 2):
        it.store.postpone([Postponed(one.run, 0, attempt, "no route")], "r1")
    it.store.postpone([Postponed(one.run, ABSENT, 2, "a repeat")], "r1")
    equal(len(it.store.recall(limit=5, hold_ms=1)), 1)

    it.store.postpone([Postponed(one.run, ABSENT, 3, "no route")], "r1")
    it.store.postpone([Postponed(one.run, 0, 3, "no route"), Postponed("nobody", 0)], "r1")

    it.clock.advance(100 * _DEADLINE_MS)
    equal(it.store.recall(limit=5, hold_ms=1000), [])
    equal(it.kinds(), ["dispatch_failed"] * 3)


def what_was_published_again_has_failed_no_more(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    (one,) = _publish(it, 0)
    it.store.postpone([Postponed(one.run, 0, 1, "no route")], "r1")
    it.store.await_again([one.run], "r1")

    it.store.postpone([Postponed(one.run, ABSENT, 2, "too late")], "r2")
    it.clock.advance(2 * _DEADLINE_MS)

    equal([again.failures for again in it.store.recall(limit=5, hold_ms=1000)], [0])


AWAITED_CHECKS = (
    what_could_not_be_published_again_is_awaited_later,
    what_failed_too_often_is_given_up,
    what_was_published_again_has_failed_no_more,
    what_is_put_off_is_awaited_until_it_comes_again,
    what_began_is_not_overdue,
    what_began_before_it_was_settled_is_not_overdue,
    the_last_of_its_entry_is_recalled_at_its_deadline_and_held,
    while_a_later_one_waits_too_it_is_a_queue_and_not_a_loss,
    what_was_dismissed_is_awaited_no_longer,
    what_was_published_again_is_awaited_for_twice_as_long,
    what_was_published_again_is_awaited_for_a_day_at_most,
    what_began_meanwhile_is_not_awaited_again,
    what_ran_so_long_ago_that_it_is_forgotten_is_awaited_anew,
    what_began_before_a_later_one_was_published_is_not_lost,
    a_settlement_that_lost_awaits_nothing,
)
