"""The scenarios, each a few faults and the quiet after them; its docstring stands in the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.rig.proxy import TO_CLIENT
from tests.scenarios.servers import (
    Clustered,
    ClusteredAwaited,
    ClusteredBehind,
    OnRabbit,
    Plain,
    Secured,
    Sentinel,
    SentinelAwaited,
    Servers,
    Valkey8,
    Valkey9,
    ValkeyInMemory,
)
from tests.scenarios.site import Size

if TYPE_CHECKING:
    from tests.scenarios.site import Site

HOUR_MS: Final = 3_600_000
# Longer than a claim's hold (2 s) and a lease (3 s), or a peer's lock (5 s).
TOO_LONG_S: Final = 6.5


@dataclass(frozen=True)
class Scenario:
    """What is done to a site, on which servers.

    ``is_kept``: the store keeps its promise, so ours keeps its own.
    """

    name: str
    act: Callable[[Site], None]
    is_kept: bool = True
    size: Size = field(default_factory=Size)
    servers: type[Servers] = Plain

    @property
    def about(self) -> str:
        if self.act is not storm:
            return (self.act.__doc__ or "").strip()
        return f"{(self.servers.__doc__ or '').strip()} {self.servers.peers}".strip()


def quiet(site: Site) -> None:
    """Nothing happens for 20 s."""
    site.last(20)


def kills(site: Site) -> None:
    """A beat is killed (SIGKILL) as it sends, and started again, then a worker; thrice."""
    for place in (0, 1, 2):
        site.kill_beat(site.beats.index(site.catch()))
        site.last(2.5)
        site.kill_worker(place % len(site.workers))
        site.last(2.5)
    site.last(6)


def all_beats_killed(site: Site) -> None:
    """All beats are killed at once, one of them as it sends, and started again; twice."""
    for _ in range(2):
        site.catch()
        for beat in site.beats:
            beat.kill()
        site.supervise()
        site.last(8)


def frozen_beats(site: Site) -> None:
    """A beat stands still for 6.5 s as it sends, and goes on as if nothing had been; thrice."""
    for _ in range(3):
        beat = site.catch()
        site.last(TOO_LONG_S)
        beat.thaw()
        site.last(2)
    site.last(4)


def frozen_workers(site: Site) -> None:
    """Each worker in turn, with its pool, stands still for 6.5 s, and goes on."""
    for worker in list(site.workers):
        worker.freeze(group=True)
        site.last(TOO_LONG_S)
        worker.thaw()
        site.last(4)
    site.last(6)


def wrong_hosts(site: Site) -> None:
    """The clocks of the beats' hosts are stepped by an hour, forward and back, each at its time."""
    first, second, third = site.clocks[:3]
    for clock, by_ms in ((first, HOUR_MS), (second, -HOUR_MS), (first, -HOUR_MS), (third, 5000)):
        clock.step_ms(by_ms)
        site.last(5)
    site.last(4)


def store_clock_forward(site: Site) -> None:
    """The clock of the store's host is stepped forward by 10 s."""
    site.last(4)
    site.step_store_clock(10_000)
    site.last(16)


def store_clock_back(site: Site) -> None:
    """The clock of the store's host is stepped back by 10 s."""
    site.last(4)
    site.step_store_clock(-10_000)
    site.last(20)


def cut_network(site: Site) -> None:
    """The line to the store is cut three times: refused, silent, silent in one direction."""
    for cut in (
        site.plain.line.refuse,
        site.plain.line.blackhole,
        lambda: site.plain.line.blackhole(TO_CLIENT),
    ):
        cut()
        site.last(3)
        site.plain.line.heal()
        site.last(4)
    site.last(4)


def slow_network(site: Site) -> None:
    """Every answer of the store takes 150 ms longer for 12 s."""
    site.plain.line.latency(150)
    site.last(12)
    site.plain.line.heal()
    site.last(6)


def store_away(site: Site) -> None:
    """The store is killed for 5 s; it keeps what it acknowledged (append-only file)."""
    site.last(3)
    site.plain.store.kill()
    site.last(5)
    site.plain.store.restart()
    site.last(12)


def broker_away(site: Site) -> None:
    """The broker is killed for 5 s; it keeps what it acknowledged."""
    site.last(3)
    site.servers.broker.kill()
    site.last(5)
    site.servers.broker.restart()
    site.last(14)


def full_memory(site: Site) -> None:
    """The store's memory is full for 4 s (maxmemory, noeviction)."""
    site.last(3)
    site.plain.client.config_set("maxmemory", 1)
    site.last(4)
    site.plain.client.config_set("maxmemory", 0)
    site.last(10)


def rolling_deploy(site: Site) -> None:
    """Every beat and worker is stopped in order and started again, one every 3 s, twice."""
    for place in (0, 1, 2, 0, 1, 2):
        site.beats[place].terminate()
        site.beats[place] = site.start_beat(place)
        site.last(1.5)
        worker = place % len(site.workers)
        site.workers[worker].terminate()
        site.workers[worker] = site.start_worker()
        site.last(1.5)
    site.last(6)


def forgetful_store(site: Site) -> None:
    """The store is killed and comes back empty, at once."""
    site.last(4)
    site.plain.store.kill()
    site.plain.store.restart(wipe=True)
    site.last(16)


def evicting_store(site: Site) -> None:
    """For 6 s the store has 20 kB less memory than it uses, and may evict anything."""
    site.last(4)
    site.plain.client.config_set("maxmemory-policy", "allkeys-random")
    used = int(site.plain.client.info("memory")["used_memory"])
    site.plain.client.config_set("maxmemory", used - 20_000)
    site.last(6)
    site.plain.client.config_set("maxmemory", 0)
    site.last(8)


def many(site: Site) -> None:
    """Ten beats, twenty workers; in turn one is killed as it sends, one frozen, a worker killed."""
    for place in range(5):
        site.kill_beat(site.beats.index(site.catch()))
        site.last(2)
        beat = site.catch()
        site.last(4)
        beat.thaw()
        site.kill_worker(place)
        site.last(2)
    site.last(4)


def storm(site: Site) -> None:
    """A beat is killed as it sends, then a worker; the servers are struck while two beats send.

    One of the two goes on without its servers and is killed, the other stands still until they
    are back; a worker is killed. At last one stands still, longer than its lease lasts.
    """
    site.kill_beat(site.beats.index(site.catch()))
    site.last(2)
    site.kill_worker(0)
    site.last(3)
    frozen, sending = site.catch(), site.catch()
    place = site.beats.index(sending)
    site.servers.strike()
    sending.thaw()
    site.last(1)
    site.kill_beat(place)
    site.last(2)
    site.kill_worker(1)
    site.last(1)
    site.servers.mend()
    site.last(3)
    frozen.thaw()
    site.last(4)
    site.workers[0].freeze(group=True)
    site.last(TOO_LONG_S)
    site.workers[0].thaw()
    site.last(6)


def _storm(name: str, servers: type[Servers], *, is_kept: bool = True) -> Scenario:
    return Scenario(name, storm, is_kept, servers=servers)


SCENARIOS: Final = (
    Scenario("quiet", quiet),
    Scenario("kills", kills),
    Scenario("all beats killed", all_beats_killed),
    Scenario("frozen beats", frozen_beats),
    Scenario("frozen workers", frozen_workers),
    Scenario("wrong host clocks", wrong_hosts),
    Scenario("network cut", cut_network),
    Scenario("slow network", slow_network),
    Scenario("store away", store_away),
    Scenario("broker away", broker_away),
    Scenario("store full", full_memory),
    Scenario("rolling deploy", rolling_deploy),
    Scenario("ten beats, twenty workers", many, size=Size(10, 20, 1)),
    Scenario("store clock forward", store_clock_forward, is_kept=False),
    Scenario("store clock back", store_clock_back),
    Scenario("store forgets all", forgetful_store, is_kept=False),
    Scenario("store evicts", evicting_store, is_kept=False),
    _storm("Redis", Plain),
    _storm("Valkey 8.1", Valkey8),
    _storm("Valkey 9.1", Valkey9),
    _storm("Valkey in memory", ValkeyInMemory, is_kept=False),
    _storm("Sentinel", Sentinel, is_kept=False),
    _storm("Sentinel, replicas awaited", SentinelAwaited),
    _storm("cluster", Clustered),
    _storm("cluster, replicas behind", ClusteredBehind, is_kept=False),
    _storm("cluster, replicas awaited", ClusteredAwaited),
    _storm("TLS and ACL", Secured),
    _storm("RabbitMQ", OnRabbit),
)
