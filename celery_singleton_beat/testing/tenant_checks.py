"""What every store promises of tenants: limits, turns, pauses, and moving between them."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.stored import Put, PutAnswer, Stored
from celery_singleton_beat.protocol.tenant import Quota, Tenant
from celery_singleton_beat.store.port import Standing
from celery_singleton_beat.store.timetable_port import StoredAnswer
from celery_singleton_beat.testing.harness import HOLD_MS, START_MS, StoreUnderTest, equal

TWO = Quota(max_entries=2)
SLOW = Quota(min_interval_ms=500)
MINUTE_MS = 60_000


def a_tenant_has_no_more_entries_than_it_may(it: StoreUnderTest) -> None:
    """S2-03, F18: counted in the step that stores the entry."""
    puts = [Put(name, "{}", "rule", START_MS, START_MS, "t") for name in ("a", "b", "c")]

    answers = it.store.put(puts, TWO)

    equal([one.verdict for one in answers], [Stored.ADDED, Stored.ADDED, Stored.TOO_MANY])
    equal(answers[2], PutAnswer(Stored.TOO_MANY, 0, 2))
    equal((it.store.kept(["c"]), sorted(it.taken())), ([None], ["a", "b"]))
    equal(it.put("a", definition="2", tenant="t", quota=TWO).verdict, Stored.CHANGED)
    equal(it.put("c", tenant="u", quota=TWO).verdict, Stored.ADDED)
    equal(it.store.tenants(["t", "u", "v"]), [Tenant(2), Tenant(1), Tenant()])


def a_tenant_that_removed_an_entry_has_room_again(it: StoreUnderTest) -> None:
    """S2-03: what counts is what is there."""
    it.put("a", tenant="t")
    it.put("b", tenant="t")
    it.store.remove(["a", "a", "nobody"])

    equal(it.put("c", tenant="t", quota=TWO).verdict, Stored.ADDED)
    equal(it.put("d", tenant="t", quota=TWO).verdict, Stored.TOO_MANY)


def entries_without_a_tenant_have_no_limits(it: StoreUnderTest) -> None:
    none = Quota(0, 1000)
    it.store.allow("", none)

    answers = [it.put(name, gap_ms=1, quota=none) for name in ("a", "b")]

    equal([one.verdict for one in answers], [Stored.ADDED] * 2)
    equal(it.put("c", tenant="t", quota=none), PutAnswer(Stored.TOO_MANY, 0, 0))


def a_tenant_has_no_entry_that_is_due_more_often_than_it_may(it: StoreUnderTest) -> None:
    """S2-04: with the limit in the answer, also when an entry is changed."""
    equal(it.put(tenant="t", gap_ms=499, quota=SLOW), PutAnswer(Stored.TOO_OFTEN, 0, 500))

    revision = it.put(tenant="t", gap_ms=500, quota=SLOW).revision
    refused = it.put(definition="2", tenant="t", gap_ms=1, quota=SLOW)
    once = it.put("once", tenant="t", gap_ms=0, quota=SLOW)

    equal(refused, PutAnswer(Stored.TOO_OFTEN, revision, 500))
    equal((once.verdict, it.card().definition), (Stored.ADDED, "{}"))


def what_is_too_often_by_now_can_be_disabled_and_not_enabled_again(it: StoreUnderTest) -> None:
    """S2-05, S2-14: a limit that is lowered keeps nobody from stopping an entry."""
    it.put(tenant="t", gap_ms=1)

    off = it.put(definition="off", is_enabled=False, tenant="t", gap_ms=1, quota=SLOW)
    on = it.put(definition="on", tenant="t", gap_ms=1, quota=SLOW)

    equal((off.verdict, on.verdict), (Stored.CHANGED, Stored.TOO_OFTEN))


def a_quota_of_its_own_stands_in_for_the_default(it: StoreUnderTest) -> None:
    """S2-05: for each tenant, and at run time."""
    own = Quota(max_entries=1, min_interval_ms=9)
    it.store.allow("t", own)
    equal(it.store.tenants(["t"]), [Tenant(quota=own)])

    equal(it.put("a", tenant="t", gap_ms=8).limit, 9)
    equal(it.put("a", tenant="t", gap_ms=9, quota=SLOW).verdict, Stored.ADDED)
    equal(it.put("b", tenant="t"), PutAnswer(Stored.TOO_MANY, 0, 1))

    it.store.allow("t", Quota())
    equal(it.put("b", tenant="t", gap_ms=1, quota=Quota(1, 500)).verdict, Stored.ADDED)
    it.store.allow("t", None)
    equal(it.put("c", tenant="t", quota=TWO), PutAnswer(Stored.TOO_MANY, 0, 2))


def an_entry_that_moves_counts_where_it_is(it: StoreUnderTest) -> None:
    it.put("a", tenant="t")
    it.put("b", tenant="u")
    one = Quota(max_entries=1)

    equal(it.put("a", tenant="u", quota=one).verdict, Stored.TOO_MANY)
    equal(it.put("a", tenant="v", quota=one).verdict, Stored.CHANGED)

    equal(it.store.tenants(["t", "u", "v"]), [Tenant(), Tenant(1), Tenant(1)])
    equal((it.store.entry_names("t").names, it.store.entry_names("v").names), ((), ("a",)))
    equal(sorted(it.store.tenant_names().names), ["u", "v"])
    equal(sorted(it.taken()), ["a", "b"])
    equal(it.taken(), [])


def nothing_is_remembered_of_a_tenant_that_had_nothing_in_between(it: StoreUnderTest) -> None:
    it.store.pause_all("t", paused=True)
    it.put("a", tenant="t")
    it.store.pause_all("t", paused=False)
    away = Put("a", "{}", "rule", START_MS, START_MS, "")

    it.store.put([away, away._replace(tenant="t")], TWO)

    equal(it.store.tenants(["t"]), [Tenant(1)])


def who_loses_an_entry_is_looked_at_when_the_next_is_due(it: StoreUnderTest) -> None:
    """Moved or removed: its tenant's turn is that of what is left, and nothing is amiss."""
    for entry, at in (("a", 300), ("b", 500), ("c", 700), ("d", 900)):
        it.put(entry, START_MS + at, tenant="t")
    it.store.pause_all("u", paused=True)
    seen = [it.claim().stored_ms]

    it.put("a", tenant="u")
    seen += [it.claim().stored_ms, it.take().next_ms]
    it.store.remove(["b"])
    seen += [it.claim().stored_ms, it.take().next_ms]
    it.pause("c")
    seen += [it.claim().stored_ms, it.take().next_ms]
    it.store.remove(["d"])
    seen += [it.claim().stored_ms, it.take().next_ms]

    equal(seen[:3], [START_MS + 300, START_MS + 500, START_MS + 500])
    equal(seen[3:], [START_MS + 700] * 2 + [START_MS + 900] * 2 + [None, None])


def an_entry_that_moves_to_a_paused_tenant_stops_and_goes_on(it: StoreUnderTest) -> None:
    it.put("a", tenant="t")
    it.store.pause_all("u", paused=True)

    it.put("a", tenant="u")
    equal((it.taken(), it.take().next_ms), ([], None))
    it.put("a", tenant="")

    equal(it.taken(), ["a"])


def what_was_due_in_a_tenants_pause_is_not_caught_up_by_who_leaves_it(it: StoreUnderTest) -> None:
    """Neither while the tenant is paused, nor once it goes on, nor when it is forgotten."""
    it.put("a", tenant="t")
    it.put("b", tenant="t")
    it.store.pause_all("t", paused=True)
    it.clock.advance(100)

    it.put("a", tenant="u")
    it.clock.advance(100)
    it.store.pause_all("t", paused=False)
    it.clock.advance(100)
    it.put("b", tenant="")
    it.put("a", definition="2", tenant="u")

    equal(
        sorted((claim.entry, claim.resumed_ms) for claim in it.take().claims),
        [("a", START_MS + 100), ("b", START_MS + 200)],
    )


def a_hold_moves_along_with_its_entry(it: StoreUnderTest) -> None:
    it.put("a", tenant="t")
    it.take()

    it.put("a", tenant="u")

    it.clock.advance(HOLD_MS - 1)
    equal(it.taken(), [])
    it.clock.advance(1)
    equal(it.taken(), ["a"])


def a_whole_tenant_stops_and_goes_on_in_one_step(it: StoreUnderTest) -> None:
    it.put("a", tenant="t")
    it.put("b", START_MS + 1, tenant="u")

    equal([it.store.pause_all("t", paused=True) for _ in range(2)], [True, False])
    it.put("c", tenant="t")
    it.put("a", tenant="t", definition="2", rule="r2")

    equal((it.taken(), it.take().next_ms), ([], START_MS + 1))
    equal(it.store.tenants(["t"]), [Tenant(2, is_paused=True)])
    it.clock.advance(500)
    equal(it.taken(), ["b"])
    equal([it.store.pause_all("t", paused=False) for _ in range(2)], [True, False])
    it.clock.advance(1)
    equal(
        [(c.entry, c.resumed_ms) for c in it.take().claims],
        [("a", START_MS + 500), ("c", START_MS + 500)],
    )
    equal(it.store.tenants(["t"]), [Tenant(2, resumed_ms=START_MS + 500)])


def a_tenant_that_is_paused_before_it_has_entries_stays_so(it: StoreUnderTest) -> None:
    it.store.pause_all("t", paused=True)
    it.put("a", tenant="t")
    it.store.remove(["a"])
    it.put("a", tenant="t")

    equal((it.taken(), it.store.tenant_names().names), ([], ("t",)))
    it.store.remove(["a"])
    it.store.pause_all("t", paused=False)
    equal(it.store.tenant_names().names, ())


def everything_stops_and_goes_on_in_one_step(it: StoreUnderTest) -> None:
    """The first thing wanted in an incident: entries of the configuration stop, too."""
    it.plan(config=START_MS)
    it.put("stored")
    it.clock.advance(500)

    equal([it.store.pause_all(None, paused=True) for _ in range(2)], [True, False])

    stored, config = it.take(), it.claim()
    equal((stored, config.claims), (StoredAnswer(START_MS + 500), ()))
    equal((config.is_paused, config.standing), (True, Standing.GOVERNS))
    it.clock.advance(500)
    equal([it.store.pause_all(None, paused=False) for _ in range(2)], [True, False])
    config = it.claim()
    equal((it.held(config), config.is_paused), (["config"], False))
    equal(config.resumed_ms, START_MS + 1000)
    equal([(c.entry, c.resumed_ms) for c in it.take().claims], [("stored", START_MS + 1000)])


def nothing_is_published_again_while_everything_is_paused(it: StoreUnderTest) -> None:
    """Neither by who claimed before and goes on: the pause is over all that comes after it."""
    it.plan(x=START_MS)
    (claim,) = it.claim().claims
    awaited = Awaited("lost", "x", START_MS, 1000, 60_000)
    ended = replace(claim.slot, slot_ms=ABSENT, due_ms=ABSENT)
    it.store.settle("a", [Settlement("x", claim.slot.fence, ended, (awaited,))])
    it.begin(it.attempt("died", "h1", message="message"))
    it.clock.advance(1_000_000)

    it.store.pause_all(None, paused=True)
    in_pause = (it.store.recall(limit=5, hold_ms=HOLD_MS), it.reclaimed())
    it.store.pause_all(None, paused=False)

    equal(in_pause, ([], []))
    equal(it.store.recall(limit=5, hold_ms=HOLD_MS), [awaited])
    equal([one.run for one in it.reclaimed()], ["died"])


def the_last_resumption_counts(it: StoreUnderTest) -> None:
    def change(level: int, *, paused: bool) -> None:
        if level == 0:
            it.store.pause(["x"], paused=paused)
        else:
            it.store.pause_all("t" if level == 1 else None, paused=paused)

    it.put(tenant="t")

    for level in (0, 1, 2, 1, 0):
        change(level, paused=True)
        it.clock.advance(10)
        change(level, paused=False)
        (claim,) = it.take().claims
        equal(claim.resumed_ms, it.clock.now_ms)
        it.clock.advance(HOLD_MS)


def a_replica_hears_when_stored_entries_are_due(it: StoreUnderTest) -> None:
    equal(it.claim().stored_ms, None)
    it.put("a", START_MS + 700, tenant="t")
    it.put("b", START_MS + 900)

    equal((it.claim().stored_ms, it.claim("r2", "b").stored_ms), (START_MS + 700,) * 2)
    it.store.pause_all("t", paused=True)
    equal(it.claim().stored_ms, START_MS + 900)
    it.pause("b")
    equal((it.claim().stored_ms, it.take().next_ms), (None, None))
    it.store.pause_all(None, paused=True)
    it.store.pause_all("t", paused=False)
    equal([it.claim("r2", "b").is_paused, it.claim("r2", "b").stored_ms], [True, START_MS + 700])


TENANT_CHECKS = (
    a_tenant_has_no_more_entries_than_it_may,
    a_tenant_that_removed_an_entry_has_room_again,
    entries_without_a_tenant_have_no_limits,
    a_tenant_has_no_entry_that_is_due_more_often_than_it_may,
    what_is_too_often_by_now_can_be_disabled_and_not_enabled_again,
    a_quota_of_its_own_stands_in_for_the_default,
    nothing_is_remembered_of_a_tenant_that_had_nothing_in_between,
    an_entry_that_moves_counts_where_it_is,
    who_loses_an_entry_is_looked_at_when_the_next_is_due,
    an_entry_that_moves_to_a_paused_tenant_stops_and_goes_on,
    what_was_due_in_a_tenants_pause_is_not_caught_up_by_who_leaves_it,
    a_hold_moves_along_with_its_entry,
    a_whole_tenant_stops_and_goes_on_in_one_step,
    a_tenant_that_is_paused_before_it_has_entries_stays_so,
    everything_stops_and_goes_on_in_one_step,
    nothing_is_published_again_while_everything_is_paused,
    the_last_resumption_counts,
    a_replica_hears_when_stored_entries_are_due,
)
