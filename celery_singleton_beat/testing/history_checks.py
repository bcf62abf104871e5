"""What every store promises of its history."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.history import Fact, Told
from celery_singleton_beat.protocol.run import Attempt, Begun, Finished, Outcome
from celery_singleton_beat.testing.harness import START_MS, TTL_MS, StoreUnderTest, equal


def _occurrence(it: StoreUnderTest, run: str, holder: str, **fields: object) -> Attempt:
    base = it.attempt(run, holder, owner="pod|1", entry="x|é", scheduled_ms=START_MS)
    return replace(base, **fields)  # type: ignore[arg-type]


def _fact(it: StoreUnderTest, kind: str, attempt: Attempt, note: str = "") -> Fact:
    return Fact(
        it.clock.now_ms, kind, attempt.entry, attempt.scheduled_ms, attempt.run,
        attempt.attempt, attempt.owner, note,
    )  # fmt: skip


def the_newest_facts_come_first_and_no_more_than_asked(it: StoreUnderTest) -> None:
    equal(it.store.history(10), [])
    for number in range(5):
        it.begin(it.attempt(f"run{number}", f"h{number}", key=f"k{number}"))

    equal([fact.run for fact in it.store.history(2)], ["run4", "run3"])

    equal([fact.run for fact in it.store.history(9)], [f"run{n}" for n in (4, 3, 2, 1, 0)])
    equal(it.store.history(0), [])


def a_whole_life_is_noted_with_its_names_and_times(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    claim = it.claim().claims[0]
    published = Told("published", START_MS, "run", "beat|1", "é")
    it.store.settle("a", [Settlement("x", claim.slot.fence, claim.slot, told=(published,))])
    expected = [Fact(START_MS, "published", "x", START_MS, "run", 0, "beat|1", "é")]
    first = _occurrence(it, "run", "h1", key="key|%")
    again, retry = replace(first, holder="h2"), replace(first, holder="h3", attempt=1)

    for attempt, outcome in (
        (first, Outcome.INTERRUPTED),
        (again, Outcome.RETRYING),
        (retry, Outcome.SUCCEEDED),
    ):
        it.clock.advance(1)
        it.begin(attempt)
        expected.append(_fact(it, "started", attempt, "key|%"))
        it.clock.advance(1)
        it.finish(attempt, outcome)
        expected.append(_fact(it, outcome.value, attempt, "1"))

    equal(it.store.history(100), expected[::-1])


def every_way_not_to_run_is_noted(it: StoreUnderTest) -> None:
    it.clock.advance(60_000 - it.clock.now_ms % 60_000)
    it.begin(_occurrence(it, "first", "h0", once_ms=60_000))
    skipped = _occurrence(it, "skipped", "h1")
    refused = _occurrence(it, "refused", "h2", not_after_ms=START_MS)
    spent = _occurrence(it, "spent", "h3", once_ms=60_000)
    discarded = _occurrence(it, "discarded", "h4")

    it.begin(skipped, close_if_busy=True)
    it.begin(refused)
    it.begin(spent)
    it.store.discard(discarded, "expired|é")

    equal(
        it.store.history(4),
        [
            _fact(it, "discarded", discarded, "expired|é"),
            _fact(it, "spent", spent),
            _fact(it, "refused", refused),
            _fact(it, "skipped", skipped),
        ],
    )


def a_run_that_is_given_up_and_one_that_lost_are_noted(it: StoreUnderTest) -> None:
    first = _occurrence(it, "run", "h1")
    it.crash(first)
    last = replace(first, holder="h2", max_starts=1)
    it.begin(last)
    it.renew(first)

    equal(
        it.store.history(2),
        [_fact(it, "lost", first), _fact(it, "given up", last)],
    )


def repeats_and_waits_are_not_noted(it: StoreUnderTest) -> None:
    first = _occurrence(it, "one", "h1")
    other = _occurrence(it, "two", "h2")
    for _ in range(2):
        it.begin(first)
        it.renew(first)
        it.begin(replace(first, holder="twin"))
        it.begin(other)
    for _ in range(2):
        it.begin(other, close_if_busy=True)
    for outcome in (Outcome.FAILED, Outcome.FAILED, Outcome.SUCCEEDED):
        equal(it.finish(first, outcome), Finished.RECORDED)

    equal(it.begin(replace(first, holder="late")), Begun.DONE)
    equal(it.finish(replace(first, holder="late"), Outcome.FAILED), Finished.LOST)

    equal(it.kinds(), ["started", "skipped", "failed"])


def a_run_that_begins_again_is_noted_again(it: StoreUnderTest) -> None:
    for start in range(3):
        it.crash(_occurrence(it, "run", f"h{start}"))
    last = _occurrence(it, "run", "last")
    it.begin(last)
    for _ in range(2):
        it.finish(last, Outcome.INTERRUPTED)

    equal(it.kinds(), ["started"] * 4 + ["interrupted"])


def a_run_that_was_forgotten_is_noted_anew(it: StoreUnderTest) -> None:
    first = it.attempt(window_ms=1000)
    it.begin(first)
    it.clock.advance(TTL_MS + 1000)

    it.begin(first)

    equal(it.kinds(), ["started", "started"])


def what_a_replica_tells_is_noted_in_its_order(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    claim = it.claim().claims[0]
    told = (
        Told("superseded", START_MS - 1000, "", "beat", "up to then"),
        Told("published", START_MS, "run", "beat"),
    )

    it.store.settle("a", [Settlement("x", claim.slot.fence, claim.slot, told=told)])

    equal(it.kinds(), ["superseded", "published"])


def only_what_it_published_is_noted_of_a_replica_that_lost(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    claim = it.claim().claims[0]
    told = (
        Told("superseded", START_MS - 1000, "", "beat", "up to then"),
        Told("published", START_MS, "run", "beat"),
    )

    it.store.settle("a", [Settlement("x", claim.slot.fence + 1, claim.slot, told=told)])

    equal(it.kinds(), ["published"])


HISTORY_CHECKS = (
    the_newest_facts_come_first_and_no_more_than_asked,
    a_whole_life_is_noted_with_its_names_and_times,
    every_way_not_to_run_is_noted,
    a_run_that_is_given_up_and_one_that_lost_are_noted,
    repeats_and_waits_are_not_noted,
    a_run_that_begins_again_is_noted_again,
    a_run_that_was_forgotten_is_noted_anew,
    what_a_replica_tells_is_noted_in_its_order,
    only_what_it_published_is_noted_of_a_replica_that_lost,
)
