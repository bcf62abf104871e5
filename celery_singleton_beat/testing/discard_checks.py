"""What every store promises of messages that will not be executed."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.run import NOTICE_MS, Begun, Finished, Outcome, Renewed
from celery_singleton_beat.testing.harness import START_MS, TTL_MS, StoreUnderTest, equal


def a_discarded_message_never_begins(it: StoreUnderTest) -> None:
    it.store.discard(it.attempt(), "revoked")

    equal(it.begin(it.attempt(holder="h2")), Begun.DONE)
    equal(it.begin(it.attempt("other", "h3")), Begun.RUN)


def a_discard_never_touches_a_run_that_lives(it: StoreUnderTest) -> None:
    it.begin(it.attempt(message="m"))
    it.clock.advance(TTL_MS - 1)

    it.store.discard(it.attempt(holder="h2"), "expired")

    equal(it.kinds(), ["started"])
    equal(it.begin(it.attempt("other", "h3")), Begun.BUSY)
    equal(it.renew(it.attempt()), Renewed.KEPT)
    it.clock.advance(TTL_MS + NOTICE_MS)
    equal([one.run for one in it.reclaimed()], ["run"])


def a_discard_gives_notice_to_a_holder_that_was_cut_off(it: StoreUnderTest) -> None:
    it.begin(it.attempt())
    it.clock.advance(10 * TTL_MS)

    it.store.discard(it.attempt(holder="h2"), "expired")
    it.clock.advance(NOTICE_MS - 1)
    it.store.discard(it.attempt(holder="h3"), "expired")

    equal(it.renew(it.attempt()), Renewed.KEPT)
    it.clock.advance(TTL_MS)
    it.store.discard(it.attempt(holder="h4"), "expired")
    equal(it.finish(it.attempt(), Outcome.SUCCEEDED), Finished.RECORDED)


def a_discard_after_the_notice_closes_what_crashed(it: StoreUnderTest) -> None:
    it.plan(x=START_MS + 100 * TTL_MS)
    it.crash(it.attempt(message="m"))

    it.store.discard(it.attempt(holder="h2"), "revoked")

    equal(int(it.claim().has_overdue), 0)
    equal(it.reclaimed(), [])
    equal(it.renew(it.attempt()), Renewed.LOST)
    equal(it.begin(it.attempt(holder="h3")), Begun.DONE)
    equal(it.begin(it.attempt("other", "h4")), Begun.RUN)


def a_discard_closes_an_interrupted_run_at_once(it: StoreUnderTest) -> None:
    it.begin(it.attempt(message="m"))
    it.finish(it.attempt(message="m"), Outcome.INTERRUPTED)

    it.store.discard(it.attempt(holder="h2"), "revoked")

    it.clock.advance(NOTICE_MS)
    equal(it.reclaimed(), [])
    equal(it.begin(it.attempt(holder="h3")), Begun.DONE)


def a_discard_leaves_what_waits_for_a_later_attempt(it: StoreUnderTest) -> None:
    it.begin(it.attempt())
    it.finish(it.attempt(), Outcome.RETRYING)

    it.store.discard(it.attempt(holder="h2"), "expired")

    equal(it.begin(it.attempt(holder="h3", attempt=1)), Begun.RUN)


def a_discarded_retry_never_begins_and_frees_its_key(it: StoreUnderTest) -> None:
    it.begin(it.attempt(holds_retries=True))
    it.finish(it.attempt(holds_retries=True), Outcome.RETRYING, wait_ms=60_000)

    it.store.discard(it.attempt(holder="h2", attempt=1, holds_retries=True), "revoked")

    equal(it.begin(it.attempt(holder="h3", attempt=1)), Begun.DONE)
    equal(it.begin(it.attempt("other", "h4")), Begun.RUN)


def a_discard_leaves_the_key_of_another_alone(it: StoreUnderTest) -> None:
    it.begin(it.attempt())
    it.finish(it.attempt(), Outcome.INTERRUPTED)
    it.begin(it.attempt("other", "h2"))

    it.store.discard(it.attempt(holder="h3"), "revoked")

    equal(it.renew(it.attempt("other", "h2")), Renewed.KEPT)


def a_discard_leaves_the_end_of_a_run_as_it_is(it: StoreUnderTest) -> None:
    it.begin(it.attempt())
    it.finish(it.attempt(), Outcome.SUCCEEDED)

    it.store.discard(it.attempt(holder="h2"), "expired")

    equal(it.kinds(), ["started", "succeeded"])
    equal(it.finish(it.attempt(), Outcome.SUCCEEDED), Finished.RECORDED)


def a_discarded_message_is_awaited_no_longer(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    claim = it.claim().claims[0]
    awaited = Awaited("run", "x", START_MS, 7000, 60_000)
    it.store.settle("a", [Settlement("x", claim.slot.fence, claim.slot, (awaited,))])
    attempt = it.attempt(entry="x", scheduled_ms=START_MS, is_awaited=True)

    it.store.discard(attempt, "expired")

    it.clock.advance(7000)
    equal(it.store.recall(limit=5, hold_ms=1000), [])


def the_record_of_a_discarded_message_is_kept_for_its_window(it: StoreUnderTest) -> None:
    attempt = it.attempt(window_ms=60_000)
    it.store.discard(attempt, "expired")
    it.clock.advance(59_999)
    equal(it.begin(replace(attempt, holder="h2")), Begun.DONE)

    it.clock.advance(1)

    equal(it.begin(replace(attempt, holder="h2")), Begun.RUN)


def what_an_earlier_revision_queued_is_cancelled(it: StoreUnderTest) -> None:
    old, new = it.attempt(entry="x", revision=4), it.attempt("new", entry="x", revision=5)
    other = it.attempt("other", entry="y", revision=4)

    it.store.cancel_queued("x", 5, TTL_MS)

    equal(it.begin(old), Begun.CANCELLED)
    equal(it.begin(old), Begun.CANCELLED)  # a repeat
    equal(it.begin(replace(old, holder="h2")), Begun.DONE)
    equal(it.begin(new), Begun.RUN)
    it.finish(new, Outcome.SUCCEEDED)
    equal(it.begin(other), Begun.RUN)


def what_is_claimed_after_the_change_begins_although_an_older_message_came_first(
    it: StoreUnderTest,
) -> None:
    """A beat that died before it settled has published it, and another does so again."""
    old = it.attempt(entry="x", revision=4, is_awaited=True, scheduled_ms=START_MS)
    new, newer = replace(old, holder="h2", revision=5), replace(old, holder="h3", revision=6)
    busy = it.attempt("busy", "h4", key="key")
    it.store.cancel_queued("x", 5, TTL_MS)
    it.begin(old)
    it.begin(busy)

    equal(it.begin(new), Begun.BUSY)
    it.finish(busy, Outcome.SUCCEEDED)
    for revision in (0, 4):
        equal(it.begin(replace(old, holder="h5", revision=revision)), Begun.DONE)
    equal(it.begin(new), Begun.RUN)
    it.finish(new, Outcome.SUCCEEDED)

    equal([it.begin(old), it.begin(newer)], [Begun.DONE] * 2)


def what_was_cancelled_is_not_let_go_by_an_older_word(it: StoreUnderTest) -> None:
    it.store.cancel_queued("x", 5, TTL_MS)
    it.store.cancel_queued("x", 3, TTL_MS)

    equal(it.begin(it.attempt(entry="x", revision=4)), Begun.CANCELLED)


def a_run_that_began_goes_on_though_its_entry_was_cancelled(it: StoreUnderTest) -> None:
    attempt = it.attempt(entry="x", revision=4)
    it.begin(attempt)
    it.store.cancel_queued("x", 5, TTL_MS)

    equal(it.renew(attempt), Renewed.KEPT)
    it.finish(attempt, Outcome.RETRYING)

    equal(it.begin(replace(attempt, attempt=1, holder="h2")), Begun.RUN)


def what_was_cancelled_is_awaited_no_more(it: StoreUnderTest) -> None:
    deadlines_ms = {"x": 1000, "y": 2000}
    it.plan(x=START_MS, y=START_MS)
    for claim in it.claim().claims:
        name = claim.entry
        one = Awaited(f"r-{name}", name, START_MS, deadlines_ms[name], 60_000, revision=4)
        it.store.settle("a", [Settlement(name, claim.slot.fence, claim.slot, (one,))])

    it.store.cancel_queued("x", 5, TTL_MS)

    it.clock.advance(1000)
    equal(int(it.claim().has_overdue), 0)
    it.clock.advance(1000)
    equal([one.run for one in it.store.recall(limit=5, hold_ms=1000)], ["r-y"])


def what_was_published_after_a_change_is_awaited_although_it_called_back(
    it: StoreUnderTest,
) -> None:
    """The change is one step, and calling back what was queued before it is the next."""
    it.plan(x=START_MS)
    (claim,) = it.claim().claims
    runs = [Awaited(f"r{n}", "x", START_MS, 1000, 60_000, revision=n) for n in (4, 5, 6)]
    it.store.settle("a", [Settlement("x", claim.slot.fence, claim.slot, tuple(runs))])

    it.store.cancel_queued("x", 5, TTL_MS)

    it.clock.advance(1000)
    equal(it.store.recall(limit=5, hold_ms=1000), runs[1:])


DISCARD_CHECKS = (
    what_was_cancelled_is_awaited_no_more,
    what_was_published_after_a_change_is_awaited_although_it_called_back,
    what_an_earlier_revision_queued_is_cancelled,
    what_is_claimed_after_the_change_begins_although_an_older_message_came_first,
    what_was_cancelled_is_not_let_go_by_an_older_word,
    a_run_that_began_goes_on_though_its_entry_was_cancelled,
    a_discarded_message_never_begins,
    a_discard_never_touches_a_run_that_lives,
    a_discard_gives_notice_to_a_holder_that_was_cut_off,
    a_discard_after_the_notice_closes_what_crashed,
    a_discard_closes_an_interrupted_run_at_once,
    a_discard_leaves_what_waits_for_a_later_attempt,
    a_discarded_retry_never_begins_and_frees_its_key,
    a_discard_leaves_the_key_of_another_alone,
    a_discard_leaves_the_end_of_a_run_as_it_is,
    a_discarded_message_is_awaited_no_longer,
    the_record_of_a_discarded_message_is_kept_for_its_window,
)
