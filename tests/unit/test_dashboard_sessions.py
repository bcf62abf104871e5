"""Sessions of a dashboard: signed with the token, and over in time."""

from __future__ import annotations

from celery_singleton_beat.operate.dashboard.sessions import LASTS_SECONDS, Sessions

TOKEN = "a token that is long enough"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_tells_whose_it_is_until_it_is_over() -> None:
    clock = Clock()
    sessions = Sessions(TOKEN, clock=clock)
    cookie = sessions.make("Änn <ann@shop.example>")

    clock.now += LASTS_SECONDS - 1
    before = sessions.read(cookie)
    clock.now += 1
    after = sessions.read(cookie)

    assert (before, after) == ("Änn <ann@shop.example>", None)


def test_no_part_of_a_session_can_be_changed() -> None:
    sessions = Sessions(TOKEN)
    until, named, signature = sessions.make("ann").split(".")
    _, other, _ = sessions.make("bob").split(".")

    changed = [
        f"{int(until) + 1}.{named}.{signature}",
        f"{until}.{other}.{signature}",
        f"{until}.{named}.{signature[:-1]}0{signature[-1]}",
        f"{until}.{named}.",
    ]

    assert [sessions.read(cookie) for cookie in changed] == [None] * 4


def test_another_token_signs_otherwise_and_has_another_cookie() -> None:
    one, other = Sessions(TOKEN), Sessions(f"{TOKEN} and new")

    assert other.read(one.make("ann")) is None
    assert one.cookie != other.cookie
