"""Every mutant of every script is caught: the tests that we have are worth something.

A comparison is off by one, or a check is missing. What catches it is the suite for
every store, or a check of what only a Redis can lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from celery_singleton_beat.errors import StoreError
from celery_singleton_beat.store.redis_wire import Wire
from celery_singleton_beat.testing import CHECKS, FakeClock, StoreUnderTest
from tests.conftest import SHOWN
from tests.mutants.equal import EQUAL
from tests.mutants.missing_checks import MISSING
from tests.mutants.redis_checks import REDIS_CHECKS, RedisCheck
from tests.mutants.scripts import NAMES, Mutant, comparisons, in_place, missing, store_on, text_of

Caught = Callable[[Mutant], bool]


def _on_redis(check: Callable[[StoreUnderTest], None]) -> RedisCheck:
    def run(wire: Wire, _: redis.Redis) -> None:
        clock = FakeClock()
        check(StoreUnderTest(store_on(wire, clock), clock))

    return run


# What caught the last one is asked first: mutants come part by part.
_ASKED = [*map(_on_redis, CHECKS), *REDIS_CHECKS]


@pytest.fixture
def is_caught(redis_url: str) -> Iterator[Caught]:
    """Run a mutant until some check fails."""
    wire = Wire(redis_url)

    def run(mutant: Mutant) -> bool:
        with in_place(mutant):
            for check in _ASKED:
                try:
                    check(wire, client)
                except (AssertionError, StoreError, LookupError, ValueError, TypeError):
                    _ASKED.remove(check)
                    _ASKED.insert(0, check)
                    return True
        return False

    with redis.Redis.from_url(redis_url) as client:
        yield run
    wire.close()


def _is_equal(mutant: Mutant) -> bool:
    """Tell whether a mutant is on the list of those that change nothing."""
    texts = [text for part, text in EQUAL if part == mutant.part]
    spots = [(text_of(mutant.part).find(text), text) for text in texts]
    return any(at <= mutant.at < at + len(text) for at, text in spots)


@pytest.mark.parametrize("part", NAMES)
def test_a_comparison_that_is_off_by_one_is_caught(
    is_caught: Caught, part: str, record_property: Callable[[str, object], None]
) -> None:
    made = [mutant for mutant in comparisons(part) if not _is_equal(mutant)]

    survivors = [str(mutant) for mutant in made if not is_caught(mutant)]

    assert survivors == [], "write a check that fails with it, or say in equal.py why none can"
    if made:
        record_property(SHOWN, f"{part}.lua: {len(made)} comparisons off by one, all caught")


@pytest.mark.parametrize("part", sorted({part for part, _, _ in MISSING}))
def test_a_missing_check_is_caught(
    is_caught: Caught, part: str, record_property: Callable[[str, object], None]
) -> None:
    made = [missing(*told) for told in MISSING if told[0] == part]

    survivors = [str(mutant) for mutant in made if not is_caught(mutant)]

    assert survivors == []
    record_property(SHOWN, f"{part}.lua: {len(made)} missing checks, all caught")


@pytest.mark.parametrize(("part", "text"), EQUAL)
def test_what_is_said_to_change_nothing_is_still_there(part: str, text: str) -> None:
    assert text_of(part).count(text) == 1


def test_what_ships_is_caught_by_nothing(redis_url: str) -> None:
    """By the way that mutants are run, too: an error of its own would catch them all."""
    wire = Wire(redis_url)

    with redis.Redis.from_url(redis_url) as client, in_place(Mutant("prelude", "", "", 0)):
        for check in _ASKED:
            check(wire, client)

    wire.close()
