"""Mutants of the scripts: how one is made, and the store that runs it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import count
from typing import Final

import pytest

from celery_singleton_beat.store import redis_script
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Script, Wire

PARTS: Final = redis_script._PARTS  # noqa: SLF001  # which scripts are built of what
NAMES: Final = sorted({part for parts in PARTS.values() for part in parts})

_COMPARISON: Final = re.compile(r"(?<=[\w\])]) (<=|>=|<|>) (?=[\w(#-])")
_FLIPPED: Final = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_prefixes = count()


@dataclass(frozen=True)
class Mutant:
    """A script in which one thing is wrong."""

    part: str
    before: str
    after: str
    at: int

    def __str__(self) -> str:
        line = 1 + text_of(self.part).count("\n", 0, self.at)
        return f"{self.part}.lua:{line}: {self.before!r} -> {self.after!r}"

    @property
    def text(self) -> str:
        """The part, mutated."""
        text = text_of(self.part)
        return text[: self.at] + self.after + text[self.at + len(self.before) :]


@cache
def text_of(part: str) -> str:
    """Read a part of the scripts as it is shipped."""
    return (files("celery_singleton_beat.store") / "lua" / f"{part}.lua").read_text("utf-8")


def comparisons(part: str) -> Iterator[Mutant]:
    """Make every mutant of a part in which one comparison is off by one."""
    text = text_of(part)
    for found in _COMPARISON.finditer(text):
        line_start = text.rfind("\n", 0, found.start()) + 1
        if not text[line_start:].lstrip().startswith("--"):
            yield Mutant(part, found[1], _FLIPPED[found[1]], found.start(1))


def missing(part: str, before: str, after: str) -> Mutant:
    """Make a mutant by replacing a text that stands in a part once.

    Raises:
        AssertionError: it does not stand there, or more than once.
    """
    text = text_of(part)
    found = text.count(before)
    assert found == 1, f"{part}.lua has {before!r} {found} times: say anew what this mutant is"
    return Mutant(part, before, after, text.index(before))


@contextmanager
def in_place(mutant: Mutant) -> Iterator[None]:
    """Run with a mutant instead of the part that it was made of."""

    @cache
    def script(name: str, **of_store: bool) -> Script:
        assert not any(of_store.values()), "mutants are made of what runs on one server"
        parts = [mutant.text if part == mutant.part else text_of(part) for part in PARTS[name]]
        return Script(name, "\n".join(parts))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis_script, "script", script)
        yield


def store_on(wire: Wire, now_ms: Callable[[], int], **options: int) -> RedisStore:
    """Make an empty store under a prefix of its own."""
    prefix = f"mutant{next(_prefixes)}"
    return RedisStore(wire, prefix=prefix, app="app", now_ms=now_ms, **options)
