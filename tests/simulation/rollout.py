"""The rollout: which replica has which timetable, and who is replaced when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from celery_singleton_beat.protocol.entry import Timing
from tests.simulation.settings import Deploy, digest_of

if TYPE_CHECKING:
    from tests.simulation.beats import Beat
    from tests.simulation.deployment import Deployment

_CRASHES_AFTER_MS = 900


class Rollout:
    """Lets the replicas of one timetable be replaced, one after another, by another's.

    Who crashes comes back with what its place has by then. Each place is a name
    without the marks of those who were there before.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._setting = deployment.setting
        self._version: dict[str, int] = {}
        self._beats: dict[str, Beat] = {}
        self._crashes: dict[str, int] = {}
        self._to_come = 0
        self._newest: Deploy | None = None
        self._entries = self._setting.last
        self._last = digest_of(self._entries)
        for deploy in self._setting.deploys:
            self._to_come += 1
            deployment.world.later(deploy.at_ms, lambda deploy=deploy: self._begin(deploy))  # type: ignore[misc]

    @property
    def is_at_rest(self) -> bool:
        """Whether the last timetable governs, and all its entries have ended."""
        memory = self._deployment.promises.memory
        return (
            self._entries.keys() <= memory.ended
            and not self._to_come
            and memory.fleet.adopted == memory.fleet.governor == self._last
        )

    def of(self, beat: Beat) -> Mapping[str, Timing]:
        """Tell the timetable that a replica brings."""
        return self._setting.versions[self._version.get(beat.name.rstrip("'"), 0)]

    def has(self, beat: Beat) -> None:
        """Know of a replica that has come."""
        place = beat.name.rstrip("'")
        self._beats[place] = beat
        if self._crashes.get(place, 0):
            self._crashes[place] -= 1
            self._deployment.world.later(_CRASHES_AFTER_MS, lambda: self._crash(beat))

    def _begin(self, deploy: Deploy) -> None:
        world, self._newest = self._deployment.world, deploy
        places = sorted(self._beats)
        if world.choices.fault(2):
            places.reverse()
        for at, place in enumerate(places):
            self._to_come += 1
            world.later(at * deploy.gap_ms + 1, lambda place=place: self._replace(place, deploy))  # type: ignore[misc]
        self._to_come -= 1

    def _replace(self, place: str, deploy: Deploy) -> None:
        world, beat = self._deployment.world, self._beats[place]
        self._to_come -= 1
        if deploy is not self._newest:
            return
        self._version[place] = deploy.version
        self._crashes[place] = deploy.crashes
        how = "killed" if world.choices.fault(2) else "asked to stop"
        name = self._deployment.names.configuration(
            digest_of(self._setting.versions[deploy.version])
        )
        world.say(place, f"is {how}, for one with the {name} timetable")
        if beat.is_alive:
            if how == "killed":
                beat.kill()
            else:
                beat.stop()

    def _crash(self, beat: Beat) -> None:
        if beat.is_alive:
            self._deployment.world.say(beat.name, "crashes, as this version does at first")
            beat.kill()
