"""Health: when a deployment, or the beat of a host, counts as well."""

from __future__ import annotations

from dataclasses import replace

from celery_singleton_beat.operate.health import health_of_beats, health_of_host
from celery_singleton_beat.protocol.about import About
from tests.unit.doctor_facts import FLEET, REPLICA

HERE = replace(REPLICA, about=About(host="web-1"))
DEAD = replace(HERE, is_alive=False)
STANDBY = replace(HERE, governs=False)


def test_beats_that_live_and_dispatch_in_time_are_well() -> None:
    health = health_of_beats(FLEET, least=1, late_ms=0)

    assert health.is_well
    assert health.to_data()["healthy"] is True


def test_too_few_beats_are_not_well() -> None:
    health = health_of_beats(replace(FLEET, replicas=(REPLICA, DEAD)), least=2, late_ms=0)

    assert not health.is_well
    assert health.reasons == ("1 of 2 beats alive",)


def test_what_is_overdue_for_longer_than_allowed_is_not_well() -> None:
    late = replace(FLEET, late_ms=60_000)

    assert health_of_beats(late, least=1, late_ms=60_000).is_well
    assert not health_of_beats(late, least=1, late_ms=59_999).is_well


def test_a_pause_is_no_illness_and_is_told() -> None:
    health = health_of_beats(replace(FLEET, is_paused=True), least=1, late_ms=0)

    assert health.is_well
    assert "everything is paused" in health.reasons


def test_a_host_is_well_while_its_beat_lives_also_one_that_stands_by() -> None:
    assert health_of_host(replace(FLEET, replicas=(HERE,)), "web-1").is_well
    assert health_of_host(replace(FLEET, replicas=(STANDBY,)), "web-1").is_well


def test_a_host_without_a_living_beat_is_not_well_whoever_lives_elsewhere() -> None:
    assert not health_of_host(replace(FLEET, replicas=(DEAD,)), "web-1").is_well
    assert not health_of_host(replace(FLEET, replicas=(HERE,)), "web-2").is_well
