"""The scripts of a store in Redis, and how they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from importlib.resources import files
from json import dumps
from json.encoder import encode_basestring_ascii as quoted
from os import urandom
from typing import Any, Final

from celery_singleton_beat.store.keys import Keys
from celery_singleton_beat.store.memory_state import ENTRY_HISTORY, HISTORY, STATISTICS
from celery_singleton_beat.store.port import SCHEMA
from celery_singleton_beat.store.redis_wire import Script, Wire
from celery_singleton_beat.store.redis_words import packed, script_call

_BATCH: Final = 500
_FEW: Final = 4

_PARTS: Final = {
    "claim": ("prelude", "claim"),
    "settle": ("prelude", "settling", "settle"),
    "note_once": ("prelude", "note_once"),
    "recall": ("prelude", "recall"),
    "busy": ("prelude", "busy"),
    "dismiss": ("prelude", "dismiss"),
    "await_again": ("prelude", "await_again"),
    "postpone": ("prelude", "postpone"),
    "slots": ("prelude", "slots"),
    "adopt": ("prelude", "adopt"),
    "leave": ("prelude", "leave"),
    "begin": ("prelude", "lease", "begin"),
    "discard": ("prelude", "lease", "discard"),
    "reclaim": ("prelude", "reclaim"),
    "rerun": ("prelude", "rerun"),
    "give_up": ("prelude", "give_up"),
    "lock_names": ("prelude", "lock_names"),
    "locks": ("prelude", "lease", "locks"),
    "unlock": ("prelude", "lease", "unlock"),
    "history": ("prelude", "history"),
    "counts": ("prelude", "counts"),
    "counted": ("prelude", "counted"),
    "overview": ("prelude", "overview"),
    "watch": ("prelude", "watch"),
    "alert": ("prelude", "alert"),
    "renew": ("prelude", "lease", "renew"),
    "finish": ("prelude", "lease", "finish"),
    "claim_stored": ("prelude", "timetable", "claim_stored"),
    "settle_stored": ("prelude", "timetable", "settling", "settle_stored"),
    "put": ("prelude", "timetable", "put"),
    "remove": ("prelude", "timetable", "asking", "remove"),
    "pause": ("prelude", "timetable", "pause"),
    "pause_all": ("prelude", "timetable", "pause_all"),
    "kept": ("prelude", "timetable", "kept"),
    "names": ("prelude", "timetable", "names"),
    "tenants": ("prelude", "timetable", "tenants"),
    "allow": ("prelude", "timetable", "allow"),
    "cancel": ("prelude", "cancel"),
    "mark": ("prelude", "timetable", "mark"),
    "unmarked": ("prelude", "timetable", "unmarked"),
    "ask": ("prelude", "timetable", "asking", "ask"),
    "claim_asked": ("prelude", "timetable", "asking", "claim_asked"),
    "settle_asked": ("prelude", "timetable", "asking", "settling", "settle_asked"),
    "cancel_asked": ("prelude", "timetable", "asking", "cancel_asked"),
    "probe": ("probe",),
    "open_requests": ("prelude", "timetable", "asking", "open_requests"),
}

_HEARSAY: Final = frozenset(
    {
        *("busy", "slots", "lock_names", "locks", "history", "counts", "counted", "overview"),
        *(
            "kept",
            "names",
            "tenants",
            "unmarked",
            "open_requests",
            "probe",
            "leave",
            "watch",
            "alert",
        ),
    }
)
"""What only reads, or what nothing rests on: no replica is waited for."""


@cache
def script(name: str, *, waits: bool = False, in_cluster: bool = False) -> Script:
    """Load a script from the package, with the parts that it builds on.

    ``waits``: for a store that waits for replicas, if this script is one to wait for;
    ``in_cluster``: its first key is ``Keys.never``.
    """
    waits = waits and name not in _HEARSAY
    folder = files("celery_singleton_beat.store") / "lua"
    first, *others = _PARTS[name]
    parts = (*(("whole",) if in_cluster else ()), first, *(("noted",) if waits else ()), *others)
    texts = [(folder / f"{part}.lua").read_text("utf-8") for part in parts]
    return Script(name, "\n".join(texts), waits=waits)


class RedisScripts:
    """Calls scripts by their names, for one application under one prefix.

    ``now_ms`` replaces the server's clock in tests; ``history`` is how many facts
    are kept, ``entry_history`` how many of one entry, ``statistics`` for how many
    entries and lock keys they are counted; each may be 0, for none.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        prefix: str,
        app: str,
        history: int = HISTORY,
        entry_history: int = ENTRY_HISTORY,
        statistics: int = STATISTICS,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self.keys = Keys(prefix)
        self._wire = wire
        wire.near = self.keys.meta
        self._script = partial(script, waits=wire.waits, in_cluster=wire.in_cluster)
        self._first_keys = (self.keys.never,) if wire.in_cluster else ()
        # What is kept of one entry goes when it is counted no more.
        own = min(entry_history, history) if statistics else 0
        self._history = f"{history} {own} {statistics}"
        self._now_ms = now_ms
        self._heads: dict[tuple[str, int], bytes] = {}
        self._caller = as_json((app, SCHEMA))
        self._epoch = ""

    def _call(self, name: str, keys: Sequence[str], args: Iterable[Any]) -> list[Any]:
        return self._send(name, self._start(name, keys), as_json(args))

    def _send(self, name: str, call: bytes, args: str) -> list[Any]:
        """Call a script with arguments that are JSON already (``as_json``).

        All go as one text, and one comes back: the driver and the server spend
        more on twenty small texts than on all the rest of a call.
        """
        now = "" if self._now_ms is None else str(self._now_ms())
        gate = f'"{now}",{self._caller},{quoted(self._epoch)},"{urandom(8).hex()}"'
        text = f"[{gate},{args}]" if args else f"[{gate}]"
        self._epoch, *answer = self._wire.call(self._script(name), call + packed(text))
        return answer

    def _head(self, name: str, shared: Iterable[str], own: int) -> bytes:
        """Write the call of a script up to where so many keys of its own follow the shared ones."""
        head = self._heads.get((name, own))
        if head is None:
            names = [getattr(self.keys, key) for key in shared]
            head = self._start(name, names, own)
            if own <= _FEW:
                self._heads[name, own] = head
        return head

    def _start(self, name: str, keys: Sequence[str], own: int = 0) -> bytes:
        return script_call(self._script(name).sha, (*self._first_keys, *keys), own)


def as_json(args: Iterable[Any]) -> str:
    """Write arguments as members of a JSON array, all as texts."""
    return dumps([str(arg) if isinstance(arg, int) else arg for arg in args])[1:-1]


def pairs(items: Sequence[Any]) -> Any:
    """Take items two by two."""
    return zip(items[::2], items[1::2], strict=True)


def batches(items: Sequence[Any]) -> Any:
    """Take items in parts that one script can carry."""
    return (items[at : at + _BATCH] for at in range(0, len(items), _BATCH))
