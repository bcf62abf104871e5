"""What is too long, too late and too often: the values of ``singleton_beat_alerts``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from celery_singleton_beat.errors import ConfigurationError
from celery_singleton_beat.setting_values import LONGEST_MS, Bool, Int, Kind, Seconds, did_you_mean

_SETTING: Final = "singleton_beat_alerts"
_KINDS: Final[Mapping[str, Kind]] = {
    "long_run": Seconds(bare_at_most_ms=LONGEST_MS),
    "not_obtained": Int(1),
    "late": Seconds(bare_at_most_ms=LONGEST_MS),
    "lost": Bool(),
    "lease_lost": Bool(),
    "no_replica": Seconds(),
    "store_away": Seconds(),
    "quiet": Seconds(),
    "every": Seconds(),
}
_NEEDED: Final = ("quiet", "every")


@dataclass(frozen=True)
class Thresholds:
    """When each rule fires; None or False: never. Durations in milliseconds.

    ``long_run`` is for tasks that have no ``alert_after`` of their own. What has
    happened and is not a state (``lost``, ``lease_lost``) is over when it was
    ``quiet`` for so long. ``every`` is how often somebody looks.
    """

    long_run: int | None = None
    not_obtained: int | None = 5
    late: int | None = 60_000
    lost: bool = True
    lease_lost: bool = True
    no_replica: int | None = 30_000
    store_away: int | None = 10_000
    quiet: int = 600_000
    every: int = 10_000

    @property
    def duty_ms(self) -> int:
        """How long somebody is on duty who looks no more."""
        return 3 * self.every

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Thresholds:
        """Read them as they are set, by their names, in seconds.

        Raises:
            ConfigurationError: there is no such rule, or it cannot be so.
        """
        found: dict[str, Any] = {}
        for name, value in data.items():
            if name not in _KINDS:
                known = [one.name for one in fields(cls)]
                meant = did_you_mean(name, known)
                raise ConfigurationError(f"{_SETTING}: there is no {name!r}{meant}")
            label, kind = f"{_SETTING}[{name!r}]", _KINDS[name]
            if value is None and name in _NEEDED:
                raise ConfigurationError(f"{label} must be a number of seconds or a timedelta")
            if value is None or (value is False and name not in _NEEDED):
                found[name] = False if isinstance(kind, Bool) else None
            else:
                found[name] = kind.check(value, label)
        return cls(**found)
