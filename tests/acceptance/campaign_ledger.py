"""What a campaign amounts to: from the witness's facts, the resource's writes and the faults."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.acceptance.campaign_faults import STORE
from tests.acceptance.campaign_resource import LEAVE, Write, overlaps

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tests.acceptance.campaign_faults import Fault
    from tests.acceptance.campaign_storm import Storm


LET_GO = {"DuplicateDropped", "RunSkipped"}


@dataclass
class Body:
    """One execution, as the witness saw it."""

    run: str
    lock: str
    worker: str
    body: str
    began_ns: int
    over_ns: int | None = None

    def outlasts(self, other: Body) -> bool:
        """Whether it was alive when the other, a later one, began."""
        return self.over_ns is None or self.over_ns > other.began_ns


class Ledger:
    """The accounts of one side. `never_noted`: what the broker lost, by its own log."""

    def __init__(
        self,
        facts: Iterable[dict[str, Any]],
        writes: dict[str, list[Write]],
        storm: Storm,
        sent: Collection[str],
        never_noted: Collection[str] = (),
        *,
        ttl_s: float,
    ) -> None:
        self.facts, self.writes, self.sent = list(facts), writes, set(sent)
        self._never_noted = set(never_noted)
        self._faults, self._ttl_ns = storm.faults, int(ttl_s * 1e9)
        self._of_run: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for fact in sorted(self.facts, key=lambda fact: fact["at_ns"]):
            self._of_run[fact.get("run") or fact.get("key", "")].append(fact)
        self.bodies = _bodies(self.facts, storm.gone_ns)
        self.completed: defaultdict[str, list[Write]] = defaultdict(list)
        for write in (write for of_key in writes.values() for write in of_key):
            if write.step == LEAVE and write.accepted:
                self.completed[write.run].append(write)

    def rows(self) -> dict[str, object]:
        """The column of the table."""
        together = self.at_once()
        twice = self.completed_twice()
        lost, vanished = self.lost()
        gave_up = [fact["why"] for fact in self.facts if fact["kind"] == "gave up"]
        refused = [write for of_key in self.writes.values() for write in of_key]
        return {
            "runs sent": len(self.sent),
            "runs executed": len(self.completed.keys() & self.sent),
            "bodies begun": len(self.bodies),
            "begun again (reruns)": len(self.bodies) - len({body.run for body in self.bodies}),
            "overlaps by the resource": sum(map(overlaps, self.writes.values())),
            "stale writes refused": sum(not write.accepted for write in refused),
            "bodies told that their lease is lost": gave_up.count("LeaseLost"),
            "bodies at once, lease over by a fault": sum(together.values()),
            "bodies at once, without a fault": sum(not known for known in together.values()),
            "completed twice, end recorded": len(twice["recorded"]),
            "completed twice, end cut off by a fault": len(twice["cut off"]),
            "lost": len(lost),
            "vanished in the broker": len(vanished),
        }

    def at_once(self) -> dict[tuple[str, str], bool]:
        """Pairs of bodies of one key that were alive at once; whether a fault explains it.

        A body that is frozen, or whose worker cannot renew its lease, cannot be stopped by anybody:
        the resource stops its effect, and `check()` tells it so.
        """
        found = {}
        of_lock: defaultdict[str, list[Body]] = defaultdict(list)
        for body in self.bodies:
            for earlier in of_lock[body.lock]:
                if earlier.outlasts(body):
                    since_ns = earlier.began_ns - self._ttl_ns
                    faults = self._faults_of(earlier.worker, since_ns, body.began_ns)
                    pair = f"{earlier.run} {earlier.worker}", f"{body.run} {body.worker}"
                    found[pair] = any(fault.outlived for fault in faults)
            of_lock[body.lock].append(body)
        return found

    def completed_twice(self) -> dict[str, set[str]]:
        """Runs of which the resource took two ends: promised never, or a fault cut the first off.

        An end is recorded before its lease is over, or the run may begin again: that is the
        promise. It is not held to where a fault came between the end and its record, and no fault
        excuses more ends than there were bodies in the processes that it struck.
        """
        found: dict[str, set[str]] = {"recorded": set(), "cut off": set()}
        workers = {body.body: body.worker for body in self.bodies}
        left = {id(fault): fault.cuts_off for fault in self._faults}
        pairs = [(run, *two) for run, ends in self.completed.items() for two in pairwise(ends)]
        for run, first, second in sorted(pairs, key=lambda pair: pair[1].at_ns):
            since_ns = first.at_ns - self._ttl_ns
            # By then its lease and the notice of its end are over: whatever comes is too late.
            until_ns = min(second.at_ns, first.at_ns + 2 * self._ttl_ns)
            faults = self._faults_of(workers[first.body], since_ns, until_ns)
            fault = next((fault for fault in faults if left[id(fault)]), None)
            if fault is None or self._is_recorded(run, second.at_ns):
                found["recorded"].add(run)
            else:
                left[id(fault)] -= 1
                found["cut off"].add(run)
        return found

    def lost(self) -> tuple[set[str], set[str]]:
        """Runs that never completed: those that nothing excuses, and those lost by the broker."""
        missing = self.sent - self.completed.keys()
        vanished = {run for run in missing & self._never_noted if not self._was_let_go(run)}
        return missing - vanished, vanished

    def story(self, run: str) -> list[str]:
        """All that is known about a run, in order, for whoever looks for the cause."""
        told = [
            (fact["at_ns"], fact["kind"], fact.get("worker", ""), _rest(fact))
            for fact in self._of_run[run]
        ]
        told += [
            (write.at_ns, f"wrote {write.step}", "", f"{write.token} {write.accepted}")
            for of_key in self.writes.values()
            for write in of_key
            if write.run == run
        ]
        first_ns, last_ns = min(told)[0], max(told)[0] + 2 * self._ttl_ns
        told += [
            (fault.from_ns, "FAULT", fault.target, fault.kind)
            for fault in self._faults
            if fault.touches(first_ns, last_ns)
        ]
        return [f"{(line[0] - first_ns) / 1e9:8.3f} {' '.join(line[1:])}" for line in sorted(told)]

    def _was_let_go(self, run: str) -> bool:
        """Whether a message of it was acknowledged without being queued again."""
        kinds = Counter(fact["kind"] for fact in self._of_run[run])
        let_go = [f for f in self._of_run[run] if f["kind"] == "handled"]
        let_go = [fact for fact in let_go if fact["state"] != "REJECTED"]
        return len(let_go) > kinds["RunPostponed"] or any(kinds[kind] for kind in LET_GO)

    def _is_recorded(self, run: str, before_ns: int) -> bool:
        return any(
            fact["kind"] == "RunEnded"
            and fact["told"]["recorded"]
            and fact["told"]["outcome"] == "succeeded"
            and fact["at_ns"] < before_ns
            for fact in self._of_run[run]
        )

    def _faults_of(self, worker: str, from_ns: int, until_ns: int) -> list[Fault]:
        """What happened to that worker or to the store meanwhile."""
        return [
            fault
            for fault in self._faults
            if fault.target in {worker, STORE} and fault.touches(from_ns, until_ns)
        ]


def _bodies(facts: list[dict[str, Any]], gone_ns: Mapping[str, int]) -> list[Body]:
    """In the order of their beginnings; without an end: until its process is known dead."""
    ends = {fact["body"]: fact["at_ns"] for fact in facts if fact["kind"] == "end"}
    deaths = {
        (fact["dead_pid"], fact["dead_born"]): fact["died_ns"]
        for fact in facts
        if fact["kind"] == "died"
    }
    begun = [
        Body(
            fact["key"],
            fact["lock"],
            fact["worker"],
            fact["campaign_body"],
            fact["at_ns"],
            ends.get(fact["body"])
            or deaths.get((fact["pid"], fact["born"]))
            or gone_ns.get(fact["worker"]),
        )
        for fact in facts
        if fact["kind"] == "begin"
    ]
    return sorted(begun, key=lambda body: body.began_ns)


def _rest(fact: dict[str, Any]) -> str:
    told = {"why", "state", "told", "outcome", "lock", "pid"}
    return ", ".join(f"{name} {fact[name]}" for name in sorted(told & fact.keys()))
