"""What every store promises to those who watch: one is on duty, and an alert is opened once."""

from __future__ import annotations

from celery_singleton_beat.protocol.duty import MOST_ALERTS
from celery_singleton_beat.testing.harness import StoreUnderTest, equal

DUTY_MS = 1000


def one_watcher_is_on_duty(it: StoreUnderTest) -> None:
    answers = [it.store.watch(name, DUTY_MS).watcher for name in ("a", "b", "a")]

    equal(answers, ["a"] * 3)


def a_watcher_that_looks_no_more_is_relieved(it: StoreUnderTest) -> None:
    """Each look prolongs the duty; when it is over the next to look has it."""
    it.store.watch("a", DUTY_MS)
    it.clock.advance(DUTY_MS - 1)
    it.store.watch("a", DUTY_MS)
    it.clock.advance(DUTY_MS - 1)
    before = it.store.watch("b", DUTY_MS).watcher
    it.clock.advance(1)

    equal((before, it.store.watch("b", DUTY_MS).watcher), ("a", "b"))
    equal(it.store.watch("a", DUTY_MS).watcher, "b")


def a_watcher_that_stops_gives_up_its_duty(it: StoreUnderTest) -> None:
    it.store.watch("a", DUTY_MS)
    it.store.watch("a", 0)

    equal(it.store.watch("b", DUTY_MS).watcher, "b")


def an_alert_is_news_to_one_and_so_is_its_end(it: StoreUnderTest) -> None:
    opened = [it.store.alert("late|é:x", text) for text in ("first", "second")]
    read = it.store.watch("a", DUTY_MS).alerts
    closed = [it.store.alert("late|é:x", "") for _ in range(2)]

    equal((opened, closed), ([True, False], [True, False]))
    equal(read, {"late|é:x": "second"})
    equal(it.store.watch("a", DUTY_MS).alerts, {})


def so_many_alerts_are_open_at_most(it: StoreUnderTest) -> None:
    """What is open may still change and end."""
    it.store.watch("a", DUTY_MS)
    opened = [it.store.alert(f"rule:{number}", "text") for number in range(MOST_ALERTS + 1)]

    equal((opened.count(True), opened[-1]), (MOST_ALERTS, False))
    changes = [it.store.alert(name, "changed") for name in ("rule:0", "more")]
    equal((changes, it.store.watch("a", DUTY_MS).alerts["rule:0"]), ([False] * 2, "changed"))
    equal((it.store.alert("rule:0", ""), it.store.alert("more", "text")), (True, True))


ALERT_CHECKS = (
    one_watcher_is_on_duty,
    a_watcher_that_looks_no_more_is_relieved,
    a_watcher_that_stops_gives_up_its_duty,
    an_alert_is_news_to_one_and_so_is_its_end,
    so_many_alerts_are_open_at_most,
)
