"""A store under test, its clock, and short words for what checks do with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from celery_singleton_beat.protocol.claim import Settled, Settlement, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.run import (
    NOTICE_MS,
    Attempt,
    Begun,
    Finished,
    Outcome,
    Renewed,
)
from celery_singleton_beat.protocol.stored import Card, Put, PutAnswer
from celery_singleton_beat.protocol.tenant import Quota
from celery_singleton_beat.store.port import (
    Adoption,
    ClaimAnswer,
    ClaimRequest,
    Crashed,
    Ending,
    Renewal,
    Store,
)
from celery_singleton_beat.store.timetable_port import StoredAnswer, StoredClaim, StoredRequest

START_MS: Final = 1_700_000_000_000
TIMEOUT_MS: Final = 15_000
HOLD_MS: Final = 5_000
TTL_MS: Final = 30_000
NO_QUOTA: Final = Quota()


class FakeClock:
    """A clock that stands still until it is moved; call it for the time in milliseconds."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, by_ms: int) -> int:
        self.now_ms += by_ms
        return self.now_ms


@dataclass
class StoreUnderTest:
    """A store, its clock, and short words for what the checks do with them."""

    store: Store
    clock: FakeClock
    _requests: int = 0

    def next_request(self) -> str:
        """Name a request to the store as none before."""
        self._requests += 1
        return f"q{self._requests}"

    def claim(
        self,
        replica: str = "r1",
        digest: str = "a",
        *,
        limit: int = 10,
        request_id: str | None = None,
    ) -> ClaimAnswer:
        return self.store.claim(
            ClaimRequest(
                replica,
                digest,
                request_id or self.next_request(),
                limit,
                HOLD_MS,
                TIMEOUT_MS,
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

    def put(
        self, entry: str = "x", at_ms: int = START_MS, *, quota: Quota = NO_QUOTA, **fields: Any
    ) -> PutAnswer:
        """Store an entry that is first due at the given time; at once, if that is over."""
        asked = Put(entry, "{}", "rule", at_ms, at_ms)
        return self.store.put([asked._replace(**fields)], quota)[0]

    def pause(self, entry: str = "x", **fields: Any) -> None:
        self.store.pause([entry], paused=True, **fields)

    def resume(self, entry: str = "x") -> None:
        self.store.pause([entry], paused=False)

    def take(
        self,
        replica: str = "r1",
        *,
        limit: int = 10,
        request_id: str | None = None,
        per_minute: int = ABSENT,
    ) -> StoredAnswer:
        return self.store.claim_stored(
            StoredRequest(replica, request_id or self.next_request(), limit, HOLD_MS, per_minute)
        )

    def taken(self, replica: str = "r1", **fields: Any) -> list[str]:
        """Claim stored entries, and name them."""
        return [claim.entry for claim in self.take(replica, **fields).claims]

    def settle_stored(self, claim: StoredClaim, by_ms: int = 1000, **fields: Any) -> Settled:
        """Settle a claim: its occurrence was published, and the next is so much later."""
        slot = claim.slot
        at_ms = START_MS if slot.slot_ms == ABSENT else slot.slot_ms
        moved = replace(
            slot, slot_ms=at_ms + by_ms, due_ms=at_ms + by_ms, runs=slot.runs + 1, last_ms=at_ms
        )
        told = Settlement(claim.entry, slot.fence, moved, revision=claim.card.revision)
        return self.store.settle_stored([told._replace(**fields)])[0]

    def card(self, entry: str = "x") -> Card:
        """Read what the store has of a stored entry that is there."""
        (found,) = self.store.kept([entry])
        if found is None:
            msg = f"{entry} is not there"
            raise AssertionError(msg)
        return found.card

    def slot(self, entry: str = "x") -> Slot | None:
        """Read the slot of a stored entry."""
        (found,) = self.store.kept([entry])
        return found and found.slot

    def attempt(self, run: str = "run", holder: str = "h1", **fields: Any) -> Attempt:
        base = Attempt(run, holder, "key", TTL_MS, owner="worker")
        return replace(base, **fields)

    def begin(self, attempt: Attempt, *, close_if_busy: bool = False) -> Begun:
        return self.store.begin(attempt, close_if_busy=close_if_busy, grace_ms=TTL_MS).verdict

    def finish(self, attempt: Attempt, outcome: Outcome, wait_ms: int = 0) -> Finished:
        return self.store.finish([Ending(attempt, outcome, wait_ms)])[0]

    def renew(self, attempt: Attempt, token: int = 1) -> Renewed:
        return self.store.renew([Renewal(attempt, token)])[0].verdict

    def crash(self, attempt: Attempt) -> None:
        """Let a run begin, its worker die, and its lease and its notice pass."""
        equal(self.begin(attempt), Begun.RUN)
        self.clock.advance(attempt.ttl_ms)
        self.begin(replace(attempt, holder=f"{attempt.holder}-asks"))
        self.clock.advance(NOTICE_MS)

    def reclaimed(self, limit: int = 10) -> list[Crashed]:
        return self.store.reclaim(limit=limit, hold_ms=HOLD_MS)

    def kinds(self) -> list[str]:
        """The kinds of all facts, in their order."""
        return [fact.kind for fact in self.store.history(1000)][::-1]


def equal(actual: object, expected: object) -> None:
    """See that two things are equal, with a text that says what they are."""
    if actual != expected:
        msg = f"{actual!r} is not {expected!r}"
        raise AssertionError(msg)
