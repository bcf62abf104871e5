"""Stores found at a server, for whoever has no more than its URL.

The only place where keys are looked for by pattern, and only when a person asks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.errors import StoreCorrupt
from celery_singleton_beat.store.redis_wire import Script
from celery_singleton_beat.store.redis_words import packed, script_call

if TYPE_CHECKING:
    from celery_singleton_beat.store.redis_wire import Wire

_META: Final = ":meta"
_PER_CALL: Final = 10_000

_APP: Final = Script(
    "app",
    "local app = redis.call('HMGET', KEYS[1], 'app', 'epoch', 'schema')\n"
    "return cjson.encode({app[2] and app[3] and app[1] or ''})",
)
_LOOK: Final = Script(
    "look",
    "local given = cjson.decode(ARGV[1])\n"
    "local page = redis.call('SCAN', given[1], 'MATCH', '*' .. given[2], 'COUNT', given[3])\n"
    "return cjson.encode({page[1], unpack(page[2])})",
)


def app_at(wire: Wire, meta: str) -> str | None:
    """Tell the name of the app whose store has this ``meta`` key; None if there is none.

    Raises:
        StoreUnavailable: no answer.
        StoreCorrupt: the key holds something else.
    """
    (name,) = wire.call(_APP, script_call(_APP.sha, (meta,)) + packed("[]"))
    return str(name) or None


def prefixes(wire: Wire, most: int) -> set[str]:
    """Find the prefixes of stores, up to ``most`` and a few more. It looks at every key.

    Raises:
        StoreUnavailable: no answer.
    """
    found: set[str] = set()
    cursor = "0"
    while len(found) <= most:
        given = json.dumps([cursor, _META, str(_PER_CALL)])
        answer: list[Any] = wire.call(_LOOK, script_call(_LOOK.sha, ()) + packed(given))
        cursor, *names = answer
        found |= {name.removesuffix(_META) for name in names if _is_store(wire, name)}
        if cursor == "0":
            break
    return found


def _is_store(wire: Wire, meta: str) -> bool:
    try:
        return app_at(wire, meta) is not None
    except StoreCorrupt:  # somebody else's key, whose name ends so
        return False
