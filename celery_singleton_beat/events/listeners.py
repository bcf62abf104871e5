"""An event, and the list of those who listen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """A fact. ``level`` and ``text`` are how it is logged, where it is."""

    level: ClassVar[int] = logging.INFO
    text: ClassVar[str] = ""


Listener = Callable[[Event], None]
Wants = Callable[[type[Event]], bool]


class Events:
    """Listeners, and the telling."""

    def __init__(self) -> None:
        self._listeners: tuple[tuple[Listener, Wants | None], ...] = ()

    def subscribe(self, listener: Listener, *, wants: Wants | None = None) -> Callable[[], None]:
        """Let ``listener`` be told of every event; the answer ends it.

        ``wants`` tells of which kinds it would take no notice, now: if nobody
        would, an event of that kind need not be made.
        """
        self._listeners = (*self._listeners, (listener, wants))
        return lambda: self._unsubscribe(listener)

    def wants(self, kind: type[Event]) -> bool:
        """Tell whether anybody would take notice of an event of this kind."""
        for _, wants in self._listeners:  # noqa: SIM110  # asked twice a run: cheaper than any()
            if wants is None or wants(kind):
                return True
        return False

    def emit(self, event: Event) -> None:
        """Tell everybody, in the order in which they subscribed."""
        for listener, _ in self._listeners:
            try:
                listener(event)
            except Exception:
                _logger.exception("A listener failed on an event; the others go on")

    def _unsubscribe(self, listener: Listener) -> None:
        self._listeners = tuple(kept for kept in self._listeners if kept[0] is not listener)


# In beat -------------------------------------------------------------------------------------
