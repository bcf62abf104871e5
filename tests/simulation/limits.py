"""The promises of limits and pauses: what a tenant may have, and when nothing is dispatched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, pairwise
from typing import Final

from celery_singleton_beat.protocol.awaited import Awaited
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.recurrences.recurrence import occurrences
from celery_singleton_beat.protocol.stored import Put, Stored
from celery_singleton_beat.protocol.tenant import Quota
from celery_singleton_beat.store.port import ClaimAnswer, ClaimRequest, Crashed
from tests.simulation.dispatching import Dispatching
from tests.simulation.world import START_MS

_MINUTE_MS: Final = 60_000


@dataclass(frozen=True)
class Share:
    """What a tenant was given, and what was taken up of it in the last minute.

    That of None is of all there is, which can only be paused.
    """

    quota: Quota | None = None
    is_paused: bool = False
    resumed_ms: int = 0
    minute: int = 0
    taken: int = 0


_NONE: Final = Share()


class Limiting(Dispatching):
    """Sees what tenants are allowed, and that nothing is beyond it."""

    def saw_allow(self, who: str, _answer: None, tenant: str, quota: Quota | None) -> None:
        """What it has stays, however little it may have from now on."""
        self.world.say(who, f"allows {tenant} {_described(quota)}")
        self._give(tenant, replace(self._share(tenant), quota=quota))

    def saw_pause_all(
        self,
        who: str,
        is_change: bool,  # an answer
        tenant: str | None,
        *,
        paused: bool,
    ) -> None:
        """What was stopped is so until it is let go on, and that is then."""
        share, name = self._share(tenant), "everything" if tenant is None else tenant
        self.world.say(who, f"{'pauses' if paused else 'resumes'} {name}: {is_change}")
        if is_change != (share.is_paused != paused):
            self.broke(f"{name} was switched: {is_change}")
        if is_change:
            resumed_ms = share.resumed_ms if paused else self.world.store_ms()
            self._give(tenant, replace(share, is_paused=paused, resumed_ms=resumed_ms))

    def saw_claim(self, who: str, answer: ClaimAnswer, request: ClaimRequest) -> None:
        """While everything is paused nothing is claimed; what was due then is not dispatched."""
        everything = self._share(None)
        if (answer.is_paused, answer.resumed_ms) != (everything.is_paused, everything.resumed_ms):
            self.broke(f"{who} is not told how everything was paused and resumed")
        if answer.claims and everything.is_paused:
            self.broke(f"{answer.claims[0].entry} was given to {who}, and everything is paused")
        super().saw_claim(who, answer, request)
        if everything.resumed_ms:
            for entry, _ in answer.claims:
                held = self.memory.claims[entry]
                self.memory.claims[entry] = held.from_ms(everything.resumed_ms + 1)

    def saw_recall(self, who: str, recalled: list[Awaited], **limits: int) -> None:
        """While everything is paused nothing is published a second time either."""
        super().saw_recall(who, recalled, **limits)
        if recalled and self.is_all_stopped:
            run = self.names.run(recalled[0].run)
            self.broke(f"{who} is to publish {run} again, and everything is paused")

    def saw_reclaim(self, who: str, crashed: list[Crashed], **_limits: int) -> None:
        """See ``saw_recall``."""
        if crashed and self.is_all_stopped:
            run = self.names.run(crashed[0].run)
            self.broke(f"{who} is to let {run} run again, and everything is paused")

    @property
    def is_all_stopped(self) -> bool:
        """Whether everything is paused."""
        return self._share(None).is_paused

    def _share(self, tenant: str | None) -> Share:
        return self.memory.tenants.get(tenant, _NONE)

    def _is_stopped(self, tenant: str) -> bool:
        """Tell whether nothing of a tenant is to be dispatched."""
        return self.is_all_stopped or self._share(tenant).is_paused

    def _give(self, tenant: str | None, share: Share) -> None:
        """Know how a tenant stands. Of one that has nothing at all nothing is remembered."""
        tenants, is_stopped = self.memory.tenants, share.is_paused
        if tenant is None or share.quota or is_stopped or self._count(tenant):
            tenants[tenant] = share
        else:
            tenants.pop(tenant, None)

    def _count(self, tenant: str) -> int:
        return sum(known.tenant == tenant for known in self.memory.cards.values())

    def _beyond(self, asked: Put, default: Quota) -> set[Stored]:
        """Tell which limits an entry would be beyond, if it were stored."""
        if not asked.tenant:
            return set()
        found, quota = set[Stored](), self._share(asked.tenant).quota or default
        gap_ms = _gap_ms(asked.definition)
        if asked.is_enabled and gap_ms and gap_ms < quota.min_interval_ms:
            found.add(Stored.TOO_OFTEN)
        known = self.memory.cards.get(asked.entry)
        is_its_own = known is not None and known.tenant == asked.tenant
        if not is_its_own and ABSENT < quota.max_entries < self._count(asked.tenant) + 1:
            found.add(Stored.TOO_MANY)
        return found

    def _takes_up(self, who: str, tenant: str, count: int, per_minute: int, now_ms: int) -> None:
        """Count what beats take up of a tenant in a minute, while there is a limit to it."""
        share, minute = self._share(tenant), now_ms // _MINUTE_MS
        most = per_minute if share.quota is None else share.quota.max_per_minute
        if not tenant or most == ABSENT:
            return
        taken = count + (share.taken if share.minute == minute else 0)
        if taken > most:
            self.broke(f"{who} takes up {taken} of {tenant} in a minute, and {most} are allowed")
        self._give(tenant, replace(share, minute=minute, taken=taken))


@lru_cache(256)
def _gap_ms(definition: str) -> int:
    """Tell the smallest distance between two occurrences of an entry; 0: it has no two."""
    rule = Entry.from_json(definition).timing().recurrence
    times = islice(occurrences(rule, START_MS - _MINUTE_MS, START_MS + _MINUTE_MS), 100)
    return min((later - one for one, later in pairwise(times)), default=0)


def _described(quota: Quota | None) -> str:
    if quota is None:
        return "what all may have"
    most, least_ms, per_minute = ("any" if one == ABSENT else one for one in quota)
    return f"{most} entries, {least_ms} ms apart, {per_minute} a minute"
