"""Which release a server is, as it tells whoever connects."""

from __future__ import annotations

import re
from typing import Any, Final

from redis.exceptions import ResponseError

OLDEST: Final = (6, 2)
"""The first Redis whose answers are what the scripts rest on; every Valkey is newer."""


def version_of(connection: Any) -> tuple[int, int] | None:
    """Ask an open connection for the server's version; None if it does not say.

    ``HELLO`` needs no right of an ACL user; servers that do not know it, or not without
    an argument, are asked by ``INFO``.

    Raises:
        OSError, RedisError: no answer.
    """
    try:
        connection.send_command("HELLO", check_health=False)
        told = [str(word) for word in connection.read_response()]
        text = told[told.index("version") + 1]
    except (ResponseError, ValueError):
        try:
            connection.send_command("INFO", "server", check_health=False)
            info = str(connection.read_response())
        except ResponseError:
            return None
        found = re.search(r"^redis_version:(.*)$", info, re.MULTILINE)
        text = found[1] if found else ""
    numbers = re.match(r"(\d+)\.(\d+)", text)
    return (int(numbers[1]), int(numbers[2])) if numbers else None
