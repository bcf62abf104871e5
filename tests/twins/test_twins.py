"""Lua and Python are twins: one history, both stores, the same answers throughout."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from celery_singleton_beat.protocol.awaited import Awaited, Postponed
from celery_singleton_beat.protocol.claim import Claim, Queued, Settlement, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.protocol.run import Attempt, Outcome
from celery_singleton_beat.store.port import Adoption, ClaimRequest, Crashed, Ending, Renewal
from celery_singleton_beat.testing import START_MS
from tests.twins.machine import STEP_MS, Machine, compare

names = st.sampled_from(["x", "y", "z|%", "é"])
digests = st.sampled_from(["a", "b"])
replicas = st.sampled_from(["r1", "r2", "r3"])
steps = st.integers(0, 4)
outcomes = st.sampled_from(list(Outcome))
attempts = st.builds(
    Attempt,
    run=st.sampled_from(["run1", "run2"]),
    holder=st.sampled_from(["h1", "h2", "h3"]),
    key=st.sampled_from(["k1", "k2"]),
    ttl_ms=st.sampled_from([2 * STEP_MS, 3 * STEP_MS]),
    attempt=st.integers(0, 2),
    # Redis drops records by the real clock: longer than any history may take.
    window_ms=st.sampled_from([5 * STEP_MS, 8 * STEP_MS]),
    not_after_ms=st.sampled_from([0, 0, START_MS + 3 * STEP_MS]),
    owner=st.sampled_from(["w1", "w|2"]),
    entry=st.sampled_from(["", "x", "z|%"]),
    scheduled_ms=st.sampled_from([START_MS, START_MS + STEP_MS]),
    is_awaited=st.booleans(),
    once_ms=st.sampled_from([0, 0, 4 * STEP_MS]),
    at_least_ms=st.sampled_from([0, 0, 4 * STEP_MS]),
    holds_retries=st.booleans(),
    max_starts=st.sampled_from([0, 1, 2]),
    message=st.sampled_from(["", "mes|sage"]),
    revision=st.sampled_from([0, 1, 2]),
)


class Twins(Machine):
    """Every rule asks both stores the same and compares what they answer."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[tuple[str, Claim]] = []
        self.asked: list[ClaimRequest] = []
        self.crashed: list[Crashed] = []

    @rule(by=st.integers(-2, 9))
    def time_passes(self, by: int) -> None:
        self.clock.advance(by * STEP_MS)

    @rule(replica=replicas, digest=digests, limit=st.integers(1, 3))
    def claims_slots(self, replica: str, digest: str, limit: int) -> None:
        request = ClaimRequest(
            replica, digest, f"q{next(self.requests)}", limit, 2 * STEP_MS, 4 * STEP_MS, "info|x"
        )
        answer = self.both("claim", request)
        self.asked.append(request)
        self.claims += [(digest, claim) for claim in answer.claims]

    @rule(back=st.integers(1, 4))
    def asks_again(self, back: int) -> None:
        if len(self.asked) >= back:
            self.both("claim", self.asked[-back])

    @rule(
        digest=digests,
        name=names,
        at=steps,
        rule_name=digests,
        done=st.booleans(),
        of=st.dictionaries(names, digests, max_size=2),
    )
    def adopts(  # noqa: PLR0917  # all are drawn
        self, digest: str, name: str, at: int, rule_name: str, done: bool, of: dict[str, str]
    ) -> None:
        seen = self.both("slots", [name, "nobody"]).slots[0]
        at_ms = self.clock.now_ms + at * STEP_MS
        planned = Slot(rule_name, at_ms, at_ms)
        self.both("adopt", digest, [Adoption(name, seen, planned)], done=done, of=of)
        self.both("adopt", digest, [Adoption(name, planned, planned)], done=False)

    @rule(
        back=st.integers(1, 5),
        by=st.integers(-1, 3),
        ended=st.booleans(),
        awaited=st.lists(st.tuples(st.sampled_from(["run1", "run2", "run3"]), steps), max_size=3),
    )
    def settles(self, back: int, by: int, ended: bool, awaited: list[tuple[str, int]]) -> None:
        if len(self.claims) < back:
            return
        digest, claim = self.claims[-back]
        slot = replace(
            claim.slot,
            slot_ms=claim.slot.slot_ms + by * STEP_MS,
            due_ms=ABSENT if ended else self.clock.now_ms + by * STEP_MS,
            failures=claim.slot.failures + 1,
            runs=claim.slot.runs + 1,
            last_ms=claim.slot.slot_ms,
        )
        watched = tuple(
            Awaited(run, claim.entry, START_MS + at * STEP_MS, 2 * STEP_MS, 60_000, at or None)
            for run, at in awaited
        )
        facts = (
            Told("published", START_MS, "run1", "r1"),
            Told("superseded", START_MS + STEP_MS, "", "r1", "n"),
        )
        told = facts[: len(awaited)]
        queued = tuple(Queued(run, at * STEP_MS) for run, at in awaited)
        settlement = Settlement(claim.entry, claim.slot.fence, slot, watched, told, queued=queued)
        self.both("settle", digest, [settlement])

    @rule(runs=st.lists(st.sampled_from(["run1", "run2", "run3"]), max_size=2), name=names)
    def notes_once(self, runs: list[str], name: str) -> None:
        told = [Told("dropped", START_MS, run, "r|1", "not sent") for run in runs]
        self.both("note_once", name, [Told("published", START_MS, "run1", "r1"), *told], runs)

    @rule(limit=st.integers(1, 3))
    def recalls(self, limit: int) -> None:
        self.both("recall", limit=limit, hold_ms=STEP_MS)

    @rule(
        runs=st.lists(st.sampled_from(["run1", "run3"]), max_size=2, unique=True),
        verb=st.sampled_from(["dismiss", "await_again"]),
    )
    def dismisses(self, runs: list[str], verb: str) -> None:
        self.both(verb, runs, *["r1"] * (verb == "await_again"))

    @rule(
        run=st.sampled_from(["run1", "run3"]),
        wait=st.integers(-1, 3),
        attempt=st.integers(0, 3),
    )
    def postpones(self, run: str, wait: int, attempt: int) -> None:
        for_ms = wait * STEP_MS if wait >= 0 else ABSENT
        self.both("postpone", [Postponed(run, for_ms, attempt, "é|" * attempt)], "r|1")

    @rule(replica=replicas)
    def leaves(self, replica: str) -> None:
        self.both("leave", replica)

    @rule(attempt=attempts, close=st.booleans())
    def begins(self, attempt: Attempt, close: bool) -> None:
        self.both("begin", attempt, close_if_busy=close, grace_ms=3 * STEP_MS)

    @rule(leases=st.lists(st.tuples(attempts, st.integers(-2, 6)), max_size=3))
    def renews(self, leases: list[tuple[Attempt, int]]) -> None:
        tokens = [0 if at < 0 else (START_MS + at * STEP_MS) * 1000 for _, at in leases]
        renewals = [Renewal(a, token) for (a, _), token in zip(leases, tokens, strict=True)]
        self.both("renew", renewals)

    @rule(ends=st.lists(st.tuples(attempts, outcomes, steps), max_size=3))
    def finishes(self, ends: list[tuple[Attempt, Outcome, int]]) -> None:
        self.both("finish", [Ending(a, outcome, wait * STEP_MS) for a, outcome, wait in ends])

    @rule(entry=st.sampled_from(["x", "z|%"]), revision=st.integers(1, 3))
    def cancels(self, entry: str, revision: int) -> None:
        self.both("cancel_queued", entry, revision, 600_000)

    @rule(attempt=attempts)
    def discards(self, attempt: Attempt) -> None:
        self.both("discard", attempt, "expired")

    @rule(limit=st.integers(1, 3))
    def reclaims(self, limit: int) -> None:
        self.crashed += self.both("reclaim", limit=limit, hold_ms=STEP_MS)

    @rule(back=st.integers(1, 3), by=st.sampled_from(["", "r1"]))
    def reruns(self, back: int, by: str) -> None:
        self.both("rerun", self.crashed[-back:], by)

    @rule(back=st.integers(1, 3))
    def gives_up(self, back: int) -> None:
        self.both("give_up", self.crashed[-back:])

    @rule(limit=st.integers(1, 3))
    def lists_locks(self, limit: int) -> None:
        names = self.both("lock_names", limit)
        self.both("locks", [*names, "k1", "nobody"])

    @rule(name=st.sampled_from(["k1", "k2"]))
    def unlocks(self, name: str) -> None:
        self.both("unlock", name, "op|1")

    @invariant()
    def tells_the_same(self) -> None:
        self.both("busy", ["run1", "run2", "run3"])
        self.both_look("e:x", "e:y", "k:k1", "k:k2")


@pytest.mark.parametrize("histories", [150])
def test_lua_and_python_answer_the_same_on_every_history(redis_url: str, histories: int) -> None:
    compare(Twins, redis_url, histories)
