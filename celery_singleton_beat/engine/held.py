"""What a heartbeat has in hand: attempts, and what is told of those that hold their keys.

Runs in: worker, main process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from celery_singleton_beat.protocol.run import Attempt
from celery_singleton_beat.store.port import Ending


@dataclass(slots=True)
class Ticket:
    """An attempt in hand: its record on the board, and how often it is renewed."""

    attempt: Attempt
    index: int
    renew_ms: int
    stop_signal: int | None = None
    ending: Ending | None = None
    pid: int | None = None
    is_reported: bool = False
    task: str = ""
    alert_after_ms: int | None = None


class Held(NamedTuple):
    """A run that holds its key: the process of its body, and for how long it runs by now."""

    attempt: Attempt
    pid: int
    since_ms: int
    is_trusted: bool
    task: str = ""
    alert_after_ms: int | None = None
