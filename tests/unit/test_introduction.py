"""What a replica tells of itself, and how its clock is compared with the store's."""

from __future__ import annotations

import pytest

from celery_singleton_beat.engine.introduction import Introduction
from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.protocol.fleet import Member

ABOUT = About("web-1", 42, "amqp://***@broker:5672//", {"celery": "5.7.0"})
STORE_MS = 1_800_000_000_000


class Wall:
    """A host's clock, so far ahead of the store's."""

    def __init__(self, ahead_ms: int = 0) -> None:
        self.ahead_ms = ahead_ms

    def __call__(self) -> int:
        return STORE_MS + self.ahead_ms


def told(introduction: Introduction) -> About:
    return About.from_text(introduction.text)


def test_what_a_replica_tells_is_read_as_it_was_told() -> None:
    member = Member("digest", 1, 2, ABOUT.to_text())

    read = Member.from_text(member.to_text())

    assert About.from_text(read.info) == ABOUT


@pytest.mark.parametrize(
    "text", ["", "host|1", "3", "[]", "null", '{"pid": "x", "versions": 3}', '{"host": null}']
)
def test_what_others_have_written_there_is_nothing_and_no_error(text: str) -> None:
    assert About.from_text(text) == About()


def test_the_clock_is_measured_at_the_middle_of_the_question() -> None:
    introduction = Introduction(ABOUT, Wall(3_600_000))

    introduction.heard(STORE_MS, took_ms=200)

    assert told(introduction).ahead_ms == 3_600_000 - 100


def test_a_small_change_is_not_told_and_a_large_one_is() -> None:
    wall = Wall(0)
    introduction = Introduction(ABOUT, wall)
    introduction.heard(STORE_MS, took_ms=0)

    told_ms = []
    for ahead_ms in (100, -100, 101, 150, -3):
        wall.ahead_ms = ahead_ms
        introduction.heard(STORE_MS, took_ms=0)
        told_ms.append(told(introduction).ahead_ms)

    assert told_ms == [0, 0, 101, 101, -3]


def test_a_slow_answer_says_nothing_of_a_clock() -> None:
    introduction = Introduction(ABOUT, Wall(5000))

    introduction.heard(STORE_MS, took_ms=1001)

    assert told(introduction).ahead_ms is None


def test_who_has_nothing_to_tell_tells_nothing() -> None:
    introduction = Introduction()

    introduction.heard(STORE_MS, took_ms=0)

    assert introduction.text == ""
