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
    # As ``_reply`` does it, for what comes in one piece: almost all, and every run waits for it.
    begin = read.find(_END) + len(_END)
    if read[:1] == b"$" and begin > 1:
        end = begin + int(read[1 : begin - len(_END)])
        if len(read) >= end + len(_END):
            return read[begin:end].decode("utf-8", "replace")
    kind, told, _ = _reply(connection, read)
    if kind != b"$":
        raise _error(connection, told)
    return told.decode("utf-8", "replace")


def exchange_and_wait(connection: Any, command: bytes, wait: bytes) -> tuple[str, int]:
    """Do as ``exchange``, with a ``WAIT`` in the same journey; tell too how many replicas have it.

    Raises:
        TimeoutError, OSError, RedisError: as ``exchange``. Of an error that the server told,
            nothing is under way any more.
    """
    connection._sock.sendall(command + wait)  # noqa: SLF001
    kind, told, rest = _reply(connection, b"")
    kind_of_count, count, _ = _reply(connection, rest)
    if kind != b"$":
        raise _error(connection, told)
    if kind_of_count != b":":
        raise _error(connection, count)
    return told.decode("utf-8", "replace"), int(count)


def _reply(connection: Any, read: bytes) -> tuple[bytes, bytes, bytes]:
    """Read one reply, of which so much was read: its kind, what it tells, what came behind it."""
    socket = connection._sock  # noqa: SLF001
    while (at := read.find(_END)) < 0:
        read += _piece(socket)
    begin = at + len(_END)
    if read[:1] != b"$":
        return read[:1], read[1:at], read[begin:]
    end = begin + int(read[1:at])
    if len(read) < end + len(_END):
        pieces = [read]
        missing = end + len(_END) - len(read)
        while missing > 0:
            pieces.append(_piece(socket))
            missing -= len(pieces[-1])
        read = b"".join(pieces)
    return b"$", read[begin:end], read[end + len(_END) :]


def _error(connection: Any, told: bytes) -> Exception:
    error: Exception = connection._parser.parse_error(told.decode("utf-8", "replace"))  # noqa: SLF001
    return error


def _piece(socket: Any) -> bytes:
    read: bytes = socket.recv(_PIECE)
    if not read:
        raise ConnectionResetError("the server closed the connection")
    return read
