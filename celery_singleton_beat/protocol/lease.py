"""The lease of a run on its lock key: begin, renew, finish.

                 begin                    finish
    (no record) ------> open (holder) --------------------> done
                         ^  |   |  retrying                  ^
        begin (attempt   |  |   +----------> waiting --------+ finish (failed)
        not older)       |  |                 |
                         +--+-----------------+
                  its lease is over, or it was interrupted

A lease that is over is not taken on sight: the store may have been away for
longer than it lived, and its holder may be about to renew it or to record its
end. Whoever first asks for it gives its holder *notice*, and is told to come
back; only when that is over, too, may another begin.

Deadlines are numbers in the records, compared here; a key's own expiry only
collects garbage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from celery_singleton_beat.protocol.run import (
    NOTICE_MS,
    Attempt,
    Begun,
    Finished,
    Lock,
    Outcome,
    Renewed,
    Run,
    State,
)

Record = TypeVar("Record", Run, Lock)


@dataclass(frozen=True, slots=True)
class Held:
    """Both records of one attempt, as a step finds or leaves them."""

    run: Run | None
    lock: Lock | None


def begin(  # noqa: PLR0911  # one return for each answer
    held: Held, attempt: Attempt, *, now_ms: int, token: int, close_if_busy: bool
) -> tuple[Held, Begun]:
    """Let a run begin, or say why not. A repeat by the same holder answers the same.

    ``token`` is the fencing number that it gets. With ``close_if_busy`` a run
    that finds its key held is recorded as skipped, for good.
    """
    run, lock = _live(held.run, now_ms), held.lock
    if run is None:
        if 0 < attempt.not_after_ms < now_ms:
            return held, Begun.REFUSED
    elif run.state is State.DONE:
        was_skipped = run.outcome == Outcome.SKIPPED.value and run.holder == attempt.holder
        return held, Begun.BUSY if was_skipped else Begun.DONE
    elif attempt.attempt < run.attempt:
        return held, Begun.STALE
    elif run.state is State.OPEN and run.holder != attempt.holder and run.deadline_ms > 0:
        run = _noticed(run, now_ms)
        if left_ms(run, now_ms) > 0:
            return Held(run, lock), Begun.TWIN
    if lock is not None and lock.holder == attempt.holder:
        if run is not None and run.holder == attempt.holder and run.state is State.OPEN:
            return _extended(run, lock, attempt, now_ms), Begun.RUN
    elif lock is not None and lock.deadline_ms <= now_ms:
        lock = _noticed(lock, now_ms)
        is_of_this_run = run is not None and run.holder == lock.holder
        if not is_of_this_run and left_ms(lock, now_ms) > 0:
            return Held(held.run, lock), Begun.WAIT
    elif lock is not None:
        if not close_if_busy:
            return held, Begun.BUSY
        return Held(_skipped(run, attempt, now_ms), lock), Begun.BUSY
    starts = run.starts + 1 if run else 1
    return _taken(attempt, now_ms, token, starts), Begun.RUN


def left_ms(record: Run | Lock, now_ms: int) -> int:
    """Tell for how long a lease is its holder's: until its deadline, or the end of its notice."""
    return max(record.deadline_ms, record.notice_ms) - now_ms


def renew(  # noqa: PLR0911  # one return for each answer
    held: Held, attempt: Attempt, *, now_ms: int, token: int, had_token: int, born_ms: int
) -> tuple[Held, Renewed]:
    """Keep a lease alive.

    A lease that is over but that nobody else took is kept. One whose lock
    record is gone while the run's is not may have been somebody else's in
    between: it is lost. A holder that was given a token (``had_token``, 0 for
    none) by a store that has forgotten everything since (it was born later,
    at ``born_ms``) takes its key back, with a higher token, unless another run
    holds it.
    """
    run, lock = _live(held.run, now_ms), held.lock
    if run is None:
        if had_token == 0:
            return held, Renewed.UNKNOWN
        if born_ms * 1000 < had_token:
            return held, Renewed.LOST
        if lock is not None and lock.deadline_ms > now_ms and lock.holder != attempt.holder:
            return held, Renewed.LOST
        return _taken(attempt, now_ms, token, 1), Renewed.RESTORED
    if run.holder != attempt.holder:
        return held, Renewed.LOST
    if run.state is not State.OPEN:
        return held, Renewed.ENDED
    if lock is None or lock.holder != attempt.holder:
        return held, Renewed.LOST
    return _extended(run, lock, attempt, now_ms), Renewed.KEPT


def finish(
    held: Held, attempt: Attempt, outcome: Outcome, *, now_ms: int, wait_ms: int
) -> tuple[Held, Finished]:
    """Record how an attempt ended and free its key; only its holder may.

    After ``retrying`` the run waits for the attempt ``attempt.attempt + 1``,
    which is due in ``wait_ms``; after ``interrupted`` the same attempt may
    begin again at once. A repeat answers the same.
    """
    lock = held.lock if held.lock and held.lock.holder != attempt.holder else None
    run = _live(held.run, now_ms)
    if run is None or run.holder != attempt.holder:
        return Held(held.run, lock), Finished.LOST
    if run.state is State.DONE:
        return Held(run, lock), Finished.RECORDED
    if outcome is Outcome.RETRYING:
        keep_ms = max(attempt.not_after_ms, now_ms + wait_ms + attempt.window_ms)
        run = replace(
            run,
            state=State.WAITING,
            attempt=attempt.attempt + 1,
            deadline_ms=0,
            keep_until_ms=keep_ms,
            outcome=outcome.value,
        )
    elif outcome is Outcome.INTERRUPTED:
        # Also after "retrying": the retry may never have been published.
        run = replace(
            run,
            state=State.OPEN,
            attempt=attempt.attempt,
            deadline_ms=0,
            outcome=outcome.value,
        )
    else:
        run = replace(
            run,
            state=State.DONE,
            deadline_ms=0,
            keep_until_ms=_kept_after(attempt, now_ms),
            outcome=outcome.value,
        )
    return Held(run, lock), Finished.RECORDED


def _noticed(record: Record, now_ms: int) -> Record:
    if record.deadline_ms > now_ms or record.notice_ms > 0:
        return record
    return replace(record, notice_ms=now_ms + NOTICE_MS)


def _live(run: Run | None, now_ms: int) -> Run | None:
    return run if run is not None and run.keep_until_ms > now_ms else None


def _taken(attempt: Attempt, now_ms: int, token: int, starts: int) -> Held:
    deadline_ms = now_ms + attempt.ttl_ms
    run = Run(
        State.OPEN,
        attempt.attempt,
        attempt.holder,
        token,
        deadline_ms,
        _kept_open(attempt, deadline_ms),
        starts,
    )
    return Held(run, Lock(attempt.holder, token, deadline_ms, now_ms, attempt.owner))


def _extended(run: Run, lock: Lock, attempt: Attempt, now_ms: int) -> Held:
    deadline_ms = now_ms + attempt.ttl_ms
    return Held(
        replace(
            run,
            deadline_ms=deadline_ms,
            keep_until_ms=_kept_open(attempt, deadline_ms),
            notice_ms=0,
        ),
        replace(lock, deadline_ms=deadline_ms, notice_ms=0),
    )


def _skipped(run: Run | None, attempt: Attempt, now_ms: int) -> Run:
    return Run(
        State.DONE,
        attempt.attempt,
        attempt.holder,
        0,
        0,
        _kept_after(attempt, now_ms),
        run.starts if run else 0,
        Outcome.SKIPPED.value,
    )


def _kept_open(attempt: Attempt, deadline_ms: int) -> int:
    return max(attempt.not_after_ms, deadline_ms + attempt.window_ms)


def _kept_after(attempt: Attempt, now_ms: int) -> int:
    # A second publish within the window has a window of its own, as long again.
    return max(attempt.not_after_ms, now_ms) + attempt.window_ms
