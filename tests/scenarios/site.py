"""Three beats, two workers, a store and a broker of their own: ours, or the peers'."""

from __future__ import annotations

import contextlib
import itertools
import json
import pathlib
import random
import shutil
import tempfile
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from tests.acceptance import timetable
from tests.acceptance.deployment import CONF, ENOUGH, GOVERNS, SCHEDULER, Facts, claimed_with
from tests.acceptance.timetable import Every
from tests.rig.processes import CeleryRig, Proc, Processes
from tests.rig.sending import MOMENTS, catch
from tests.rig.skew import ClockSkew, build_library
from tests.rig.witness import Witness, clock_ns
from tests.scenarios.accounts import Account, StoreTime, due_keys, of_ours, of_peers
from tests.scenarios.servers import Plain, Servers

if TYPE_CHECKING:
    from typing_extensions import Self

OURS: Final = "ours"
PEERS: Final = "RedBeat + celery-singleton"
SILENCE_S = 20.0
SENDS_WITHIN_S = 20.0
ENTRIES = (
    *(Every(f"every-1s-{number:02}", 1000, 0.0 if number % 5 else 0.2) for number in range(15)),
    *(Every(f"every-2s-{number}", 2000, 0.4) for number in range(5)),
)
PEER_CONF = {name: value for name, value in CONF.items() if not name.startswith("singleton_beat")}
# By default it takes them half an hour, and for ever: nothing would be left to compare.
QUICK_PEERS = {
    "redbeat_lock_timeout": 5,
    "beat_max_loop_interval": 1,
    "singleton_lock_expiry": 10,
}


@dataclass(frozen=True)
class Size:
    """How many there are of whom, and how many processes each worker has."""

    beats: int = 3
    workers: int = 2
    processes: int = 3


class Site:
    """One deployment under one scenario. Enter it for everything to run; leave it to end all."""

    def __init__(
        self,
        side: str,
        seed: int,
        *,
        size: Size = Size(),  # frozen
        servers: type[Servers] = Plain,
        entries: tuple[Every, ...] = ENTRIES,
    ) -> None:
        self.side, self.entries, self.size = side, entries, size
        self.chance = random.Random(seed)
        self._kind = servers
        self._moments = itertools.cycle(self.chance.sample(MOMENTS, len(MOMENTS)))
        self._caught: list[Proc] = []
        self.orphaned: list[int] = []
        self._store_times: list[StoreTime] = []
        self.beats: list[Proc] = []
        self.workers: list[Proc] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._stack = stack
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="scenario-"))
            self.folder = pathlib.Path(folder)
            self.witness = stack.enter_context(contextlib.closing(Witness(folder)))
            self._processes = stack.enter_context(contextlib.closing(Processes(self.witness)))
            gcc = shutil.which("gcc")
            library = build_library(gcc, self.folder) if gcc else None
            self.clocks = (
                [self._clock(library, name) for name in (*"123", "store")] if library else []
            )
            self.servers = self._kind(stack, self.folder, self.store_clock)
            self.facts = Facts(self.witness)
            self._start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def is_ours(self) -> bool:
        return self.side == OURS

    @property
    def store_clock(self) -> ClockSkew | None:
        return self.clocks[-1] if self.clocks else None

    @property
    def plain(self) -> Plain:
        """The servers, of which the store is a single one behind a line."""
        assert isinstance(self.servers, Plain)
        return self.servers

    def last(self, seconds: float) -> None:
        """Let time pass: a fault's length, or the quiet between two."""
        threading.Event().wait(seconds)
        self.supervise()

    def supervise(self) -> None:
        """Start again who has ended by itself, as whatever supervises processes would."""
        for place, beat in enumerate(self.beats):
            if not beat.running:
                self.beats[place] = self.start_beat(place)
        for place, worker in enumerate(self.workers):
            if not worker.running:
                self.workers[place] = self.start_worker()

    def catch(self) -> Proc:
        """A beat that stands still where it sends, which has claimed what it sends.

        In turn it has sent nothing of it yet, or all and noted it nowhere. Of the peers it is any
        that stands still if none comes to that: who had sent may have gone, and the others wait.
        """
        try:
            beat, entries = catch(self.witness, self.beats, next(self._moments), SENDS_WITHIN_S)
        except TimeoutError:
            if self.is_ours:
                raise
            beat = next((one for one in self.beats if one not in self._caught), self.beats[0])
            beat.freeze()
        self._caught.append(beat)
        if self.is_ours:
            self.orphaned.append(claimed_with(entries, self.servers.holds()))
            assert self.orphaned[-1] > 0, "who is struck holds nothing"
        return beat

    def step_store_clock(self, by_ms: int) -> None:
        """Step the clock of the store's host, if this machine has what it takes."""
        if self.store_clock:
            self.store_clock.step_ms(by_ms)
            self._note_store_time()

    def kill_beat(self, place: int) -> None:
        self.beats[place].kill()
        self.beats[place] = self.start_beat(place)

    def kill_worker(self, place: int) -> None:
        self.workers[place].kill()
        self.workers[place] = self.start_worker()

    def start_beat(self, place: int, **conf: Any) -> Proc:
        scheduler = SCHEDULER if self.is_ours else "redbeat.RedBeatScheduler"
        clock = self.clocks[place % 3].env if self.clocks else {}
        return self._rig.beat("-S", scheduler, env={**self._env(**conf), **clock})

    def start_worker(self) -> Proc:
        """A worker, not awaited: whoever is killed is missed until the next is up."""
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        about = (
            "-l",
            "INFO",
            "-c",
            str(self.size.processes),
            "-n",
            f"w{self.chance.getrandbits(32)}@scenario",
        )
        return self._rig.run("worker", *about, *quiet, name="worker")

    def _start(self) -> None:
        module = "tests.acceptance.app" if self.is_ours else "tests.scenarios.peer_app"
        self._rig = CeleryRig(self._processes, module, self._env(), self.folder)
        self.workers = [self.start_worker() for _ in range(self.size.workers)]
        for worker in self.workers:
            worker.wait_for(r" ready\.", ENOUGH)
        self.beats = [self.start_beat(place) for place in range(self.size.beats)]
        if self.is_ours:
            for beat in self.beats:
                beat.wait_for(GOVERNS, ENOUGH)
        names = {entry.name for entry in self.entries}
        self.facts.wait_until(lambda it: names == {key.partition("@")[0] for key in it.ended})
        self.last(2.0)
        self._note_store_time()
        self._from_ms, self._from_ns = self.servers.now_ms(), clock_ns()

    def account(self) -> Account:
        """Wait until what was due is done, as long as something comes, and count."""
        until_ms, until_ns = self.servers.now_ms(), clock_ns()
        due = due_keys(self.entries, self._from_ms, until_ms) if self.is_ours else set()
        done = -1
        # Whatever is still on its way comes sooner than that, one after the other.
        while done < (done := len(due & self.facts.ended.keys())) < len(due):
            self.supervise()
            with contextlib.suppress(TimeoutError):
                self.facts.wait_until(lambda facts: due <= facts.ended.keys(), SILENCE_S)
        for proc in (*self.beats, *self.workers):
            proc.kill()
        if not self.is_ours:
            return of_peers(self.witness.facts(), self.entries, self._from_ns, until_ns)
        self.facts.read()
        periods = {entry.name: entry.period_ms for entry in self.entries}
        superseded = self.facts.superseded(periods).keys()
        account = of_ours(self.witness, due, superseded, self._store_times)
        return replace(account, orphaned=sum(self.orphaned))

    def _note_store_time(self) -> None:
        self._store_times.append(StoreTime(clock_ns(), self.servers.now_ms()))

    def _env(self, **conf: Any) -> dict[str, str]:
        schedule = timetable.schedule(*self.entries)
        if self.is_ours:
            own = {**CONF, **self.servers.conf()}
            own |= {"singleton_beat_catch_up": "all", "singleton_beat_start_deadline": 15}
            # The message of a run that began and whose worker was killed comes again, and a Redis
            # broker can lose it then, with the next worker that is killed.
            own["singleton_beat_on_crash"] = "rerun"
        else:
            own = {**PEER_CONF, **QUICK_PEERS, **self.servers.peer_conf()}
            for name, entry in schedule.items():
                entry |= {"task": "peer.work", "args": [name, *entry["args"]]}
        told = {"broker": self.servers.broker.url(), "conf": own | conf, "schedule": schedule}
        return {"ACCEPTANCE": json.dumps(told)}

    def _clock(self, library: pathlib.Path, name: str) -> ClockSkew:
        return ClockSkew(library, self.folder / f"clock-{name}")
