"""The port to what remembers: the verbs of a store, their questions and answers.

Every verb is one atomic step, named after the transition in ``protocol/`` that
it carries out. A repeated request (same ``request_id``, fence or holder) answers
the same and changes nothing more, so a caller that lost a reply may ask again.

Every verb raises ``StoreUnavailable`` when it cannot answer (the request may
have been carried out), ``ForeignStore`` when the prefix is another
application's, ``StoreTooNew`` when a newer release wrote it and ``StoreCorrupt``
when a key holds something foreign. "Nothing there" is always an answer of its
own, never the stand-in for "I do not know".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol

from celery_singleton_beat.protocol.awaited import Awaited, Postponed
from celery_singleton_beat.protocol.claim import Adopted, Claim, Settled, Settlement, Slot
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.protocol.run import (
    Attempt,
    Begun,
    Finished,
    Lock,
    Outcome,
    Renewed,
)
from celery_singleton_beat.store.alert_port import AlertStore
from celery_singleton_beat.store.asked_port import AskedStore
from celery_singleton_beat.store.observed_port import ObservedStore
from celery_singleton_beat.store.server_port import ServerStore
from celery_singleton_beat.store.timetable_port import TimetableStore

SCHEMA: Final = 1


class Standing(Enum):
    """What a replica's configuration may do now."""

    GOVERNS = "GOVERNS"  # its claims are in the answer
    ADOPTS = "ADOPTS"  # it governs, but must first plan its entries; nothing was claimed
    STANDS_BY = "STANDS_BY"  # another configuration governs; nothing was claimed


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A replica reports, and asks for up to ``limit`` due slots, to hold for ``hold_ms``.

    It gets ``MOST_CLAIMS`` at most, and asks again for what is left.
    """

    replica: str
    digest: str
    request_id: str
    limit: int
    hold_ms: int
    timeout_ms: int
    info: str = ""


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """What was claimed.

    ``next_ms`` is when to look again at the earliest (None: nothing is
    scheduled); ``others_hold`` tells that a slot is held, so that something may
    become due earlier than that. ``unreadable`` names entries whose slot could
    not be read; it was set aside and they must be planned anew. ``has_overdue``
    tells that ``recall`` or ``reclaim`` may have something to give. While all
    ``is_paused`` nothing is given; what was due before ``resumed_ms`` is not to be
    dispatched. ``stored_ms`` is when to look at stored entries (None: never), and
    ``asked_ms`` when to look at what is asked for.
    """

    now_ms: int
    standing: Standing
    claims: tuple[Claim, ...] = ()
    next_ms: int | None = None
    others_hold: bool = False
    unreadable: tuple[str, ...] = ()
    has_overdue: bool = False
    is_paused: bool = False
    resumed_ms: int = 0
    stored_ms: int | None = None
    asked_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SlotsAnswer:
    """Slots by the order of the question; unreadable ones read as None, and are set aside."""

    slots: tuple[Slot | None, ...]
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Adoption:
    """An entry to plan: what was read of it, and the slot it shall have."""

    entry: str
    seen: Slot | None
    planned: Slot


@dataclass(frozen=True, slots=True)
class BeginAnswer:
    """The verdict; the fencing token with RUN; how long to wait with TWIN, BUSY and WAIT.

    ``owner`` says who holds the key, with BUSY.
    """

    verdict: Begun
    now_ms: int
    token: int = 0
    wait_ms: int = 0
    owner: str = ""
    starts: int = 0


@dataclass(frozen=True, slots=True)
class Renewal:
    """A lease to renew, and the token it was given (0: it is not known to have begun)."""

    attempt: Attempt
    token: int


@dataclass(frozen=True, slots=True)
class RenewAnswer:
    """The verdict, and the token that the holder has now (0: none)."""

    verdict: Renewed
    token: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended; ``wait_ms`` is the delay of the retry after ``retrying``."""

    attempt: Attempt
    outcome: Outcome
    wait_ms: int = 0


class Crashed(NamedTuple):
    """A run whose worker died, its message, and until when nobody else publishes it.

    Once it is published, the run is to begin within ``deadline_ms``.
    """

    run: str
    message: str
    until_ms: int
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class LocksAnswer:
    """Locks by the order of the question; None where nobody holds the key.

    One whose deadline is not after ``now_ms`` is over, and still its holder's
    while nobody else takes it: it may be renewed. ``reborn_ms`` is when a store
    began that has forgotten what was before, 0 if it has not: for a while a key
    without a lock may be a live holder's all the same.
    """

    now_ms: int
    locks: tuple[Lock | None, ...]
    reborn_ms: int = 0


class Store(TimetableStore, AskedStore, ObservedStore, ServerStore, AlertStore, Protocol):
    """What remembers. See the module for what every verb promises."""

    def claim(self, request: ClaimRequest) -> ClaimAnswer:
        """Report a replica and take due slots, the most overdue first."""

    def settle(self, digest: str, settlements: Sequence[Settlement]) -> list[Settled]:
        """End holds: move the slots on, or leave them for later."""

    def note_once(self, entry: str, told: Sequence[Told], unsent: Sequence[str]) -> None:
        """Note what became of occurrences that are delivered at most once.

        Those runs that were surely ``unsent`` keep the next of the entry back no longer.
        """

    def recall(self, *, limit: int, hold_ms: int) -> list[Awaited]:
        """Take overdue awaited occurrences, to publish them again; they are held meanwhile.

        While all is paused it gives none.
        """

    def dismiss(self, runs: Sequence[str]) -> None:
        """Wait no longer for these runs to begin."""

    def await_again(self, runs: Sequence[str], published_by: str) -> None:
        """Note that these were published again; wait for each twice as long, a day at most."""

    def postpone(self, postponed: Sequence[Postponed], by: str) -> None:
        """Wait on for what was not published again, or give it up; note what failed.

        What has begun, or failed more often, meanwhile is left as it is.
        """

    def busy(self, runs: Sequence[str]) -> list[bool]:
        """Tell which runs are queued, run, or will be run again."""

    def slots(self, entries: Sequence[str], *, set_aside: bool = True) -> SlotsAnswer:
        """Read slots; who plans no entries anew sets none aside."""

    def adopt(
        self,
        digest: str,
        adoptions: Sequence[Adoption],
        *,
        done: bool,
        of: Mapping[str, str] | None = None,
    ) -> list[Adopted]:
        """Plan entries, if ``digest`` governs.

        With ``done`` its configuration is in place, if none of the entries ``of`` it,
        told with their rules, is to be planned: what was read may be long over.
        """

    def leave(self, replica: str) -> None:
        """Forget a replica that stops."""

    def begin(self, attempt: Attempt, *, close_if_busy: bool, grace_ms: int) -> BeginAnswer:
        """Let a run begin, or say why not."""

    def renew(self, renewals: Sequence[Renewal]) -> list[RenewAnswer]:
        """Keep leases alive, all of a process at once."""

    def finish(self, endings: Sequence[Ending]) -> list[Finished]:
        """Record how attempts ended, and free their keys."""

    def discard(self, attempt: Attempt, reason: str) -> None:
        """Close the record of a run whose message will not be executed, unless it lives.

        A holder whose lease is over gets notice first, as from ``begin``; for a
        TTL after a store forgot everything, nothing is closed.
        """

    def reclaim(self, *, limit: int, hold_ms: int) -> list[Crashed]:
        """Take runs whose worker died, to publish their messages again; held meanwhile.

        While all is paused it gives none.
        """

    def rerun(self, crashed: Sequence[Crashed], by: str = "") -> None:
        """Note who published these again; without a name it is not known whether they were.

        Either may be lost: unless its run begins within its deadline, it is reclaimed
        once more, and then has twice as long; up to half its window, a day at most.
        """

    def give_up(self, crashed: Sequence[Crashed]) -> None:
        """Keep these messages no longer: they cannot be published."""

    def lock_names(self, limit: int) -> list[str]:
        """Name keys that are locked, those whose leases end last first."""

    def locks(self, names: Sequence[str]) -> LocksAnswer:
        """Read locks."""

    def unlock(self, name: str, by: str) -> bool:
        """Free a key, whoever holds it; tell whether somebody did (see ``LocksAnswer``).

        It is noted in the history.
        """

    def ping(self) -> int:
        """Tell the store's time, in milliseconds since the Unix epoch."""

    def close(self) -> None:
        """Let go of connections. May be called at any time and repeatedly."""
