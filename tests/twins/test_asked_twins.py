"""Lua and Python are twins with what is asked for, too."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from celery_singleton_beat.protocol.asked import KEEP_MS, Asking
from celery_singleton_beat.protocol.claim import Queued, Settlement, Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.protocol.stored import Put
from celery_singleton_beat.protocol.tenant import Quota
from celery_singleton_beat.store.asked_port import AskedClaim, AskedRequest
from celery_singleton_beat.store.port import Adoption, ClaimRequest
from celery_singleton_beat.testing import START_MS
from tests.twins.machine import STEP_MS, Machine, compare

names = st.sampled_from(["x", "é", "config", "ended", "nobody"])
stored = st.sampled_from(["x", "é", "config"])
requests = st.sampled_from(["q|1", "q2", "é3", "q4"])
# Some of a backfill's times are the store's own, so that a question may seem to be another.
times = st.integers(0, 3).map(lambda at: START_MS + at * STEP_MS)
askings = st.builds(
    Asking,
    request=requests,
    entry=names,
    is_backfill=st.booleans(),
    from_ms=times,
    until_ms=times,
    total=st.sampled_from([1, 3, 250]),
    most=st.sampled_from([1, 300]),
    step=st.sampled_from([1, 2, 100]),
    by=st.sampled_from(["", "op|1"]),
)


class Requests(Machine):
    """Every rule asks both stores the same and compares what they answer."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[AskedClaim] = []
        self.asked: list[AskedRequest] = []

    @initialize()
    def has_entries(self) -> None:
        self.puts("x", "t1")
        self.reports("a")
        planned = [("config", Slot("r", START_MS, START_MS)), ("ended", Slot("r", -1, -1))]
        adoptions = [Adoption(name, None, slot) for name, slot in planned]
        self.both("adopt", "a", adoptions, done=True)

    @rule(by=st.sampled_from([-2, 0, 1, 2, 3, 5, 60, KEEP_MS // STEP_MS]))
    def time_passes(self, by: int) -> None:
        self.clock.advance(by * STEP_MS)

    @rule(entry=stored, tenant=st.sampled_from(["", "t1", "t2"]))
    def puts(self, entry: str, tenant: str) -> None:
        at_ms = self.clock.now_ms + STEP_MS
        self.both("put", [Put(entry, "{}", "r", at_ms, at_ms, tenant)], Quota())

    @rule(asking=askings)
    def asks(self, asking: Asking) -> None:
        self.both("ask", asking)

    @rule(
        replica=st.sampled_from(["r1", "r2"]),
        digest=st.sampled_from(["a", "a", "b"]),
        limit=st.sampled_from([1, 2, 3, 120]),
        most=st.sampled_from([-1, 2, 150]),
    )
    def claims_requests(self, replica: str, digest: str, limit: int, most: int) -> None:
        number = next(self.requests)
        request = AskedRequest(replica, digest, f"q{number}", limit, 2 * STEP_MS, most)
        self.asked.append(request)
        self.claims += self.both("claim_asked", request).claims

    @rule(back=st.integers(1, 3))
    def claims_again(self, back: int) -> None:
        if len(self.asked) >= back:
            self.both("claim_asked", self.asked[-back])

    @rule(
        backs=st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True),
        by=st.integers(-1, 4),
        is_over=st.booleans(),
    )
    def settles(self, backs: list[int], by: int, is_over: bool) -> None:
        settlements = []
        for back in backs:
            if len(self.claims) < back:
                continue
            request, ask, slot, _, portion = self.claims[-back]
            moved = replace(
                slot,
                rule="r1|x",
                slot_ms=ABSENT if is_over else slot.slot_ms + by * STEP_MS,
                due_ms=ABSENT if is_over else self.clock.now_ms + by * STEP_MS,
                runs=slot.runs + portion,
                last_ms=slot.slot_ms,
            )
            told = (Told("published", slot.slot_ms, "run1", "r1", request), Told("superseded", 7))
            queued = (Queued(f"run-{request}", STEP_MS),)
            settlements.append(
                Settlement(ask.entry, slot.fence, moved, told=told, queued=queued, request=request)
            )
        self.both("settle_asked", settlements)

    @rule(found=st.lists(requests, max_size=3), dropped=st.booleans())
    def cancels(self, found: list[str], dropped: bool) -> None:
        self.both("cancel_asked", found, "me|", dropped=dropped)

    @rule(entries=st.lists(stored, max_size=2, unique=True))
    def removes(self, entries: list[str]) -> None:
        self.both("remove", entries)

    @rule(entries=st.lists(stored, max_size=2), paused=st.booleans())
    def pauses(self, entries: list[str], paused: bool) -> None:
        self.both("pause", entries, paused=paused)

    @rule(tenant=st.sampled_from([None, "t1"]), paused=st.booleans())
    def pauses_all(self, tenant: str | None, paused: bool) -> None:
        self.both("pause_all", tenant, paused=paused)

    @rule(most=st.none() | st.sampled_from([-1, 0, 3]))
    def allows(self, most: int | None) -> None:
        self.both("allow", "t1", None if most is None else Quota(max_per_minute=most))

    @rule(digest=st.sampled_from(["a", "b"]))
    def reports(self, digest: str) -> None:
        request = ClaimRequest("r1", digest, f"q{next(self.requests)}", 3, STEP_MS, 4 * STEP_MS)
        self.both("claim", request)

    @invariant()
    def knows_the_same(self) -> None:
        self.both("tenants", ["", "t1", "t2"])
        self.both("busy", ["run-q|1", "run-q2"])
        found = {index: [*self.redis.open_requests(index).requests] for index in ("s", "c")}
        assert sorted(found["s"] + found["c"], key=str) == sorted(
            self.memory.open_requests().requests, key=str
        )
        self.both_look("e:x", "e:y")


@pytest.mark.parametrize("histories", [150])
def test_lua_and_python_answer_the_same_on_every_request(redis_url: str, histories: int) -> None:
    """C19 rests on it: each change is one step, the same in both."""
    compare(Requests, redis_url, histories)
