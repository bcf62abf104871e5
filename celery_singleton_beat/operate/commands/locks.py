"""``locks`` and ``unlock``: who holds which lock key, and freeing one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_singleton_beat.operate.completion import complete_lock
from celery_singleton_beat.operate.output import (
    Column,
    command,
    confirm,
    done,
    note,
    stop,
    table,
    the_app,
    who_option,
    yes_option,
)
from celery_singleton_beat.operate.words import duration, moment

if TYPE_CHECKING:
    from celery_singleton_beat.adapters.lock_service import HeldLock
    from celery_singleton_beat.operate.tables import Value


@command("locks", examples="locks\nlocks --key report: --json")
@click.option("--key", help="Only keys that begin so.")
@click.option(
    "--limit",
    type=click.IntRange(1, 5000),
    default=1000,
    show_default=True,
    help="Look at so many at most, those that end last first.",
)
def locks(key: str | None, limit: int) -> None:
    """List the lock keys that are held, and by whom.

    Held by tasks or by hand. It takes two commands to the store, however many keys
    are in it.
    """
    from celery_singleton_beat.adapters.lock_service import LockService  # noqa: PLC0415  not for --help

    held = LockService(the_app()).locks(limit)
    if len(held) == limit:
        note(f"There may be more than {limit}: --limit looks at more.")
    shown = [lock for lock in held if key is None or lock.key.startswith(key)]
    columns = [
        Column("key", may_fold=True),
        Column("held by", may_fold=True),
        Column("since (UTC)"),
        Column("until (UTC)"),
        Column("token", is_number=True),
    ]
    table(columns, shown, _row, _data, empty="No lock key is held.")


@command("unlock", examples="unlock report:42\nunlock report:42 --by ann@shop.example --yes")
@click.argument("key", shell_complete=complete_lock)
@who_option
@yes_option
def unlock(*, key: str, by: str, yes: bool) -> None:
    """Free a lock key, whoever holds it.

    Its holder goes on unless it looks at its lease, and another may begin beside it:
    this is for a key whose holder is known to be gone. The history notes who did it.
    """
    from celery_singleton_beat.adapters.lock_service import LockService  # noqa: PLC0415  not for --help

    service = LockService(the_app())
    holder = _holder(key)
    if holder:
        confirm(f"Free lock key {key!r}, {holder}?", yes=yes)
    if not service.force_release(key, by=by):
        stop(f"nobody holds lock key {key!r}")
    done(f"Lock key {key!r} is free.", {"key": key, "unlocked": True, "by": by})


def _holder(key: str) -> str:
    from celery_singleton_beat.adapters.extension import extension_of  # noqa: PLC0415
    from celery_singleton_beat.protocol.key_text import bounded  # noqa: PLC0415

    answer = extension_of(the_app()).store.locks([bounded(key)])
    lock = answer.locks[0]
    if lock is None:
        return ""
    since = duration(answer.now_ms - lock.acquired_ms)
    return f"held by {lock.owner} since {since}"


def _row(lock: HeldLock) -> list[Value]:
    return [lock.key, lock.owner, moment(lock.acquired), moment(lock.expires), lock.token]


def _data(lock: HeldLock) -> dict[str, Any]:
    return {
        "key": lock.key,
        "owner": lock.owner,
        "token": lock.token,
        "acquired": lock.acquired.isoformat(),
        "expires": lock.expires.isoformat(),
    }
