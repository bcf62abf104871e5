"""The epoch of a store: how a store that forgot everything is told from a new one.

A store gets a random name when it is first used. Whoever remembers another name
than the one it finds has met a store that forgot: for a while nothing may begin
there, so that live holders take their leases back first. A store that nobody
remembers is simply new, and nothing waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Epoch:
    """The name of a store's memory, when it began, and whether an earlier one is remembered."""

    name: str
    born_ms: int
    reborn: bool = False


def recognise(epoch: Epoch | None, *, known: str, fresh: str, now_ms: int) -> Epoch:
    """Meet a store. ``known`` is the name remembered ("" for none), ``fresh`` one to give it."""
    if epoch is None:
        return Epoch(fresh, now_ms, reborn=known != "")
    if known not in ("", epoch.name):
        return replace(epoch, reborn=True)
    return epoch


def grace_left_ms(epoch: Epoch, *, now_ms: int, grace_ms: int) -> int:
    """Tell how long nothing may begin; 0 when it may."""
    return max(epoch.born_ms + grace_ms - now_ms, 0) if epoch.reborn else 0
