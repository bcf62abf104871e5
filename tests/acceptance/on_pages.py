"""A dashboard of a deployment under test, and what it has to show by the store's own history."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

import httpx

from celery_singleton_beat.protocol.statistics import BUSY, DUPLICATE

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.history import Fact
    from tests.acceptance.deployment import Deployment

ENOUGH: Final = 60.0
_NO_FACTS: Final = (BUSY, DUPLICATE)

Facts = dict[str, int]
Run = tuple[str, int, bool]
"""Its entry, how often it began, and whether it succeeded."""


class Dashboard:
    """`celery … singleton dashboard`, and what it says as data."""

    def __init__(self, deployment: Deployment, **more: Any) -> None:
        command = ("singleton", "dashboard", "--port", "0")
        proc = deployment.rig.run(*command, name="dashboard", **more)
        found = re.search(r"http://\S+", proc.wait_for("The dashboard is at", ENOUGH))
        assert found is not None
        self._url = found[0]

    def look(self, page: str) -> int:
        """Read a page; how that went."""
        return httpx.get(self._url + page, timeout=ENOUGH).status_code

    def counted(self) -> tuple[Facts, dict[str, Facts]]:
        """What it counts of everything, and of each entry."""
        told = self._data("statistics")
        entries = {name: _facts(figures) for name, figures in told["entries"].items()}
        return _facts(told["total"]), {name: facts for name, facts in entries.items() if facts}

    def doctor(self) -> dict[str, dict[str, Any]]:
        """What it has the doctor find that is not ok; each check stands on the page, too."""
        page = httpx.get(self._url + "doctor", timeout=ENOUGH).text
        found = [one for one in self._data("doctor")["diagnoses"] if one["verdict"] != "ok"]
        assert all(one["check"] in page for one in found)
        return {one["check"]: one for one in found}

    def runs(self) -> dict[str, Run]:
        """The runs on its timeline."""
        first = self._data("timeline?span=60")
        pages = [self._data(f"timeline?span=60&page={n + 1}") for n in range(1, first["pages"])]
        return {
            run["run"]: (run["entry"], run["bodies"], run["outcome"] == "succeeded")
            for page in [first, *pages]
            for lane in page["lanes"]
            for run in lane["runs"]
        }

    def _data(self, page: str) -> Any:
        answer = httpx.get(self._url + page, headers={"Accept": "application/json"}, timeout=ENOUGH)
        answer.raise_for_status()
        return answer.json()


def expected_counts(facts: list[Fact]) -> tuple[Facts, dict[str, Facts]]:
    """What a dashboard has to count of these facts."""
    total: Counter[str] = Counter()
    entries: dict[str, Counter[str]] = defaultdict(Counter)
    for fact in facts:
        kind, by = fact.kind, 1
        if kind == "superseded":
            reason, many = fact.note.split("|")[1:]
            kind, by = f"superseded:{reason if reason.isalpha() else 'late'}", int(many)
        total[kind] += by
        if fact.entry:
            entries[fact.entry][kind] += by
    return dict(total), {name: dict(counts) for name, counts in entries.items()}


def expected_runs(facts: list[Fact]) -> dict[str, Run]:
    """The runs that a timeline has to show of these facts."""
    entries = {fact.run: fact.entry for fact in facts if fact.run and fact.entry}
    begun = Counter(fact.run for fact in facts if fact.kind == "started")
    succeeded = {fact.run for fact in facts if fact.kind == "succeeded"}
    return {run: (entry, begun[run], run in succeeded) for run, entry in entries.items()}


def _facts(figures: Any) -> Facts:
    return {kind: many for kind, many in figures["facts"].items() if kind not in _NO_FACTS}
