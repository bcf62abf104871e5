"""The part of the port that watchers use: who is on duty, and which alerts are open.

What ``store/port.py`` says of every verb holds here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WatchAnswer:
    """Who is on duty now, and the open alerts by their names."""

    now_ms: int
    watcher: str
    alerts: Mapping[str, str]


class AlertStore(Protocol):
    """What remembers alerts."""

    def watch(self, watcher: str, timeout_ms: int) -> WatchAnswer:
        """Take or prolong the duty for so long (0: give it up), unless another one has it."""

    def alert(self, name: str, text: str) -> bool:
        """Open an alert, or change its text; with none close it. Tell whether that is news.

        Of all who open it one is told so, and of all who close it one. With
        ``MOST_ALERTS`` open no other is opened.
        """
