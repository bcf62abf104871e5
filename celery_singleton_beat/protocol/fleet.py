"""The replicas of a deployment, and which configuration governs.

During a rolling deploy replicas with two different timetables run side by side.
Only the replicas of one of them, the governing one, may claim its entries.

- A configuration is known by a digest of its entries' names and rules.
- It gets the next number when one of its replicas reports while none of its
  replicas was alive; so the newest deploy has the highest number.
- A replica is alive while it has reported within the timeout, and settled once
  its reports span as long as the timeout.
- The highest number among configurations with a settled replica governs; if no
  replica is settled, the highest number does. So a first start governs at once,
  and a new version that keeps crashing never takes over from one that works.
- A replica that stops in an orderly way leaves, and counts no longer.

Time here is the fleet's own: it advances with reports, by at most ``MAX_STEP_MS``
from one to the next. An outage of the store therefore ages nobody, and ends with
the same governor with which it began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from celery_singleton_beat.protocol.codec import join, split

MAX_STEP_MS: Final = 2000


@dataclass(frozen=True, slots=True)
class Member:
    """One replica: its configuration, and when it was first and last heard of (fleet time)."""

    digest: str
    first_ms: int
    last_ms: int
    info: str = ""

    def to_text(self) -> str:
        return join(self.digest, self.first_ms, self.last_ms, self.info)

    @classmethod
    def from_text(cls, text: str) -> Member:
        digest, first_ms, last_ms, info = split(text, 4)
        return cls(digest, int(first_ms), int(last_ms), info)


@dataclass(frozen=True, slots=True)
class Fleet:
    """All replicas, the numbers of their configurations, and the fleet's clock."""

    members: Mapping[str, Member] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    last_number: int = 0
    clock_ms: int = 0
    reported_at_ms: int = 0


def report(
    fleet: Fleet, replica: str, digest: str, *, now_ms: int, timeout_ms: int, info: str = ""
) -> Fleet:
    """Hear of a replica; forget those that were not heard of for longer than the timeout."""
    step_ms = min(max(now_ms - fleet.reported_at_ms, 0), MAX_STEP_MS)
    clock_ms = fleet.clock_ms + step_ms
    members = {
        name: member
        for name, member in fleet.members.items()
        # One heard of in times to come is of a clock that was lost, and may be dead as well.
        if 0 <= clock_ms - member.last_ms <= timeout_ms
    }
    alive = {member.digest for member in members.values()}
    numbers = {known: number for known, number in fleet.numbers.items() if known in alive}
    last_number = fleet.last_number
    if digest not in numbers:
        last_number += 1
        numbers[digest] = last_number
    known = members.get(replica)
    first_ms = known.first_ms if known and known.digest == digest else clock_ms
    members[replica] = Member(digest, first_ms, clock_ms, info)
    return Fleet(members, numbers, last_number, clock_ms, now_ms)


def leave(fleet: Fleet, replica: str) -> Fleet:
    """Forget a replica that stops in an orderly way."""
    members = {name: member for name, member in fleet.members.items() if name != replica}
    return replace(fleet, members=members)


def governor(fleet: Fleet, *, timeout_ms: int) -> str | None:
    """Tell the digest of the configuration that governs; None if nobody is alive."""
    alive = {m.digest for m in fleet.members.values()}
    settled = {m.digest for m in fleet.members.values() if m.last_ms - m.first_ms >= timeout_ms}
    candidates = [(fleet.numbers.get(d, 0), d) for d in settled or alive]
    return max(candidates)[1] if candidates else None
