"""What every store promises of keys that stay held after an attempt, and of locks by hand."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.run import (
    GRACE_MS,
    NOTICE_MS,
    Begun,
    Finished,
    Lock,
    Outcome,
    Renewed,
)
from celery_singleton_beat.testing.harness import START_MS, TTL_MS, StoreUnderTest, equal

_LEAST_MS = 100_000
_WAIT_MS = 60_000


def a_key_is_held_for_at_least_as_long_as_asked_from_its_begin(it: StoreUnderTest) -> None:
    for outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
        short = it.attempt(outcome.value, outcome.value, at_least_ms=_LEAST_MS)
        it.begin(short)
        it.clock.advance(1000)
        equal(it.finish(short, outcome), Finished.RECORDED)
        it.clock.advance(1000)
        # Its main process may say it again, and know no better.
        equal(it.finish(short, Outcome.INTERRUPTED), Finished.RECORDED)
        other = it.attempt(f"after {outcome.value}", f"after {outcome.value}")

        answer = it.store.begin(other, close_if_busy=False, grace_ms=0)
        equal((answer.verdict, answer.wait_ms), (Begun.BUSY, _LEAST_MS - 2000))
        it.clock.advance(_LEAST_MS - 2001)
        equal(it.begin(other), Begun.BUSY)
        it.clock.advance(1)

        # Its holder is through with it: nobody waits for a notice.
        equal(it.begin(other), Begun.RUN)
        it.finish(other, Outcome.SUCCEEDED)


def a_run_that_took_longer_than_the_least_frees_its_key_at_once(it: StoreUnderTest) -> None:
    long = it.attempt(at_least_ms=TTL_MS // 2)
    it.begin(long)
    it.clock.advance(TTL_MS // 2)

    it.finish(long, Outcome.SUCCEEDED)

    equal(it.begin(it.attempt("other", "h2")), Begun.RUN)


def an_interrupted_run_frees_its_key_before_the_least(it: StoreUnderTest) -> None:
    first = it.attempt(at_least_ms=_LEAST_MS, holds_retries=True)
    it.begin(first)

    it.finish(first, Outcome.INTERRUPTED, wait_ms=_WAIT_MS)

    equal(it.begin(it.attempt("other", "h2")), Begun.RUN)


def a_retry_begins_at_once_where_its_key_is_held_for_the_least(it: StoreUnderTest) -> None:
    first = it.attempt(at_least_ms=_LEAST_MS)
    it.begin(first)
    it.finish(first, Outcome.RETRYING, wait_ms=1000)

    equal(it.begin(it.attempt("other", "h2")), Begun.BUSY)

    equal(it.begin(replace(first, holder="h3", attempt=1)), Begun.RUN)


def the_least_begins_with_the_first_renewed_lease_and_not_with_the_last(
    it: StoreUnderTest,
) -> None:
    first = it.attempt(at_least_ms=TTL_MS)
    it.begin(first)
    it.clock.advance(TTL_MS - 1)
    it.renew(first)
    it.finish(first, Outcome.SUCCEEDED)
    equal(it.begin(it.attempt("other", "h2")), Begun.BUSY)

    it.clock.advance(1)

    equal(it.begin(it.attempt("other", "h2")), Begun.RUN)


def an_end_frees_its_key_although_the_clock_stepped_back(it: StoreUnderTest) -> None:
    it.begin(it.attempt("one", "h1"))
    it.begin(it.attempt("two", "h2", key="another", at_least_ms=_LEAST_MS))
    it.clock.advance(-3_600_000)

    it.finish(it.attempt("one", "h1"), Outcome.SUCCEEDED)
    it.finish(it.attempt("two", "h2", key="another", at_least_ms=_LEAST_MS), Outcome.SUCCEEDED)

    equal(it.begin(it.attempt("three", "h3")), Begun.RUN)
    it.clock.advance(_LEAST_MS)
    equal(it.begin(it.attempt("four", "h4", key="another")), Begun.RUN)


def between_retries_a_key_is_held_where_that_is_asked_for(it: StoreUnderTest) -> None:
    first = it.attempt(holds_retries=True)
    it.begin(first)
    equal(it.finish(first, Outcome.RETRYING, wait_ms=_WAIT_MS), Finished.RECORDED)
    other = it.attempt("other", "h2")

    answer = it.store.begin(other, close_if_busy=False, grace_ms=0)
    equal((answer.verdict, answer.wait_ms), (Begun.BUSY, _WAIT_MS + TTL_MS))
    equal(it.renew(first), Renewed.ENDED)
    retry = replace(first, holder="h3", attempt=1)
    equal(it.begin(retry), Begun.RUN)
    it.clock.advance(TTL_MS - 1)
    equal(it.begin(other), Begun.BUSY)

    it.finish(retry, Outcome.SUCCEEDED)
    equal(it.begin(other), Begun.RUN)


def a_key_held_for_a_retry_that_never_comes_is_free_without_notice(it: StoreUnderTest) -> None:
    first = it.attempt(holds_retries=True)
    it.begin(first)
    it.finish(first, Outcome.RETRYING, wait_ms=_WAIT_MS)
    other = it.attempt("other", "h2")
    it.clock.advance(_WAIT_MS + TTL_MS - 1)
    equal(it.begin(other), Begun.BUSY)

    it.clock.advance(1)
    equal(it.begin(other), Begun.RUN)

    equal(it.begin(replace(first, holder="h3", attempt=1)), Begun.BUSY)
    it.finish(other, Outcome.SUCCEEDED)
    equal(it.begin(replace(first, holder="h3", attempt=1)), Begun.RUN)


def an_attempt_whose_retry_never_came_begins_anew_under_its_own_lock(it: StoreUnderTest) -> None:
    first = it.attempt(holds_retries=True)
    it.begin(first)
    it.finish(first, Outcome.RETRYING, wait_ms=_WAIT_MS)
    it.clock.advance(_WAIT_MS + TTL_MS)
    equal(it.begin(first), Begun.TWIN)
    it.clock.advance(NOTICE_MS)

    equal(it.begin(first), Begun.RUN)

    equal(it.renew(first), Renewed.KEPT)


def between_retries_a_key_is_free_where_that_is_not_asked_for(it: StoreUnderTest) -> None:
    it.begin(it.attempt())
    it.finish(it.attempt(), Outcome.RETRYING, wait_ms=_WAIT_MS)

    equal(it.begin(it.attempt("other", "h2")), Begun.RUN)


def a_key_held_for_a_retry_is_freed_if_the_retry_was_not_published(it: StoreUnderTest) -> None:
    first = it.attempt(holds_retries=True)
    it.begin(first)
    it.finish(first, Outcome.RETRYING, wait_ms=_WAIT_MS)

    it.finish(first, Outcome.INTERRUPTED)

    equal(it.begin(it.attempt("other", "h2")), Begun.RUN)


def an_end_leaves_the_key_of_another_alone(it: StoreUnderTest) -> None:
    it.begin(it.attempt("one", "h1"))
    it.store.unlock("key", "op")
    it.begin(it.attempt("two", "h2"))

    equal(it.finish(it.attempt("one", "h1"), Outcome.SUCCEEDED), Finished.RECORDED)

    equal(it.begin(it.attempt("three", "h3")), Begun.BUSY)


def an_end_that_lost_frees_the_key_that_was_still_its_own(it: StoreUnderTest) -> None:
    first = it.attempt(key="old")
    it.crash(first)
    equal(it.begin(it.attempt(holder="h2", key="new")), Begun.RUN)

    equal(it.finish(first, Outcome.SUCCEEDED), Finished.LOST)

    equal(it.begin(it.attempt("other", "h3", key="old")), Begun.RUN)


def a_lock_that_nobody_took_is_kept_for_its_grace(it: StoreUnderTest) -> None:
    it.begin(it.attempt())
    it.clock.advance(TTL_MS + GRACE_MS - 1)
    equal(len([lock for lock in it.store.locks(["key"]).locks if lock]), 1)

    it.clock.advance(1)

    equal(it.store.locks(["key"]).locks, (None,))


def a_restored_lease_is_lost_to_whoever_had_the_key_since(it: StoreUnderTest) -> None:
    it.begin(it.attempt("two", "h2"))
    it.clock.advance(10 * TTL_MS)

    equal(it.renew(it.attempt("one", "h1"), token=START_MS * 1000 - 1), Renewed.LOST)

    equal(it.renew(it.attempt("two", "h2")), Renewed.KEPT)


def locks_are_named_those_first_that_end_last(it: StoreUnderTest) -> None:
    for name, ttl_ms in (("a", 10_000), ("b", 30_000), ("c", 20_000), ("d", 20_000)):
        it.begin(it.attempt(f"run {name}", f"h {name}", key=name, ttl_ms=ttl_ms))
    equal(it.store.lock_names(10), ["b", "d", "c", "a"])
    equal(it.store.lock_names(2), ["b", "d"])

    it.clock.advance(9_999)
    equal(it.store.lock_names(10), ["b", "d", "c", "a"])
    it.clock.advance(1)
    equal(it.store.lock_names(10), ["b", "d", "c"])
    it.finish(it.attempt("run b", "h b", key="b"), Outcome.SUCCEEDED)
    it.renew(it.attempt("run c", "h c", key="c"))

    equal(it.store.lock_names(10), ["c", "d"])


def locks_are_read_in_the_order_asked_and_free_ones_are_none(it: StoreUnderTest) -> None:
    first = it.store.begin(it.attempt("one", "h1", key="a"), close_if_busy=False, grace_ms=0)
    it.clock.advance(1)
    it.begin(it.attempt("two", "h2", key="b", owner="pod|2"))
    it.begin(it.attempt("three", "h3", key="c"))
    it.finish(it.attempt("three", "h3", key="c"), Outcome.SUCCEEDED)

    answer = it.store.locks(["b", "never", "c", "a"])

    a = Lock("h1", first.token, START_MS + TTL_MS, START_MS, "worker")
    b = Lock("h2", first.token + 1000, START_MS + 1 + TTL_MS, START_MS + 1, "pod|2")
    equal(answer.now_ms, START_MS + 1)
    equal(answer.locks, (b, None, None, a))
    equal(it.store.locks([]).locks, ())


def a_lock_that_was_freed_by_hand_is_lost_to_its_holder(it: StoreUnderTest) -> None:
    it.begin(it.attempt("one", "h1"))
    it.clock.advance(1000)

    equal(int(it.store.unlock("key", "op|1")), 1)

    equal(it.store.lock_names(10), [])
    equal(it.store.locks(["key"]).locks, (None,))
    equal(it.renew(it.attempt("one", "h1")), Renewed.LOST)
    equal(it.begin(it.attempt("two", "h2")), Begun.RUN)
    equal(it.renew(it.attempt("one", "h1")), Renewed.LOST)
    _, _, _, unlocked, _ = it.store.history(10)
    equal(
        (unlocked.kind, unlocked.by, unlocked.note, unlocked.at_ms),
        ("unlocked", "op|1", "key", START_MS + 1000),
    )


def freeing_what_nobody_holds_changes_nothing(it: StoreUnderTest) -> None:
    it.begin(it.attempt("one", "h1", key="other"))

    equal(int(it.store.unlock("key", "op")), 0)

    equal(it.kinds(), ["started"])
    equal(it.renew(it.attempt("one", "h1", key="other")), Renewed.KEPT)


def a_lease_that_is_over_can_be_freed_by_hand_without_notice(it: StoreUnderTest) -> None:
    it.begin(it.attempt("one", "h1"))
    it.clock.advance(TTL_MS + NOTICE_MS)

    equal(int(it.store.unlock("key", "op")), 1)

    equal(it.begin(it.attempt("two", "h2")), Begun.RUN)


LOCK_CHECKS = (
    a_key_is_held_for_at_least_as_long_as_asked_from_its_begin,
    a_run_that_took_longer_than_the_least_frees_its_key_at_once,
    an_interrupted_run_frees_its_key_before_the_least,
    a_retry_begins_at_once_where_its_key_is_held_for_the_least,
    the_least_begins_with_the_first_renewed_lease_and_not_with_the_last,
    an_end_frees_its_key_although_the_clock_stepped_back,
    between_retries_a_key_is_held_where_that_is_asked_for,
    a_key_held_for_a_retry_that_never_comes_is_free_without_notice,
    an_attempt_whose_retry_never_came_begins_anew_under_its_own_lock,
    between_retries_a_key_is_free_where_that_is_not_asked_for,
    a_key_held_for_a_retry_is_freed_if_the_retry_was_not_published,
    an_end_leaves_the_key_of_another_alone,
    an_end_that_lost_frees_the_key_that_was_still_its_own,
    a_lock_that_nobody_took_is_kept_for_its_grace,
    a_restored_lease_is_lost_to_whoever_had_the_key_since,
    locks_are_named_those_first_that_end_last,
    locks_are_read_in_the_order_asked_and_free_ones_are_none,
    a_lock_that_was_freed_by_hand_is_lost_to_its_holder,
    freeing_what_nobody_holds_changes_nothing,
    a_lease_that_is_over_can_be_freed_by_hand_without_notice,
)
