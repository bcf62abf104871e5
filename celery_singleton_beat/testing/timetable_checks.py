"""What every store promises of stored entries: how they are put, changed, stopped and read."""

from __future__ import annotations

from celery_singleton_beat.protocol.claim import Slot
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.stored import Card, PutAnswer, Stored
from celery_singleton_beat.testing.harness import START_MS, StoreUnderTest, equal

SOON_MS = START_MS + 1000


def an_entry_is_kept_as_it_was_put(it: StoreUnderTest) -> None:
    """S2-09: what is kept of an entry."""
    answer = it.put(
        "x|1", SOON_MS, definition='{"a": "|"}', tenant="t", source="crm", by="op|1", gap_ms=5
    )

    equal(answer, PutAnswer(Stored.ADDED, START_MS * 1000))
    equal(it.card("x|1"), Card(START_MS * 1000, START_MS, '{"a": "|"}', "t", "crm", by="op?1"))
    equal(it.slot("x|1"), Slot("rule", SOON_MS, SOON_MS))
    equal(it.store.kept(["nobody"]), [None])
    equal(it.store.entry_names(None).names, ("x|1",))


def an_entry_is_due_when_its_writer_reckoned_and_not_before(it: StoreUnderTest) -> None:
    """S2-02: an entry that is put is due with no restart."""
    it.put(at_ms=SOON_MS)
    it.clock.now_ms = SOON_MS - 1
    before = it.take()

    it.clock.advance(1)

    equal((before.claims, before.next_ms), ((), SOON_MS))
    equal(it.taken(), ["x"])
    equal(it.taken("r2"), [])


def an_entry_whose_first_time_is_over_is_planned_by_who_claims_it(it: StoreUnderTest) -> None:
    it.put("now", START_MS)
    it.put("next", START_MS + 1)
    it.put("jitter", SOON_MS, due_ms=START_MS)
    it.put("nominal", START_MS, due_ms=SOON_MS)
    equal(it.slot("now"), Slot("", ABSENT, START_MS))

    slots = {claim.entry: claim.slot for claim in it.take().claims}

    equal(sorted(slots), ["jitter", "nominal", "now"])
    equal({(slot.rule, slot.slot_ms, slot.due_ms) for slot in slots.values()},
          {("", ABSENT, START_MS)})  # fmt: skip


def what_a_clock_that_is_ahead_reckoned_is_not_believed(it: StoreUnderTest) -> None:
    """S0-38: an occurrence between the store's time and the writer's is not missed."""
    it.put("ahead", SOON_MS, reckoned_ms=START_MS + 1)
    it.put("over", ABSENT, reckoned_ms=START_MS + 1)
    it.put("right", SOON_MS, reckoned_ms=START_MS)

    equal(it.taken(), ["ahead", "over"])


def what_another_scheduler_owes_is_due_and_what_it_ran_is_not(it: StoreUnderTest) -> None:
    """The switch from another scheduler: nothing twice, nothing left out."""
    it.put("owed", START_MS - 1000, last_ms=START_MS - 2000)
    it.put("never ran", START_MS - 1000, last_ms=ABSENT)
    it.put("done", SOON_MS, last_ms=START_MS)
    kept = it.slot("done")

    slots = {claim.entry: claim.slot for claim in it.take().claims}
    again = it.put("owed", START_MS - 9000, last_ms=START_MS - 10_000, definition="2").verdict

    equal({name: (slot.rule, slot.slot_ms, slot.last_ms) for name, slot in slots.items()}, {
        "owed": ("rule", START_MS - 1000, START_MS - 2000),
        "never ran": ("rule", START_MS - 1000, ABSENT),
    })  # fmt: skip
    equal(kept, Slot("rule", SOON_MS, SOON_MS, last_ms=START_MS))
    equal((again, it.slot("owed")), (Stored.CHANGED, slots["owed"]))


def a_rule_without_an_occurrence_is_kept_and_never_due(it: StoreUnderTest) -> None:
    it.put(at_ms=ABSENT)
    it.clock.advance(10_000_000)

    answer = it.take()

    equal((answer.claims, answer.next_ms), ((), None))
    equal(it.slot(), Slot("rule", ABSENT, ABSENT))


def revisions_grow_and_none_comes_twice(it: StoreUnderTest) -> None:
    """C19: a change has a number; reconciliations have theirs from the same counter."""
    seen = [it.put().revision, it.put(definition="2").revision, it.put("y").revision]
    it.pause()
    seen.append(it.card().revision)
    seen.append(it.store.mark())
    it.store.remove(["x"])
    it.clock.advance(-10_000)
    seen.append(it.put().revision)
    it.clock.advance(60_000)
    it.resume("x")
    seen.append(it.put(definition="3").revision)
    seen.append(it.store.mark())

    equal(seen, sorted(set(seen)))
    equal(seen[-1], it.clock.now_ms * 1000 + 1)


def what_is_so_already_is_unchanged(it: StoreUnderTest) -> None:
    revision = it.put(tenant="t", source="crm", by="me").revision

    it.clock.advance(1)
    again = it.put(tenant="t", source="crm", by="you", rule="r2", if_revision=7)

    equal(again, PutAnswer(Stored.UNCHANGED, revision))
    equal((it.card().by, it.card().changed_ms), ("me", START_MS))


def whatever_differs_is_a_change(it: StoreUnderTest) -> None:
    it.put()

    verdicts = [
        it.put(definition="2").verdict,
        it.put(definition="2", source="crm").verdict,
        it.put(definition="2", source="crm", tenant="t").verdict,
        it.put(definition="2", source="crm", tenant="t", is_enabled=False).verdict,
    ]

    equal(verdicts, [Stored.CHANGED] * 4)
    equal((it.card().source, it.card().tenant, it.card().is_enabled), ("crm", "t", False))


def a_change_of_another_revision_is_a_conflict(it: StoreUnderTest) -> None:
    """C19: optimistic concurrency."""
    equal(it.put(if_revision=7), PutAnswer(Stored.CONFLICT))
    first = it.put(if_revision=0).revision
    second = it.put(definition="2", if_revision=first).revision

    refused = [it.put(definition="3", if_revision=wrong) for wrong in (0, first, second + 1)]

    equal(refused, [PutAnswer(Stored.CONFLICT, second)] * 3)
    equal((it.card().definition, it.card().revision), ("2", second))


def a_change_asked_again_is_answered_and_done_once(it: StoreUnderTest) -> None:
    first = it.put(if_revision=0)
    it.put(definition="2", if_revision=first.revision)
    changed = it.card()

    again = it.put(definition="2", if_revision=first.revision)

    equal((again.verdict, again.revision), (Stored.UNCHANGED, changed.revision))
    equal(it.card(), changed)
    equal(it.store.remove(["x"], if_revision=changed.revision), [Stored.REMOVED])
    equal(it.store.remove(["x"], if_revision=changed.revision), [Stored.MISSING])


def one_refusal_does_not_stop_the_others(it: StoreUnderTest) -> None:
    it.put("y")

    refused = it.put("y", definition="2", if_revision=1).verdict
    verdicts = it.store.pause(["x", "y"], paused=True)
    removed = it.store.remove(["x", "y", "z"])

    equal(refused, Stored.CONFLICT)
    equal(verdicts, [Stored.MISSING, Stored.CHANGED])
    equal(removed, [Stored.MISSING, Stored.REMOVED, Stored.MISSING])


def a_changed_rule_is_looked_at_at_once_and_another_change_is_not(it: StoreUnderTest) -> None:
    """F16: nothing is left to what was planned by the old rule."""
    it.put(at_ms=SOON_MS)
    it.put(at_ms=SOON_MS + 1, definition="2")
    equal((it.taken(), it.take().next_ms), ([], SOON_MS))
    it.clock.advance(10)

    it.put(at_ms=SOON_MS + 1, definition="3", rule="r2")

    (claim,) = it.take().claims
    equal((claim.card.definition, claim.card.changed_ms), ("3", START_MS + 10))
    equal((claim.slot.rule, claim.slot.slot_ms), ("rule", SOON_MS))
    equal(claim.slot.due_ms, START_MS + 10)


def a_rule_that_had_ended_is_looked_at_when_its_entry_is_changed(it: StoreUnderTest) -> None:
    it.put(at_ms=ABSENT)

    it.put(at_ms=SOON_MS, definition="2")

    equal(it.taken(), ["x"])


def a_removed_entry_is_not_claimed_any_more(it: StoreUnderTest) -> None:
    """S2-14, F16: also while it waits for its jitter."""
    it.put(at_ms=START_MS, due_ms=SOON_MS)
    it.put("y", ABSENT)

    equal(it.store.remove(["x"]), [Stored.REMOVED])
    it.clock.advance(1000)

    equal(it.taken(), [])
    equal(it.store.kept(["x"]), [None])
    equal(it.store.entry_names(None).names, ("y",))


def a_removal_of_another_revision_is_a_conflict(it: StoreUnderTest) -> None:
    revision = it.put().revision

    equal(it.store.remove(["x"], if_revision=revision - 1), [Stored.CONFLICT])
    equal(it.taken(), ["x"])
    equal(it.store.remove(["x"], if_revision=revision), [Stored.REMOVED])


def a_paused_entry_is_not_claimed_and_says_why(it: StoreUnderTest) -> None:
    """S2-17: stop on a live schedule."""
    before = it.put(by="me").revision
    it.clock.advance(7)

    equal(it.store.pause(["x"], paused=True, by="op|", note="a|b"), [Stored.CHANGED])
    equal(it.store.pause(["x"], paused=True, by="you", note="c"), [Stored.UNCHANGED])

    card = it.card()
    equal((card.is_paused, card.by, card.note, card.resumed_ms), (True, "op?", "a?b", 0))
    equal((card.is_on, card.changed_ms, card.revision > before), (False, START_MS, True))
    equal((it.taken(), it.take().next_ms), ([], None))


def a_resumed_entry_is_claimed_and_knows_since_when(it: StoreUnderTest) -> None:
    """Nothing that was due before is to be dispatched: its claim says so."""
    it.put()
    equal(it.store.pause(["x"], paused=False), [Stored.UNCHANGED])
    it.pause(note="why")
    it.clock.advance(500)

    equal(it.store.pause(["x"], paused=False, by="op", note="no"), [Stored.CHANGED])
    it.clock.advance(500)

    (claim,) = it.take().claims
    equal((claim.resumed_ms, claim.card.resumed_ms), (START_MS + 500, START_MS + 500))
    equal((claim.card.is_paused, claim.card.note, claim.card.by), (False, "", "op"))


def an_entry_that_is_put_while_paused_stays_so(it: StoreUnderTest) -> None:
    it.put()
    it.pause(note="why")
    it.clock.advance(5)
    it.resume()
    it.pause(note="again")

    it.put(definition="2", rule="r2", by="op")

    card = it.card()
    equal((card.is_paused, card.note, card.resumed_ms), (True, "again", START_MS + 5))
    equal((card.by, card.definition), ("op", "2"))
    equal(it.taken(), [])
    it.resume()
    equal(it.taken(), ["x"])


def a_disabled_entry_is_not_claimed_until_it_is_enabled(it: StoreUnderTest) -> None:
    """S2-14: ``enabled=False`` removes from dispatch."""
    it.put(is_enabled=False)
    equal((it.taken(), it.take().next_ms), ([], None))
    it.clock.advance(500)

    it.put(definition="2", is_enabled=True)
    it.clock.advance(500)
    it.put(definition="3", is_enabled=True)

    (claim,) = it.take().claims
    equal((claim.resumed_ms, claim.card.changed_ms), (START_MS + 500, START_MS + 1000))


def an_entry_that_is_disabled_is_claimed_no_more(it: StoreUnderTest) -> None:
    it.put()

    it.put(definition="2", is_enabled=False)

    equal((it.taken(), it.take().next_ms), ([], None))
    equal(it.card().resumed_ms, 0)


def every_entry_and_every_tenant_is_listed(it: StoreUnderTest) -> None:
    for entry, tenant in (("a", ""), ("b", "t"), ("c", "t"), ("d", "u")):
        it.put(entry, ABSENT, tenant=tenant)

    equal(sorted(it.store.entry_names(None).names), ["a", "b", "c", "d"])
    equal(sorted(it.store.entry_names("t").names), ["b", "c"])
    equal(it.store.entry_names("").names, ("a",))
    equal(it.store.entry_names("nobody"), it.store.entry_names("v"))
    equal(sorted(it.store.tenant_names().names), ["", "t", "u"])
    equal(it.store.entry_names(None).cursor, "")


TIMETABLE_CHECKS = (
    an_entry_is_kept_as_it_was_put,
    an_entry_is_due_when_its_writer_reckoned_and_not_before,
    an_entry_whose_first_time_is_over_is_planned_by_who_claims_it,
    what_a_clock_that_is_ahead_reckoned_is_not_believed,
    what_another_scheduler_owes_is_due_and_what_it_ran_is_not,
    a_rule_without_an_occurrence_is_kept_and_never_due,
    revisions_grow_and_none_comes_twice,
    what_is_so_already_is_unchanged,
    whatever_differs_is_a_change,
    a_change_of_another_revision_is_a_conflict,
    a_change_asked_again_is_answered_and_done_once,
    one_refusal_does_not_stop_the_others,
    a_changed_rule_is_looked_at_at_once_and_another_change_is_not,
    a_rule_that_had_ended_is_looked_at_when_its_entry_is_changed,
    a_removed_entry_is_not_claimed_any_more,
    a_removal_of_another_revision_is_a_conflict,
    a_paused_entry_is_not_claimed_and_says_why,
    a_resumed_entry_is_claimed_and_knows_since_when,
    an_entry_that_is_put_while_paused_stays_so,
    a_disabled_entry_is_not_claimed_until_it_is_enabled,
    an_entry_that_is_disabled_is_claimed_no_more,
    every_entry_and_every_tenant_is_listed,
)
