"""Rolling deploys: who may govern by the rules that are written down, and what is planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.recurrences.recurrence import is_due_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_singleton_beat.protocol.claim import Slot
    from celery_singleton_beat.protocol.entry import Timing

_LONGEST_STEP_MS: Final = 2000


@dataclass
class Fleet:
    """Who was heard of, by the fleet's own clock, and which configuration governs by that.

    This is decision 0003 in other words than the protocol's. ``since_ms`` is when a
    configuration first came to govern, by the store's clock.
    """

    heard: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    age_ms: int = 0
    at_ms: int = 0
    governor: str = ""
    adopted: str = ""
    since_ms: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Fleet:
        return Fleet(
            dict(self.heard),
            list(self.order),
            self.age_ms,
            self.at_ms,
            self.governor,
            self.adopted,
            dict(self.since_ms),
        )

    def hears(self, replica: str, digest: str, now_ms: int, timeout_ms: int) -> None:
        """Note a report, and who governs from now on."""
        self.age_ms += min(max(now_ms - self.at_ms, 0), _LONGEST_STEP_MS)
        self.at_ms = now_ms
        for name in [
            n for n, (_, _, last) in self.heard.items() if self.age_ms - last > timeout_ms
        ]:
            del self.heard[name]
        alive = {known for known, _, _ in self.heard.values()}
        self.order = [known for known in self.order if known in alive]
        if digest not in alive:
            self.order.append(digest)
        first = self.heard[replica][1] if replica in self.heard else self.age_ms
        self.heard[replica] = (digest, first, self.age_ms)
        # The oldest comes first: what is asked for is the last that has proved itself.
        proved = {d for d, first, last in self.heard.values() if last - first >= timeout_ms}
        present = {d for d, _, _ in self.heard.values()}
        self.governor = [d for d in self.order if d in (proved or present)][-1]
        self.since_ms.setdefault(self.governor, now_ms)

    def is_only(self, digest: str, now_ms: int) -> None:
        """Know that there is no other configuration: whoever is alive, it governs."""
        if not self.governor:
            self.governor = digest
            self.since_ms[digest] = now_ms

    def left(self, replica: str) -> None:
        """Count one no longer that took leave."""
        self.heard.pop(replica, None)


def first_owed_ms(timing: Timing, slot: Slot, since_ms: int) -> int:
    """Tell from which occurrence on a slot owes its entry everything (ABSENT: it owes nothing).

    ``since_ms`` is since when the rule counts. With the same rule that is where the
    slot is. With another it is the first occurrence from then on, unless the slot is
    overdue and is one of the new rule's, too.
    """
    has_ended = slot.slot_ms == ABSENT
    is_dropped = slot.due_ms == ABSENT and not has_ended
    if slot.rule == timing.rule and not is_dropped:
        return slot.slot_ms
    is_overdue = not has_ended and not is_dropped and slot.slot_ms <= since_ms
    if is_overdue and is_due_at(timing.recurrence, slot.slot_ms):
        return slot.slot_ms
    after_ms = max(since_ms, slot.last_ms, slot.slot_ms - 1 if is_dropped else 0)
    next_ms = timing.recurrence.next_after(after_ms)
    return ABSENT if next_ms is None else next_ms


def amiss_with_plan(
    timing: Timing, seen: Slot | None, planned: Slot, *, since_ms: int | None, now_ms: int
) -> str:
    """Tell what is wrong with how an entry was taken on, somewhen from ``since_ms`` to now.

    With None nothing is known of when, and only what is lost can be told.
    """
    latest_ms = timing.recurrence.next_after(max(now_ms, seen.last_ms if seen else 0))
    if latest_ms is not None and not ABSENT < planned.slot_ms <= latest_ms:
        return "its next occurrence was passed over when it was taken on"
    if planned.slot_ms != ABSENT and not is_due_at(timing.recurrence, planned.slot_ms):
        return "it was planned for a time that is no occurrence of its rule"
    is_scheduled = seen is not None and ABSENT not in (seen.slot_ms, seen.due_ms)
    if seen is not None and is_scheduled and seen.rule == timing.rule:
        return "its rule is the same, and it was planned anew"
    return "" if since_ms is None else _fired_or_lost(timing, seen, planned.slot_ms, since_ms)


def _fired_or_lost(timing: Timing, seen: Slot | None, planned_ms: int, since_ms: int) -> str:
    if seen is None:
        return "it was fired by being taken on" if ABSENT < planned_ms <= since_ms else ""
    owed_ms = first_owed_ms(timing, seen, since_ms)
    if ABSENT < planned_ms < owed_ms:
        return "what was before it was taken on is caught up"
    if ABSENT not in (seen.slot_ms, seen.due_ms) and owed_ms == seen.slot_ms != planned_ms:
        return "it was overdue by the new rule as well, and was passed over"
    return ""


def unplanned(timings: Mapping[str, Timing], slots: Mapping[str, object]) -> str:
    """Name an entry that nobody has planned."""
    return next((name for name in timings if name not in slots), "")
