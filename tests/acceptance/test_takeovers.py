"""Replicas and workers that die, stop or share a name: what they held, and what the others do."""

from __future__ import annotations

import os
import pathlib
import signal
from typing import TYPE_CHECKING, Any

from tests.acceptance import timetable
from tests.acceptance.deployment import ENOUGH, GOVERNS, Deployment, told
from tests.acceptance.timetable import Every
from tests.rig.sending import SENT, catch
from tests.rig.witness import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.proxy import FaultProxy
    from tests.rig.witness import Tally

SECOND_MS = 1000
TTL_MS = 3000  # what deployments here set
TICK = Every("tick", 500)


def gated(gate: pathlib.Path) -> dict[str, Any]:
    """A timetable with a job that lasts until the gate is opened, and one that shows time pass."""
    os.mkfifo(gate)
    lasting = {"task": "acceptance.gated", "schedule": 1.0, "args": [str(gate)]}
    return timetable.schedule(TICK) | {"lasting": lasting}


def open_gate(gate: pathlib.Path) -> None:
    """Let the run that waits go on."""
    with gate.open("wb"):
        pass


def lasting_bodies(tally: Tally) -> list[str]:
    """The occurrences of the gated job that began, in their order."""
    begun = [body for bodies in tally.bodies.values() for body in bodies]
    ordered = sorted(begun, key=lambda body: body.began_ns)
    return [body.key for body in ordered if body.key.startswith("lasting@")]


def tokens(deployment: Deployment) -> list[int]:
    """The fencing numbers of the gated job's runs, in the order in which they began."""
    facts = (fact for fact in deployment.witness.facts() if fact["kind"] == "begin")
    ordered = sorted(facts, key=lambda fact: fact["at_ns"])
    return [fact["token"] for fact in ordered if fact["key"].startswith("lasting@")]


def sent_by(deployment: Deployment) -> list[dict[str, Any]]:
    """The messages that replicas have sent."""
    return [fact for fact in deployment.witness.facts() if fact["kind"] == "sent"]


def locked(deployment: Deployment) -> int:
    """How many times a run of the gated job was turned away from its key."""
    return deployment.facts.postponed["locked"]


def test_a_replica_killed_right_after_its_claim_delays_only_what_it_held(
    make_deployment: Callable[..., Deployment],
    make_proxy: Callable[[int], FaultProxy],
    make_redis: Callable[..., EmbeddedServer],
) -> None:
    """C14, F6, S0-21, S0-37, S1-13: it dies with its messages on the line, none of them sent."""
    store, broker = make_redis(), make_redis()
    line = make_proxy(broker.port)
    entries = tuple(Every(f"entry-{number:02}", SECOND_MS, catch_up="all") for number in range(12))
    conf = {"singleton_beat_claim_hold": 4, "singleton_beat_claim_batch": 4}
    schedule = timetable.schedule(*entries)
    deployment = make_deployment(store.url(), schedule, broker_url=broker.url(), **conf)
    facts = deployment.facts
    deployment.worker()
    on_the_line = told(store.url(), schedule, broker_url=line.url(), **conf)
    doomed = deployment.beat(env={"ACCEPTANCE": on_the_line})
    for beat in (doomed, deployment.beat(), deployment.beat()):
        beat.wait_for(GOVERNS, ENOUGH)
    from_ms = deployment.now_ms()
    # All of a second are settled: no answer of the broker is on its way, which would be held, too.
    facts.wait_accounted(timetable.keys(entries, from_ms, from_ms + SECOND_MS))

    line.hold()
    line.wait_until(lambda line: line.held["to_server"] > 0, ENOUGH)
    doomed.kill()
    line.reset()
    claimed = deployment.holds()
    facts.wait_past(deployment.now_ms() + SECOND_MS)
    held = {name: until for name, until in deployment.holds().items() if claimed.get(name) == until}
    due = timetable.keys(entries, from_ms, deployment.now_ms() + 6 * SECOND_MS)
    facts.wait_ended(due)

    tally = deployment.witness.tally()
    stuck_ms = max(held.values()) // SECOND_MS * SECOND_MS - 4 * SECOND_MS
    next_of_others = {key_of(e.name, stuck_ms + SECOND_MS) for e in entries if e.name not in held}
    stuck = {key_of(name, stuck_ms) for name in held}
    facts.wait_accounted(next_of_others | stuck)
    assert 0 < len(held) < len(entries)
    assert tally.duplicates() == set()
    assert tally.lost(due) == set()
    assert max(facts.published_ns[key] for key in next_of_others) < min(
        facts.published_ns[key] for key in stuck
    )


def test_what_a_replica_sent_and_did_not_settle_is_sent_again_and_runs_once(
    make_deployment: Callable[..., Deployment], redis_url: str
) -> None:
    """F4, S0-37, S1-13: it is killed between the publish and the settlement."""
    entries = tuple(Every(f"entry-{number}", SECOND_MS, catch_up="all") for number in range(5))
    deployment = make_deployment(redis_url, timetable.schedule(*entries))
    facts, beats = deployment.facts, [deployment.beat(), deployment.beat()]
    deployment.worker()
    for beat in beats:
        beat.wait_for(GOVERNS, ENOUGH)

    doomed, entries_sent = catch(deployment.witness, beats, SENT, ENOUGH)
    orphaned = entries_sent & deployment.holds().keys()
    doomed.kill()
    sent = {told["key"] for told in sent_by(deployment) if told["pid"] == doomed.pid}
    stuck = {max(key for key in sent if key.startswith(f"{entry}@")) for entry in orphaned}
    facts.wait_accounted(stuck)
    facts.wait_until(lambda facts: facts.events["DuplicateDropped"] >= len(stuck))

    runs = {key: [t["run"] for t in sent_by(deployment) if t["key"] == key] for key in stuck}
    tally = deployment.witness.tally()
    assert orphaned == entries_sent != set()
    assert {key: len(ids) for key, ids in runs.items()} == dict.fromkeys(stuck, 2)
    assert {key: len(set(ids)) for key, ids in runs.items()} == dict.fromkeys(stuck, 1)
    assert {key: tally.started(key) for key in stuck} == dict.fromkeys(stuck, 1)


def test_a_graceful_stop_in_the_middle_of_a_job_keeps_its_lock(
    make_deployment: Callable[..., Deployment], redis_url: str, tmp_path: pathlib.Path
) -> None:
    """F8, S0-27: the stopping worker's job goes on, and nobody else starts one beside it."""
    gate = tmp_path / "gate"
    deployment = make_deployment(redis_url, gated(gate))
    facts = deployment.facts
    stopping = deployment.worker(concurrency=1)
    deployment.beat().wait_for(GOVERNS, ENOUGH)
    deployment.witness.wait_until(lambda tally: len(lasting_bodies(tally)) == 1, ENOUGH)

    stopping.send(signal.SIGTERM)
    stopping.wait_for("Warm shutdown", ENOUGH)
    deployment.worker()
    facts.wait_until(lambda _: locked(deployment) >= 1)
    facts.wait_past(deployment.now_ms() + 2 * TTL_MS)
    during = lasting_bodies(deployment.witness.tally())
    open_gate(gate)
    stopping.wait_ended(ENOUGH)
    tally = deployment.witness.wait_until(lambda tally: len(lasting_bodies(tally)) >= 2, ENOUGH)

    bodies = [tally.bodies[key][0] for key in lasting_bodies(tally)]
    assert len(during) == 1
    assert bodies[0].outcome == "succeeded"
    assert not bodies[0].overlaps(bodies[1])
    assert tally.duplicates() == set()


def test_replicas_and_workers_with_one_instance_id_do_not_end_each_others_work(
    make_deployment: Callable[..., Deployment], redis_url: str, tmp_path: pathlib.Path
) -> None:
    """F9, S0-12: one beat and one worker of that name stop while their namesakes work."""
    gate = tmp_path / "gate"
    deployment = make_deployment(
        redis_url, gated(gate), singleton_beat_instance_id="the-same", singleton_beat_catch_up="all"
    )
    facts = deployment.facts
    deployment.worker(concurrency=1)
    staying, leaving = deployment.beat(), deployment.beat()
    for beat in (staying, leaving):
        beat.wait_for(GOVERNS, ENOUGH)
    from_ms = deployment.now_ms()
    deployment.witness.wait_until(lambda tally: len(lasting_bodies(tally)) == 1, ENOUGH)
    namesake = deployment.worker()
    facts.wait_until(lambda _: locked(deployment) >= 1)

    leaving.terminate()
    namesake.terminate()
    deployment.worker()
    until_ms = deployment.now_ms() + 2 * TTL_MS
    facts.wait_ended(TICK.keys(from_ms, until_ms))

    tally = deployment.witness.tally()
    assert staying.running
    assert len(lasting_bodies(tally)) == 1
    assert tally.duplicates() == set()
    assert tally.lost(TICK.keys(from_ms, until_ms)) == set()


def test_a_store_restarted_without_persistence_starts_no_second_run_beside_a_live_one(
    make_deployment: Callable[..., Deployment],
    make_redis: Callable[..., EmbeddedServer],
    tmp_path: pathlib.Path,
) -> None:
    """F10: others are told to wait until the holder, who is late here, has its lease back."""
    gate, store = tmp_path / "gate", make_redis(appendonly=False)
    deployment = make_deployment(store.url(), gated(gate), broker_url=make_redis().url())
    facts = deployment.facts
    holder = deployment.worker(concurrency=1)
    for beat in (deployment.beat(), deployment.beat()):
        beat.wait_for(GOVERNS, ENOUGH)
    deployment.witness.wait_until(lambda tally: len(lasting_bodies(tally)) == 1, ENOUGH)
    deployment.worker(concurrency=1)
    facts.wait_until(lambda _: locked(deployment) >= 1)
    first = lasting_bodies(deployment.witness.tally())

    holder.freeze()
    store.kill()
    store.restart(wipe=True)
    facts.wait_until(lambda facts: facts.postponed["wait"] > 0)
    holder.thaw()
    facts.wait_until(lambda facts: facts.events["LeaseRestored"] == 1)
    facts.wait_past(deployment.now_ms() + 2 * TTL_MS)
    during = lasting_bodies(deployment.witness.tally())
    open_gate(gate)
    tally = deployment.witness.wait_until(lambda tally: len(lasting_bodies(tally)) >= 2, ENOUGH)

    bodies = [tally.bodies[key][0] for key in lasting_bodies(tally)]
    assert during == first
    assert len(first) == 1
    assert not bodies[0].overlaps(bodies[1])
    assert tokens(deployment) == sorted(set(tokens(deployment)))
    assert tally.duplicates() == set()
