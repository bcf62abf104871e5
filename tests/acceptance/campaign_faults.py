"""What can be struck in a campaign, and the record of a fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

STORE, BROKER = "store", "broker"


class Server(Protocol):
    """A server, or the line to one."""

    def kill(self) -> None: ...

    def restart(self) -> None: ...


@dataclass
class Fault:
    """What was done to whom: a worker's name, the store or the broker. Times as the witness's.

    `outlived`: a body can go on while its lease ends. `cuts_off`: so many bodies' ends may go
    unrecorded.
    """

    kind: str
    target: str
    from_ns: int
    outlived: bool
    cuts_off: int
    until_ns: int | None = None

    def told(self, since_ns: int) -> str:
        """A line for whoever reads along."""
        at_s = (self.from_ns - since_ns) / 1e9
        for_s = ((self.until_ns or self.from_ns) - self.from_ns) / 1e9
        return f"{at_s:7.1f} s  {self.target}: {self.kind}, {for_s:.1f} s"

    def touches(self, from_ns: int, until_ns: int) -> bool:
        """Whether it was in effect at any time between these."""
        return self.from_ns <= until_ns and (self.until_ns is None or self.until_ns >= from_ns)
