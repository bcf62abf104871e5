"""Lua and Python are twins with stored entries, too."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.history import Told
from celery_singleton_beat.protocol.stored import Put
from celery_singleton_beat.protocol.tenant import Quota
from celery_singleton_beat.store.port import ClaimRequest
from celery_singleton_beat.store.timetable_port import StoredClaim, StoredRequest
from celery_singleton_beat.testing import START_MS
from tests.twins.machine import STEP_MS, Machine, compare

names = st.sampled_from(["x", "y", "z|%", "é", "ü"])
tenants = st.sampled_from(["", "t1", "t2"])
sources = st.sampled_from(["", "crm", "erp"])
steps = st.integers(-1, 4)
quotas = st.builds(
    Quota, st.sampled_from([ABSENT, 1, 2]), st.sampled_from([ABSENT, 500]), st.sampled_from([-1, 2])
)
puts = st.builds(
    lambda at, offset, **fields: Put(
        slot_ms=ABSENT if at == 0 else START_MS + at * STEP_MS,
        due_ms=ABSENT if at == 0 else START_MS + (at + offset) * STEP_MS,
        **fields,
    ),
    at=st.integers(0, 12),
    offset=st.integers(0, 2),
    entry=names,
    definition=st.sampled_from(["{}", '{"a":"|"}']),
    rule=st.sampled_from(["r1", "r2"]),
    tenant=tenants,
    source=sources,
    is_enabled=st.sampled_from([True, True, False]),
    gap_ms=st.sampled_from([0, 400, 600]),
    if_revision=st.sampled_from([None, None, None, 0, START_MS * 1000]),
    by=st.sampled_from(["", "op|1"]),
    mark=st.sampled_from([0, 0, 1, 2]),
    last_ms=st.sampled_from([None, None, None, ABSENT, START_MS]),
)


class Timetables(Machine):
    """Every rule asks both stores the same and compares what they answer."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[StoredClaim] = []
        self.asked: list[StoredRequest] = []

    @rule(by=st.sampled_from([-2, 0, 1, 2, 3, 5, 9, 60]))
    def time_passes(self, by: int) -> None:
        self.clock.advance(by * STEP_MS)

    @rule(asked=st.lists(puts, min_size=1, max_size=4), quota=quotas)
    def puts(self, asked: list[Put], quota: Quota) -> None:
        self.both("put", asked, quota)

    @rule(
        replica=st.sampled_from(["r1", "r2"]),
        limit=st.integers(1, 4),
        most=st.sampled_from([-1, 2]),
    )
    def claims_entries(self, replica: str, limit: int, most: int) -> None:
        request = StoredRequest(replica, f"q{next(self.requests)}", limit, 2 * STEP_MS, most)
        self.asked.append(request)
        self.claims += self.both("claim_stored", request).claims

    @rule(back=st.integers(1, 3))
    def asks_again(self, back: int) -> None:
        if len(self.asked) >= back:
            self.both("claim_stored", self.asked[-back])

    @rule(
        backs=st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True),
        by=steps,
        ended=st.booleans(),
        old=st.sampled_from([0, 0, 1]),
        is_awaited=st.booleans(),
    )
    def settles(self, backs: list[int], by: int, ended: bool, old: int, is_awaited: bool) -> None:
        settlements = []
        for back in backs:
            if len(self.claims) < back:
                continue
            entry, slot, card, _ = self.claims[-back]
            moved = replace(
                slot,
                rule="r1",
                slot_ms=ABSENT if ended else slot.slot_ms + by * STEP_MS,
                due_ms=ABSENT if ended else self.clock.now_ms + by * STEP_MS,
                runs=slot.runs + 1,
                last_ms=slot.slot_ms,
            )
            awaited = (Awaited(f"run-{entry}", entry, START_MS, 2 * STEP_MS, 60_000, None),)
            told = (Told("published", START_MS, "run1", "r1"), Told("superseded", START_MS))
            settlements.append(
                Settlement(
                    entry,
                    slot.fence,
                    moved,
                    awaited if is_awaited else (),
                    told,
                    card.revision - old,
                )
            )
        self.both("settle_stored", settlements)

    @rule(
        entries=st.lists(names, max_size=3, unique=True),
        revision=st.sampled_from([None, None, START_MS * 1000]),
    )
    def removes(self, entries: list[str], revision: int | None) -> None:
        self.both("remove", entries, if_revision=revision)

    @rule(entries=st.lists(names, max_size=3, unique=True), source=sources)
    def removes_of_a_source(self, entries: list[str], source: str) -> None:
        self.both("remove", entries, source=source)

    @rule(entries=st.lists(names, max_size=3), paused=st.booleans())
    def pauses(self, entries: list[str], paused: bool) -> None:
        self.both("pause", entries, paused=paused, by="me|", note="why|")

    @rule(tenant=st.sampled_from([None, "t1", "t2"]), paused=st.booleans())
    def pauses_all(self, tenant: str | None, paused: bool) -> None:
        self.both("pause_all", tenant, paused=paused)

    @rule(tenant=tenants, quota=st.none() | quotas)
    def allows(self, tenant: str, quota: Quota | None) -> None:
        self.both("allow", tenant, quota)

    @rule(source=sources, mark=st.integers(0, 3), limit=st.integers(1, 3))
    def looks_for_unmarked(self, source: str, mark: int, limit: int) -> None:
        self.both("mark")
        self.both("unmarked", source, mark, limit)

    @rule(digest=st.sampled_from(["a", "b"]))
    def reports(self, digest: str) -> None:
        request = ClaimRequest("r1", digest, f"q{next(self.requests)}", 3, STEP_MS, 4 * STEP_MS)
        self.both("claim", request)
        self.both("adopt", digest, [], done=True)

    @invariant()
    def knows_the_same(self) -> None:
        self.both("kept", ["x", "y", "z|%", "é", "ü", "nobody"])
        self.both("tenants", ["", "t1", "t2"])
        for ask in (("entry_names", None), ("entry_names", "t1"), ("tenant_names",)):
            memory = getattr(self.memory, ask[0])(*ask[1:])
            redis = getattr(self.redis, ask[0])(*ask[1:])
            assert sorted(memory.names) == sorted(redis.names)
            assert memory.cursor == redis.cursor
        self.both("history", 3)


@pytest.mark.parametrize("histories", [150])
def test_lua_and_python_answer_the_same_on_every_timetable(redis_url: str, histories: int) -> None:
    """F18 and C19 rest on it: each change is one step, the same in both."""
    compare(Timetables, redis_url, histories)
