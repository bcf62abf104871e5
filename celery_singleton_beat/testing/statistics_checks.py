"""What every store promises of what it counts, and of how it says it stands."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.history import Fact, Told
from celery_singleton_beat.protocol.run import Attempt, Outcome
from celery_singleton_beat.protocol.statistics import (
    BUSY,
    DUPLICATE,
    TOTAL,
    Counts,
    Histogram,
    entry_subject,
    key_subject,
)
from celery_singleton_beat.testing.harness import START_MS, TTL_MS, StoreUnderTest, equal


def _occurrence(it: StoreUnderTest, run: str, holder: str, **fields: object) -> Attempt:
    base = it.attempt(run, holder, entry="x|é", scheduled_ms=START_MS, key="key|%")
    return replace(base, **fields)  # type: ignore[arg-type]


def _counts(it: StoreUnderTest) -> tuple[Counts, Counts, Counts]:
    """Read what was counted of all, of the entry and of its lock key."""
    all_, entry, key = it.store.counts([TOTAL, entry_subject("x|é"), key_subject("key|%")])
    return all_, entry, key


def what_never_happened_is_counted_as_none(it: StoreUnderTest) -> None:
    equal(it.store.counts([TOTAL, "e:x", "k:x"]), [Counts()] * 3)
    equal(it.store.counts([]), [])
    equal(it.store.counted(10), [])


def a_run_is_counted_for_all_for_its_entry_and_for_its_key(it: StoreUnderTest) -> None:
    attempt = _occurrence(it, "run", "h1")
    it.begin(attempt)
    it.clock.advance(21)
    it.finish(attempt, Outcome.SUCCEEDED)

    for counts in _counts(it):
        equal(dict(counts.facts), {"started": 1, "succeeded": 1})
        equal(counts.run_time, Histogram(1, 21, ((23, 1),)))
        equal(counts.lag, Histogram())
    equal(it.store.history(1)[0].note, "21")


def a_run_of_no_entry_is_counted_for_its_key(it: StoreUnderTest) -> None:
    it.begin(it.attempt(key="k1"))

    equal(it.store.counted(10), [key_subject("k1")])


def how_late_an_occurrence_is_published_is_counted_unless_somebody_asked_for_it(
    it: StoreUnderTest,
) -> None:
    it.plan(x=START_MS)
    claim = it.claim().claims[0]
    it.clock.advance(100)
    told = (
        Told("published", START_MS, "run1", "beat"),
        Told("published", START_MS + 101, "run2", "beat"),
        Told("published", START_MS - 9_000, "run3", "beat", "request"),
    )

    it.store.settle("a", [Settlement("x", claim.slot.fence, claim.slot, told=told)])

    for counts in it.store.counts([TOTAL, entry_subject("x")]):
        equal(counts["published"], 3)
        equal(counts.lag, Histogram(2, 100, ((0, 1), (111, 1))))


def occurrences_that_are_left_out_are_counted_by_their_reason(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    claim = it.claim().claims[0]
    told = tuple(
        Told("superseded", START_MS - 9000, "", "beat", note)
        for note in (
            *(f"{START_MS - 1000}|{START_MS}|9", f"{START_MS - 1000}||2"),
            *(f"{START_MS - 1000}|overlap|3", "what another release wrote"),
        )
    )

    it.store.settle("a", [Settlement("x", claim.slot.fence, claim.slot, told=told)])

    (counts,) = it.store.counts([entry_subject("x")])
    equal(dict(counts.facts), {"superseded:late": 12, "superseded:overlap": 3})
    equal(counts.superseded, 15)


def who_finds_the_key_held_is_counted_each_time_it_asks_anew(it: StoreUnderTest) -> None:
    it.begin(_occurrence(it, "run1", "h1"))
    second = _occurrence(it, "run2", "h2")
    it.begin(second)
    it.begin(second, close_if_busy=True)

    it.begin(second, close_if_busy=True)

    for counts in _counts(it):
        equal(dict(counts.facts), {"started": 1, BUSY: 2, "skipped": 1})


def duplicates_are_counted(it: StoreUnderTest) -> None:
    first = _occurrence(it, "run", "h1")
    it.begin(first)
    it.finish(first, Outcome.RETRYING)
    retry = replace(first, holder="h2", attempt=1)
    it.begin(retry)

    it.begin(replace(first, holder="h3"))
    it.finish(retry, Outcome.SUCCEEDED)
    it.begin(replace(first, holder="h4"))

    for counts in _counts(it):
        equal(counts[DUPLICATE], 2)


def a_repeat_is_counted_once(it: StoreUnderTest) -> None:
    attempt = _occurrence(it, "run", "h1")
    for _ in range(2):
        it.begin(attempt)
    for _ in range(2):
        it.finish(attempt, Outcome.FAILED)

    equal(dict(_counts(it)[2].facts), {"started": 1, "failed": 1})


def the_run_time_of_a_lease_that_is_another_s_is_not_known(it: StoreUnderTest) -> None:
    attempt = _occurrence(it, "run", "h1")
    it.begin(attempt)
    it.store.unlock("key|%", "op")
    it.clock.advance(5)

    it.finish(attempt, Outcome.SUCCEEDED)

    _, _, counts = _counts(it)
    equal(dict(counts.facts), {"started": 1, "unlocked": 1, "succeeded": 1})
    equal(counts.run_time, Histogram())


def a_lease_that_is_lost_is_counted(it: StoreUnderTest) -> None:
    attempt = _occurrence(it, "run", "h1")
    it.begin(attempt)
    it.store.unlock("key|%", "op")

    it.renew(attempt)

    for counts in _counts(it)[1:]:
        equal(counts["lost"], 1)


def subjects_come_in_the_order_of_what_happened_last(it: StoreUnderTest) -> None:
    for number in (1, 2, 3):
        it.clock.advance(1)
        it.begin(it.attempt(f"run{number}", f"h{number}", key=f"k{number}"))
    it.clock.advance(1)
    it.store.unlock("k1", "op")

    equal(it.store.counted(9), [key_subject(key) for key in ("k1", "k3", "k2")])
    equal(it.store.counted(1), [key_subject("k1")])
    equal(it.store.counted(0), [])


def an_entry_has_a_history_of_its_own(it: StoreUnderTest) -> None:
    for number, entry in enumerate(("x", "y", "x")):
        it.begin(it.attempt(f"run{number}", f"h{number}", key=f"k{number}", entry=entry))

    equal([fact.run for fact in it.store.history(9, "x")], ["run2", "run0"])
    equal([fact.run for fact in it.store.history(1, "x")], ["run2"])
    equal(it.store.history(9, "z"), [])


def of_an_entry_the_last_hundred_facts_are_kept(it: StoreUnderTest) -> None:
    for number in range(101):
        it.begin(it.attempt(f"run{number}", f"h{number}", key=f"k{number}", entry="x"))

    facts: list[Fact] = it.store.history(1000, "x")
    equal([facts[0].run, facts[-1].run, len(facts)], ["run100", "run1", 100])


def an_empty_store_stands_still(it: StoreUnderTest) -> None:
    overview = it.store.overview()

    equal((overview.app, overview.born_ms, overview.is_reborn), ("app", START_MS, False))
    equal((overview.governor, overview.adopted, overview.is_paused), (None, "", False))
    equal((overview.due_ms, overview.stored_due_ms, overview.asked_due_ms), (None, None, None))
    equal(dict(overview.fleet.members), {})


def replicas_and_what_is_due_are_in_the_overview(it: StoreUnderTest) -> None:
    it.plan(x=START_MS + 500, y=START_MS + 600)
    it.claim("r2", "a")
    it.put("s", slot_ms=START_MS + 7)
    it.begin(it.attempt(key="k1"))
    it.store.pause_all(None, paused=True)
    it.clock.advance(1000)

    overview = it.store.overview()

    equal((overview.governor, overview.adopted, overview.is_paused), ("a", "a", True))
    equal(sorted(overview.fleet.members), ["r1", "r2"])
    equal((overview.planned, overview.stored, overview.locks), (2, 1, 1))
    equal(overview.silent_ms("r2"), 1000)
    equal((overview.due_ms, overview.stored_due_ms), (START_MS + 500, START_MS))


def nobody_is_alive_where_nobody_reports(it: StoreUnderTest) -> None:
    it.claim()
    it.clock.advance(3_600_000)

    overview = it.store.overview()

    equal(overview.silent_ms("r1"), 3_600_000)


def locks_that_are_over_are_not_in_the_overview(it: StoreUnderTest) -> None:
    it.begin(it.attempt(key="k1"))
    it.clock.advance(TTL_MS)

    equal(it.store.overview().locks, 0)


STATISTICS_CHECKS = (
    what_never_happened_is_counted_as_none,
    a_run_is_counted_for_all_for_its_entry_and_for_its_key,
    a_run_of_no_entry_is_counted_for_its_key,
    how_late_an_occurrence_is_published_is_counted_unless_somebody_asked_for_it,
    occurrences_that_are_left_out_are_counted_by_their_reason,
    who_finds_the_key_held_is_counted_each_time_it_asks_anew,
    duplicates_are_counted,
    a_repeat_is_counted_once,
    the_run_time_of_a_lease_that_is_another_s_is_not_known,
    a_lease_that_is_lost_is_counted,
    subjects_come_in_the_order_of_what_happened_last,
    an_entry_has_a_history_of_its_own,
    of_an_entry_the_last_hundred_facts_are_kept,
    an_empty_store_stands_still,
    replicas_and_what_is_due_are_in_the_overview,
    nobody_is_alive_where_nobody_reports,
    locks_that_are_over_are_not_in_the_overview,
)
