"""The half of a store in Redis that workers use: runs, locks, and their history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.run import Attempt, Begun, Finished, Lock, Renewed
from celery_singleton_beat.store.port import (
    BeginAnswer,
    Crashed,
    Ending,
    LocksAnswer,
    Renewal,
    RenewAnswer,
)
from celery_singleton_beat.store.redis_script import RedisScripts, batches, pairs


class RedisRuns(RedisScripts):
    """Implements the verbs of workers: one method per script."""

    def begin(self, attempt: Attempt, *, close_if_busy: bool, grace_ms: int) -> BeginAnswer:
        keys = self.keys
        now_ms, verdict, token, wait_ms, starts, owner = self._call(
            "begin",
            (
                keys.meta,
                keys.locks,
                keys.run(attempt.run),
                keys.lock(attempt.key),
                keys.awaited,
                keys.published,
                keys.progress,
                keys.history,
                keys.crashable,
                keys.messages,
                keys.spent(attempt.key),
            ),
            (
                attempt.key,
                attempt.attempt,
                attempt.holder,
                attempt.ttl_ms,
                attempt.window_ms,
                attempt.not_after_ms,
                attempt.owner,
                int(close_if_busy),
                grace_ms,
                attempt.run,
                attempt.entry,
                attempt.scheduled_ms,
                int(attempt.is_awaited),
                self._history,
                *_asked_for(attempt),
            ),
        )
        return BeginAnswer(
            Begun(verdict), int(now_ms), int(token), int(wait_ms), owner, int(starts)
        )

    def renew(self, renewals: Sequence[Renewal]) -> list[RenewAnswer]:
        keys, answers = self.keys, []
        for batch in batches(renewals):
            args: list[Any] = [self._history]
            for renewal in batch:
                attempt = renewal.attempt
                args += (
                    attempt.key,
                    attempt.attempt,
                    attempt.holder,
                    attempt.ttl_ms,
                    attempt.window_ms,
                    attempt.not_after_ms,
                    attempt.owner,
                    attempt.run,
                    attempt.entry,
                    attempt.scheduled_ms,
                    renewal.token,
                )
            shared = (keys.meta, keys.locks, keys.crashable, keys.history)
            found = self._call("renew", self._lease_keys(shared, [r.attempt for r in batch]), args)
            answers += [
                RenewAnswer(Renewed(verdict), int(token)) for verdict, token in pairs(found)
            ]
        return answers

    def finish(self, endings: Sequence[Ending]) -> list[Finished]:
        keys = self.keys
        verdicts: list[Finished] = []
        for batch in batches(endings):
            args: list[Any] = [self._history]
            for ending in batch:
                attempt = ending.attempt
                args += (
                    attempt.key,
                    attempt.attempt,
                    attempt.holder,
                    attempt.window_ms,
                    attempt.not_after_ms,
                    ending.outcome.value,
                    ending.wait_ms,
                    attempt.run,
                    attempt.entry,
                    attempt.scheduled_ms,
                    attempt.owner,
                    attempt.at_least_ms,
                    attempt.ttl_ms,
                    int(attempt.holds_retries),
                )
            shared = (keys.meta, keys.locks, keys.crashable, keys.messages, keys.history)
            answer = self._call(
                "finish", self._lease_keys(shared, [e.attempt for e in batch]), args
            )
            verdicts += map(Finished, answer)
        return verdicts

    def discard(self, attempt: Attempt, reason: str) -> None:
        keys = self.keys
        self._call(
            "discard",
            (
                keys.meta,
                keys.run(attempt.run),
                keys.awaited,
                keys.published,
                keys.progress,
                keys.history,
                keys.crashable,
                keys.messages,
                keys.locks,
                keys.lock(attempt.key),
            ),
            (
                attempt.attempt,
                attempt.holder,
                attempt.window_ms,
                attempt.not_after_ms,
                attempt.owner,
                attempt.run,
                attempt.entry,
                attempt.scheduled_ms,
                int(attempt.is_awaited),
                self._history,
                reason,
                attempt.key,
                attempt.at_least_ms,
                attempt.ttl_ms,
            ),
        )

    def reclaim(self, *, limit: int, hold_ms: int) -> list[Crashed]:
        keys = self.keys
        found = self._call("reclaim", (keys.meta, keys.crashable, keys.messages), (limit, hold_ms))
        thirds = zip(found[::3], found[1::3], found[2::3], strict=True)
        return [Crashed(run, message, int(until_ms)) for run, message, until_ms in thirds]

    def rerun(self, crashed: Sequence[Crashed], by: str = "") -> None:
        keys = self.keys
        for batch in batches(crashed):
            told = [item for one in batch for item in (one.run, one.until_ms)]
            names = (keys.meta, keys.crashable, keys.messages, keys.history)
            self._call("rerun", names, (self._history, by, *told))

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

    def history(self, limit: int) -> list[Fact]:
        keys = self.keys
        return [
            Fact.from_text(text)
            for text in self._call("history", (keys.meta, keys.history), (limit,))
        ]

    def _lease_keys(self, shared: tuple[str, ...], attempts: Sequence[Attempt]) -> list[str]:
        keys = self.keys
        own = ((keys.run(attempt.run), keys.lock(attempt.key)) for attempt in attempts)
        return [*shared, *(key for both in own for key in both)]


def _asked_for(attempt: Attempt) -> tuple[Any, ...]:
    """Write what few tasks ask for; nothing for all others, who need not pay for it."""
    if attempt.once_ms or attempt.max_starts or attempt.message:
        return (attempt.once_ms, attempt.max_starts, attempt.message)
    return ()
