"""What an exporter has to show, counted anew from the history that the store keeps."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

import httpx

from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from tests.integration.exposition import Page, Series, complaints
from tests.rig.witness import key_of

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.history import Fact
    from tests.acceptance.deployment import Deployment
    from tests.rig.processes import Proc

ENOUGH: Final = 60.0
KEPT: Final = 200_000
"""So many facts have to be kept for the history to have all of a storm."""

N: Final = "celery_singleton_beat_"
SKIPPED: Final = ("skipped", "spent", "cancelled", "refused", "given up", "discarded")
ENDED: Final = ("succeeded", "failed", "retrying", "interrupted")
NAMES: Final = {
    "published": "occurrences_published",
    "published_again": "occurrences_republished",
    "dropped": "occurrences_dropped",
    "dispatch_failed": "dispatch_failures",
    "asked": "requests",
    "called_off": "requests_cancelled",
    "started": "runs_started",
    "rerun": "runs_republished",
    "lost": "leases_lost",
    "unlocked": "locks_forced",
}
# They are counted, and are no facts.
NO_FACTS: Final = (f"{N}duplicates_dropped_total", f"{N}lock_conflicts_total")


class Exported:
    """An exporter of a deployment; every entry has series of its own."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._proc: Proc = deployment.rig.run(
            *("singleton", "exporter", "--port", "0", "--entries", "1000"), name="exporter"
        )
        line = self._proc.wait_for("Metrics at http", ENOUGH)
        self._address = line.rpartition(" ")[2].strip()

    def page(self) -> Page:
        page = Page(httpx.get(self._address, timeout=ENOUGH).text)
        assert complaints(page) == []
        return page

    def counted(self) -> dict[Series, float]:
        """What it shows of facts, without what never happened."""
        return {
            series: value
            for series, value in self.page().series.items()
            if "entry" in dict(series[1]) and series[0] not in NO_FACTS
            if value and not series[0].endswith("_bucket")
        }


def facts_of(store_url: str) -> list[Fact]:
    """All that the store remembers."""
    store = RedisStore(Wire(store_url), prefix="{csb:acceptance}", app="acceptance")
    try:
        return store.history(KEPT)
    finally:
        store.close()


def expected(facts: list[Fact]) -> dict[Series, float]:
    """What an exporter has to show of these facts, to a thousandth of a second."""
    counted: Counter[Series] = Counter()
    durations: dict[Series, list[int]] = defaultdict(list)
    for fact in facts:
        entry = ("entry", fact.entry or "other")
        if fact.kind in ENDED:
            counted[f"{N}runs_ended_total", (entry, ("outcome", fact.kind))] += 1
        elif fact.kind in SKIPPED:
            reason = ("reason", fact.kind.replace(" ", "_"))
            counted[f"{N}runs_skipped_total", (entry, reason)] += 1
        elif fact.kind == "superseded":
            by, many = fact.note.split("|")[1:]
            reason = ("reason", by if by.isalpha() else "late")
            counted[f"{N}occurrences_left_out_total", (entry, reason)] += int(many)
        else:
            counted[f"{N}{NAMES[fact.kind]}_total", (entry,)] += 1
        if fact.kind == "published" and not fact.note:
            late_ms = max(fact.at_ms - fact.scheduled_ms, 0)
            durations[f"{N}dispatch_lag_seconds", (entry,)].append(late_ms)
        if fact.kind in ENDED and fact.note:
            durations[f"{N}run_time_seconds", (entry,)].append(int(fact.note))
    found = {series: float(value) for series, value in counted.items()}
    for (name, labels), of in durations.items():
        found[f"{name}_count", labels] = len(of)
        found[f"{name}_sum", labels] = sum(of) / 1000
    return {series: value for series, value in found.items() if value}


def occurrences(facts: list[Fact], kind: str) -> set[str]:
    """The occurrences of which there is a fact of a kind, named as the witness names them."""
    return {key_of(fact.entry, fact.scheduled_ms) for fact in facts if fact.kind == kind}
