"""Commands and answers as a Redis server writes them, over a socket of this process."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from redis._parsers import BaseParser
from redis.exceptions import NoScriptError

from celery_singleton_beat.store.redis_words import (
    command,
    exchange,
    exchange_and_wait,
    script_call,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pieces:
    """A socket whose every read gives the next of these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.sent = list(pieces), b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def recv(self, _: int) -> bytes:
        return self.pieces.pop(0)


def over(sock: object) -> SimpleNamespace:
    """A connection over a socket."""
    return SimpleNamespace(_sock=sock, _parser=BaseParser)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def test_an_answer_that_comes_in_any_pieces_is_read_whole() -> None:
    """Cut at every place, also within its length and its last two bytes."""
    text = '["é\\r\\n", 1]'
    raw = text.encode()
    whole = b"$%d\r\n%b\r\n" % (len(raw), raw)

    answers = {
        exchange(over(Pieces(whole[:at], whole[at:])), b"ask") for at in range(1, len(whole))
    }
    one_by_one = exchange(over(Pieces(*(bytes([byte]) for byte in whole))), b"ask")

    assert answers == {text}
    assert one_by_one == text


def test_an_error_is_the_drivers(ends: tuple[socket.socket, socket.socket]) -> None:
    """What a server says of itself has one meaning, here and there."""
    here, there = ends
    there.sendall(b"-NOSCRIPT No matching script.\r\n")

    with pytest.raises(NoScriptError, match="No matching script"):
        exchange(over(here), b"ask")


def test_an_answer_and_who_has_it_come_in_any_pieces() -> None:
    """Sent together, cut at every place."""
    whole = b"$4\r\n[\r\n]\r\n:2\r\n"

    answers = {
        exchange_and_wait(over(Pieces(whole[:at], whole[at:])), b"ask", b"wait")
        for at in range(1, len(whole))
    }

    assert answers == {("[\r\n]", 2)}


def test_after_an_error_nothing_is_left_of_the_wait(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """Or the next question would be answered by it."""
    here, there = ends
    there.sendall(b"-NOSCRIPT No matching script.\r\n:1\r\n")

    with pytest.raises(NoScriptError):
        exchange_and_wait(over(here), b"ask", b"wait")

    there.sendall(b"$2\r\n[]\r\n:1\r\n")
    assert exchange_and_wait(over(here), b"ask", b"wait") == ("[]", 1)


def test_a_closed_connection_is_told_from_a_slow_one(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """The first may be asked again at once; the second may still be at work."""
    here, _ = ends
    here.settimeout(0.01)

    with pytest.raises(TimeoutError):
        exchange(over(here), b"ask")
    with pytest.raises(ConnectionError):
        exchange(over(Pieces(b"$3\r\n", b"")), b"ask")


def test_the_call_of_a_script_counts_what_is_yet_to_come() -> None:
    """Two keys, of which one follows, and one argument."""
    written = script_call("sha", ["a"], 1) + b"$1\r\nb\r\n" + b"$2\r\n[]\r\n"

    assert written == command("EVALSHA", "sha", "2", "a", "b", "[]")
