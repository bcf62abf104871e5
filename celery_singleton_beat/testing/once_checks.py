"""What every store promises of keys that have one run per interval."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.run import NOTICE_MS, Attempt, Begun, Outcome
from celery_singleton_beat.testing.harness import START_MS, TTL_MS, StoreUnderTest, equal

_MINUTE_MS = 60_000


def _message(it: StoreUnderTest, number: int, **fields: object) -> Attempt:
    return it.attempt(f"run{number}", f"h{number}", once_ms=_MINUTE_MS, **fields)


def _run(it: StoreUnderTest, attempt: Attempt) -> Begun:
    begun = it.begin(attempt)
    if begun is Begun.RUN:
        it.finish(attempt, Outcome.SUCCEEDED)
    return begun


def _to_next_minute(it: StoreUnderTest) -> None:
    it.clock.advance(_MINUTE_MS - it.clock.now_ms % _MINUTE_MS)


def a_key_has_one_run_per_interval_however_many_messages(it: StoreUnderTest) -> None:
    _to_next_minute(it)
    equal(_run(it, _message(it, 0)), Begun.RUN)
    equal([_run(it, _message(it, number)) for number in range(1, 6)], [Begun.SPENT] * 5)

    it.clock.advance(_MINUTE_MS - 1)
    equal(_run(it, _message(it, 6)), Begun.SPENT)
    it.clock.advance(1)

    equal(_run(it, _message(it, 7)), Begun.RUN)
    equal(_run(it, _message(it, 8)), Begun.SPENT)


def intervals_are_of_the_stores_clock_and_not_of_the_first_run(it: StoreUnderTest) -> None:
    _to_next_minute(it)
    it.clock.advance(_MINUTE_MS - 1)
    equal(_run(it, _message(it, 0)), Begun.RUN)

    it.clock.advance(1)

    equal(_run(it, _message(it, 1)), Begun.RUN)


def a_spent_message_is_closed_for_good_and_repeats(it: StoreUnderTest) -> None:
    _run(it, _message(it, 0))

    equal(it.begin(_message(it, 1)), Begun.SPENT)
    equal(it.begin(_message(it, 1)), Begun.SPENT)
    equal(it.begin(replace(_message(it, 1), holder="other")), Begun.DONE)
    _to_next_minute(it)

    equal(it.begin(_message(it, 1)), Begun.SPENT)
    equal(it.begin(replace(_message(it, 1), holder="other")), Begun.DONE)
    equal(it.kinds(), ["started", "succeeded", "spent"])


def the_run_of_an_interval_may_begin_again_in_it(it: StoreUnderTest) -> None:
    _to_next_minute(it)
    first = _message(it, 0)
    it.begin(first)
    it.clock.advance(TTL_MS)
    equal(it.begin(replace(first, holder="again")), Begun.TWIN)
    it.clock.advance(NOTICE_MS)

    equal(it.begin(replace(first, holder="again")), Begun.RUN)
    it.finish(replace(first, holder="again"), Outcome.INTERRUPTED)
    equal(it.begin(_message(it, 1)), Begun.SPENT)
    equal(it.begin(replace(first, holder="once more")), Begun.RUN)
    it.finish(replace(first, holder="once more"), Outcome.RETRYING)
    equal(it.begin(replace(first, holder="retry", attempt=1)), Begun.RUN)


def a_retry_in_a_later_interval_does_not_spend_it(it: StoreUnderTest) -> None:
    first = _message(it, 0)
    it.begin(first)
    it.finish(first, Outcome.RETRYING, wait_ms=_MINUTE_MS)
    _to_next_minute(it)
    retry = replace(first, holder="retry", attempt=1)
    equal(_run(it, retry), Begun.RUN)

    equal(_run(it, _message(it, 1)), Begun.RUN)


def a_message_that_found_its_key_held_has_spent_nothing(it: StoreUnderTest) -> None:
    _to_next_minute(it)
    it.begin(it.attempt("long", "h", once_ms=0))
    equal(it.begin(_message(it, 0)), Begun.BUSY)
    it.finish(it.attempt("long", "h"), Outcome.SUCCEEDED)

    equal(_run(it, _message(it, 1)), Begun.RUN)

    equal(_run(it, _message(it, 0)), Begun.SPENT)


def an_interval_is_spent_for_its_own_key_and_for_who_asks(it: StoreUnderTest) -> None:
    _run(it, _message(it, 0))

    equal(_run(it, _message(it, 1, key="another")), Begun.RUN)
    equal(_run(it, it.attempt("without", "h")), Begun.RUN)

    equal(_run(it, _message(it, 2)), Begun.SPENT)


def intervals_of_different_lengths_may_share_a_key(it: StoreUnderTest) -> None:
    it.clock.advance(60 * _MINUTE_MS - START_MS % (60 * _MINUTE_MS))
    equal(_run(it, _message(it, 0)), Begun.RUN)

    for number in (1, 3):
        hourly = replace(_message(it, number), once_ms=60 * _MINUTE_MS)
        equal(_run(it, hourly), Begun.SPENT)
        it.clock.advance(_MINUTE_MS)
        equal(_run(it, _message(it, number + 1)), Begun.RUN)
    it.clock.advance(58 * _MINUTE_MS)

    equal(_run(it, replace(_message(it, 5), once_ms=60 * _MINUTE_MS)), Begun.RUN)
    equal(_run(it, _message(it, 6)), Begun.SPENT)
    it.clock.advance(_MINUTE_MS)
    equal(_run(it, _message(it, 7)), Begun.RUN)


ONCE_CHECKS = (
    a_key_has_one_run_per_interval_however_many_messages,
    intervals_are_of_the_stores_clock_and_not_of_the_first_run,
    a_spent_message_is_closed_for_good_and_repeats,
    the_run_of_an_interval_may_begin_again_in_it,
    a_retry_in_a_later_interval_does_not_spend_it,
    a_message_that_found_its_key_held_has_spent_nothing,
    an_interval_is_spent_for_its_own_key_and_for_who_asks,
    intervals_of_different_lengths_may_share_a_key,
)
