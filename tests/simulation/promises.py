"""The promises, checked at every step that the store takes.

What is promised rests on what the store remembers; so what is known here of holds,
leases and ends is *memory*, and is lost together with the store's. What it forgot
may happen again, and nothing else may.
"""

from __future__ import annotations

from tests.simulation.asked import Requesting
from tests.simulation.judge import Broken, Held, Memory
from tests.simulation.running import Running

__all__ = ["Broken", "Held", "Memory", "Promises"]


class Promises(Requesting, Running):
    """Sees every question and answer of the store, and raises when a promise is broken."""
