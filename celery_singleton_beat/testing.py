"""For tests: a clock that is set by hand, and the suite that every store must pass.

``check_store`` is what tells a store from something that looks like one; run it
against your own::

    check_store(lambda now_ms: MyStore(now_ms=now_ms))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from celery_singleton_beat.protocol.claim import Adopted, Settled, Settlement, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.run import Attempt, Begun, Finished, Outcome, Renewed
from celery_singleton_beat.store.port import (
    Adoption,
    ClaimAnswer,
    ClaimRequest,
    Ending,
    Renewal,
    Standing,
    Store,
)

START_MS: Final = 1_700_000_000_000
_TIMEOUT_MS: Final = 15_000
_HOLD_MS: Final = 5_000
_TTL_MS: Final = 30_000


class FakeClock:
    """A clock that stands still until it is moved; call it for the time in milliseconds."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, by_ms: int) -> int:
        self.now_ms += by_ms
        return self.now_ms


Check = Callable[["StoreUnderTest"], None]
CHECKS: Final[list[Check]] = []
"""The suite, one check at a time: what ``check_store`` runs."""


def check_store(make: Callable[[Callable[[], int]], Store]) -> None:
    """Run the whole suite against the stores that ``make`` builds around a clock.

    ``make`` is called once for every check and must give an empty store.

    Raises:
        AssertionError: the store broke a promise; the text names the check.
    """
    for check in CHECKS:
        clock = FakeClock()
        try:
            check(StoreUnderTest(make(clock), clock))
        except AssertionError as error:
            msg = f"{check.__name__}: {error}"
            raise AssertionError(msg) from error


@dataclass
class StoreUnderTest:
    """A store, its clock, and short words for what the checks do with them."""

    store: Store
    clock: FakeClock
    _requests: int = 0

    def claim(
        self,
        replica: str = "r1",
        digest: str = "a",
        *,
        limit: int = 10,
        request_id: str | None = None,
    ) -> ClaimAnswer:
        self._requests += 1
        return self.store.claim(
            ClaimRequest(
                replica,
                digest,
                request_id or f"q{self._requests}",
                limit,
                _HOLD_MS,
                _TIMEOUT_MS,
                info="host|1",
            )
        )

    def plan(self, digest: str = "a", *, replica: str = "r1", **due_ms: int) -> None:
        """Let a configuration take on entries, each due at the given time."""
        self.claim(replica, digest)
        names = list(due_ms)
        slots = self.store.slots(names).slots
        adoptions = [
            Adoption(name, seen, Slot(f"rule-{digest}", due_ms[name], due_ms[name]))
            for name, seen in zip(names, slots, strict=True)
        ]
        self.store.adopt(digest, adoptions, done=True)

    def live_on(self, seconds: int, *replicas: tuple[str, str]) -> ClaimAnswer:
        """Let replicas report once a second; the last one's last answer."""
        for _ in range(seconds):
            self.clock.advance(1000)
            answers = [self.claim(replica, digest) for replica, digest in replicas]
        return answers[-1]

    def held(self, answer: ClaimAnswer) -> list[str]:
        return [claim.entry for claim in answer.claims]

    def move_on(self, answer: ClaimAnswer, by_ms: int = 1000, digest: str = "a") -> list[Settled]:
        """Settle every claim of an answer: its occurrence was published."""
        return self.store.settle(
            digest,
            [
                Settlement(
                    claim.entry,
                    claim.slot.fence,
                    replace(
                        claim.slot,
                        slot_ms=claim.slot.slot_ms + by_ms,
                        due_ms=claim.slot.due_ms + by_ms,
                        runs=claim.slot.runs + 1,
                        last_ms=claim.slot.slot_ms,
                    ),
                )
                for claim in answer.claims
            ],
        )

    def attempt(self, run: str = "run", holder: str = "h1", **fields: object) -> Attempt:
        base = Attempt(run, holder, "key", _TTL_MS, owner="worker")
        return replace(base, **fields)  # type: ignore[arg-type]

    def begin(self, attempt: Attempt, *, close_if_busy: bool = False) -> Begun:
        return self.store.begin(attempt, close_if_busy=close_if_busy, grace_ms=_TTL_MS).verdict

    def finish(self, attempt: Attempt, outcome: Outcome, wait_ms: int = 0) -> Finished:
        return self.store.finish([Ending(attempt, outcome, wait_ms)])[0]

    def renew(self, attempt: Attempt, *, may_restore: bool = True) -> Renewed:
        return self.store.renew([Renewal(attempt, may_restore)])[0].verdict


def _check(check: Check) -> Check:
    CHECKS.append(check)
    return check


def _is(actual: object, expected: object) -> None:
    assert actual == expected, f"{actual!r} is not {expected!r}"  # noqa: S101


@_check
def a_due_slot_is_claimed_once(it: StoreUnderTest) -> None:
    it.plan(x=START_MS + 1000)
    _is(it.held(it.claim("r1")), [])

    it.clock.advance(1000)

    _is(it.held(it.claim("r1")), ["x"])
    _is(it.held(it.claim("r2")), [])


@_check
def a_claim_asked_again_is_answered_the_same(it: StoreUnderTest) -> None:
    it.plan(x=START_MS, y=START_MS)
    first = it.claim("r1", limit=1, request_id="same")

    again = it.claim("r1", limit=1, request_id="same")

    _is(again.claims, first.claims)
    _is(it.held(it.claim("r1", limit=5)), ["y"])


@_check
def a_claim_asked_again_after_its_settlement_is_empty(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    it.move_on(it.claim("r1", request_id="same"))

    again = it.claim("r1", request_id="same")

    _is(it.held(again), [])


@_check
def a_slot_is_due_again_when_its_hold_is_over_and_not_before(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    _is(it.held(it.claim("r1")), ["x"])

    it.clock.advance(_HOLD_MS - 1)
    _is(it.held(it.claim("r2")), [])
    it.clock.advance(1)

    _is(it.held(it.claim("r2")), ["x"])


@_check
def a_settlement_after_a_reclaim_is_lost(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    first = it.claim("r1")
    it.clock.advance(_HOLD_MS)
    second = it.claim("r2")

    _is(it.move_on(first), [Settled.LOST])
    _is(it.move_on(second), [Settled.CONFIRMED])


@_check
def a_late_settlement_that_nobody_overtook_is_confirmed(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    first = it.claim("r1")
    it.clock.advance(_HOLD_MS * 3)

    _is(it.move_on(first, by_ms=60_000), [Settled.CONFIRMED])
    _is(it.held(it.claim("r2")), [])


@_check
def a_settlement_sent_twice_answers_the_same_and_moves_once(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    answer = it.claim("r1")

    _is(it.move_on(answer), [Settled.CONFIRMED])
    _is(it.move_on(answer), [Settled.CONFIRMED])

    slot = it.store.slots(["x"]).slots[0]
    _is(slot and (slot.slot_ms, slot.runs), (START_MS + 1000, 1))


@_check
def the_most_overdue_comes_first_also_after_a_lapsed_hold(it: StoreUnderTest) -> None:
    it.plan(old=START_MS, young=START_MS + 2000, youngest=START_MS + 3000)
    _is(it.held(it.claim("r1")), ["old"])

    it.clock.advance(_HOLD_MS)

    _is(it.held(it.claim("r2", limit=1)), ["old"])
    _is(it.held(it.claim("r2", limit=1)), ["young"])


@_check
def fences_grow_across_entries_and_claims(it: StoreUnderTest) -> None:
    it.plan(x=START_MS, y=START_MS)
    fences = [c.slot.fence for c in it.claim("r1").claims]
    it.clock.advance(-10_000)
    begun = it.store.begin(it.attempt(), close_if_busy=False, grace_ms=0)

    fences.append(begun.token)

    _is(fences, sorted(set(fences)))


@_check
def the_answer_says_when_to_look_again(it: StoreUnderTest) -> None:
    it.plan(x=START_MS, y=START_MS + 700)

    answer = it.claim("r1")

    _is((answer.next_ms, answer.others_hold), (START_MS + 700, False))
    it.move_on(answer, by_ms=300)
    _is(it.claim("r1").next_ms, START_MS + 300)


@_check
def only_the_governing_configuration_claims(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    it.live_on(15, ("r1", "a"))
    _is(it.claim("r2", "b").standing, Standing.STANDS_BY)

    answer = it.live_on(15, ("r1", "a"), ("r2", "b"))

    _is(answer.standing, Standing.ADOPTS)
    it.plan("b", replica="r2", x=START_MS)
    _is(it.claim("r2", "b").standing, Standing.GOVERNS)
    _is(it.claim("r1", "a").standing, Standing.STANDS_BY)


@_check
def a_version_that_keeps_crashing_never_governs(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS + 10_000_000)
    it.live_on(15, ("r1", "a"))

    lives = [it.live_on(5, ("r1", "a"), (f"crashing-{life}", "b")) for life in range(10)]

    _is({answer.standing for answer in lives}, {Standing.STANDS_BY})


@_check
def a_dead_governor_is_followed_after_the_timeout(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS + 10_000_000)
    it.claim("r2", "b")
    it.plan("b", replica="r2", x=START_MS + 10_000_000)
    it.live_on(16, ("r1", "a"), ("r2", "b"))

    standings = [it.live_on(1, ("r1", "a")).standing for _ in range(17)]

    _is(standings[:15], [Standing.STANDS_BY] * 15)
    _is(standings[15], Standing.ADOPTS)


@_check
def a_governor_that_leaves_is_followed_at_once(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    it.claim("r2", "b")
    it.plan("b", replica="r2", x=START_MS)

    it.store.leave("r2")

    _is(it.claim("r1", "a").standing, Standing.ADOPTS)


@_check
def an_outage_of_the_store_changes_no_governor(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    it.claim("r2", "b")
    it.plan("b", replica="r2", x=START_MS + 10_000_000)

    it.clock.advance(3_600_000)

    _is(it.claim("r1", "a").standing, Standing.STANDS_BY)
    _is(it.claim("r2", "b").standing, Standing.GOVERNS)


@_check
def adoption_is_compare_and_set_and_leaves_a_live_hold_alone(it: StoreUnderTest) -> None:
    it.plan(x=START_MS, y=START_MS + 1)
    x, y = it.store.slots(["x", "y"]).slots
    it.claim("r1", limit=1)
    held = it.store.slots(["x"]).slots[0]
    planned = Slot("new", START_MS + 9000, START_MS + 9000)

    verdicts = it.store.adopt(
        "a",
        [Adoption("x", x, planned), Adoption("x", held, planned), Adoption("y", y, planned)],
        done=False,
    )

    _is(verdicts, [Adopted.CHANGED, Adopted.HELD, Adopted.ADOPTED])


@_check
def who_does_not_govern_plans_nothing(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    seen = it.store.slots(["x"]).slots[0]

    verdicts = it.store.adopt("b", [Adoption("x", seen, Slot("b", 1, 1))], done=True)

    _is(verdicts, [Adopted.CHANGED])
    _is(it.store.slots(["x"]).slots[0], seen)


@_check
def a_settlement_of_a_former_governor_is_stale_and_due_at_once(it: StoreUnderTest) -> None:
    it.plan("a", x=START_MS)
    old = it.claim("r1", "a")
    it.claim("r2", "b")
    it.plan("b", replica="r2")

    _is(it.move_on(old, by_ms=60_000), [Settled.STALE])
    _is(it.held(it.claim("r2", "b")), ["x"])


@_check
def an_entry_without_a_due_time_is_never_claimed(it: StoreUnderTest) -> None:
    it.plan(x=START_MS)
    claim = it.claim("r1").claims[0]
    gone = replace(claim.slot, due_ms=ABSENT)

    it.store.settle("a", [Settlement("x", claim.slot.fence, gone)])
    it.clock.advance(10_000_000)

    _is(it.held(it.claim("r1")), [])
    _is(it.store.settle("a", [Settlement("nobody", 1, gone)]), [Settled.GONE])


@_check
def one_run_at_a_time_per_key(it: StoreUnderTest) -> None:
    _is(it.begin(it.attempt("one", "h1")), Begun.RUN)
    _is(it.begin(it.attempt("two", "h2")), Begun.BUSY)

    it.finish(it.attempt("one", "h1"), Outcome.SUCCEEDED)

    _is(it.begin(it.attempt("two", "h2")), Begun.RUN)


@_check
def a_run_that_ended_never_begins_again(it: StoreUnderTest) -> None:
    for outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
        run = outcome.value
        it.begin(it.attempt(run, f"{run}-1"))
        it.finish(it.attempt(run, f"{run}-1"), outcome)

        _is(it.begin(it.attempt(run, f"{run}-2")), Begun.DONE)


@_check
def a_begin_asked_again_is_answered_the_same(it: StoreUnderTest) -> None:
    first = it.store.begin(it.attempt(), close_if_busy=False, grace_ms=0)

    again = it.store.begin(it.attempt(), close_if_busy=False, grace_ms=0)

    _is((again.verdict, again.token), (Begun.RUN, first.token))


@_check
def a_skip_because_the_key_is_held_is_for_good_and_repeats(it: StoreUnderTest) -> None:
    it.begin(it.attempt("one", "h1"))
    two = it.attempt("two", "h2")

    _is(it.begin(two, close_if_busy=True), Begun.BUSY)
    _is(it.begin(two, close_if_busy=True), Begun.BUSY)
    it.finish(it.attempt("one", "h1"), Outcome.SUCCEEDED)

    _is(it.begin(it.attempt("two", "h3")), Begun.DONE)


@_check
def the_same_run_elsewhere_is_a_twin_until_its_lease_is_over(it: StoreUnderTest) -> None:
    it.begin(it.attempt(holder="h1"))
    it.clock.advance(_TTL_MS - 1)
    answer = it.store.begin(it.attempt(holder="h2"), close_if_busy=True, grace_ms=0)
    _is((answer.verdict, answer.wait_ms), (Begun.TWIN, 1))

    it.clock.advance(1)

    _is(it.begin(it.attempt(holder="h2")), Begun.RUN)
    _is(it.finish(it.attempt(holder="h1"), Outcome.SUCCEEDED), Finished.LOST)
    _is(it.begin(it.attempt("other", "h3")), Begun.BUSY)


@_check
def renewal_keeps_a_lease_for_as_long_as_it_goes_on(it: StoreUnderTest) -> None:
    it.begin(it.attempt())
    for _ in range(10):
        it.clock.advance(_TTL_MS - 1)
        _is(it.renew(it.attempt()), Renewed.KEPT)

    _is(it.begin(it.attempt("other", "h2")), Begun.BUSY)


@_check
def a_late_renewal_is_kept_only_if_nobody_had_the_key(it: StoreUnderTest) -> None:
    it.begin(it.attempt())
    it.clock.advance(_TTL_MS + 1)
    _is(it.renew(it.attempt()), Renewed.KEPT)
    it.clock.advance(_TTL_MS)
    other = it.attempt("other", "h2")
    it.begin(other)
    _is(it.renew(it.attempt()), Renewed.LOST)

    it.finish(other, Outcome.SUCCEEDED)

    _is(it.renew(it.attempt()), Renewed.LOST)


@_check
def renewing_what_never_began_does_nothing(it: StoreUnderTest) -> None:
    _is(it.renew(it.attempt(), may_restore=False), Renewed.UNKNOWN)
    _is(it.begin(it.attempt("other", "h2")), Begun.RUN)
    it.finish(it.attempt("other", "h2"), Outcome.SUCCEEDED)
    _is(it.renew(it.attempt("other", "h2")), Renewed.ENDED)


@_check
def a_forgotten_lease_is_restored_with_a_higher_token(it: StoreUnderTest) -> None:
    it.begin(it.attempt("forgotten-elsewhere", "h0", key="another"))
    answer = it.store.renew([Renewal(it.attempt(), may_restore=True)])[0]

    _is(answer.verdict, Renewed.RESTORED)
    _is(it.begin(it.attempt("other", "h2")), Begun.BUSY)
    _is(it.renew(it.attempt("other", "h2")), Renewed.LOST)


@_check
def a_retry_waits_for_its_attempt_and_older_ones_are_stale(it: StoreUnderTest) -> None:
    it.begin(it.attempt(holder="h1"))
    it.finish(it.attempt(holder="h1"), Outcome.RETRYING, wait_ms=60_000)

    _is(it.begin(it.attempt(holder="h2", attempt=0)), Begun.STALE)
    _is(it.begin(it.attempt(holder="h3", attempt=1)), Begun.RUN)
    _is(it.finish(it.attempt(holder="h1"), Outcome.FAILED), Finished.LOST)


@_check
def an_interrupted_run_may_begin_again_at_once(it: StoreUnderTest) -> None:
    it.begin(it.attempt(holder="h1"))
    _is(it.finish(it.attempt(holder="h1"), Outcome.INTERRUPTED), Finished.RECORDED)

    answer = it.store.begin(it.attempt(holder="h2"), close_if_busy=False, grace_ms=0)

    _is((answer.verdict, answer.starts), (Begun.RUN, 2))


@_check
def an_end_recorded_twice_is_recorded_once(it: StoreUnderTest) -> None:
    it.begin(it.attempt())

    _is(it.finish(it.attempt(), Outcome.SUCCEEDED), Finished.RECORDED)
    _is(it.finish(it.attempt(), Outcome.INTERRUPTED), Finished.RECORDED)

    _is(it.begin(it.attempt(holder="h2")), Begun.DONE)


@_check
def after_its_window_a_message_is_refused(it: StoreUnderTest) -> None:
    late = it.attempt(not_after_ms=START_MS + 1000)
    it.clock.advance(1000)
    _is(it.begin(replace(late, run="just")), Begun.RUN)
    it.finish(replace(late, run="just"), Outcome.SUCCEEDED)

    it.clock.advance(1)

    _is(it.begin(late), Begun.REFUSED)
    it.clock.advance(10_000)
    _is(it.begin(replace(late, run="just", holder="h2")), Begun.REFUSED)
