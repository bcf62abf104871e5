"""A list of all entries that is small enough to keep: to search, to filter and to page through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, NamedTuple, TypeVar

from celery_singleton_beat.operate.entry_rows import OVERDUE_MS
from celery_singleton_beat.operate.reading import Reading
from celery_singleton_beat.protocol.codec import ABSENT

MOST_LISTED: Final = 50_000
"""Of more entries, the others are found by their whole name."""

_AT_ONCE: Final = 1000

_Item = TypeVar("_Item")


class Listed(NamedTuple):
    """One entry, as far as lists are made by it; ``text`` is what is searched."""

    name: str
    kind: str
    tenant: str
    is_on: bool
    is_paused: bool
    due_ms: int
    text: str


@dataclass(frozen=True)
class Listing:
    """All entries by name; ``is_whole`` unless there are more than are listed."""

    entries: tuple[Listed, ...]
    now_ms: int
    is_whole: bool = True

    def found(self, words: str, state: str, tenant: str) -> list[str]:
        """Name those in which all words are, that are so, and of that tenant."""
        wanted = words.lower().split()
        is_so = STATES.get(state, STATES[""])
        return [
            one.name
            for one in self.entries
            if all(word in one.text for word in wanted)
            and (not tenant or one.tenant == tenant)
            and is_so(one, self.now_ms)
        ]

    def due_until(self, until_ms: int) -> set[str]:
        """Name those that are due by then."""
        return {one.name for one in self.entries if one.is_on and ABSENT < one.due_ms < until_ms}


STATES: Final[Mapping[str, Callable[[Listed, int], bool]]] = {
    "": lambda _one, _now_ms: True,
    "on": lambda one, _now_ms: one.is_on,
    "paused": lambda one, _now_ms: one.is_paused,
    "disabled": lambda one, _now_ms: not one.is_on and not one.is_paused,
    "overdue": lambda one, now_ms: one.is_on and ABSENT < one.due_ms < now_ms - OVERDUE_MS,
    "config": lambda one, _now_ms: one.kind == "config",
    "stored": lambda one, _now_ms: one.kind == "stored",
}


class Cut(NamedTuple, Generic[_Item]):
    """One page of a list."""

    items: Sequence[_Item]
    page: int
    pages: int
    total: int
    first: int

    @property
    def last(self) -> int:
        return self.first + len(self.items) - 1


def cut(items: Sequence[_Item], page: int, size: int) -> Cut[_Item]:
    """Cut a page out of a list; one that is not there is the nearest that is."""
    pages = max(-(-len(items) // size), 1)
    page = min(max(page, 1), pages)
    begin = (page - 1) * size
    return Cut(items[begin : begin + size], page, pages, len(items), begin + 1 if items else 0)


def read_listing(reading: Reading) -> Listing:
    """Read all entries: some commands for each thousand of them, and no definition is parsed."""
    now_ms = reading.extension.store.ping()
    entries = list(_config(reading))
    taken = {one.name for one in entries}
    stored = (name for name in reading.entry_names() if name not in taken)
    count = 0
    while names := list(islice(stored, min(_AT_ONCE, MOST_LISTED + 1 - count))):
        count += len(names)
        entries += _stored(reading, names)
    entries.sort(key=lambda one: (one.name.casefold(), one.name))
    return Listing(tuple(entries), now_ms, count <= MOST_LISTED)


def _config(reading: Reading) -> Iterator[Listed]:
    config = reading.config
    slots = reading.extension.store.slots(config.names).slots
    for name, slot in zip(config.names, slots, strict=True):
        is_on = name in config.timings
        text = f"{name} {config.task(name)} {config.recurrence(name)}".lower()
        due_ms = ABSENT if slot is None else slot.due_ms
        yield Listed(name, "config", "", is_on, is_paused=False, due_ms=due_ms, text=text)


def _stored(reading: Reading, names: list[str]) -> Iterator[Listed]:
    for name, kept in zip(names, reading.extension.store.kept(names), strict=True):
        if kept is not None:
            card, slot = kept
            text = f"{name} {card.tenant} {card.source} {card.definition}".lower()
            is_on, due_ms = card.is_on, slot.due_ms
            yield Listed(name, "stored", card.tenant, is_on, card.is_paused, due_ms, text)
