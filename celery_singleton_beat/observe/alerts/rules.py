"""The rules: what a watcher finds wrong in what it sees, and when that is over.

Each is a function of a look and of nothing else; only ``NotObtained`` remembers
something from one look to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from celery_singleton_beat import events as happened
from celery_singleton_beat.events import Event
from celery_singleton_beat.observe.alerts.alert import Alert
from celery_singleton_beat.observe.alerts.sight import Running, Sight
from celery_singleton_beat.observe.alerts.thresholds import Thresholds
from celery_singleton_beat.protocol.history import Fact, LeftOut
from celery_singleton_beat.protocol.statistics import Counts

LONG_RUN: Final = "long_run"
NOT_OBTAINED: Final = "not_obtained"
LATE: Final = "late"
LOST: Final = "lost"
LEASE_LOST: Final = "lease_lost"
NO_REPLICA: Final = "no_replica"
STORE_AWAY: Final = "store_away"

CONFIGURED: Final = "entry of beat_schedule"
STORED: Final = "stored entry"
"""What may be late."""

_MOST_KEYS: Final = 10_000
_ROUND_MS: Final = 10_000
_EVENTS: Final = frozenset(
    {
        happened.LeaseGone,
        happened.OccurrenceDropped,
        happened.DispatchFailed,
        happened.RunNotRepublished,
    }
)


def no_replica(sight: Sight, longest_ms: int) -> Iterator[Alert]:
    """Find that no replica has reported for too long, where there is something to dispatch."""
    overview, now_ms = sight.overview, sight.now_ms
    heard_ms = overview.fleet.reported_at_ms or overview.born_ms
    silent_ms = now_ms - heard_ms
    is_needed = overview.planned or overview.stored or overview.requests
    if is_needed and silent_ms > longest_ms and _is_settled(sight, longest_ms):
        text = f"no beat has reported for {_seconds(silent_ms)}: nothing is dispatched"
        yield Alert(NO_REPLICA, "", text, heard_ms, now_ms)


def late(sight: Sight, longest_ms: int) -> Iterator[Alert]:
    """Find that something is due for too long, and nobody has dispatched it."""
    overview, now_ms = sight.overview, sight.now_ms
    if overview.is_paused or not _is_settled(sight, longest_ms):
        return
    for what, due_ms in (
        (CONFIGURED, overview.due_ms),
        (STORED, overview.stored_due_ms),
        ("requested run", overview.asked_due_ms),
    ):
        if due_ms is not None and now_ms - due_ms > longest_ms:
            late_ms = now_ms - due_ms
            article = "an" if what == CONFIGURED else "a"
            text = f"{article} {what} is due for {_seconds(late_ms)} and was not dispatched"
            yield Alert(LATE, what, text, due_ms, now_ms)


class NotObtained:
    """Finds keys that were asked for so many times in a row and were held each time.

    Counted are runs that gave way for good; one that is queued again (``on_locked =
    "retry"``) has not given up. What happened to a key before the first look at it is
    not counted, as far as a run may have had it in between.
    """

    def __init__(self, times: int) -> None:
        self._times = times
        self._before: dict[str, tuple[int, int]] = {}

    def look(self, sight: Sight) -> Iterator[Alert]:
        for key, counts in sight.keys.items():
            started, skipped = counts["started"], counts["skipped"]
            known = self._before.pop(key, None)
            if known is None:
                # Whoever gave way did so to the only run there was.
                known = (started, skipped if started > 1 else 0)
            elif known[0] != started:
                known = (started, skipped)
            self._before[key] = known
            in_a_row = skipped - known[1]
            if in_a_row >= self._times:
                text = f"lock key {key!r} was not obtained {in_a_row} times in a row"
                about = {"key": key, "times": in_a_row, "started": started}
                yield Alert(NOT_OBTAINED, key, text, sight.now_ms, sight.now_ms, about)
        while len(self._before) > _MOST_KEYS:
            self._before.pop(next(iter(self._before)))


def long_runs(runs: Sequence[Running], now_ms: int) -> Iterator[Alert]:
    """Find runs of this process that take longer than expected, while they run."""
    for run in runs:
        if run.limit_ms and run.running_ms > run.limit_ms:
            text = (
                f"{run.task} runs for {_seconds(run.running_ms)} by now, "
                f"and {_seconds(run.limit_ms)} are expected"
            )
            about = {"run": run.run, "key": run.key, "task": run.task, "entry": run.entry}
            since_ms = now_ms - run.running_ms
            yield Alert(LONG_RUN, run.run, text, since_ms, now_ms, {**about, "holder": run.holder})


def lost(facts: Sequence[Fact]) -> Iterator[Alert]:
    """Find occurrences and runs that will not be executed, though nobody wanted that."""
    for fact in facts:
        if (how := _how_lost(fact)) is not None:
            yield _lost(fact.entry or fact.run, fact.entry, how, fact.at_ms, fact.run)


def is_of_interest(kind: type[Event]) -> bool:
    """Tell whether events of this kind may be alerts of their own."""
    return kind in _EVENTS


def of_event(event: Event, now_ms: int, thresholds: Thresholds) -> Alert | None:
    """Find what the process alone knows in which it happened."""
    match event:
        case happened.LeaseGone() if thresholds.lease_lost:
            text = f"the lease on {event.key!r} was lost while its task runs"
            about = {"run": event.run, "key": event.key}
            return Alert(LEASE_LOST, event.key, text, now_ms, now_ms, about)
        case happened.OccurrenceDropped() if thresholds.lost:
            return _lost(event.entry, event.entry, f"it may not be sent: {event.error}", now_ms)
        case happened.DispatchFailed(given_up=True) if thresholds.lost:
            return _lost(event.entry, event.entry, f"it cannot be sent: {event.error}", now_ms)
        case happened.RunNotRepublished() if thresholds.lost:
            how = f"its worker died, and it cannot be sent again: {event.error}"
            return _lost(event.run, "", how, now_ms, event.run)
        case _:
            return None


def is_of_a_moment(alert: Alert) -> bool:
    """Tell whether an alert is of something that happened; it is over when it was quiet since."""
    return alert.rule in (LOST, LEASE_LOST)


def is_over(alert: Alert, sight: Sight, thresholds: Thresholds) -> bool:
    """Tell whether what an open alert tells of is over, where it was not found again."""
    match alert.rule:
        case "long_run":
            lock = sight.locks.get(str(alert.about.get("key")))
            is_held = lock is not None and lock.deadline_ms > sight.now_ms
            return not is_held or lock is None or lock.holder != alert.about.get("holder")
        case "not_obtained":
            counts = sight.keys.get(alert.subject, Counts())
            return counts["started"] != alert.about.get("started")
        case "lost" | "lease_lost":
            return sight.now_ms - alert.seen_ms > thresholds.quiet
        case "no_replica":
            return _is_settled(sight, thresholds.no_replica or 0)
        case "late":
            return _is_settled(sight, thresholds.late or 0)
        case _:
            return True


def _is_settled(sight: Sight, longest_ms: int) -> bool:
    """Tell whether others had as long as that to do their part, too.

    When a store was away, or when all was started at once, they come back with the watcher.
    """
    return sight.now_ms - sight.since_ms > longest_ms


def _lost(subject: str, entry: str, how: str, at_ms: int, run: str = "") -> Alert:
    about = {"entry": entry, "run": run}
    return Alert(LOST, subject, f"a run of {subject!r} is lost: {how}", at_ms, at_ms, about)


def _how_lost(fact: Fact) -> str | None:
    match fact.kind:
        case "given up":
            return "its workers died as often as it may be begun"
        case "discarded" if fact.note != "revoked":
            return f"its message was {fact.note}"
        case "superseded" if not LeftOut.from_note(fact.note).by:
            return "it was due too long ago when somebody looked"
        case "dropped":
            once = f"it is delivered at most once, and was {fact.note}"
            return once if fact.run else "its entry is gone, or no replica knows it"
        case "refused":
            return "its message came when its window was over"
        case _:
            return None


def _seconds(milliseconds: int) -> str:
    digits = 0 if milliseconds >= _ROUND_MS else 1
    return f"{milliseconds / 1000:.{digits}f} s"
