"""The stores of a simulated deployment: the pure protocol, or the Lua of a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, Final, Protocol

import redis

from celery_singleton_beat.store.memory_state import State
from celery_singleton_beat.store.memory_store import MemoryStore
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from tests.simulation.world import World

Door = Any
"""A store as one process sees it: it remembers the epoch that it met."""


VERBS: Final = tuple(
    name
    for name in dir(MemoryStore)
    if not name.startswith("_") and callable(getattr(MemoryStore, name))
)
"""What may be asked of a store."""


class Backend(Protocol):
    """Where a deployment's store lives."""

    def door(self) -> Door:
        """Open the store for one process."""

    def forget(self) -> None:
        """Lose everything."""

    def save(self) -> Any:
        """Make a copy of everything."""

    def restore(self, saved: Any) -> None:
        """Have only what was in a copy."""


class Pure(MemoryStore):
    """The pure protocol. It notes no history: no promise rests on it, and it takes its time."""

    def _note(self, *_: Any) -> None:
        pass

    def _grow(self, *_: Any, **__: Any) -> None:
        pass


class PureDoor:
    """What one process knows of a store in memory."""

    def __init__(self, store: Pure) -> None:
        self._store = store
        self._known = ""

    @property
    def remembers(self) -> bool:
        """Whether it has met a store before."""
        return bool(self._known)


def _taking(verb: str) -> Callable[..., Any]:
    def take(self: PureDoor, *args: Any, **options: Any) -> Any:
        store = self._store
        store._known = self._known  # noqa: SLF001  # it is the process that remembers
        answer = getattr(store, verb)(*args, **options)
        self._known = store._known  # noqa: SLF001
        return answer

    return take


for _verb in VERBS:
    setattr(PureDoor, _verb, _taking(_verb))


class PureBackend:
    """The protocol's own functions, over dictionaries."""

    def __init__(self, world: World) -> None:
        self._store = Pure(world.store_ms)

    def door(self) -> PureDoor:
        return PureDoor(self._store)

    def forget(self) -> None:
        self._store.forget()

    def save(self) -> State:
        return _copied(self._store._state)  # noqa: SLF001  # a snapshot is none of a store's verbs

    def restore(self, saved: State) -> None:
        self._store._state = _copied(saved)  # noqa: SLF001


_FIELDS: Final = tuple(State.__slots__)


def _copied(state: State) -> State:
    new = copy(state)
    for name in _FIELDS:
        value = getattr(state, name)
        if isinstance(value, dict | set) and value:
            setattr(new, name, value.copy())
        elif isinstance(value, dict | set):
            setattr(new, name, type(value)())
    # Two of them are dictionaries of dictionaries.
    new.looks = {name: dict(looks) for name, looks in state.looks.items()}
    new.sources = {name: dict(marks) for name, marks in state.sources.items()}
    return new


class LuaDoor(RedisStore):
    """What one process knows of a store in Redis."""

    @property
    def remembers(self) -> bool:
        """Whether it has met a store before."""
        return bool(self._epoch)


class LuaBackend:
    """The scripts, on a database of a real Redis that belongs to the simulation alone."""

    PREFIX = "sim"

    def __init__(self, world: World, wire: Wire, client: redis.Redis) -> None:
        self._world = world
        self._wire = wire
        self._client = client
        client.flushdb()

    def door(self) -> LuaDoor:
        return LuaDoor(
            self._wire,
            prefix=self.PREFIX,
            app="app",
            now_ms=self._world.store_ms,
            history=0,
            statistics=0,
        )

    def forget(self) -> None:
        self._client.flushdb()

    def save(self) -> dict[bytes, bytes]:
        # Expiries are left out: they only collect garbage, by a clock that is not the world's.
        keys: Any = self._client.keys("*")
        return {key: self._client.dump(key) for key in keys}  # type: ignore[misc]

    def restore(self, saved: dict[bytes, bytes]) -> None:
        self._client.flushdb()
        for key, dumped in saved.items():
            self._client.restore(key, 0, dumped)


@contextmanager
def lua_on(url: str) -> Iterator[Callable[[World], LuaBackend]]:
    """Make stores on one database, one after the other; everything else in it is lost."""
    wire = Wire(url)
    with redis.Redis.from_url(url) as client:
        yield lambda world: LuaBackend(world, wire, client)
    wire.close()
