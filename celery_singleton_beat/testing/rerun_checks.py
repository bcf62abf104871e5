"""What every store promises of runs that were published again because their worker died."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.entry import DAY_MS
from celery_singleton_beat.protocol.run import NOTICE_MS, Begun, Outcome
from celery_singleton_beat.testing.crash_checks import DEAD_MS, kept, runs
from celery_singleton_beat.testing.harness import HOLD_MS, START_MS, TTL_MS, StoreUnderTest, equal


def what_was_published_again_is_noted_once(it: StoreUnderTest) -> None:
    it.begin(kept(it))
    it.clock.advance(DEAD_MS)
    crashed = it.reclaimed()

    it.store.rerun(crashed, "beat|1")
    it.store.rerun(crashed, "beat|1")

    equal(it.kinds(), ["started", "rerun"])
    fact = it.store.history(1)[0]
    equal((fact.run, fact.by), ("run", "beat|1"))


def what_does_not_begin_again_is_reclaimed_after_twice_as_long(it: StoreUnderTest) -> None:
    """The broker may lose that message too, with the next worker that is killed."""
    it.plan(x=START_MS + 100 * DEAD_MS)
    it.begin(kept(it))
    it.clock.advance(DEAD_MS)
    for deadline_ms in (DEAD_MS, 2 * DEAD_MS, 4 * DEAD_MS):
        (crashed,) = it.reclaimed()
        equal((crashed.message, crashed.deadline_ms), ("message|run", deadline_ms))
        it.store.rerun([crashed], "beat" if deadline_ms > DEAD_MS else "")

        it.clock.advance(deadline_ms - 1)
        equal(int(it.claim().has_overdue), 0)
        equal(it.reclaimed(), [])
        it.clock.advance(1)

        equal(int(it.claim().has_overdue), 1)
    equal(it.kinds(), ["started", "rerun", "rerun"])


def what_does_not_begin_again_is_kept_for_a_day_at_most(it: StoreUnderTest) -> None:
    it.begin(kept(it, ttl_ms=DAY_MS, window_ms=5 * DAY_MS))
    it.clock.advance(DAY_MS + NOTICE_MS)
    it.store.rerun(it.reclaimed(), "beat")
    it.clock.advance(DAY_MS)
    (crashed,) = it.reclaimed()
    equal(crashed.deadline_ms, 2 * DAY_MS)

    it.store.rerun([crashed], "beat")

    it.clock.advance(100 * DAY_MS)
    equal(it.reclaimed(), [])
    equal(it.kinds(), ["started", "rerun", "rerun"])


def what_does_not_begin_again_is_kept_for_its_window_at_most(it: StoreUnderTest) -> None:
    """The last message that is published still meets the record of the run."""
    it.begin(kept(it, window_ms=4 * DEAD_MS))
    it.clock.advance(DEAD_MS)
    for deadline_ms in (DEAD_MS, 2 * DEAD_MS, 4 * DEAD_MS):
        (crashed,) = it.reclaimed()
        equal(crashed.deadline_ms, deadline_ms)
        it.store.rerun([crashed], "beat")
        it.clock.advance(deadline_ms)

    it.clock.advance(100 * TTL_MS)
    equal(it.reclaimed(), [])
    it.begin(kept(it, "short", "h2", window_ms=TTL_MS))
    it.clock.advance(DEAD_MS)
    equal([one.deadline_ms for one in it.reclaimed()], [TTL_MS // 2])


def what_begins_again_is_kept_as_at_first(it: StoreUnderTest) -> None:
    first = kept(it)
    it.crash(first)
    it.store.rerun(it.reclaimed(), "beat")
    it.crash(replace(first, holder="h2"))

    equal([one.deadline_ms for one in it.reclaimed()], [DEAD_MS])


def what_is_put_off_is_not_missed_until_it_was_to_come_again(it: StoreUnderTest) -> None:
    """Somebody has its message in hand, and puts it back into the queue again and again."""
    first = kept(it)
    it.begin(first)
    it.finish(first, Outcome.INTERRUPTED)
    it.begin(it.attempt("other", "h2", key=first.key))
    it.clock.advance(NOTICE_MS)
    it.store.rerun(it.reclaimed(), "beat")

    it.clock.advance(TTL_MS - NOTICE_MS - 1)
    equal(it.begin(replace(first, holder="h3")), Begun.BUSY)
    it.clock.advance(1 + 2 * DEAD_MS - 1)
    equal(it.reclaimed(), [])
    it.clock.advance(1)

    equal(runs(it.reclaimed()), ["run"])


def a_twin_does_not_put_off_what_its_holder_may_leave(it: StoreUnderTest) -> None:
    first = kept(it)
    it.begin(first)
    it.clock.advance(TTL_MS - 1)
    equal(it.begin(replace(first, holder="h2")), Begun.TWIN)

    it.clock.advance(1 + NOTICE_MS)

    equal(runs(it.reclaimed()), ["run"])


def what_is_refused_is_kept_no_longer(it: StoreUnderTest) -> None:
    first = kept(it, not_after_ms=START_MS + TTL_MS, window_ms=TTL_MS)
    it.begin(first)
    it.clock.advance(DEAD_MS + TTL_MS)
    equal(it.begin(replace(first, holder="h2")), Begun.REFUSED)

    it.clock.advance(100 * HOLD_MS)

    equal(it.reclaimed(), [])


def what_was_given_up_is_gone(it: StoreUnderTest) -> None:
    it.begin(kept(it))
    it.clock.advance(DEAD_MS)

    it.store.give_up(it.reclaimed())

    it.clock.advance(100 * HOLD_MS)
    equal(it.reclaimed(), [])
    equal(it.kinds(), ["started"])


def what_began_meanwhile_is_not_given_up(it: StoreUnderTest) -> None:
    first = kept(it)
    it.begin(first)
    it.finish(first, Outcome.INTERRUPTED)
    it.clock.advance(NOTICE_MS)
    crashed = it.reclaimed()
    it.begin(replace(first, holder="h2"))

    it.store.give_up(crashed)

    it.clock.advance(DEAD_MS)
    equal(runs(it.reclaimed()), ["run"])


def what_began_while_it_was_published_again_is_kept(it: StoreUnderTest) -> None:
    first = kept(it)
    it.begin(first)
    it.clock.advance(TTL_MS)
    it.begin(replace(first, holder="h2"))
    it.clock.advance(NOTICE_MS)
    crashed = it.reclaimed()
    equal(it.begin(replace(first, holder="h2", message="")), Begun.RUN)

    it.store.rerun(crashed, "beat")

    equal(it.kinds(), ["started", "started", "rerun"])
    it.clock.advance(DEAD_MS - 1)
    equal(it.reclaimed(), [])
    it.clock.advance(1)
    (again,) = it.reclaimed()
    equal((again.message, again.deadline_ms), ("message|run", DEAD_MS))


def what_began_after_it_was_published_again_can_be_reclaimed_anew(it: StoreUnderTest) -> None:
    first = kept(it)
    it.crash(first)
    it.store.rerun(it.reclaimed(), "beat")
    equal(it.begin(replace(first, holder="h2", message="newer")), Begun.RUN)

    it.clock.advance(DEAD_MS)

    equal([(one.run, one.message) for one in it.reclaimed()], [("run", "newer")])


RERUN_CHECKS = (
    what_was_published_again_is_noted_once,
    what_does_not_begin_again_is_reclaimed_after_twice_as_long,
    what_does_not_begin_again_is_kept_for_a_day_at_most,
    what_does_not_begin_again_is_kept_for_its_window_at_most,
    what_begins_again_is_kept_as_at_first,
    what_is_put_off_is_not_missed_until_it_was_to_come_again,
    a_twin_does_not_put_off_what_its_holder_may_leave,
    what_is_refused_is_kept_no_longer,
    what_was_given_up_is_gone,
    what_began_meanwhile_is_not_given_up,
    what_began_while_it_was_published_again_is_kept,
    what_began_after_it_was_published_again_can_be_reclaimed_anew,
)
