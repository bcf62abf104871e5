"""Locks by hand, step by step, on a clock that the test moves: taken, kept, lost, waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celery_singleton_beat.engine.board import Board
from celery_singleton_beat.engine.clock import boot_ms
from celery_singleton_beat.engine.heartbeat import Heartbeat
from celery_singleton_beat.engine.lock import HandLocks
from celery_singleton_beat.errors import LeaseLost, Locked, SingletonBeatError, StoreUnavailable
from celery_singleton_beat.events import Event, Events
from celery_singleton_beat.protocol.run import NOTICE_MS, Attempt, Finished, Outcome
from celery_singleton_beat.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_singleton_beat.engine.lock import HandLease
    from celery_singleton_beat.store.port import (
        BeginAnswer,
        Ending,
        LocksAnswer,
        Renewal,
        RenewAnswer,
    )

TTL_MS = 30_000


class Clock:
    """One hand for the store and the host, in milliseconds; it starts at the real boot time."""

    def __init__(self) -> None:
        self.now_ms = boot_ms()

    def __call__(self) -> int:
        return self.now_ms


class FrailStore(MemoryStore):
    """A store that can be away, and that can lose replies after it has done what was asked."""

    is_away = False
    loses_replies = False

    def begin(self, attempt: Attempt, *, close_if_busy: bool, grace_ms: int) -> BeginAnswer:
        self._ask()
        answer = super().begin(attempt, close_if_busy=close_if_busy, grace_ms=grace_ms)
        self._reply()
        return answer

    def renew(self, renewals: Sequence[Renewal]) -> list[RenewAnswer]:
        self._ask()
        return super().renew(renewals)

    def finish(self, endings: Sequence[Ending]) -> list[Finished]:
        self._ask()
        return super().finish(endings)

    def locks(self, names: Sequence[str]) -> LocksAnswer:
        self._ask()
        return super().locks(names)

    def unlock(self, name: str, by: str) -> bool:
        self._ask()
        return super().unlock(name, by)

    def _ask(self) -> None:
        if self.is_away:
            raise StoreUnavailable("away")

    def _reply(self) -> None:
        if self.loses_replies:
            raise StoreUnavailable("no reply")


class Quiet(Heartbeat):
    """A heartbeat without its thread: the test beats."""

    def _start(self) -> None:
        pass


class Process:
    """One process with a frail store of its own, whose pauses are what the test makes of them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = FrailStore(self.clock)
        self.told: list[Event] = []
        events = Events()
        events.subscribe(self.told.append)
        self.board = Board(4)
        self.heart = Quiet(self.store, events, self.board, clock_ms=self.clock)
        self.paused_ms: list[int] = []
        self.steps: list[object] = []
        self.locks = HandLocks(
            self.store,
            lambda: self.heart,
            grace_ms=TTL_MS,
            clock_ms=self.clock,
            pause=self.pause,
        )

    def pause(self, seconds: float) -> None:
        """Let time pass, and do what the test has for the next pause."""
        self.paused_ms.append(round(seconds * 1000))
        self.clock.now_ms += self.paused_ms[-1]
        step = self.steps.pop(0) if self.steps else None
        if callable(step):
            step()

    def take(self, key: str = "key") -> HandLease | None:
        return self.locks.take(key, "me", ttl_ms=TTL_MS)

    def taken(self, key: str = "key") -> HandLease:
        lease = self.take(key)
        assert lease is not None
        return lease

    def hold(self, key: str = "key", wait_ms: int | None = 0) -> HandLease:
        renew_ms = TTL_MS // 3
        return self.locks.hold(key, "me", ttl_ms=TTL_MS, renew_ms=renew_ms, wait_ms=wait_ms)


@pytest.fixture
def it() -> Process:
    return Process()


def test_a_key_is_one_holders_until_it_is_released(it: Process) -> None:
    """S1-01, S3-02: and tokens grow from holder to holder."""
    first = it.taken()
    refused = it.take()
    recorded = it.locks.release(first)

    second = it.taken()

    assert (refused, recorded) == (None, True)
    assert second.token > first.token
    assert (first.lost, second.lost) == (True, False)
    with pytest.raises(LeaseLost):
        first.check()
    second.check()


def test_nobody_renews_a_lease_that_was_taken_but_its_holder(it: Process) -> None:
    """S1-01: it lives for its TTL; a renewal makes it live for another."""
    lease = it.taken()
    it.clock.now_ms += TTL_MS - 1
    it.heart.beat()
    kept = it.locks.renew(lease)
    it.clock.now_ms += TTL_MS - 1

    held = it.locks.is_held("key")
    it.clock.now_ms += 1

    assert (kept, held, it.locks.is_held("key")) == (True, True, False)


def test_a_dead_holder_is_given_notice_before_another_gets_the_key(it: Process) -> None:
    first = it.taken()
    it.clock.now_ms += TTL_MS
    refused = it.take()
    it.clock.now_ms += NOTICE_MS

    second = it.taken()

    assert refused is None
    assert second.token > first.token


def test_a_holder_that_comes_back_within_its_notice_has_its_lease_still(it: Process) -> None:
    lease = it.taken()
    it.clock.now_ms += TTL_MS
    it.take()
    it.clock.now_ms += NOTICE_MS - 1

    assert it.locks.renew(lease)
    it.clock.now_ms += NOTICE_MS
    assert it.take() is None


def test_who_lost_its_key_is_told_so_and_cannot_free_it(it: Process) -> None:
    """S1-03, S3-09, F5: the first one's release does not free the second one's lock."""
    first = it.taken()
    it.clock.now_ms += TTL_MS
    it.take()
    it.clock.now_ms += NOTICE_MS
    second = it.taken()

    kept = it.locks.renew(first)
    it.locks.release(first)

    assert (kept, first.lost) == (False, True)
    assert it.locks.is_held("key")
    assert it.locks.renew(second)


def test_a_release_may_be_repeated(it: Process) -> None:
    """S1-02: it is safe when nothing is held any more."""
    first = it.taken()
    it.locks.release(first)
    second = it.taken()

    again = it.locks.release(first)

    assert again is False
    assert it.locks.renew(second)
    assert not it.locks.renew(first)


def test_an_unlock_by_hand_takes_the_lease_with_the_next_renewal(it: Process) -> None:
    """S1-17: the next holder need not wait."""
    first = it.taken()
    freed, again = it.locks.free("key", "operator"), it.locks.free("key", "operator")
    second = it.taken()

    kept = it.locks.renew(first)
    it.locks.release(first)

    assert (freed, again, kept, first.lost) == (True, False, False, True)
    assert second.token > first.token
    assert it.locks.renew(second)
    facts = [(fact.kind, fact.by, fact.note) for fact in it.store.history(9)]
    assert ("unlocked", "operator", "key") in facts


def test_a_store_that_came_back_empty_gives_a_lease_back_with_a_higher_token(it: Process) -> None:
    """F10: tokens keep growing across a wipe."""
    lease = it.taken()
    token = lease.token
    it.store.forget()
    it.clock.now_ms += 1

    kept = it.locks.renew(lease)

    assert kept
    assert not lease.lost
    assert lease.token > token


def test_tokens_fall_back_only_where_a_new_servers_clock_is_behind(it: Process) -> None:
    """F10: which a resource that compares them would take for a stale holder."""
    it.clock.now_ms += 3 * TTL_MS
    before = it.taken().token
    it.store.forget()
    it.clock.now_ms -= 2 * TTL_MS
    it.take()
    it.clock.now_ms += TTL_MS

    assert it.taken().token < before


def test_a_store_that_came_back_empty_says_neither_yes_nor_no(it: Process) -> None:
    """S1-04, F10: until live holders have had the time to come back to it."""
    it.taken()
    it.store.forget()

    with pytest.raises(StoreUnavailable, match="the store came back empty, and for 30000 ms more"):
        it.locks.is_held("key")
    with pytest.raises(StoreUnavailable, match="nobody can tell who holds 'key'"):
        it.locks.free("key", "operator")
    assert it.take() is None
    it.clock.now_ms += TTL_MS
    assert not it.locks.is_held("key")
    assert it.take() is not None


def test_in_a_store_that_came_back_empty_a_long_ttl_waits_for_long_ones(it: Process) -> None:
    """F10: who holds that key has probably the same TTL, which is longer than the grace."""
    it.locks.take("key", "me", ttl_ms=4 * TTL_MS)
    it.store.forget()
    it.take("other")
    it.clock.now_ms += 4 * TTL_MS - 1
    before = it.locks.take("key", "me", ttl_ms=4 * TTL_MS)
    it.clock.now_ms += 1

    after = it.locks.take("key", "me", ttl_ms=4 * TTL_MS)

    assert before is None
    assert after is not None


def test_a_store_that_is_away_is_not_taken_for_an_answer(it: Process) -> None:
    """S1-04: never "no" when it is not known."""
    lease = it.taken()
    it.store.is_away = True

    for ask in (
        it.take,
        it.hold,
        lambda: it.locks.is_held("key"),
        lambda: it.locks.renew(lease),
        lambda: it.locks.free("key", "operator"),
    ):
        with pytest.raises(StoreUnavailable):
            ask()
    assert not lease.lost


def test_a_release_that_the_store_did_not_hear_is_repeated_until_it_does(it: Process) -> None:
    taken, held = it.taken("taken"), it.hold("held")
    it.store.is_away = True
    recorded = [it.locks.release(taken), it.locks.release(held)]
    it.heart.beat()
    it.store.is_away = False
    before = [it.locks.is_held("taken"), it.locks.is_held("held")]

    it.heart.beat()

    assert recorded == [False, False]
    assert before == [True, True]
    assert [it.locks.is_held("taken"), it.locks.is_held("held")] == [False, False]
    assert it.told == []


@pytest.mark.parametrize("verb", ["take", "hold"])
def test_a_key_that_was_taken_without_the_taker_knowing_is_freed(it: Process, verb: str) -> None:
    """The reply was lost: nobody has that lease, and nobody need wait for its TTL."""
    it.store.loses_replies = True
    with pytest.raises(StoreUnavailable):
        getattr(it, verb)()
    it.store.loses_replies = False
    before = it.locks.is_held("key")

    it.heart.beat()

    assert before
    assert it.take() is not None


def test_an_answer_as_old_as_the_lease_is_no_renewal(it: Process) -> None:
    """C8: this process stood still between question and answer."""
    lease = it.taken()
    it.clock.now_ms = boot_ms() - TTL_MS

    kept = it.locks.renew(lease)

    assert (kept, lease.lost) == (False, True)


def test_what_is_held_is_renewed_until_it_is_released(it: Process) -> None:
    """S0-24: ten TTLs and more, by the beats of its process."""
    lease = it.hold()

    for _ in range(40):
        it.clock.now_ms += it.heart.beat()

    assert it.locks.is_held("key")
    it.locks.release(lease)
    assert not it.locks.is_held("key")


def test_waiting_ends_with_the_key(it: Process) -> None:
    first = it.taken()
    it.steps = [None, None, lambda: it.locks.release(first)]

    lease = it.hold(wait_ms=None)

    assert not lease.lost
    assert it.paused_ms == [50, 100, 200]


def test_waiting_ends_when_its_time_is_over(it: Process) -> None:
    """The text says who holds the key."""
    first = it.taken()

    with pytest.raises(Locked, match="lock key 'key' is held by me"):
        it.hold(wait_ms=1000)

    assert sum(it.paused_ms) == 1000
    assert it.locks.renew(first)


def test_waiting_for_a_dead_holder_lasts_as_long_as_its_notice(it: Process) -> None:
    it.taken()
    it.clock.now_ms += TTL_MS

    lease = it.hold(wait_ms=None)

    assert not lease.lost
    assert sum(it.paused_ms) == NOTICE_MS


def test_who_may_not_wait_for_the_notice_is_told_about_it(it: Process) -> None:
    it.taken()
    it.clock.now_ms += TTL_MS

    with pytest.raises(Locked, match="not given away for 3000 ms"):
        it.hold()


def test_a_wait_that_the_store_cuts_short_leaves_nothing_behind(it: Process) -> None:
    """Its last question may have been heard."""
    first = it.taken()

    def lose_the_next_reply() -> None:
        it.locks.release(first)
        it.store.loses_replies = True

    it.steps = [lose_the_next_reply]
    with pytest.raises(StoreUnavailable):
        it.hold(wait_ms=None)
    it.store.loses_replies = False
    it.heart.beat()

    assert it.take() is not None


def test_a_lease_that_is_over_knows_nothing_of_who_has_its_record_now(it: Process) -> None:
    leases = [it.hold(f"key{number}") for number in range(4)]
    token = leases[0].token
    it.locks.release(leases[0])

    later = it.hold("later")

    assert later.token > token
    assert (leases[0].lost, leases[0].token) == (True, token)
    assert not it.locks.renew(leases[0])
    assert not it.locks.release(leases[0])
    assert not later.lost


def test_more_locks_than_a_process_can_renew_are_refused(it: Process) -> None:
    leases = [it.hold(f"key{number}") for number in range(4)]

    with pytest.raises(SingletonBeatError, match="too many locks are open"):
        it.hold("one more")

    it.locks.release(leases[0])
    assert not it.hold("one more").lost


def test_a_lock_that_was_refused_takes_no_place(it: Process) -> None:
    it.taken()

    for _ in range(9):
        with pytest.raises(Locked):
            it.hold()

    assert not it.hold("another").lost


def test_the_record_of_a_released_lock_is_kept_no_longer_than_needed(it: Process) -> None:
    lease = it.taken()
    it.locks.release(lease, Outcome.FAILED)

    (run,) = it.store._state.runs.values()  # noqa: SLF001  # no verb reads one

    assert run.outcome == "failed"
    assert run.keep_until_ms == it.clock.now_ms + 1000
