"""Three beats, two workers, a store and a broker of their own: ours, or the peers'."""

from __future__ import annotations

import contextlib
import json
import pathlib
import random
import shutil
import tempfile
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.acceptance import timetable
from tests.acceptance.deployment import CONF, ENOUGH, GOVERNS, SCHEDULER, Facts
from tests.acceptance.timetable import Every
from tests.rig.processes import CeleryRig, Proc, Processes
from tests.rig.skew import ClockSkew, build_library
from tests.rig.witness import Witness, clock_ns
from tests.scenarios.accounts import Account, due_keys, of_ours, of_peers
from tests.scenarios.servers import Plain, Servers

if TYPE_CHECKING:
    from typing_extensions import Self

OURS: Final = "ours"
PEERS: Final = "RedBeat + celery-singleton"
SENT = ("OccurrencePublished", "sent")
SILENCE_S = 20.0
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
        on_crash: str = "drop",
        entries: tuple[Every, ...] = ENTRIES,
    ) -> None:
        self.side, self.entries, self.size = side, entries, size
        self.chance = random.Random(seed)
        self._kind, self._on_crash = servers, on_crash
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

    def busy(self) -> Proc:
        """The beat that has sent something just now, and has more to do about it."""
        known = len(self.witness.facts())
        pids = {beat.pid: beat for beat in self.beats}

        def news() -> list[Proc]:
            told = self.witness.facts()[known:]
            return [
                pids[fact["pid"]] for fact in told if fact["kind"] in SENT and fact["pid"] in pids
            ]

        with contextlib.suppress(TimeoutError):
            self.facts.wait_until(lambda _: bool(news()), 10.0)
        return next(iter(news()), self.beats[0])

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
        return of_ours(self.witness.tally(), self.facts, due, superseded)

    def _env(self, **conf: Any) -> dict[str, str]:
        schedule = timetable.schedule(*self.entries)
        if self.is_ours:
            own = {**CONF, **self.servers.conf()}
            own |= {"singleton_beat_catch_up": "all", "singleton_beat_start_deadline": 15}
            own["singleton_beat_on_crash"] = self._on_crash
        else:
            own = {**PEER_CONF, **QUICK_PEERS, **self.servers.peer_conf()}
            for name, entry in schedule.items():
                entry |= {"task": "peer.work", "args": [name, *entry["args"]]}
        told = {"broker": self.servers.broker.url(), "conf": own | conf, "schedule": schedule}
        return {"ACCEPTANCE": json.dumps(told)}

    def _clock(self, library: pathlib.Path, name: str) -> ClockSkew:
        return ClockSkew(library, self.folder / f"clock-{name}")
