"""Whatever is found under the store's keys: no tick ends, nothing is lost, the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.fuzz.fleet import APP, ENTRIES, STORED, Fleet, client_of
from tests.fuzz.injuries import WRONG_KINDS, injury, put_wrong_kind

FEW, MANY = 60, 1500
UNUSABLE_MS = 61_000

# What is under one of these is of all entries: until it is taken away nothing can be claimed.
OF_ALL = {
    *("meta", "replicas", "numbers", "due", "held", "slots", "aside", "awaited", "published"),
    *("crashable", "messages", "progress", "cards", "stored", "tenants", "turns", "queued"),
    *("asked", "asked:config", "asks", "asked_slots", "asked_over"),
}


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with client_of(redis_url) as client:
        yield client


def fuzz(check: Any, examples: int) -> None:
    """Call a check with so many drawn examples."""
    configured = settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck)
    )
    configured(given(st.data())(check))()


def assert_well_again(fleet: Fleet) -> None:
    """Every entry is dispatched again, some time after what was foreign is gone."""
    fleet.run(2)
    fleet.clock.advance(UNUSABLE_MS)
    fleet.run(10)
    assert set(fleet.run(5)) == set(ENTRIES), fleet.reports()


def says_stop(client: Any, key: bytes, name: str) -> bool:
    """Whether what stands under a key now tells every replica of ours to stop."""
    if name != "meta":
        return False
    app, schema, paused = client.hmget(key, "app", "schema", "paused")
    return (app, schema) != (APP.encode(), b"1") or paused == b"1"


def spoilt_records(url: str, client: Any, examples: int) -> None:
    def check(data: st.DataObject) -> None:
        fleet = Fleet(url, client)
        try:
            key = data.draw(st.sampled_from(fleet.all_keys()))
            note(data.draw(injury(client, key)))
            fleet.run(8)
            fleet.work()
            fleet.look()
            there = set(fleet.run(4))
            note(str(fleet.reports()))
            name = fleet.name_of(key)
            # A turn is a tenant's, and one of them has two entries.
            assert says_stop(client, key, name) or len(set(ENTRIES) - there) <= 1 + (
                name == "turns"
            )
            client.delete(key)
            fleet.put(*STORED)
            assert_well_again(fleet)
        finally:
            fleet.close()

    fuzz(check, examples)


def test_a_record_that_is_spoilt_stops_no_other_entry(redis_url: str, client: Any) -> None:
    """S2-12, F13: it is told; mended or taken away, its entry is dispatched again."""
    spoilt_records(redis_url, client, FEW)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_no_spoilt_record_of_thousands_stops_another_entry(redis_url: str, client: Any) -> None:
    spoilt_records(redis_url, client, MANY)


def test_something_foreign_under_a_key_is_said_and_gone_when_it_is_taken_away(
    redis_url: str, client: Any
) -> None:
    """F13: what is of one entry, run, lock or tenant stops no other."""
    first = Fleet(redis_url, client)
    names = [first.name_of(key) for key in first.all_keys()]
    first.close()
    for at, name in enumerate(names):
        fleet = Fleet(redis_url, client)
        key = f"{fleet.prefix}:{name}".encode()
        is_text = client.type(key) in {b"string", b"none"}
        kinds = [kind for kind in WRONG_KINDS if kind != ("string" if is_text else "")]
        right = client.type(key).decode()
        kind = next(k for k in kinds[at % len(kinds) :] + kinds if k != right)

        put_wrong_kind(client, key, kind)
        fleet.run(8)
        fleet.work()
        fleet.look()
        there = set(fleet.run(4))

        if name in OF_ALL:
            assert any("holds something foreign" in str(one) for one in fleet.reports()), name
        else:
            own = {n for n, tenant in STORED.items() if name == f"of:{tenant}"}
            assert there >= set(ENTRIES) - own, (name, kind, fleet.reports())
        client.delete(key)
        fleet.put(*STORED)
        assert_well_again(fleet)
        fleet.close()
