"""A store in Redis: one method per script, and nothing else.

Every transition is one Lua script (``lua/``), the twin of a pure function in
``protocol/``. The server's clock is the only one that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.resources import files
from os import urandom
from typing import Any, Final

from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.claim import Adopted, Claim, Settled, Settlement, Slot
from celery_singleton_beat.protocol.run import Attempt, Begun, Finished, Renewed
from celery_singleton_beat.store.keys import Keys
from celery_singleton_beat.store.port import (
    SCHEMA,
    Adoption,
    BeginAnswer,
    ClaimAnswer,
    ClaimRequest,
    Ending,
    Renewal,
    RenewAnswer,
    SlotsAnswer,
    Standing,
)
from celery_singleton_beat.store.redis_wire import Script, Wire

_BATCH: Final = 500

_PARTS: Final = {
    "claim": ("prelude", "claim"),
    "settle": ("prelude", "settle"),
    "recall": ("prelude", "recall"),
    "dismiss": ("prelude", "dismiss"),
    "slots": ("prelude", "slots"),
    "adopt": ("prelude", "adopt"),
    "leave": ("prelude", "leave"),
    "begin": ("prelude", "lease", "begin"),
    "renew": ("prelude", "lease", "renew"),
    "finish": ("prelude", "lease", "finish"),
}


@cache
def script(name: str) -> Script:
    """Load a script from the package, with the parts that it builds on."""
    folder = files("celery_singleton_beat.store") / "lua"
    parts = [(folder / f"{part}.lua").read_text("utf-8") for part in _PARTS[name]]
    return Script(name, "\n".join(parts))


class RedisStore:
    """Implements ``Store`` on one Redis.

    ``now_ms`` replaces the server's clock in tests.
    """

    def __init__(
        self, wire: Wire, *, prefix: str, app: str, now_ms: Callable[[], int] | None = None
    ) -> None:
        self.keys = Keys(prefix)
        self._wire = wire
        self._app = app
        self._now_ms = now_ms
        self._epoch = ""

    def claim(self, request: ClaimRequest) -> ClaimAnswer:
        keys = self.keys
        answer = self._call(
            "claim",
            (
                keys.meta,
                keys.replicas,
                keys.numbers,
                keys.due,
                keys.held,
                keys.slots,
                keys.aside,
                keys.last(request.replica),
                keys.awaited,
            ),
            (
                request.replica,
                request.digest,
                request.info,
                request.request_id,
                request.limit,
                request.hold_ms,
                request.timeout_ms,
            ),
        )
        now_ms, standing, next_ms, others, overdue, claims, *unreadable = answer
        found = claims or []
        return ClaimAnswer(
            int(now_ms),
            Standing(standing),
            tuple(Claim(name, Slot.from_text(text)) for name, text in _pairs(found)),
            int(next_ms) if next_ms else None,
            others_hold=bool(others),
            unreadable=tuple(unreadable),
            has_overdue=bool(overdue),
        )

    def settle(self, digest: str, settlements: Sequence[Settlement]) -> list[Settled]:
        keys = self.keys
        verdicts: list[Settled] = []
        for batch in _batches(settlements):
            told = [
                (entry, str(fence), *_slot_texts(slot), _awaited_texts(awaited))
                for entry, fence, slot, awaited in batch
            ]
            names = (keys.meta, keys.due, keys.held, keys.slots)
            watched = (keys.awaited, keys.published, keys.progress)
            runs = (keys.run(one.run) for settlement in batch for one in settlement.awaited)
            answer = self._call("settle", (*names, *watched, *runs), (digest, told))
            verdicts += map(Settled, answer)
        return verdicts

    def recall(self, *, limit: int, hold_ms: int) -> list[Awaited]:
        keys = self.keys
        found = self._call(
            "recall", (keys.meta, keys.awaited, keys.published, keys.progress), (limit, hold_ms)
        )
        return [Awaited.from_text(run, text) for run, text in _pairs(found)]

    def dismiss(self, runs: Sequence[str]) -> None:
        keys = self.keys
        for batch in _batches(runs):
            self._call("dismiss", (keys.meta, keys.awaited, keys.published), batch)

    def slots(self, entries: Sequence[str]) -> SlotsAnswer:
        keys = self.keys
        found: list[Slot | None] = []
        unreadable = []
        for batch in _batches(entries):
            texts = self._call(
                "slots", (keys.meta, keys.due, keys.held, keys.slots, keys.aside), batch
            )
            for name, text in zip(batch, texts, strict=True):
                if text == "ASIDE":
                    unreadable.append(name)
                found.append(None if text in ("", "ASIDE") else Slot.from_text(text))
        return SlotsAnswer(tuple(found), tuple(unreadable))

    def adopt(self, digest: str, adoptions: Sequence[Adoption], *, done: bool) -> list[Adopted]:
        keys = self.keys
        verdicts: list[Adopted] = []
        batches = list(_batches(adoptions)) or [()]
        for number, batch in enumerate(batches, 1):
            is_last = done and number == len(batches)
            told = [
                (a.entry, a.seen.to_text() if a.seen else "", *_slot_texts(a.planned))
                for a in batch
            ]
            answer = self._call(
                "adopt",
                (keys.meta, keys.due, keys.held, keys.slots),
                (digest, int(is_last), told),
            )
            verdicts += map(Adopted, answer)
        return verdicts

    def leave(self, replica: str) -> None:
        keys = self.keys
        self._call("leave", (keys.meta, keys.replicas, keys.last(replica)), (replica,))

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
                attempt.awaited_as,
                attempt.scheduled_ms,
            ),
        )
        return BeginAnswer(
            Begun(verdict), int(now_ms), int(token), int(wait_ms), owner, int(starts)
        )

    def renew(self, renewals: Sequence[Renewal]) -> list[RenewAnswer]:
        answers = []
        for batch in _batches(renewals):
            args: list[Any] = [len(batch)]
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
                    renewal.token,
                )
            found = self._call("renew", self._lease_keys(r.attempt for r in batch), args)
            answers += [
                RenewAnswer(Renewed(verdict), int(token)) for verdict, token in _pairs(found)
            ]
        return answers

    def finish(self, endings: Sequence[Ending]) -> list[Finished]:
        verdicts: list[Finished] = []
        for batch in _batches(endings):
            args: list[Any] = [len(batch)]
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
                )
            answer = self._call("finish", self._lease_keys(e.attempt for e in batch), args)
            verdicts += map(Finished, answer)
        return verdicts

    def ping(self) -> int:
        answer = self._wire.call(_TIME, (), ())
        return int(answer[0]) * 1000 + int(answer[1]) // 1000

    def close(self) -> None:
        self._wire.close()

    def _lease_keys(self, attempts: Any) -> list[str]:
        keys = [self.keys.meta, self.keys.locks]
        for attempt in attempts:
            keys += (self.keys.run(attempt.run), self.keys.lock(attempt.key))
        return keys

    def _call(self, name: str, keys: Sequence[str], args: Iterable[Any]) -> list[Any]:
        now = "" if self._now_ms is None else str(self._now_ms())
        gate = [now, self._app, str(SCHEMA), self._epoch, urandom(8).hex()]
        gate += [str(arg) if isinstance(arg, int) else arg for arg in args]
        self._epoch, *answer = self._wire.call(script(name), keys, gate)
        return answer


_TIME: Final = Script("time", "return cjson.encode(redis.call('TIME'))")


def _slot_texts(slot: Slot) -> tuple[str, str, str]:
    """Write what a holder may say of a slot: its time, when it is due, and the rest."""
    rest = f"{slot.failures}|{slot.runs}|{slot.last_ms}|{slot.rule}"
    return str(slot.slot_ms), str(slot.due_ms), rest


def _awaited_texts(awaited: Sequence[Awaited]) -> list[str] | str:
    """Write what is awaited; none as a text, for an empty table is no list to Lua."""
    texts: list[str] = []
    for one in awaited:
        texts += (one.run, str(one.deadline_ms), str(one.scheduled_ms), one.to_text())
    return texts or ""


def _pairs(items: Sequence[Any]) -> Any:
    return zip(items[::2], items[1::2], strict=True)


def _batches(items: Sequence[Any]) -> Any:
    return (items[at : at + _BATCH] for at in range(0, len(items), _BATCH))
