"""The half of a store in Redis that workers use: runs, locks, and their history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from celery_singleton_beat.protocol.run import Attempt, Begun, Finished, Lock, Renewed
from celery_singleton_beat.store.keys import Keys
from celery_singleton_beat.store.port import (
    BeginAnswer,
    Crashed,
    Ending,
    LocksAnswer,
    Renewal,
    RenewAnswer,
)
from celery_singleton_beat.store.redis_script import RedisScripts, as_json, batches, pairs
from celery_singleton_beat.store.redis_words import packed


class RedisRuns(RedisScripts):
    """Implements the verbs of workers: one method per script."""

    _last_told: _Told | None = None

    def begin(self, attempt: Attempt, *, close_if_busy: bool, grace_ms: int) -> BeginAnswer:
        told, more_keys, args = self._told(attempt), [], ""
        if attempt.once_ms or attempt.max_starts or attempt.message or attempt.revision:
            # What few tasks ask for; all others need not pay for it.
            more_keys = [self.keys.spent(attempt.key), self.keys.cancelled(attempt.entry)]
            asked = (attempt.once_ms, attempt.max_starts, attempt.message, attempt.revision)
            args = "," + as_json(asked)
        now_ms, verdict, token, wait_ms, starts, owner = self._send(
            "begin",
            self._head("begin", _FIRST, 2 + len(more_keys)) + told.keys + packed(*more_keys),
            f'{told.words},{self._first(attempt)},"{int(close_if_busy)}","{grace_ms}"{args}',
        )
        return BeginAnswer(
            Begun(verdict), int(now_ms), int(token), int(wait_ms), owner, int(starts)
        )

    def renew(self, renewals: Sequence[Renewal]) -> list[RenewAnswer]:
        answers = []
        for batch in batches(renewals):
            told = [_Told(renewal.attempt, self.keys) for renewal in batch]
            args = (f'{one.words},"{r.token}"' for one, r in zip(told, batch, strict=True))
            found = self._of_many("renew", told, args)
            answers += [
                RenewAnswer(Renewed(verdict), int(token)) for verdict, token in pairs(found)
            ]
        return answers

    def finish(self, endings: Sequence[Ending]) -> list[Finished]:
        verdicts: list[Finished] = []
        for batch in batches(endings):
            told = [self._told(ending.attempt) for ending in batch]
            args = (
                f'{one.words},"{ending.outcome.value}","{ending.wait_ms}"'
                for one, ending in zip(told, batch, strict=True)
            )
            verdicts += map(Finished, self._of_many("finish", told, args))
        return verdicts

    def discard(self, attempt: Attempt, reason: str) -> None:
        told = _Told(attempt, self.keys)
        args = f"{told.words},{self._first(attempt)},{as_json((reason,))}"
        self._send("discard", self._head("discard", _FIRST, 2) + told.keys, args)

    def reclaim(self, *, limit: int, hold_ms: int) -> list[Crashed]:
        keys = self.keys
        found = self._call("reclaim", (keys.meta, keys.crashable, keys.messages), (limit, hold_ms))
        fours = zip(found[::4], found[1::4], found[2::4], found[3::4], strict=True)
        return [Crashed(run, text, int(until), int(within)) for run, text, until, within in fours]

    def rerun(self, crashed: Sequence[Crashed], by: str = "") -> None:
        keys = self.keys
        for batch in batches(crashed):
            told = [item for one in batch for item in (one.run, one.until_ms, one.deadline_ms)]
            names = (keys.meta, keys.crashable, keys.messages, keys.history)
            self._call("rerun", names, (self._history, by, *told))

    def give_up(self, crashed: Sequence[Crashed]) -> None:
        keys = self.keys
        for batch in batches(crashed):
            told = [item for one in batch for item in (one.run, one.until_ms)]
            self._call("give_up", (keys.meta, keys.crashable, keys.messages), told)

    def lock_names(self, limit: int) -> list[str]:
        return self._call("lock_names", (self.keys.meta, self.keys.locks), (limit,))

    def locks(self, names: Sequence[str]) -> LocksAnswer:
        keys = self.keys
        now_ms, reborn_ms, *texts = self._call("locks", (keys.meta, *map(keys.lock, names)), ())
        locks = tuple(Lock.from_text(text) if text else None for text in texts)
        return LocksAnswer(int(now_ms), locks, int(reborn_ms))

    def unlock(self, name: str, by: str) -> bool:
        keys = self.keys
        names = (keys.meta, keys.locks, keys.lock(name), keys.history)
        return bool(self._call("unlock", names, (name, by, self._history))[0])

    def _of_many(self, name: str, told: Sequence[_Told], args: Iterable[str]) -> list[Any]:
        keys = b"".join([one.keys for one in told])
        text = ",".join([f'"{self._history}"', *args])
        return self._send(name, self._head(name, _LATER, 2 * len(told)) + keys, text)

    def _first(self, attempt: Attempt) -> str:
        """Write what is told of an attempt only where its message is met."""
        return f'"{int(attempt.is_awaited)}","{self._history}"'

    def _told(self, attempt: Attempt) -> _Told:
        """Write an attempt. In most processes an end follows its own beginning."""
        told = self._last_told
        if told is None or told.attempt is not attempt:
            told = self._last_told = _Told(attempt, self.keys)
        return told


_FIRST: Final = (
    *("meta", "locks", "awaited", "published"),
    *("progress", "history", "crashable", "messages"),
)
_LATER: Final = ("meta", "locks", "crashable", "messages", "history")


class _Told:
    """An attempt as every step of workers tells the scripts of it: its keys, and twelve words."""

    __slots__ = ("attempt", "keys", "words")

    def __init__(self, attempt: Attempt, keys: Keys) -> None:
        self.attempt = attempt
        self.keys = packed(keys.run(attempt.run), keys.lock(attempt.key))
        # As ``as_json`` writes it, at a third of its price: every run needs it.
        self.words = (
            f'{quoted(attempt.key)},"{attempt.attempt}",{quoted(attempt.holder)},'
            f'"{attempt.ttl_ms}","{attempt.window_ms}","{attempt.not_after_ms}",'
            f"{quoted(attempt.owner)},{quoted(attempt.run)},{quoted(attempt.entry)},"
            f'"{attempt.scheduled_ms}","{attempt.at_least_ms}","{attempt.holds_retries:d}"'
        )
