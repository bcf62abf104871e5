"""What people read of a store in Redis: figures, history, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from celery_singleton_beat.protocol.fleet import Fleet, Member
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.statistics import Counts
from celery_singleton_beat.store.observed_port import Overview
from celery_singleton_beat.store.redis_script import RedisScripts, batches, pairs


class RedisObserved(RedisScripts):
    """Implements the verbs of those who look: one method per script."""

    def history(self, limit: int, entry: str = "") -> list[Fact]:
        keys = self.keys
        stream = keys.history_of(entry) if entry else keys.history
        return _facts(self._call("history", (keys.meta, stream), (limit,)))

    def counts(self, subjects: Sequence[str]) -> list[Counts]:
        keys, counts = self.keys, []
        for batch in batches(subjects):
            found = self._call("counts", (keys.meta, *map(keys.counts, batch)), ())
            counts += [Counts.of(_numbers(texts)) for texts in found]
        return counts

    def counted(self, limit: int) -> list[str]:
        return self._call("counted", (self.keys.meta, self.keys.counted), (limit,))

    def overview(self) -> Overview:
        now, app, schema, born, reborn, *rest = self._call("overview", self.keys.overview, ())
        clock, reported, number, governor, adopted, paused, resumed, *rest = rest
        *counts, due, stored_due, asked_due, replicas, numbers = rest
        planned, stored, locks, tenants, requests, awaited, queued, crashable = map(int, counts)
        known = _numbers(numbers)
        return Overview(
            now_ms=int(now),
            app=app,
            schema=int(schema),
            born_ms=int(born),
            is_reborn=reborn == "1",
            fleet=Fleet(_members(replicas), known, int(number), int(clock), int(reported)),
            governor=governor or None,
            adopted=adopted,
            is_paused=paused == "1",
            resumed_ms=int(resumed),
            planned=planned,
            stored=stored,
            locks=locks,
            tenants=tenants,
            requests=requests,
            awaited=awaited,
            queued=queued,
            crashable=crashable,
            due_ms=_moment(due),
            stored_due_ms=_moment(stored_due),
            asked_due_ms=_moment(asked_due),
        )


def _numbers(texts: Any) -> Mapping[str, int]:
    """Read names and their numbers; what is no number was not written by us."""
    numbers = {}
    for name, text in pairs(texts):
        try:
            numbers[name] = int(text)
        except ValueError:
            continue
    return numbers


def _facts(texts: Sequence[str]) -> list[Fact]:
    """Read facts; what is none was not noted by us."""
    facts = []
    for text in texts:
        try:
            facts.append(Fact.from_text(text))
        except (ValueError, TypeError, OverflowError, RecursionError):
            continue
    return facts


def _members(texts: Any) -> Mapping[str, Member]:
    """Read replicas; beats forget those that cannot be read."""
    members = {}
    for name, text in pairs(texts):
        try:
            members[name] = Member.from_text(text)
        except ValueError:
            continue
    return members


def _moment(text: str) -> int | None:
    return int(text) if text else None
