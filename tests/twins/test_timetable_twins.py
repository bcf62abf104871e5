"""Lua and Python are twins with stored entries, too."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

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
    Quota,
    st.sampled_from([ABSENT, ABSENT, 1, 2]),
    st.sampled_from([ABSENT, ABSENT, 500]),
    st.sampled_from([ABSENT, 0, 1, 2]),
)
# Times count from when it is put: some are over, most are due a few steps later.
definitions = st.builds(
    Put,
    slot_ms=st.sampled_from([ABSENT, -STEP_MS, 0, STEP_MS, STEP_MS, 2 * STEP_MS, 5 * STEP_MS]),
    due_ms=st.sampled_from([0, 0, STEP_MS, -STEP_MS]),
    entry=names,
    definition=st.sampled_from(["{}", '{"a":"|"}']),
    rule=st.sampled_from(["r1", "r2"]),
    tenant=tenants,
    source=sources,
    is_enabled=st.sampled_from([True, True, True, False]),
    gap_ms=st.sampled_from([0, 400, 600]),
    # How many changes ago the revision was that it asks for: -1 for one that never was.
    if_revision=st.sampled_from([None, None, None, None, 0, 1, -1]),
    by=st.sampled_from(["", "op|1"]),
    mark=st.sampled_from([0, 0, 1, 2]),
    reckoned_ms=st.sampled_from([0, 0, 1, -1]),
    last_ms=st.sampled_from([None, None, None, ABSENT, START_MS]),
)


class Timetables(Machine):
    """Every rule asks both stores the same and compares what they answer."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[StoredClaim] = []
        self.asked: list[StoredRequest] = []
        self.revisions: list[int] = [0]
        self.marks: list[int] = []

    @initialize(asked=st.lists(definitions, min_size=3, max_size=6))
    def begins(self, asked: list[Put]) -> None:
        self.puts([one._replace(if_revision=None) for one in asked], Quota())

    @rule(by=st.sampled_from([-2, 0, 1, 1, 2, 3, 9, 60]))
    def time_passes(self, by: int) -> None:
        self.clock.advance(by * STEP_MS)

    @rule(asked=st.lists(definitions, min_size=1, max_size=4), quota=st.just(Quota()) | quotas)
    def puts(self, asked: list[Put], quota: Quota) -> None:
        answers = self.both("put", [self._now(one) for one in asked], quota)
        self.revisions += [answer.revision for answer in answers]

    @rule(
        by=st.sampled_from([0, 1, 2]),
        replica=st.sampled_from(["r1", "r2"]),
        limit=st.integers(1, 4),
        most=st.sampled_from([ABSENT, ABSENT, 2]),
    )
    def claims_entries(self, by: int, replica: str, limit: int, most: int) -> None:
        self.clock.advance(by * STEP_MS)
        request = StoredRequest(replica, f"q{next(self.requests)}", limit, 2 * STEP_MS, most)
        self.asked.append(request)
        self.claims += self.both("claim_stored", request).claims

    @rule(
        limit=st.integers(1, 4),
        by=st.sampled_from([1, 2, 5]),
        change=st.none() | definitions,
        paused=st.none() | names,
    )
    def ticks(self, limit: int, by: int, change: Put | None, paused: str | None) -> None:
        """Claim, let somebody change something, and settle."""
        before = len(self.claims)
        self.claims_entries(0, "r1", limit, ABSENT)
        if change is not None:
            self.puts([change], Quota())
        if paused is not None:
            self.pauses([paused], paused=True)
        taken = len(self.claims) - before
        if taken:
            settled = list(range(1, taken + 1))
            self.settles(settled, by, ended=False, old=0, is_awaited=False)

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
        back=st.sampled_from([None, None, 1, 2]),
    )
    def removes(self, entries: list[str], back: int | None) -> None:
        revision = None if back is None else self.revisions[-back:][0]
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

    @rule(source=sources, back=st.integers(1, 3), limit=st.integers(1, 3))
    def looks_for_unmarked(self, source: str, back: int, limit: int) -> None:
        self.marks.append(self.both("mark"))
        self.both("unmarked", source, self.marks[-back:][0], limit)

    @rule(digest=st.sampled_from(["a", "b"]))
    def reports(self, digest: str) -> None:
        request = ClaimRequest("r1", digest, f"q{next(self.requests)}", 3, STEP_MS, 4 * STEP_MS)
        self.both("claim", request)
        self.both("adopt", digest, [], done=True)

    @invariant()
    def knows_the_same(self) -> None:
        self.both("kept", ["x", "y", "z|%", "é", "ü", "nobody"])
        self.both("tenants", ["", "t1", "t2"])

    @rule()
    def lists(self) -> None:
        for ask in (("entry_names", None), ("entry_names", "t1"), ("tenant_names",)):
            memory = getattr(self.memory, ask[0])(*ask[1:])
            redis = getattr(self.redis, ask[0])(*ask[1:])
            assert sorted(memory.names) == sorted(redis.names)
            assert memory.cursor == redis.cursor

    @invariant()
    def look_the_same(self) -> None:
        self.both_look("e:x", "e:y")

    def _now(self, asked: Put) -> Put:
        """Turn what counts from now into what it is."""
        now_ms, back = self.clock.now_ms, asked.if_revision
        slot_ms = ABSENT if asked.slot_ms == ABSENT else now_ms + asked.slot_ms
        due_ms = ABSENT if slot_ms == ABSENT else slot_ms + asked.due_ms
        revision = 7 if back == -1 else back and self.revisions[-back:][0]
        mark = self.marks[-asked.mark :][0] if asked.mark and self.marks else 0
        reckoned_ms = asked.reckoned_ms and now_ms + asked.reckoned_ms
        return asked._replace(
            slot_ms=slot_ms,
            due_ms=due_ms,
            if_revision=revision,
            mark=mark,
            reckoned_ms=reckoned_ms,
        )


@pytest.mark.parametrize("histories", [120])
def test_lua_and_python_answer_the_same_on_every_timetable(redis_url: str, histories: int) -> None:
    """F18 and C19 rest on it: each change is one step, the same in both."""
    compare(Timetables, redis_url, histories)
