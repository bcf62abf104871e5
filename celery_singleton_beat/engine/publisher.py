"""The port to the broker: what the dispatcher asks of it, and what it wants to know.

Runs in: beat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.occurrence import Occurrence


class Sent(Enum):
    """What became of one message."""

    SENT = "SENT"  # the broker has it
    UNKNOWN = "UNKNOWN"  # the broker may have it
    UNSENT = "UNSENT"  # the broker surely does not have it
    FAILED = "FAILED"  # surely not sent, and for a reason that is the entry's own


class Publication(NamedTuple):
    """An occurrence to publish; relative times of its message count from ``now_ms``.

    ``entry`` is the definition of a stored entry; None: the publisher has it.
    """

    occurrence: Occurrence
    now_ms: int
    entry: Entry | None = None


class Delivery(NamedTuple):
    """What became of a publication."""

    sent: Sent
    task_id: str = ""
    error: str = ""


class Publisher(Protocol):
    """Publishes occurrences."""

    def connect(self) -> None:
        """See that there is a live connection, trying once.

        Raises:
            BrokerUnavailable: there is none.
        """

    def task_id(self, occurrence: Occurrence) -> str:
        """Tell the id that every message of an occurrence bears."""

    def publish(
        self, publications: Sequence[Publication], may_go_on: Callable[[], bool]
    ) -> list[Delivery]:
        """Publish in order, while ``may_go_on``; one delivery for each. Never raises."""

    def publish_again(self, message: str) -> Delivery:
        """Publish a message as it was kept when its run began. Never raises."""


class BrokerUnavailable(Exception):
    """The broker cannot be reached; nothing was sent."""
