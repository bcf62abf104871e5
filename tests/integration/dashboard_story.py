"""An hour in the life of a shop, told to a store by a clock: what a dashboard has to show.

Beats claim and settle as they do; only workers are played, by the verbs that they use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_singleton_beat import Entry, TenantLimits
from celery_singleton_beat.protocol.run import NOTICE_MS, Attempt, Outcome
from celery_singleton_beat.store.port import Ending, Renewal
from celery_singleton_beat.testing import FakeClock
from tests.integration.stored import MINUTE_MS, Replica

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_singleton_beat.protocol.history import Fact

SCHEDULE: dict[str, Any] = {
    "prices": {"task": "shop.add", "schedule": 300.0, "args": [1]},
    "cleanup": {"task": "shop.add", "schedule": 1800.0, "args": [1]},
    "stock": {"task": "shop.add", "schedule": 600.0, "args": [1]},
    "import-feed": {"task": "shop.add", "schedule": 900.0, "args": [1]},
    "heartbeat": {"task": "shop.add", "schedule": 10.0, "args": [1]},
}
ACME = Entry(
    "acme:nightly",
    task="reports.run",
    recurrence="0 2 * * *",
    timezone="America/New_York",
    kwargs={"customer": "acme", "to": "ann@shop.example"},
    tenant="acme",
    jitter=30,
    description="The report that Ann reads first",
)


class Story:
    """A shop's replica and workers, moved on by hand."""

    def __init__(self, url: str, now_ms: int, *, minutes: int = 20) -> None:
        self.clock = FakeClock(now_ms - minutes * MINUTE_MS)
        self.replica = Replica(
            url, self.clock, SCHEDULE, singleton_beat_instance_id="beat-a", timezone="UTC"
        )
        self.app = self.replica.app
        self.store = self.replica.store
        self._open: dict[str, Attempt] = {}
        self._ends: list[tuple[int, str, Outcome | None]] = []
        timetable = self.replica.timetable
        timetable.put(ACME, by="ann@shop.example")
        timetable.set_limits("globex", TenantLimits(max_entries=5, min_interval=60))
        for number in range(4):
            entry = Entry(
                f"globex:check-{number}",
                task="shop.add",
                args=[1],
                recurrence=f"*/{5 + number} * * * *",
                tenant="globex",
            )
            timetable.put(entry, by="deploy")
        timetable.pause("globex:check-3", note="customer asked", by="bob@shop.example")

    def play(self, until_ms: int) -> None:
        """Dispatch and run until then: ends happen in the order of their times."""
        while self.clock.now_ms < until_ms:
            self.clock.advance(5000)
            for at_ms, run, outcome in sorted(self._ends, key=lambda end: end[0]):
                if at_ms <= self.clock.now_ms:
                    self._ends.remove((at_ms, run, outcome))
                    self._end(run, outcome, at_ms)
            for fact in self._dispatched():
                self._ends += self._run(fact)
            self._renew()

    def _dispatched(self) -> Iterator[Fact]:
        known = {fact.run for fact in self.store.history(500) if fact.kind == "published"}
        self.replica.dispatch()
        for fact in reversed(self.store.history(500)):
            if fact.kind == "published" and fact.run not in known:
                yield fact

    def _run(self, fact: Fact) -> list[tuple[int, str, Outcome | None]]:
        """Play a worker: how long it takes and how it ends follows from entry and time."""
        number = fact.scheduled_ms // MINUTE_MS
        worker = f"celery@worker-{'ab'[number % 2]}"
        took_ms, outcome, key = 1500 + number % 7 * 300, Outcome.SUCCEEDED, f"shop.add:{fact.run}"
        if fact.entry == "stock":
            took_ms, key = 700_000 + number % 3 * 20_000, f"stock:{number // 10 % 2}"
        elif fact.entry == "import-feed":
            took_ms, key = 240_000, "feed"
            outcome = Outcome.FAILED if number // 15 % 2 else Outcome.SUCCEEDED
        elif fact.entry == "prices":
            took_ms, key = 40_000 + number % 5 * 45_000, "feed" if number % 4 == 0 else "prices"
        elif fact.entry == "cleanup":
            took_ms, key = 200_000, "cleanup"
        self.clock.advance(350 + number % 5 * 150)
        attempt = self.attempt(fact.run, key, worker, fact.entry, fact.scheduled_ms)
        answer = self.store.begin(attempt, close_if_busy=True, grace_ms=0)
        if answer.verdict.name != "RUN":
            return []
        self._open[fact.run] = attempt
        return [(self.clock.now_ms + took_ms, fact.run, outcome)]

    def attempt(  # noqa: PLR0917  # as the attempt has them
        self,
        run: str,
        key: str,
        worker: str,
        entry: str = "",
        scheduled_ms: int = 0,
        message: str = "",
    ) -> Attempt:
        """Make an attempt of a worker."""
        return Attempt(
            run,
            f"{run}:{worker}",
            key,
            ttl_ms=60_000,
            owner=worker,
            entry=entry,
            scheduled_ms=scheduled_ms,
            message=message,
        )

    def begin(
        self, run: str, key: str, worker: str, entry: str = "", scheduled_ms: int = 0
    ) -> None:
        """Let a run begin, that goes on until it is ended."""
        attempt = self.attempt(run, key, worker, entry, scheduled_ms, "{}")
        self.store.begin(attempt, close_if_busy=True, grace_ms=0)
        self._open[run] = attempt

    def end(self, run: str, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        """Let it end now."""
        self.store.finish([Ending(self._open.pop(run), outcome)])

    def lose(self, run: str) -> None:
        """Let somebody free the key of a run, so that its lease is lost."""
        attempt = self._open.pop(run)
        self.store.unlock(attempt.key, "ann@shop.example")
        self.store.renew([Renewal(attempt, 1)])

    def die(self, run: str) -> None:
        """Let a run's worker die, and a beat publish its message again; a minute passes."""
        attempt = self._open.pop(run)
        self.clock.advance(attempt.ttl_ms + NOTICE_MS + 1000)
        crashed = self.store.reclaim(limit=10, hold_ms=1000)
        self.store.rerun([one for one in crashed if one.run == run], "beat-a")
        self.replica.dispatch()

    def _end(self, run: str, outcome: Outcome | None, at_ms: int) -> None:
        now_ms, self.clock.now_ms = self.clock.now_ms, at_ms
        if outcome is not None:
            self.end(run, outcome)
        self.clock.now_ms = now_ms

    def _renew(self) -> None:
        self.store.renew([Renewal(attempt, 1) for attempt in self._open.values()])

    def close(self) -> None:
        self.replica.close()
