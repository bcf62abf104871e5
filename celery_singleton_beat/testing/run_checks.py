"""What every store promises of runs and leases."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.run import NOTICE_MS, Begun, Finished, Outcome, Renewed
from celery_singleton_beat.store.port import Renewal
from celery_singleton_beat.testing.harness import START_MS, TTL_MS, StoreUnderTest, equal


def one_run_at_a_time_per_key(it: StoreUnderTest) -> None:
    equal(it.begin(it.attempt("one", "h1")), Begun.RUN)
    equal(it.begin(it.attempt("two", "h2")), Begun.BUSY)

    it.finish(it.attempt("one", "h1"), Outcome.SUCCEEDED)

    equal(it.begin(it.attempt("two", "h2")), Begun.RUN)


def a_run_that_ended_never_begins_again(it: StoreUnderTest) -> None:
    for outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
        run = outcome.value
        it.begin(it.attempt(run, f"{run}-1"))
        it.finish(it.attempt(run, f"{run}-1"), outcome)

        equal(it.begin(it.attempt(run, f"{run}-2")), Begun.DONE)


def a_begin_asked_again_is_answered_the_same(it: StoreUnderTest) -> None:
    first = it.store.begin(it.attempt(), close_if_busy=False, grace_ms=0)

    again = it.store.begin(it.attempt(), close_if_busy=False, grace_ms=0)

    equal((again.verdict, again.token), (Begun.RUN, first.token))


def a_skip_because_the_key_is_held_is_for_good_and_repeats(it: StoreUnderTest) -> None:
    it.begin(it.attempt("one", "h1"))
    two = it.attempt("two", "h2")

    for _ in range(2):
        answer = it.store.begin(two, close_if_busy=True, grace_ms=0)
        equal((answer.verdict, answer.wait_ms, answer.owner), (Begun.BUSY, TTL_MS, "worker"))
    it.finish(it.attempt("one", "h1"), Outcome.SUCCEEDED)
    answer = it.store.begin(two, close_if_busy=True, grace_ms=0)
    equal((answer.verdict, answer.wait_ms, answer.owner), (Begun.BUSY, 0, ""))

    equal(it.begin(it.attempt("two", "h3")), Begun.DONE)


def the_same_run_elsewhere_is_a_twin_until_its_lease_is_over(it: StoreUnderTest) -> None:
    it.begin(it.attempt(holder="h1"))
    it.clock.advance(TTL_MS - 1)
    answer = it.store.begin(it.attempt(holder="h2"), close_if_busy=True, grace_ms=0)
    equal((answer.verdict, answer.wait_ms), (Begun.TWIN, 1))

    it.clock.advance(1)
    answer = it.store.begin(it.attempt(holder="h2"), close_if_busy=True, grace_ms=0)
    equal((answer.verdict, answer.wait_ms), (Begun.TWIN, NOTICE_MS))
    it.clock.advance(NOTICE_MS)

    equal(it.begin(it.attempt(holder="h2")), Begun.RUN)
    equal(it.finish(it.attempt(holder="h1"), Outcome.SUCCEEDED), Finished.LOST)
    equal(it.begin(it.attempt("other", "h3")), Begun.BUSY)


def a_holder_that_was_cut_off_may_record_its_end_first(it: StoreUnderTest) -> None:
    it.begin(it.attempt(holder="h1"))
    it.clock.advance(10 * TTL_MS)

    equal(it.begin(it.attempt(holder="h2")), Begun.TWIN)
    it.clock.advance(NOTICE_MS - 1)
    equal(it.begin(it.attempt(holder="h3")), Begun.TWIN)
    equal(it.finish(it.attempt(holder="h1"), Outcome.SUCCEEDED), Finished.RECORDED)

    equal(it.begin(it.attempt(holder="h2")), Begun.DONE)


def a_holder_that_was_cut_off_may_renew_before_another_run_has_its_key(it: StoreUnderTest) -> None:
    it.begin(it.attempt("one", "h1"))
    it.clock.advance(10 * TTL_MS)
    two = it.attempt("two", "h2")

    answer = it.store.begin(two, close_if_busy=True, grace_ms=0)
    equal((answer.verdict, answer.wait_ms), (Begun.WAIT, NOTICE_MS))
    it.clock.advance(1)
    equal(it.renew(it.attempt("one", "h1")), Renewed.KEPT)
    equal(it.begin(two), Begun.BUSY)
    it.clock.advance(TTL_MS)

    equal(it.begin(two), Begun.WAIT)
    it.clock.advance(NOTICE_MS)
    equal(it.begin(two), Begun.RUN)
    equal(it.renew(it.attempt("one", "h1")), Renewed.LOST)


def renewal_keeps_a_lease_for_as_long_as_it_goes_on(it: StoreUnderTest) -> None:
    it.begin(it.attempt())
    for _ in range(10):
        it.clock.advance(TTL_MS - 1)
        equal(it.renew(it.attempt()), Renewed.KEPT)

    equal(it.begin(it.attempt("other", "h2")), Begun.BUSY)


def a_late_renewal_is_kept_only_if_nobody_had_the_key(it: StoreUnderTest) -> None:
    it.begin(it.attempt())
    it.clock.advance(TTL_MS + 1)
    equal(it.renew(it.attempt()), Renewed.KEPT)
    it.clock.advance(TTL_MS)
    other = it.attempt("other", "h2")
    it.begin(other)
    it.clock.advance(NOTICE_MS)
    equal(it.begin(other), Begun.RUN)
    equal(it.renew(it.attempt()), Renewed.LOST)

    it.finish(other, Outcome.SUCCEEDED)

    equal(it.renew(it.attempt()), Renewed.LOST)


def renewing_what_never_began_does_nothing(it: StoreUnderTest) -> None:
    equal(it.renew(it.attempt(), token=0), Renewed.UNKNOWN)
    equal(it.begin(it.attempt("other", "h2")), Begun.RUN)
    it.finish(it.attempt("other", "h2"), Outcome.SUCCEEDED)
    equal(it.renew(it.attempt("other", "h2")), Renewed.ENDED)


def only_a_holder_is_told_its_token(it: StoreUnderTest) -> None:
    attempt, other = it.attempt(), it.attempt("other", "h2")
    token = it.store.begin(attempt, close_if_busy=False, grace_ms=0).token
    late = replace(attempt, holder="late")
    asked = [Renewal(attempt, token), Renewal(late, token), Renewal(other, 0)]
    equal([answer.token for answer in it.store.renew(asked)], [token, 0, 0])

    it.finish(attempt, Outcome.SUCCEEDED)

    equal(it.store.renew(asked[:1])[0].token, 0)


def a_forgotten_lease_is_restored_with_a_higher_token(it: StoreUnderTest) -> None:
    it.clock.advance(1000)
    it.begin(it.attempt("elsewhere", "h0", key="another"))
    token = START_MS * 1000  # of an earlier memory than this store's

    answer = it.store.renew([Renewal(it.attempt(), token)])[0]

    equal((answer.verdict, answer.token > token), (Renewed.RESTORED, True))
    equal(it.begin(it.attempt("other", "h2")), Begun.BUSY)
    equal(it.renew(it.attempt("other", "h2")), Renewed.LOST)


def a_lease_that_is_gone_from_a_store_that_remembers_is_lost(it: StoreUnderTest) -> None:
    # Its first token bears the very millisecond in which the store's memory began.
    answer = it.store.begin(it.attempt(), close_if_busy=False, grace_ms=0)
    it.clock.advance(10 * TTL_MS + it.attempt().window_ms)

    equal(it.renew(it.attempt(), token=answer.token), Renewed.LOST)


def a_retry_waits_for_its_attempt_and_older_ones_are_stale(it: StoreUnderTest) -> None:
    it.begin(it.attempt(holder="h1"))
    it.finish(it.attempt(holder="h1"), Outcome.RETRYING, wait_ms=60_000)

    answer = it.store.begin(it.attempt(holder="h2"), close_if_busy=False, grace_ms=0)
    equal((answer.verdict, answer.wait_ms), (Begun.TWIN, 60_000 + TTL_MS))
    equal(it.begin(it.attempt(holder="h3", attempt=1)), Begun.RUN)
    equal(it.begin(it.attempt(holder="h2", attempt=0)), Begun.STALE)
    equal(it.finish(it.attempt(holder="h1"), Outcome.FAILED), Finished.LOST)


def a_retry_that_never_comes_lets_the_attempt_before_it_begin_again(it: StoreUnderTest) -> None:
    it.begin(it.attempt(holder="h1"))
    it.finish(it.attempt(holder="h1"), Outcome.RETRYING, wait_ms=60_000)
    it.clock.advance(60_000 + TTL_MS)

    equal(it.begin(it.attempt(holder="h2", attempt=0)), Begun.TWIN)
    it.clock.advance(NOTICE_MS)
    equal(it.begin(it.attempt(holder="h2", attempt=0)), Begun.RUN)

    equal(it.begin(it.attempt(holder="h3", attempt=1)), Begun.TWIN)
    it.finish(it.attempt(holder="h2", attempt=0), Outcome.SUCCEEDED)
    equal(it.begin(it.attempt(holder="h3", attempt=1)), Begun.DONE)


def a_retry_is_remembered_for_its_wait_and_the_window_after_it(it: StoreUnderTest) -> None:
    wait_ms, first = 10_000_000, it.attempt()
    it.begin(first)
    it.finish(first, Outcome.RETRYING, wait_ms)
    it.clock.advance(wait_ms + TTL_MS + first.window_ms - 1)
    equal(it.begin(it.attempt(holder="h2")), Begun.TWIN)

    it.clock.advance(1)

    equal(it.begin(it.attempt(holder="h2")), Begun.RUN)


def a_retry_that_was_not_published_may_begin_again(it: StoreUnderTest) -> None:
    it.begin(it.attempt())
    it.finish(it.attempt(), Outcome.RETRYING, wait_ms=1000)

    it.finish(it.attempt(), Outcome.INTERRUPTED)

    equal(it.begin(it.attempt(holder="h2")), Begun.RUN)


def a_run_is_remembered_for_its_window_from_its_last_renewal(it: StoreUnderTest) -> None:
    first = it.attempt(window_ms=1000)
    it.begin(first)
    for _ in range(3):
        it.clock.advance(TTL_MS - 1)
        equal(it.renew(first), Renewed.KEPT)

    it.clock.advance(TTL_MS + 999)

    equal(it.begin(replace(first, holder="h2")), Begun.TWIN)


def tokens_only_grow_also_in_one_millisecond_or_against_the_clock(it: StoreUnderTest) -> None:
    tokens = []
    for number, step_ms in enumerate((0, 0, -1000, 0, 5000)):
        it.clock.advance(step_ms)
        attempt = it.attempt(f"run{number}", f"h{number}")
        tokens.append(it.store.begin(attempt, close_if_busy=False, grace_ms=0).token)
        it.finish(attempt, Outcome.SUCCEEDED)

    equal(tokens, sorted(set(tokens)))


def an_interrupted_run_may_begin_again_at_once(it: StoreUnderTest) -> None:
    it.begin(it.attempt(holder="h1"))
    equal(it.finish(it.attempt(holder="h1"), Outcome.INTERRUPTED), Finished.RECORDED)

    answer = it.store.begin(it.attempt(holder="h2"), close_if_busy=False, grace_ms=0)

    equal((answer.verdict, answer.starts), (Begun.RUN, 2))


def an_end_recorded_twice_is_recorded_once(it: StoreUnderTest) -> None:
    it.begin(it.attempt())

    equal(it.finish(it.attempt(), Outcome.SUCCEEDED), Finished.RECORDED)
    equal(it.finish(it.attempt(), Outcome.INTERRUPTED), Finished.RECORDED)

    equal(it.begin(it.attempt(holder="h2")), Begun.DONE)


def a_second_publish_within_the_window_finds_the_record(it: StoreUnderTest) -> None:
    window_ms = 600_000
    first = it.attempt(not_after_ms=START_MS + window_ms, window_ms=window_ms)
    it.begin(first)
    it.finish(first, Outcome.SUCCEEDED)
    it.clock.advance(window_ms)
    second = replace(first, holder="h2", not_after_ms=it.clock.now_ms + window_ms)

    it.clock.advance(window_ms - 1)

    equal(it.begin(second), Begun.DONE)


def after_its_window_a_message_is_refused(it: StoreUnderTest) -> None:
    late = it.attempt(not_after_ms=START_MS + 1000)
    it.clock.advance(1000)
    equal(it.begin(replace(late, run="just")), Begun.RUN)
    it.finish(replace(late, run="just"), Outcome.SUCCEEDED)

    it.clock.advance(1)

    equal(it.begin(late), Begun.REFUSED)
    it.clock.advance(late.window_ms - 1)
    equal(it.begin(replace(late, run="just", holder="h2")), Begun.REFUSED)


RUN_CHECKS = (
    one_run_at_a_time_per_key,
    a_run_that_ended_never_begins_again,
    a_begin_asked_again_is_answered_the_same,
    a_skip_because_the_key_is_held_is_for_good_and_repeats,
    the_same_run_elsewhere_is_a_twin_until_its_lease_is_over,
    a_holder_that_was_cut_off_may_record_its_end_first,
    a_holder_that_was_cut_off_may_renew_before_another_run_has_its_key,
    renewal_keeps_a_lease_for_as_long_as_it_goes_on,
    a_late_renewal_is_kept_only_if_nobody_had_the_key,
    renewing_what_never_began_does_nothing,
    only_a_holder_is_told_its_token,
    a_forgotten_lease_is_restored_with_a_higher_token,
    a_lease_that_is_gone_from_a_store_that_remembers_is_lost,
    a_second_publish_within_the_window_finds_the_record,
    a_retry_waits_for_its_attempt_and_older_ones_are_stale,
    a_retry_that_never_comes_lets_the_attempt_before_it_begin_again,
    an_interrupted_run_may_begin_again_at_once,
    a_retry_is_remembered_for_its_wait_and_the_window_after_it,
    a_retry_that_was_not_published_may_begin_again,
    a_run_is_remembered_for_its_window_from_its_last_renewal,
    tokens_only_grow_also_in_one_millisecond_or_against_the_clock,
    an_end_recorded_twice_is_recorded_once,
    after_its_window_a_message_is_refused,
)
