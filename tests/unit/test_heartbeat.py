"""The heartbeat, beat by beat: renewing, losing, regaining and ending, with no thread."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import pytest

from celery_singleton_beat import events as happened
from celery_singleton_beat.engine.board import Board, Stage
from celery_singleton_beat.engine.clock import boot_ms
from celery_singleton_beat.engine.guard import Guard
from celery_singleton_beat.engine.heartbeat import Heartbeat, trusted_until_ms
from celery_singleton_beat.errors import StoreUnavailable
from celery_singleton_beat.events import Event, Events
from celery_singleton_beat.protocol.run import NOTICE_MS, Attempt, Begun, Finished, Outcome
from celery_singleton_beat.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celery_singleton_beat.store.port import (
        BeginAnswer,
        Ending,
        Renewal,
        RenewAnswer,
    )

TTL_MS = 30_000
ENOUGH = 20.0


class Clock:
    """One hand for the store and the host, in milliseconds; it starts at the real boot time."""

    def __init__(self) -> None:
        self.now_ms = boot_ms()

    def __call__(self) -> int:
        return self.now_ms


class FrailStore(MemoryStore):
    """A store that can be away, is slow at will, and writes down what it was asked."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.is_away = False
        self.takes_ms = 0
        self.renewals: list[int] = []
        self.endings: list[tuple[str, Outcome]] = []
        self.error: Exception = StoreUnavailable("away")
        self.meanwhile: Callable[[], None] = lambda: None

    def begin(self, attempt: Attempt, *, close_if_busy: bool, grace_ms: int) -> BeginAnswer:
        self._answer()
        return super().begin(attempt, close_if_busy=close_if_busy, grace_ms=grace_ms)

    def renew(self, renewals: Sequence[Renewal]) -> list[RenewAnswer]:
        self.renewals.append(len(renewals))
        self._answer()
        return super().renew(renewals)

    def finish(self, endings: Sequence[Ending]) -> list[Finished]:
        self._answer()
        self.endings += [(ending.attempt.run, ending.outcome) for ending in endings]
        return super().finish(endings)

    def _answer(self) -> None:
        self.clock.now_ms += self.takes_ms
        self.meanwhile()
        if self.is_away:
            raise self.error


class Quiet(Heartbeat):
    """A heartbeat without its thread: the test beats."""

    def _start(self) -> None:
        pass


class Worker:
    """A heartbeat on a frail store, the guard of its child, and what they told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = FrailStore(self.clock)
        self.told: list[Event] = []
        events = Events()
        events.subscribe(self.told.append)
        self.board = Board(16)
        self.heart = Quiet(self.store, events, self.board, clock_ms=self.clock)
        self.guard = Guard(self.store, clock_ms=self.clock)

    def attempt(self, run: str = "run", holder: str = "h1", key: str = "key") -> Attempt:
        return Attempt(run, holder, key, TTL_MS, owner="worker")

    def open(self, attempt: Attempt, renew_ms: int = TTL_MS // 3) -> int:
        """Hand an attempt to the pool."""
        index = self.heart.open(attempt, renew_ms=renew_ms)
        assert index is not None
        return index

    def begun(self, attempt: Attempt, renew_ms: int = TTL_MS // 3) -> int:
        """An attempt that the child has begun."""
        index = self.open(attempt, renew_ms)
        self.guard.begin(attempt, self.board, index, close_if_busy=False, grace_ms=0)
        return index

    def taken_over(self) -> None:
        """Somebody else's run has had the key since, after a notice."""
        self.clock.now_ms += TTL_MS
        self.ask(self.attempt("rival", "h2"))
        self.clock.now_ms += NOTICE_MS
        assert self.ask(self.attempt("rival", "h2")) is Begun.RUN

    def ask(self, attempt: Attempt) -> Begun:
        """What another worker would be answered."""
        return self.store.begin(attempt, close_if_busy=False, grace_ms=0).verdict


class Hit(Exception):
    """What the handler of a signal raises."""


def hit(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal."""
    del number, frame
    raise Hit


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_one_beat_renews_all_that_has_begun_and_nothing_else(worker: Worker) -> None:
    """S0-24, S0-35, C7."""
    for number in range(3):
        worker.begun(worker.attempt(f"run{number}", f"h{number}", f"key{number}"))
    worker.open(worker.attempt("waits", "h9", "key9"))

    worker.heart.beat()

    assert worker.store.renewals == [3]


def test_the_pace_is_the_shortest_renewal_asked_for(worker: Worker) -> None:
    worker.begun(worker.attempt())
    slow_ms = worker.heart.beat()

    worker.begun(worker.attempt("quick", "h2", "key2"), renew_ms=400)

    assert (slow_ms, worker.heart.beat()) == (TTL_MS // 3, 400)


def test_beats_at_their_pace_keep_a_lease_for_ever(worker: Worker) -> None:
    """S0-24, F5: ten TTLs and more."""
    worker.begun(worker.attempt())

    for _ in range(40):
        worker.clock.now_ms += worker.heart.beat()

    assert worker.ask(worker.attempt("rival", "h2")) is Begun.BUSY


def test_trust_counts_from_before_the_question(worker: Worker) -> None:
    """C8: an answer that took long is worth that much less."""
    index = worker.begun(worker.attempt())
    asked_at_ms = worker.clock.now_ms
    worker.store.takes_ms = 20_000

    worker.heart.beat()

    assert worker.board.is_trusted(index)
    assert trusted_until_ms(asked_at_ms, TTL_MS) == asked_at_ms + 27_000
    worker.board.trust(index, trusted_until_ms=boot_ms(), token=1)
    assert not worker.board.is_trusted(index)


def test_a_begin_answered_too_late_is_asked_again(worker: Worker) -> None:
    """C8: this process stood still between the question and the answer."""
    index = worker.open(worker.attempt())
    worker.clock.now_ms = boot_ms() - TTL_MS  # as if asked a TTL ago

    with pytest.raises(StoreUnavailable, match="more slowly than leases of 30000 ms live"):
        worker.guard.begin(worker.attempt(), worker.board, index, close_if_busy=False, grace_ms=0)

    assert worker.ask(worker.attempt("rival", "h2")) is Begun.BUSY


def test_an_error_of_the_store_is_survived_and_asked_about_soon(worker: Worker) -> None:
    """F7."""
    index = worker.begun(worker.attempt())
    worker.store.is_away = True

    wait_ms = worker.heart.beat()
    worker.store.is_away = False
    worker.heart.beat()

    assert wait_ms == 500
    assert worker.board.stage(index) is Stage.BEGUN
    assert worker.told == []
    assert worker.ask(worker.attempt("rival", "h2")) is Begun.BUSY


def test_a_lease_that_could_not_be_renewed_in_time_is_reported_once(worker: Worker) -> None:
    """C8; and once more after it had been regained."""
    index = worker.begun(worker.attempt())
    for _ in range(2):
        worker.store.is_away = True
        worker.board.trust(index, trusted_until_ms=boot_ms(), token=1)
        worker.heart.beat()
        worker.heart.beat()
        worker.store.is_away = False
        worker.heart.beat()

    assert worker.told == [happened.LeaseGone("run", "key")] * 2
    assert worker.board.is_trusted(index)


def test_a_lease_that_somebody_took_is_lost_for_good(worker: Worker) -> None:
    """C8, F5."""
    index = worker.begun(worker.attempt())
    worker.taken_over()

    worker.heart.beat()
    worker.heart.beat()

    assert worker.board.stage(index) is Stage.LOST
    assert worker.told == [happened.LeaseGone("run", "key")]
    assert worker.store.renewals == [1]


def test_a_lease_that_the_store_forgot_is_taken_back_with_a_higher_token(worker: Worker) -> None:
    """F10."""
    index = worker.begun(worker.attempt())
    token = worker.board.token(index)
    worker.store.forget()
    worker.clock.now_ms += 1

    worker.heart.beat()

    assert worker.board.token(index) > token
    assert worker.told == [happened.LeaseRestored("run", "key", worker.board.token(index))]


def test_what_its_child_recorded_is_not_recorded_again(worker: Worker) -> None:
    """S0-35: two round trips a run."""
    attempt = worker.attempt()
    index = worker.begun(attempt)
    worker.guard.finish(attempt, worker.board, index, Outcome.SUCCEEDED)
    worker.store.endings.clear()

    worker.heart.end(index, Outcome.SUCCEEDED)
    worker.heart.beat()

    assert worker.store.endings == []
    assert worker.board.stage(index) is Stage.FREE


def test_an_end_is_repeated_until_the_store_answers(worker: Worker) -> None:
    """F7, S0-19."""
    attempt = worker.attempt()
    index = worker.begun(attempt)
    worker.store.is_away = True
    recorded = worker.guard.finish(attempt, worker.board, index, Outcome.SUCCEEDED)

    worker.heart.end(index, Outcome.SUCCEEDED)
    waits = [worker.heart.beat() for _ in range(3)]
    worker.store.is_away = False
    worker.heart.beat()

    assert (recorded, waits) == (False, [500, 500, 500])
    assert worker.store.endings == [("run", Outcome.SUCCEEDED)]
    assert worker.ask(worker.attempt(holder="h2")) is Begun.DONE
    assert worker.heart.beat() == TTL_MS // 3


def test_an_end_that_the_child_noted_waits_for_no_hook_of_the_main_process(
    worker: Worker,
) -> None:
    """F7: store and broker are away, and the main process's loop is busy with the broker."""
    attempt = worker.attempt()
    index = worker.begun(attempt)
    worker.store.is_away = True
    worker.guard.finish(attempt, worker.board, index, Outcome.FAILED)
    worker.board.trust(index, trusted_until_ms=boot_ms(), token=1)  # its lease would be over

    wait_ms = worker.heart.beat()
    worker.store.is_away = False
    worker.heart.beat()

    assert (wait_ms, worker.store.renewals, worker.told) == (500, [], [])
    assert worker.store.endings == [("run", Outcome.FAILED)]
    assert worker.ask(worker.attempt("next", "h2")) is Begun.RUN
    worker.heart.end(index, Outcome.SUCCEEDED)
    worker.heart.beat()
    assert worker.store.endings == [("run", Outcome.FAILED)]
    assert worker.board.stage(index) is Stage.FREE


def test_the_child_knows_better_than_the_main_process_how_it_ended(worker: Worker) -> None:
    """F7: it died after its body had ended, before the store had answered."""
    attempt = worker.attempt()
    index = worker.begun(attempt)
    worker.store.is_away = True
    worker.guard.finish(attempt, worker.board, index, Outcome.SUCCEEDED)
    worker.store.is_away = False

    worker.heart.end(index, Outcome.INTERRUPTED)
    worker.heart.beat()

    assert worker.store.endings == [("run", Outcome.SUCCEEDED)]
    assert worker.board.stage(index) is Stage.FREE


def test_the_record_of_a_child_that_lives_is_not_given_to_another(worker: Worker) -> None:
    """S0-21, F7: it may still be about to mark there that its end is recorded."""
    attempt = worker.attempt()
    index = worker.begun(attempt)
    worker.board.end(index, Outcome.SUCCEEDED)

    worker.heart.end(index, Outcome.FAILED, pid=os.getpid())
    worker.heart.beat()

    assert worker.board.stage(index) is Stage.ENDED


def test_a_body_that_ends_while_the_store_is_asked_has_lost_nothing(worker: Worker) -> None:
    """F7: the question takes as long as a time-out, and finds the lease over."""
    index = worker.begun(worker.attempt())
    worker.board.trust(index, trusted_until_ms=boot_ms(), token=1)
    worker.store.is_away = True
    worker.store.meanwhile = lambda: worker.board.end(index, Outcome.SUCCEEDED)

    worker.heart.beat()

    assert (worker.store.renewals, worker.told) == ([1], [])


def test_a_published_retry_that_the_store_did_not_hear_of_is_told_by_the_heartbeat(
    worker: Worker,
) -> None:
    """S4-06, F7: with its delay, which decides how long the run is remembered."""
    attempt = worker.attempt()
    index = worker.begun(attempt)

    worker.board.end(index, Outcome.RETRYING, 3_600_000)
    worker.heart.beat()
    worker.clock.now_ms += 3_600_000

    assert worker.ask(worker.attempt(holder="h2")) is Begun.TWIN
    assert worker.store.endings == [("run", Outcome.RETRYING)]


def test_an_unpublished_retry_that_the_store_did_not_hear_of_goes_on_being_held(
    worker: Worker,
) -> None:
    """S4-06: until it is published it may be interrupted, and is then to be run again."""
    attempt = worker.attempt()
    index = worker.begun(attempt)
    worker.store.is_away = True

    worker.guard.finish(attempt, worker.board, index, Outcome.RETRYING, wait_ms=1000)
    worker.store.is_away = False
    worker.heart.beat()

    assert worker.store.renewals == [1]
    assert worker.store.endings == []


def test_an_end_that_somebody_waits_for_is_recorded_at_once(worker: Worker) -> None:
    """S0-21, F6: the message of a killed child goes back right after."""
    index = worker.begun(worker.attempt())

    worker.heart.end(index, Outcome.INTERRUPTED, at_once=True)

    assert worker.ask(worker.attempt(holder="h2")) is Begun.RUN


def test_a_run_whose_process_lives_is_neither_renewed_nor_freed(worker: Worker) -> None:
    """S0-21: after a hard limit; a zombie counts as gone."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    index = worker.begun(worker.attempt())

    worker.heart.end(index, Outcome.FAILED, pid=pid)
    worker.heart.beat()
    while_alive = worker.ask(worker.attempt("rival", "h2"))
    handle = os.pidfd_open(pid)
    os.close(writer)
    assert select.select([handle], [], [], ENOUGH)[0]  # a zombie: nobody has waited for it
    worker.heart.beat()

    assert (while_alive, worker.store.renewals) == (Begun.BUSY, [])
    assert worker.ask(worker.attempt("rival", "h2")) is Begun.RUN
    os.waitpid(pid, 0)
    os.close(handle)
    os.close(reader)


def test_a_published_retry_is_not_ended_again_but_an_unpublished_one_is_interrupted(
    worker: Worker,
) -> None:
    """S4-06: the child may die between the two."""
    published, killed = worker.attempt("one", "h1", "k1"), worker.attempt("two", "h2", "k2")
    indexes = [worker.begun(attempt) for attempt in (published, killed)]
    for attempt, index in zip((published, killed), indexes, strict=True):
        worker.guard.finish(attempt, worker.board, index, Outcome.RETRYING, wait_ms=1000)
    worker.store.endings.clear()

    worker.heart.beat()
    worker.heart.end(indexes[0], Outcome.RETRYING)
    worker.heart.end(indexes[1], Outcome.INTERRUPTED)
    worker.heart.beat()

    assert worker.store.renewals == []
    assert worker.store.endings == [("two", Outcome.INTERRUPTED)]
    assert worker.ask(worker.attempt("one", "h3", "k1")) is Begun.TWIN
    assert worker.ask(worker.attempt("two", "h4", "k2")) is Begun.RUN


def test_a_run_that_was_queued_again_for_want_of_an_answer_is_not_ended(worker: Worker) -> None:
    """F7: its begin may have been carried out; its message is all that is left of it."""
    attempt = worker.attempt()
    index = worker.open(attempt)
    worker.ask(attempt)  # carried out, and the reply was lost

    worker.board.mark(index, Stage.POSTPONED)
    worker.heart.end(index, Outcome.SUCCEEDED)
    worker.heart.beat()

    assert worker.ask(worker.attempt(holder="h2")) is Begun.RUN


def test_a_declined_run_and_an_unknown_one_need_no_end(worker: Worker) -> None:
    worker.begun(worker.attempt())
    declined = worker.begun(worker.attempt("rival", "h2"))

    worker.heart.end(declined, Outcome.FAILED)
    worker.heart.end(declined, Outcome.FAILED)
    worker.heart.beat()

    assert worker.store.endings == []
    assert worker.board.stage(declined) is Stage.FREE


def test_a_full_board_takes_nothing_in_hand(worker: Worker) -> None:
    for number in range(16):
        worker.open(worker.attempt(f"run{number}", f"h{number}"))

    assert worker.heart.open(worker.attempt("one more"), renew_ms=1000) is None


def test_the_thread_goes_on_after_an_error_that_nobody_foresaw(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """S0-24: one bad beat does not end renewal for good."""
    renewed = threading.Semaphore(0)
    made = Worker()

    class Failing(FrailStore):
        def renew(self, renewals: Sequence[Renewal]) -> list[RenewAnswer]:
            first = not self.renewals
            answers = super().renew(renewals)
            renewed.release()
            if first:
                raise ZeroDivisionError
            return answers

    store = Failing(made.clock)
    heart = Heartbeat(store, Events(), Board(4), clock_ms=made.clock)
    attempt = made.attempt()
    store.begin(attempt, close_if_busy=False, grace_ms=0)

    index = heart.open(attempt, renew_ms=20)
    assert index is not None
    heart.board.begin(index, trusted_until_ms=boot_ms() + TTL_MS, token=1)
    came = [renewed.acquire(timeout=ENOUGH) for _ in range(3)]
    heart.end(index, Outcome.SUCCEEDED)
    heart.stop()

    assert came == [True, True, True]
    assert "The heartbeat met an error and goes on" in caplog.text
    assert store.begin(made.attempt(holder="h2"), close_if_busy=False, grace_ms=0).verdict is (
        Begun.DONE
    )


def test_stopping_records_what_is_left() -> None:
    """S0-27: a worker that leaves in good order leaves nothing locked."""
    made = Worker()
    heart = Heartbeat(made.store, Events(), made.board, clock_ms=made.clock)
    index = heart.open(made.attempt(), renew_ms=60_000)
    assert index is not None
    made.guard.begin(made.attempt(), made.board, index, close_if_busy=False, grace_ms=0)
    made.store.is_away = True
    heart.end(index, Outcome.SUCCEEDED, at_once=True)
    made.store.is_away = False

    heart.stop()

    assert made.ask(made.attempt("next", "h2")) is Begun.RUN


def test_stopping_waits_for_a_store_that_is_away_for_a_moment() -> None:
    """F7, S0-27: an end that is not told now may never be."""
    made, asked = Worker(), []

    class Late(FrailStore):
        def finish(self, endings: Sequence[Ending]) -> list[Finished]:
            asked.append(len(endings))
            self.is_away = len(asked) < 3
            return super().finish(endings)

    store = Late(made.clock)
    heart = Heartbeat(store, Events(), made.board, clock_ms=made.clock)
    store.begin(made.attempt(), close_if_busy=False, grace_ms=0)
    index = heart.open(made.attempt(), renew_ms=60_000)
    assert index is not None
    made.board.end(index, Outcome.SUCCEEDED)

    heart.stop()

    verdict = store.begin(made.attempt(holder="h2"), close_if_busy=False, grace_ms=0).verdict
    assert asked == [1, 1, 1]
    assert verdict is Begun.DONE


def test_only_the_holder_knows_its_lease(worker: Worker) -> None:
    """C5: a holder that lost its key frees nobody else's by ending."""
    attempt = worker.attempt()
    index = worker.begun(attempt)
    worker.taken_over()

    worker.heart.end(index, Outcome.SUCCEEDED)
    worker.heart.beat()

    assert worker.ask(worker.attempt("third", "h3")) is Begun.BUSY


def test_a_signal_for_a_body_never_meets_what_its_process_does_next(worker: Worker) -> None:
    """C8: leases are lost in the very moment in which their bodies end, again and again."""
    board, attempt = Board(1), worker.attempt()
    told: list[Event] = []
    events = Events()
    events.subscribe(told.append)
    heart = Quiet(worker.store, events, board, clock_ms=worker.clock)
    child = Child(board)

    while sum(isinstance(event, happened.RunStopped) for event in told) < 100:
        index = heart.open(attempt, renew_ms=1000, stop_signal=signal.SIGUSR1)
        assert index == 0
        while board.stage(index) is Stage.OPEN:
            child.check()
            os.sched_yield()  # a busy machine has no processor for both
        heart.beat()
        child.wait_body()
        heart.end(index, Outcome.SUCCEEDED, at_once=True)

    assert child.ended() == -signal.SIGTERM  # and of nothing else before


SHORT_NS, MANY = 100_000, 20
"""The longest that a body takes, and after how many that were not struck that is doubled."""


class Child:
    """A forked process that runs bodies a moment long; a signal between them ends it."""

    def __init__(self, board: Board) -> None:
        self._reports, reports = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                signal.signal(signal.SIGUSR1, hit)
                run_bodies(board, lambda: os.write(reports, b"x"))
            finally:
                os._exit(1)
        os.close(reports)

    def check(self) -> None:
        assert os.waitpid(self._pid, os.WNOHANG) == (0, 0), "it was struck between two bodies"

    def wait_body(self) -> None:
        assert os.read(self._reports, 1), "it was struck between two bodies"

    def ended(self) -> int:
        """The exit status, after it was asked to end."""
        os.close(self._reports)
        os.kill(self._pid, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def run_bodies(board: Board, tell: Callable[[], object]) -> None:
    """Run what is opened, one after another; in between, do what must not be disturbed.

    On a busy machine the signal comes late: a body may take longer when many were not struck.
    """
    chance, parent, spared = random.Random(1), os.getppid(), 0
    while True:
        while board.stage(0) is not Stage.OPEN:
            assert os.getppid() == parent
            os.sched_yield()
        is_struck = False
        with contextlib.suppress(Hit):
            is_struck = run_body(board, chance.randrange(SHORT_NS << min(spared // MANY, 9)))
        spared = 0 if is_struck else spared + 1
        tell()


def run_body(board: Board, takes_ns: int) -> bool:
    """Run a body to its end, whatever strikes it; tell whether something did.

    It has a token that no store gave.
    """
    is_struck = False
    try:
        until_ns = time.perf_counter_ns() + takes_ns
        board.begin(0, trusted_until_ms=boot_ms() + TTL_MS, token=1 << 60)
        while time.perf_counter_ns() < until_ns:
            pass
        board.end(0, Outcome.SUCCEEDED)
    except Hit:
        is_struck = True
        board.end(0, Outcome.FAILED)
    board.wait_out(0)
    return is_struck
