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
    Spent,
    State,
)

Record = TypeVar("Record", Run, Lock)


@dataclass(frozen=True, slots=True)
class Held:
    """The records of one attempt, as a step finds or leaves them.

    What was queued by an earlier revision of its entry than ``least_revision``
    shall not begin any more.
    """

    run: Run | None
    lock: Lock | None
    spent: Spent | None = None
    least_revision: int = 0


def begin(
    held: Held, attempt: Attempt, *, now_ms: int, token: int, close_if_busy: bool
) -> tuple[Held, Begun]:
    """Let a run begin, or say why not. A repeat by the same holder answers the same.

    ``token`` is the fencing number that it gets. With ``close_if_busy`` a run
    that finds its key held is recorded as skipped, for good.
    """
    run, verdict = _meet_run(_live(held.run, now_ms), held, attempt, now_ms)
    if verdict is not None:
        return replace(held, run=run or held.run), verdict
    lock, verdict = _meet_lock(held.lock, run, attempt, now_ms)
    if verdict is None:
        return _taken(run, held.spent, attempt, now_ms, token), Begun.RUN
    if verdict is Begun.RUN and run is not None and lock is not None:
        return replace(_extended(run, lock, attempt, now_ms), spent=held.spent), verdict
    if verdict is Begun.BUSY and close_if_busy:
        return replace(held, run=_closed(run, attempt, Outcome.SKIPPED, now_ms)), verdict
    return replace(held, lock=lock), verdict


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
    has, or may have had, it since: in such a store nothing begins for one TTL.
    """
    run, lock = _live(held.run, now_ms), held.lock
    if run is None:
        if had_token == 0:
            return held, Renewed.UNKNOWN
        if born_ms * 1000 <= had_token or born_ms + attempt.ttl_ms <= now_ms:
            return held, Renewed.LOST
        if lock is not None and lock.holder != attempt.holder:
            return held, Renewed.LOST
        taken = _taken(None, None, replace(attempt, once_ms=0), now_ms, token)
        return replace(taken, spent=held.spent), Renewed.RESTORED
    if run.holder != attempt.holder:
        return held, Renewed.LOST
    if run.state is not State.OPEN:
        return held, Renewed.ENDED
    if lock is None or lock.holder != attempt.holder:
        return held, Renewed.LOST
    return replace(_extended(run, lock, attempt, now_ms), spent=held.spent), Renewed.KEPT


def finish(
    held: Held, attempt: Attempt, outcome: Outcome, *, now_ms: int, wait_ms: int
) -> tuple[Held, Finished]:
    """Record how an attempt ended and free its key; only its holder may.

    After ``retrying`` the run waits for the attempt ``attempt.attempt + 1``,
    which is due in ``wait_ms``; one that has not come a TTL after that may have
    been lost with its worker, and the attempt before may begin again. After
    ``interrupted`` the same attempt may begin again at once. A repeat answers the
    same.
    """
    run = _live(held.run, now_ms)
    is_ours = run is not None and run.holder == attempt.holder
    if is_ours and run is not None and run.state is State.DONE:
        outcome = Outcome(run.outcome)
    lock = held.lock
    if lock is not None and lock.holder == attempt.holder:
        lock = _lock_after(lock, attempt, outcome, now_ms, wait_ms) if is_ours else None
    if run is None or not is_ours:
        return replace(held, lock=lock), Finished.LOST
    if run.state is not State.DONE:
        run = _run_after(run, attempt, outcome, now_ms, wait_ms)
    return replace(held, run=run, lock=lock), Finished.RECORDED


def discard(held: Held, attempt: Attempt, *, now_ms: int) -> tuple[Held, bool]:
    """Close a run whose message will not be executed: expired, revoked, or of no known task.

    One that is alive elsewhere, or waits for a later attempt, is left alone. If
    its lease is over, its holder is given notice: only after that a further
    message of it can close it. Tells whether it was closed.
    """
    run, lock = _live(held.run, now_ms), held.lock
    if run is not None:
        if run.state is State.DONE or attempt.attempt < run.attempt:
            return held, False
        if run.state is State.OPEN and run.deadline_ms > 0:
            run = _noticed(run, now_ms)
            if left_ms(run, now_ms) > 0:
                return replace(held, run=run), False
        if lock is not None and lock.holder == run.holder:
            lock = _lock_after(lock, attempt, Outcome.DISCARDED, now_ms, 0)
    return replace(held, run=_closed(run, attempt, Outcome.DISCARDED, now_ms), lock=lock), True


_REPEATED = {
    Outcome.SKIPPED.value: Begun.BUSY,
    Outcome.SPENT.value: Begun.SPENT,
    Outcome.GIVEN_UP.value: Begun.GIVEN_UP,
    Outcome.CANCELLED.value: Begun.CANCELLED,
}


def _meet_run(
    run: Run | None, held: Held, attempt: Attempt, now_ms: int
) -> tuple[Run | None, Begun | None]:
    """Judge by the run's own record; None: it says nothing against it."""
    verdict: Begun | None = None
    is_anew = run and run.is_called_back and attempt.revision >= max(held.least_revision, 1)
    if run is None or is_anew:
        return _meet_none(held, attempt, now_ms)
    if run.state is State.DONE:
        is_repeat = run.holder == attempt.holder
        verdict = _REPEATED.get(run.outcome, Begun.DONE) if is_repeat else Begun.DONE
    elif attempt.attempt < run.attempt and not _is_before_retry(run, attempt):
        verdict = Begun.STALE
    elif attempt.attempt < run.attempt or (
        run.state is State.OPEN and run.holder != attempt.holder
    ):
        if run.deadline_ms > 0:
            run = _noticed(run, now_ms)
        if left_ms(run, now_ms) > 0:
            verdict = Begun.TWIN
        elif 0 < attempt.max_starts <= run.starts - attempt.attempt:
            return _closed(run, attempt, Outcome.GIVEN_UP, now_ms), Begun.GIVEN_UP
    return run, verdict


def _meet_none(held: Held, attempt: Attempt, now_ms: int) -> tuple[Run | None, Begun | None]:
    """Judge a run that nothing is known of."""
    spent = held.spent
    if 0 < attempt.not_after_ms < now_ms:
        return None, Begun.REFUSED
    if 0 < attempt.revision < held.least_revision:
        return _closed(None, attempt, Outcome.CANCELLED, now_ms), Begun.CANCELLED
    if attempt.once_ms and spent and spent.is_in_interval_of(now_ms, attempt.once_ms):
        return _closed(None, attempt, Outcome.SPENT, now_ms), Begun.SPENT
    return None, None


def _is_before_retry(run: Run, attempt: Attempt) -> bool:
    """Tell whether this is the attempt that asked for the retry which the run waits for.

    The retry may never have been published: then this message is all that is left.
    """
    return run.state is State.WAITING and attempt.attempt == run.attempt - 1


def _meet_lock(
    lock: Lock | None, run: Run | None, attempt: Attempt, now_ms: int
) -> tuple[Lock | None, Begun | None]:
    """Judge by the lock; None: it may be taken."""
    if lock is None:
        return None, None
    if lock.holder == attempt.holder:
        is_open = run and run.holder == attempt.holder and run.state is State.OPEN
        return lock, Begun.RUN if is_open else None
    if run is not None and run.holder == lock.holder:
        # An earlier attempt's of this very run: kept between retries, or over and given notice.
        return lock, None
    if lock.deadline_ms > now_ms:
        return lock, Begun.BUSY
    lock = _noticed(lock, now_ms)
    return lock, Begun.WAIT if left_ms(lock, now_ms) > 0 else None


def _noticed(record: Record, now_ms: int) -> Record:
    if record.deadline_ms > now_ms or record.notice_ms > 0:
        return record
    return replace(record, notice_ms=now_ms + NOTICE_MS)


def _live(run: Run | None, now_ms: int) -> Run | None:
    return run if run is not None and run.keep_until_ms > now_ms else None


def _taken(run: Run | None, spent: Spent | None, attempt: Attempt, now_ms: int, token: int) -> Held:
    deadline_ms = now_ms + attempt.ttl_ms
    if run is None and attempt.once_ms:
        spent = Spent(now_ms)
    taken = Run(
        State.OPEN,
        attempt.attempt,
        attempt.holder,
        token,
        deadline_ms,
        _kept_open(attempt, deadline_ms),
        run.starts + 1 if run else 1,
    )
    return Held(taken, Lock(attempt.holder, token, deadline_ms, now_ms, attempt.owner), spent)


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


def _closed(run: Run | None, attempt: Attempt, outcome: Outcome, now_ms: int) -> Run:
    return Run(
        State.DONE,
        attempt.attempt,
        attempt.holder,
        0,
        0,
        _kept_after(attempt, now_ms),
        run.starts if run else 0,
        outcome.value,
    )


def _run_after(run: Run, attempt: Attempt, outcome: Outcome, now_ms: int, wait_ms: int) -> Run:
    ended = replace(run, deadline_ms=0, notice_ms=0, outcome=outcome.value)
    if outcome is Outcome.RETRYING:
        deadline_ms = now_ms + wait_ms + attempt.ttl_ms
        return replace(
            ended,
            state=State.WAITING,
            attempt=attempt.attempt + 1,
            deadline_ms=deadline_ms,
            keep_until_ms=_kept_open(attempt, deadline_ms),
        )
    if outcome is Outcome.INTERRUPTED:
        # Also after "retrying": the retry may never have been published.
        return replace(ended, state=State.OPEN, attempt=attempt.attempt)
    return replace(ended, state=State.DONE, keep_until_ms=_kept_after(attempt, now_ms))


def _lock_after(
    lock: Lock, attempt: Attempt, outcome: Outcome, now_ms: int, wait_ms: int
) -> Lock | None:
    """Tell what is left of a lock when its holder ends: as a rule, nothing."""
    if outcome is Outcome.INTERRUPTED:
        return None
    # A clock that stepped back must not hold it for longer than was asked for.
    until_ms = min(lock.acquired_ms, now_ms) + attempt.at_least_ms
    if outcome is Outcome.RETRYING and attempt.holds_retries:
        until_ms = max(until_ms, now_ms + wait_ms + attempt.ttl_ms)
    if until_ms <= now_ms:
        return None
    # Its holder is through with it and needs no notice.
    return replace(lock, deadline_ms=until_ms, notice_ms=until_ms)


def _kept_open(attempt: Attempt, deadline_ms: int) -> int:
    return max(attempt.not_after_ms, deadline_ms + attempt.window_ms)


def _kept_after(attempt: Attempt, now_ms: int) -> int:
    # A second publish within the window has a window of its own, as long again.
    return max(attempt.not_after_ms, now_ms) + attempt.window_ms
