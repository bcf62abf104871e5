"""The campaign's workers and servers, and what happens to them: seeded, timed, written down."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.acceptance.campaign_app import STORE_VARIABLE, WORKER_VARIABLE
from tests.acceptance.campaign_faults import BROKER, Fault
from tests.rig.proxy import TO_CLIENT, TO_SERVER
from tests.rig.witness import born, clock_ns

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from tests.acceptance.campaign_faults import Server
    from tests.rig.processes import CeleryRig, Proc, Process
    from tests.rig.proxy import Direction, FaultProxy
    from tests.rig.witness import Witness

QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
CHILDREN = 3
LOOK_SECONDS = 0.1


@dataclass
class Place:
    """Where one worker after the other stands, with a line of its own to the store."""

    line: FaultProxy
    worker: Proc
    is_struck: bool = False


class Storm:
    """Random faults; each is repaired after a while, and one place has one at a time."""

    def __init__(
        self,
        rig: CeleryRig,
        chance: random.Random,
        witness: Witness,
        lines: Sequence[FaultProxy],
        servers: Mapping[str, Server],
        *,
        every_s: float,
        ttl_s: float,
    ) -> None:
        self._rig, self._chance, self._witness, self._servers = rig, chance, witness, servers
        self._every_s, self._ttl_s = every_s, ttl_s
        self._numbers = itertools.count(1)
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._bag: list[Callable[[], bool]] = []
        self._down: set[str] = set()
        self.faults: list[Fault] = []
        self.gone_ns: dict[str, int] = {}
        self.is_over = False
        self.places = [Place(line, self._start(line)) for line in lines]
        for place in self.places:
            place.worker.wait_for(r" ready\.", 60)
        self._at(self._pause_s(), self._strike)

    @property
    def until_next_s(self) -> float:
        """How long until something is due here."""
        return max(0.0, self._agenda[0][0] - time.monotonic()) if self._agenda else LOOK_SECONDS

    @property
    def is_broker_up(self) -> bool:
        return BROKER not in self._down

    def tick(self) -> None:
        """Do what is due, and what an init system would: start again whoever has ended."""
        for place in self.places:
            if not place.worker.running and not place.is_struck:
                # kombu's Redis transport does not survive every loss of its broker.
                self._end_fault(self._note("ended by itself", place.worker.name))
                self._replace(place)
        while self._agenda and self._agenda[0][0] <= time.monotonic():
            heapq.heappop(self._agenda)[2]()

    def end(self) -> None:
        """No further fault; what is broken is repaired now."""
        self.is_over = True
        while self._agenda:
            heapq.heappop(self._agenda)[2]()

    def renew_workers(self) -> None:
        """A new worker in every place: the old ones are asked to end."""
        for place in self.places:
            place.worker.terminate()
            self._replace(place)

    def stop_workers(self) -> None:
        for place in self.places:
            place.worker.terminate(30)
            self.gone_ns[place.worker.name] = clock_ns()

    # Faults: each tells whether there was somebody to strike ---------------------------------

    def _kill_child(self) -> bool:
        place = self._pick()
        child = self._child_of(place.worker) if place else None
        if place is None or child is None:
            return False
        fault = self._note("kill a child", place.worker.name, outlived=False, cuts_off=1)
        with contextlib.suppress(ProcessLookupError):
            place.worker.kill_child(child)
        self._end_fault(fault)
        return True

    def _kill_main(self) -> bool:
        """The main process alone: its children are orphans, for as long as they live."""
        place = self._pick()
        if place is None:
            return False
        worker, until = place.worker, time.monotonic() + self._longer_than_ttl_s()
        fault = self._note("kill the main process", worker.name)
        orphans = [process for process in worker.group() if process[0] != worker.pid]
        worker.kill_child((worker.pid, born(worker.pid)))
        place.is_struck = True
        self._at(LOOK_SECONDS, lambda: self._watch(place, fault, orphans, until))
        return True

    def _kill_worker(self) -> bool:
        place = self._pick()
        if place is None:
            return False
        fault = self._note("kill main and children", place.worker.name, outlived=False)
        self._replace(place)
        self._end_fault(fault)
        return True

    def _freeze_worker(self) -> bool:
        place = self._pick()
        if place is None:
            return False
        self._note_freeze(place, "freeze main and children")
        place.worker.freeze(group=True)
        return True

    def _freeze_main(self) -> bool:
        place = self._pick()
        if place is None:
            return False
        self._note_freeze(place, "freeze the main process")
        place.worker.freeze()
        return True

    def _freeze_child(self) -> bool:
        place = self._pick()
        child = self._child_of(place.worker) if place else None
        if place is None or child is None:
            return False
        # The main process goes on renewing: that is no excuse for anything.
        self._note_freeze(place, "freeze a child", outlived=False, cuts_off=0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child[0], signal.SIGSTOP)
        return True

    def _cut(self) -> bool:
        """The line between one worker and the store; replies or questions may come late."""
        place = self._pick()
        if place is None:
            return False
        line = place.line
        way: Direction | None = self._chance.choice([TO_SERVER, TO_CLIENT, None])
        kind, act = self._chance.choice(
            [
                ("refuse", line.refuse),
                ("swallow", lambda: line.blackhole(way)),
                ("hold back", lambda: line.hold(way)),
            ]
        )
        text = kind if kind == "refuse" else f"{kind} {way or 'both ways'}"
        fault = self._note(f"cut from the store: {text}", place.worker.name)
        act()
        place.is_struck = True
        self._at(self._longer_than_ttl_s(), lambda: self._mend(place, fault, line.heal))
        return True

    def _restart(self, name: str) -> bool:
        if name in self._down:
            return False
        fault = self._note("restart", name, cuts_off=len(self.places) * CHILDREN)
        self._servers[name].restart()
        self._end_fault(fault)
        return True

    def _crash(self, name: str) -> bool:
        if name in self._down:
            return False
        self._down.add(name)
        fault = self._note("kill and leave dead", name, cuts_off=len(self.places) * CHILDREN)
        self._servers[name].kill()
        self._at(self._chance.uniform(0.2, 1.5 * self._ttl_s), lambda: self._raise(name, fault))
        return True

    # How they come about ---------------------------------------------------------------------

    def _strike(self) -> None:
        """Every kind has its turn, in random order; one that finds nobody has it again."""
        if self.is_over:
            return
        if not self._bag:
            faults: list[Callable[[], bool]] = [
                *(self._kill_child, self._kill_main, self._kill_worker),
                *(self._freeze_worker, self._freeze_main, self._freeze_child, self._cut),
                *(partial(self._restart, name) for name in self._servers),
                *(partial(self._crash, name) for name in self._servers),
            ]
            self._bag = self._chance.sample(faults, len(faults))
        if self._bag[-1]():
            self._bag.pop()
        self._at(self._pause_s(), self._strike)

    def _pick(self) -> Place | None:
        """A place without a fault whose worker has come up."""
        free = [p for p in self.places if not p.is_struck and len(p.worker.group()) > CHILDREN]
        return self._chance.choice(free) if free else None

    def _child_of(self, worker: Proc) -> Process | None:
        children = [process for process in worker.group() if process[0] != worker.pid]
        return self._chance.choice(children) if children else None

    def _raise(self, name: str, fault: Fault) -> None:
        self._servers[name].restart()
        self._down.discard(name)
        self._end_fault(fault)

    def _watch(self, place: Place, fault: Fault, orphans: list[Process], until: float) -> None:
        """Tell the witness of children that end by themselves; then start a new worker."""
        alive = place.worker.group()
        for process in [process for process in orphans if process not in alive]:
            orphans.remove(process)
            self._witness.died(*process)
        if orphans and time.monotonic() < until and not self.is_over:
            self._at(LOOK_SECONDS, lambda: self._watch(place, fault, orphans, until))
            return
        self._replace(place)
        self._end_fault(fault)

    def _note_freeze(self, place: Place, kind: str, **counts_as: int) -> None:
        place.is_struck = True
        fault = self._note(kind, place.worker.name, **counts_as)
        self._at(self._longer_than_ttl_s(), lambda: self._mend(place, fault, place.worker.thaw))

    def _mend(self, place: Place, fault: Fault, repair: Callable[[], None]) -> None:
        repair()
        self._end_fault(fault)
        place.is_struck = False

    def _replace(self, place: Place) -> None:
        place.worker.kill()
        self.gone_ns[place.worker.name] = clock_ns()
        place.worker, place.is_struck = self._start(place.line), False

    def _start(self, line: FaultProxy) -> Proc:
        name = f"worker{next(self._numbers)}"
        about = ("-l", "INFO", "-n", f"{name}@rig", "-c", str(CHILDREN), *QUIET)
        env = {STORE_VARIABLE: line.url(), WORKER_VARIABLE: name}
        return self._rig.run("worker", *about, name=name, env=env)

    def _note(
        self, kind: str, target: str, *, outlived: int = True, cuts_off: int = CHILDREN
    ) -> Fault:
        self.faults.append(Fault(kind, target, clock_ns(), bool(outlived), cuts_off))
        return self.faults[-1]

    def _end_fault(self, fault: Fault) -> None:
        fault.until_ns = clock_ns()

    def _pause_s(self) -> float:
        return self._chance.uniform(0.5, 1.5) * self._every_s

    def _longer_than_ttl_s(self) -> float:
        return self._chance.uniform(1.1, 2.2) * self._ttl_s

    def _at(self, in_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time.monotonic() + in_s, next(self._order), act))
