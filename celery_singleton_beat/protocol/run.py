"""Runs and locks: what the store keeps of them, and the words about them.

A *run* is one occurrence (or one ad-hoc call) being executed; its record is
kept for the dedupe window and decides once per occurrence. The *lock* of a key
decides one at a time. One attempt of a run is one *holder*; the holder is new
for every attempt, the run's id is not. See ``lease`` for the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from celery_singleton_beat.protocol.codec import join, split

GRACE_MS: Final = 3_600_000
"""How long a lock's record outlives its deadline: while it is there, nobody else has had it."""

NOTICE_MS: Final = 3_000
"""How long a lease that is over is left to its holder once somebody wants it: three heartbeats."""


class State(Enum):
    """How far a run is."""

    OPEN = "open"
    WAITING = "waiting"
    DONE = "done"


class Outcome(Enum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    RETRYING = "retrying"
    INTERRUPTED = "interrupted"
    SPENT = "spent"
    GIVEN_UP = "given up"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"


class Begun(Enum):
    """The answer to a run that wants to begin."""

    RUN = "RUN"  # it holds the key; go
    DONE = "DONE"  # this run has ended already
    STALE = "STALE"  # a message of an attempt that is over
    TWIN = "TWIN"  # this very run is alive elsewhere, or waits for its retry
    BUSY = "BUSY"  # another run holds the key
    SPENT = "SPENT"  # this key has had its run of this interval
    GIVEN_UP = "GIVEN_UP"  # its workers died as often as it may be begun
    CANCELLED = "CANCELLED"  # its entry was changed, and what was queued before shall not run
    REFUSED = "REFUSED"  # too late: the run's record may be gone
    WAIT = "WAIT"  # live holders first: the store has forgotten everything, or a lease just ended


class Renewed(Enum):
    """The answer to a holder that wants to stay one."""

    KEPT = "KEPT"
    RESTORED = "RESTORED"  # the store had forgotten it; it holds again, with a higher token
    LOST = "LOST"  # somebody else has, or may have had, the key
    ENDED = "ENDED"  # the run's end is recorded
    UNKNOWN = "UNKNOWN"  # never begun here


class Finished(Enum):
    """The answer to a holder that ends."""

    RECORDED = "RECORDED"
    LOST = "LOST"  # the run is another holder's, or unknown: nothing was changed


@dataclass(frozen=True, slots=True)
class Run:
    """What the store keeps for one run, until ``keep_until_ms``; ``notice_ms`` as of a lock."""

    state: State
    attempt: int
    holder: str
    token: int
    deadline_ms: int
    keep_until_ms: int
    starts: int
    outcome: str = ""
    notice_ms: int = 0

    @property
    def is_called_back(self) -> bool:
        """Tell whether it never began: a message of a later revision of its entry may begin."""
        return self.state is State.DONE and self.outcome == Outcome.CANCELLED.value

    def to_text(self) -> str:
        return join(
            self.state.value,
            self.attempt,
            self.holder,
            self.token,
            self.deadline_ms,
            self.keep_until_ms,
            self.starts,
            self.outcome,
            self.notice_ms,
        )

    @classmethod
    def from_text(cls, text: str) -> Run:
        state, attempt, holder, token, deadline, keep, starts, outcome, notice = split(text, 9)
        return cls(
            State(state),
            int(attempt),
            holder,
            int(token),
            int(deadline),
            int(keep),
            int(starts),
            outcome,
            int(notice),
        )


@dataclass(frozen=True, slots=True)
class Lock:
    """What the store keeps for one lock key.

    ``token`` is the fencing number. ``notice_ms`` is until when a lease that was
    found over is left to its holder; 0 while nobody has asked.
    """

    holder: str
    token: int
    deadline_ms: int
    acquired_ms: int
    owner: str
    notice_ms: int = 0

    def to_text(self) -> str:
        return join(
            self.holder,
            self.token,
            self.deadline_ms,
            self.acquired_ms,
            self.notice_ms,
            self.owner,
        )

    @classmethod
    def from_text(cls, text: str) -> Lock:
        holder, token, deadline, acquired, notice, owner = split(text, 6)
        return cls(holder, int(token), int(deadline), int(acquired), owner, int(notice))


@dataclass(frozen=True, slots=True)
class Spent:
    """When a key with ``once_per`` had its last run.

    The time and not the number of the interval: tasks that share a key, or two
    releases of one task, may ask for intervals of different lengths.
    """

    at_ms: int

    def is_in_interval_of(self, now_ms: int, once_ms: int) -> bool:
        """Tell whether the run of this interval has been (or, by its time, is yet to come)."""
        return self.at_ms // once_ms >= now_ms // once_ms

    def to_text(self) -> str:
        return join(self.at_ms)

    @classmethod
    def from_text(cls, text: str) -> Spent:
        return cls(int(split(text, 1)[0]))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of one run, as its worker names it.

    ``window_ms`` is how long the record of a run is kept after its end, for an
    occurrence after ``not_after_ms``: so long may a second message of it appear.
    ``entry`` and ``scheduled_ms`` name the occurrence ("" and 0: there is none);
    where it ``is_awaited`` the beats want to see it begin.

    What its task asks for besides: the key has one run in each interval of
    ``once_ms`` of the store's clock; it is held for ``at_least_ms``, also by a run
    that ends sooner; it stays held between retries (``holds_retries``); of a run
    whose workers died ``max_starts`` times no more is heard; ``message`` is what
    beats publish again if its worker dies. 0, False and "" mean: not asked for.
    ``revision`` is that of the stored entry by which it was published.
    """

    run: str
    holder: str
    key: str
    ttl_ms: int
    attempt: int = 0
    window_ms: int = 600_000
    not_after_ms: int = 0
    owner: str = ""
    entry: str = ""
    scheduled_ms: int = 0
    is_awaited: bool = False
    once_ms: int = 0
    at_least_ms: int = 0
    holds_retries: bool = False
    max_starts: int = 0
    message: str = ""
    revision: int = 0
