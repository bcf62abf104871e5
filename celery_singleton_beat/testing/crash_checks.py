"""What every store promises of runs whose worker died."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.run import NOTICE_MS, Attempt, Begun, Finished, Outcome
from celery_singleton_beat.store.port import Crashed
from celery_singleton_beat.testing.harness import HOLD_MS, START_MS, TTL_MS, StoreUnderTest, equal

DEAD_MS = TTL_MS + NOTICE_MS


def kept(it: StoreUnderTest, run: str = "run", holder: str = "h1", **fields: object) -> Attempt:
    """An attempt whose message beats are to publish again, under a key of its own."""
    return it.attempt(run, holder, key=f"key of {run}", message=f"message|{run}", **fields)


def runs(crashed: list[Crashed]) -> list[str]:
    return [one.run for one in crashed]


def a_message_is_reclaimed_when_its_lease_and_a_notice_are_over(it: StoreUnderTest) -> None:
    it.plan(x=START_MS + 10 * DEAD_MS)
    it.begin(kept(it))
    it.clock.advance(DEAD_MS - 1)
    equal(int(it.claim().has_overdue), 0)
    equal(it.reclaimed(), [])

    it.clock.advance(1)

    equal(int(it.claim().has_overdue), 1)
    until_ms = it.clock.now_ms + HOLD_MS
    equal(it.reclaimed(), [Crashed("run", "message|run", until_ms, DEAD_MS)])


def a_run_without_a_message_is_never_reclaimed(it: StoreUnderTest) -> None:
    it.plan(x=START_MS + 10 * DEAD_MS)
    it.begin(it.attempt())

    it.clock.advance(DEAD_MS)

    equal(int(it.claim().has_overdue), 0)
    equal(it.reclaimed(), [])


def renewals_and_repeats_put_it_off(it: StoreUnderTest) -> None:
    for again in (it.renew, it.begin):
        run = again.__name__
        one = kept(it, run, run)
        it.begin(one)
        it.clock.advance(TTL_MS - 1)
        again(one)

        it.clock.advance(DEAD_MS - 1)
        equal(it.reclaimed(), [])
        it.clock.advance(1)

        equal(runs(it.reclaimed()), [run])
        it.finish(one, Outcome.SUCCEEDED)


def a_renewal_that_is_refused_does_not_put_it_off(it: StoreUnderTest) -> None:
    one = kept(it)
    it.begin(one)
    it.clock.advance(TTL_MS)

    it.renew(replace(one, holder="h2"))
    it.clock.advance(NOTICE_MS)

    equal(runs(it.reclaimed()), ["run"])


def the_messages_of_what_died_first_come_first(it: StoreUnderTest) -> None:
    for run in ("b", "a", "c"):
        it.begin(kept(it, run, run))
        it.clock.advance(1)
    it.clock.advance(DEAD_MS)

    equal(runs(it.reclaimed(limit=2)), ["b", "a"])

    equal(runs(it.reclaimed(limit=2)), ["c"])


def what_was_reclaimed_is_held_against_other_replicas(it: StoreUnderTest) -> None:
    it.plan(x=START_MS + 10 * DEAD_MS)
    it.begin(kept(it))
    it.clock.advance(DEAD_MS)
    it.reclaimed()
    equal(int(it.claim().has_overdue), 0)

    it.clock.advance(HOLD_MS - 1)
    equal(it.reclaimed(), [])
    it.clock.advance(1)

    equal(int(it.claim().has_overdue), 1)
    equal(runs(it.reclaimed()), ["run"])


def an_interrupted_run_is_reclaimed_after_a_notice(it: StoreUnderTest) -> None:
    it.begin(kept(it))
    it.clock.advance(1000)
    it.finish(kept(it), Outcome.INTERRUPTED)

    it.clock.advance(NOTICE_MS - 1)
    equal(it.reclaimed(), [])
    it.clock.advance(1)

    equal(runs(it.reclaimed()), ["run"])


def what_has_ended_is_not_reclaimed(it: StoreUnderTest) -> None:
    it.plan(x=START_MS + 100 * DEAD_MS)
    for outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
        one = kept(it, outcome.value, outcome.value)
        it.begin(one)
        it.finish(one, outcome)

    it.clock.advance(10 * DEAD_MS)

    equal(int(it.claim().has_overdue), 0)
    equal(it.reclaimed(), [])


def a_retry_that_never_comes_is_reclaimed(it: StoreUnderTest) -> None:
    one = kept(it, "run", "h1")
    it.begin(one)
    it.finish(one, Outcome.RETRYING, wait_ms=60_000)
    it.clock.advance(60_000 + one.ttl_ms + NOTICE_MS - 1)
    equal(it.reclaimed(), [])

    it.clock.advance(1)

    equal([one.run for one in it.reclaimed()], ["run"])


def what_gave_way_or_was_given_up_is_not_reclaimed(it: StoreUnderTest) -> None:
    gave_way = kept(it, "one", "h1")
    it.begin(gave_way)
    it.finish(gave_way, Outcome.INTERRUPTED)
    it.begin(it.attempt("other", "h2", key=gave_way.key))
    equal(it.begin(replace(gave_way, holder="h3"), close_if_busy=True), Begun.BUSY)
    given_up = kept(it, "two", "h4", max_starts=1)
    it.crash(given_up)
    equal(it.begin(replace(given_up, holder="h5")), Begun.GIVEN_UP)

    it.clock.advance(10 * DEAD_MS)

    equal(it.reclaimed(), [])


def the_end_of_a_holder_that_lost_leaves_the_message_of_the_next(it: StoreUnderTest) -> None:
    first = kept(it)
    it.crash(first)
    it.begin(replace(first, holder="h2"))

    equal(it.finish(first, Outcome.SUCCEEDED), Finished.LOST)
    it.clock.advance(DEAD_MS)

    equal(runs(it.reclaimed()), ["run"])


def a_run_is_given_up_when_its_workers_died_too_often(it: StoreUnderTest) -> None:
    for start in (1, 2):
        it.crash(it.attempt(holder=f"h{start}", max_starts=2))
    last = it.attempt(holder="h3", max_starts=2)

    equal(it.begin(last), Begun.GIVEN_UP)
    equal(it.begin(last), Begun.GIVEN_UP)

    equal(it.begin(replace(last, holder="h4")), Begun.DONE)
    equal(it.kinds(), ["started", "started", "given up"])


def a_run_that_lives_is_not_given_up(it: StoreUnderTest) -> None:
    first = it.attempt(max_starts=1)
    it.begin(first)
    it.clock.advance(TTL_MS - 1)

    equal(it.begin(replace(first, holder="h2")), Begun.TWIN)
    it.clock.advance(1)
    equal(it.begin(replace(first, holder="h2")), Begun.TWIN)
    it.clock.advance(NOTICE_MS - 1)

    equal(it.begin(replace(first, holder="h2")), Begun.TWIN)
    equal(it.finish(first, Outcome.SUCCEEDED), Finished.RECORDED)


def a_begin_asked_again_is_not_given_up(it: StoreUnderTest) -> None:
    first = it.attempt(max_starts=1)
    it.begin(first)

    equal(it.begin(first), Begun.RUN)

    it.finish(first, Outcome.RETRYING)
    equal(it.begin(replace(first, holder="h2", attempt=1)), Begun.RUN)


def retries_are_no_crashes(it: StoreUnderTest) -> None:
    for attempt in range(5):
        one = it.attempt(holder=f"h{attempt}", attempt=attempt, max_starts=2)
        equal(it.begin(one), Begun.RUN)
        it.finish(one, Outcome.RETRYING)
    it.crash(it.attempt(holder="crashes", attempt=5, max_starts=2))

    equal(it.begin(it.attempt(holder="again", attempt=5, max_starts=2)), Begun.RUN)

    it.clock.advance(TTL_MS)
    it.begin(it.attempt(holder="last", attempt=5, max_starts=2))
    it.clock.advance(NOTICE_MS)
    equal(it.begin(it.attempt(holder="last", attempt=5, max_starts=2)), Begun.GIVEN_UP)


def a_run_may_begin_any_number_of_times_where_none_is_said(it: StoreUnderTest) -> None:
    for start in range(5):
        it.crash(it.attempt(holder=f"h{start}"))

    equal(it.begin(it.attempt(holder="last")), Begun.RUN)


CRASH_CHECKS = (
    a_message_is_reclaimed_when_its_lease_and_a_notice_are_over,
    a_run_without_a_message_is_never_reclaimed,
    renewals_and_repeats_put_it_off,
    a_renewal_that_is_refused_does_not_put_it_off,
    the_messages_of_what_died_first_come_first,
    what_was_reclaimed_is_held_against_other_replicas,
    an_interrupted_run_is_reclaimed_after_a_notice,
    what_has_ended_is_not_reclaimed,
    a_retry_that_never_comes_is_reclaimed,
    what_gave_way_or_was_given_up_is_not_reclaimed,
    the_end_of_a_holder_that_lost_leaves_the_message_of_the_next,
    a_run_is_given_up_when_its_workers_died_too_often,
    a_run_that_lives_is_not_given_up,
    a_begin_asked_again_is_not_given_up,
    retries_are_no_crashes,
    a_run_may_begin_any_number_of_times_where_none_is_said,
)
