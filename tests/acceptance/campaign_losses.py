"""What a Redis broker lost, by its own log: messages taken off the queue and noted nowhere.

kombu takes a message off its queue and only then notes it as unacknowledged. A worker that is
killed between the two, or a broker that goes away, loses it, before any code of ours has seen it.
No beat publishes it again: these are calls of somebody, of which the store has not heard before
they begin, so no start deadline and no `on_crash` can bring them back.

The broker's append-only file has every command that changed something, in its order.
"""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

QUEUE: Final = b"celery"
UNACKED: Final = b"unacked"


def read(directory: pathlib.Path) -> list[list[bytes]]:
    """All commands that a server has written down in its directory."""
    files = sorted(directory.rglob("*.aof"))
    return [command for file in files for command in commands(file.read_bytes())]


def commands(log: bytes) -> Iterator[list[bytes]]:
    """Each command's words. A kill may have torn the last one."""
    at, words, left = 0, list[bytes](), 0
    while (end := log.find(b"\r\n", at)) >= 0:
        size, at = int(log[at + 1 : end]), end + 2
        if not left:
            words, left = [], size
            continue
        if at + size > len(log):
            return
        words.append(log[at : at + size])
        at, left = at + size + 2, left - 1
        if not left:
            yield words


def never_noted(log: list[list[bytes]]) -> set[str]:
    """The runs of which a message was taken off the queue and never noted as unacknowledged."""
    queue: collections.deque[str] = collections.deque()
    on_the_way: collections.Counter[str] = collections.Counter()
    for name, *words in log:
        match name.upper(), words:
            case b"LPUSH", [key, *messages] if key == QUEUE:
                queue.extendleft(_run(json.loads(message)) for message in messages)
            case b"RPUSH", [key, *messages] if key == QUEUE:
                queue.extend(_run(json.loads(message)) for message in messages)
            case b"RPOP", [key] if key == QUEUE:
                on_the_way[queue.pop()] += 1
            case b"HSET", [key, _, noted] if key == UNACKED:
                on_the_way[_run(json.loads(noted)[0])] -= 1
    return {run for run, count in on_the_way.items() if count > 0}


def _run(message: dict[str, dict[str, str]]) -> str:
    return message["headers"]["id"]
