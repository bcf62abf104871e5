"""What every store promises of sources: whose an entry is, and what one no longer has."""

from __future__ import annotations

from celery_singleton_beat.protocol.stored import PutAnswer, Stored
from celery_singleton_beat.testing.harness import START_MS, StoreUnderTest, equal


def a_source_leaves_the_entries_of_others_alone(it: StoreUnderTest) -> None:
    """S2-12: a reconciliation only touches what is its own."""
    mark = it.store.mark()
    hand = it.put("by hand").revision
    it.put("theirs", source="erp", mark=mark)

    equal(
        it.put("by hand", definition="2", source="crm", mark=mark),
        PutAnswer(Stored.FOREIGN, hand),
    )
    equal(it.put("theirs", source="crm", mark=mark).verdict, Stored.FOREIGN)
    equal(it.put("theirs", source="erp", mark=mark).verdict, Stored.UNCHANGED)
    removed = it.store.remove(["by hand", "theirs", "nobody"], source="crm")
    equal(removed, [Stored.FOREIGN, Stored.FOREIGN, Stored.MISSING])
    equal(sorted(it.taken()), ["by hand", "theirs"])
    equal(it.store.unmarked("crm", mark + 1, 10), [])
    equal(it.store.remove(["theirs"], source="erp"), [Stored.REMOVED])


def what_a_source_no_longer_has_is_named(it: StoreUnderTest) -> None:
    """S2-12: reconcile."""
    first = it.store.mark()
    for entry in ("a", "b", "c"):
        it.put(entry, START_MS + 1, source="crm", mark=first)
    equal((it.store.unmarked("crm", first, 10), it.take().next_ms), ([], START_MS + 1))

    second = it.store.mark()
    equal(it.put("a", source="crm", mark=second).verdict, Stored.UNCHANGED)
    equal(it.put("b", definition="2", source="crm", mark=second).verdict, Stored.CHANGED)
    it.put("d", source="crm", mark=second)

    equal(it.store.unmarked("crm", second, 10), ["c"])
    equal(it.store.unmarked("erp", second, 10), [])
    equal(it.store.unmarked("crm", second + 1, 3), ["c", "a", "b"])


def what_was_removed_is_named_no_more(it: StoreUnderTest) -> None:
    mark = it.store.mark()
    it.put("a", source="crm", mark=mark)
    it.put("b", source="crm", mark=mark)

    equal(it.store.remove(["a"], source="crm"), [Stored.REMOVED])
    it.store.remove(["b"])

    equal(it.store.unmarked("crm", it.store.mark(), 10), [])


def a_source_that_was_refused_does_not_own(it: StoreUnderTest) -> None:
    mark = it.store.mark()
    it.put("a", definition="2")

    equal(it.put("a", source="crm", if_revision=1).verdict, Stored.CONFLICT)
    equal(it.put("a", source="crm", mark=mark).verdict, Stored.FOREIGN)

    equal((it.store.unmarked("crm", it.store.mark(), 10), it.card("a").source), ([], ""))


def an_entry_that_is_put_by_hand_leaves_its_source(it: StoreUnderTest) -> None:
    mark = it.store.mark()
    it.put("a", source="crm", mark=mark)
    it.put("b", source="crm", mark=mark)

    equal(it.put("a").verdict, Stored.CHANGED)
    equal(it.put("b", source="erp").verdict, Stored.CHANGED)

    later = it.store.mark()
    equal(it.store.unmarked("crm", later, 10), [])
    equal(it.store.unmarked("erp", later, 10), ["b"])
    equal(it.card("a").source, "")


def what_is_put_for_a_source_during_its_reconciliation_stays(it: StoreUnderTest) -> None:
    """S2-13: an event tells of a row that the listing of them came too early for."""
    before = it.store.mark()
    it.put("known", source="crm", mark=before)
    it.put("same", source="crm", mark=before)
    mark = it.store.mark()

    it.put("new", source="crm")
    it.put("known", definition="2", source="crm")
    it.put("same", source="crm")

    equal(it.store.unmarked("crm", mark, 10), [])
    equal(len(it.store.unmarked("crm", it.store.mark(), 10)), 3)


def an_older_reconciliation_takes_nothing_from_a_younger(it: StoreUnderTest) -> None:
    older, younger = it.store.mark(), it.store.mark()
    it.put("a", source="crm", mark=younger)

    it.put("a", source="crm", mark=older)
    it.put("a", source="crm", mark=older, definition="2")

    equal(it.store.unmarked("crm", younger, 10), [])


SOURCE_CHECKS = (
    a_source_leaves_the_entries_of_others_alone,
    what_a_source_no_longer_has_is_named,
    what_was_removed_is_named_no_more,
    a_source_that_was_refused_does_not_own,
    an_entry_that_is_put_by_hand_leaves_its_source,
    what_is_put_for_a_source_during_its_reconciliation_stays,
    an_older_reconciliation_takes_nothing_from_a_younger,
)
