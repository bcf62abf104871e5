"""Checks of lock keys that are held: for too long, by hand, or by nobody any more."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.operate.doctor.finding import (
    Check,
    Finding,
    many,
    ok,
    problem,
    some,
    warning,
)
from celery_singleton_beat.operate.words import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_singleton_beat.operate.doctor.facts import Facts, HeldKey

_TIMES: Final = 10
"""So many times its usual duration a run has taken before it counts as stuck."""

_AT_LEAST_MS: Final = 60_000
_LONG_MS: Final = 3_600_000
_FAR_MS: Final = 600_000


def _stuck(facts: Facts) -> Finding:
    found = list(_too_long(facts))
    # Who takes a key by hand for long may mean it: while its process may live, it is let be.
    verdict = problem if any(not lock.by_hand or lock.is_gone for lock, _ in found) else warning
    if not found:
        return ok(f"{many(len(_held(facts)), 'key')} held, none for unusually long")
    unlock = f"{facts.command} unlock {quote(found[0][0].key)}"
    return verdict(
        some([f"{lock.key} {why}" for lock, why in found]),
        f"if its holder is gone or hangs: {unlock}. A task_time_limit ends what hangs",
        *(f"{lock.key}: {why}" for lock, why in found),
    )


def _holders(facts: Facts) -> Finding:
    gone = [lock for lock in _held(facts) if lock.is_gone]
    if gone:
        left = duration(gone[0].deadline_ms - facts.now_ms)
        return problem(
            f"{some([f'{one.key} ({one.owner})' for one in gone])}: the process that took it by "
            f"hand on this host is gone, and it stays locked for {left}",
            f"{facts.command} unlock {quote(gone[0].key)}; a with block (lock()) holds a key no "
            "longer than its process lives",
        )
    if not facts.workers:
        return ok("no holder is known to be gone; no worker answered who could tell")
    names = {worker.name for worker in facts.workers}
    mute = [one for one in _held(facts) if not one.by_hand and one.owner not in names]
    if mute:
        ends = duration(max(one.deadline_ms for one in mute) - facts.now_ms)
        return warning(
            f"workers that do not answer hold {some([f'{m.key} ({m.owner})' for m in mute])}",
            f"they are busy (solo), or dead; then their keys are free in {ends} at the latest",
        )
    return ok("every holder is there, as far as can be told")


def _too_long(facts: Facts) -> Iterator[tuple[HeldKey, str]]:
    """Find keys held for much longer than usual, or to be held for long without renewal."""
    for lock in _held(facts):
        held_ms = facts.now_ms - lock.acquired_ms
        left_ms = lock.deadline_ms - facts.now_ms
        usual = f", and its runs take {duration(lock.usual_ms)}" if lock.usual_ms else ""
        longest = _LONG_MS
        if lock.usual_ms is not None:
            longest = max(_TIMES * lock.usual_ms, _AT_LEAST_MS)
        if left_ms > max(_FAR_MS, 3 * facts.settings.lock_ttl_ms):
            yield (
                lock,
                f"is locked for another {duration(left_ms)} by {lock.owner}, renewed or not{usual}",
            )
        elif held_ms > longest:
            yield lock, f"is held by {lock.owner} for {duration(held_ms)}{usual}"


def _held(facts: Facts) -> list[HeldKey]:
    """Give the keys whose leases are not over: what is over is free for who asks next."""
    assert facts.locks is not None  # noqa: S101  # the check needs it
    return [lock for lock in facts.locks if lock.deadline_ms > facts.now_ms]


_LOCKS: Final = ("fleet", "locks")

CHECKS: Final = (
    Check(
        "stuck-keys",
        "No lock key is held for ten times as long as its runs take (an hour, where none was "
        "measured), or taken by hand for long without renewal.",
        "`singleton unlock KEY`, if its holder is gone or hangs; `task_time_limit`.",
        _stuck,
        _LOCKS,
    ),
    Check(
        "lock-holders",
        "The process that holds a key is there: a worker that answers, a process of this host.",
        "A worker's keys free themselves within the TTL; `singleton unlock KEY` for others.",
        _holders,
        _LOCKS,
    ),
)
