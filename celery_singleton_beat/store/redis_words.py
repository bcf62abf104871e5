"""The language of a Redis server: a command as it is sent, an answer as it is read.

Here only texts are asked for, one at a time. The driver, which knows the rest,
takes several times as long for that; it makes the connections (so TLS, Unix
sockets and Sentinel are its own) and says what an error means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

_END: Final = b"\r\n"
_PIECE: Final = 16_384


def packed(*words: str) -> bytes:
    """Write words of a command as the server reads them."""
    parts = []
    for word in words:
        text = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


def command(*words: str) -> bytes:
    """Write a command."""
    return b"*%d\r\n%b" % (len(words), packed(*words))


def script_call(sha: str, keys: Sequence[str], more_keys: int = 0) -> bytes:
    """Write the call of a script with these keys and one argument, as far as that is known.

    So many more keys, ``packed``, and the argument are yet to be put behind it.
    """
    count = len(keys) + more_keys
    return b"*%d\r\n%b" % (count + 4, packed("EVALSHA", sha, str(count), *keys))


def exchange(connection: Any, command: bytes) -> str:
    """Send a command on an open connection of the driver's, and read the text that it answers.

    After an exception nobody knows what is still under way: the connection is to be closed.

    Raises:
        TimeoutError: nothing came for the connection's ``socket_timeout``.
        OSError: the connection is dead.
        RedisError: the server said so, in the driver's words.
    """
    socket = connection._sock  # noqa: SLF001  # no public way to it
    socket.sendall(command)
    read = _piece(socket)
    while (at := read.find(_END)) < 0:
        read += _piece(socket)
    if read[:1] != b"$":
        raise connection._parser.parse_error(read[1:at].decode("utf-8", "replace"))  # noqa: SLF001
    begin = at + len(_END)
    end = begin + int(read[1:at])
    if len(read) < end + len(_END):
        pieces = [read]
        missing = end + len(_END) - len(read)
        while missing > 0:
            pieces.append(_piece(socket))
            missing -= len(pieces[-1])
        read = b"".join(pieces)
    return read[begin:end].decode("utf-8", "replace")


def _piece(socket: Any) -> bytes:
    read: bytes = socket.recv(_PIECE)
    if not read:
        raise ConnectionResetError("the server closed the connection")
    return read
