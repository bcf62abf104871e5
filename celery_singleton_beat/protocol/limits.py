"""Tenants' limits: how many entries, how often, and whether an entry keeps within them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from celery_singleton_beat.errors import ConfigurationError, LimitExceeded
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.entry_values import seconds_number
from celery_singleton_beat.protocol.recurrences.gap import min_gap_ms
from celery_singleton_beat.protocol.tenant import Quota
from celery_singleton_beat.setting_values import Int, Seconds, did_you_mean, written

_NO_INTERVAL: Final = (None, 0, timedelta(0))


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """What one tenant may have; None: no limit of that kind.

    ``max_entries`` counts all entries, also those that are paused or disabled.
    ``min_interval`` (seconds or a timedelta) bounds the smallest distance that two
    occurrences of an entry ever have. ``max_per_minute`` bounds how many of its
    entries beats take up in a minute.

    Raises:
        ConfigurationError: a limit is no number, or negative.
    """

    max_entries: int | None = 20
    min_interval: float | timedelta | None = timedelta(minutes=5)
    max_per_minute: int | None = None

    def __post_init__(self) -> None:
        if self.max_entries is not None:
            Int(0).check(self.max_entries, "max_entries")
        if self.max_per_minute is not None:
            Int(1).check(self.max_per_minute, "max_per_minute")
        interval: object = self.min_interval
        if interval is False or interval not in _NO_INTERVAL:
            interval_ms = Seconds().check(interval, "min_interval")
            object.__setattr__(self, "min_interval", timedelta(milliseconds=interval_ms))
        else:
            object.__setattr__(self, "min_interval", None)

    @property
    def min_interval_ms(self) -> int:
        """The minimum interval; 0 if there is none."""
        if self.min_interval is None:
            return 0
        assert isinstance(self.min_interval, timedelta)  # noqa: S101  it was made one
        return self.min_interval // timedelta(milliseconds=1)

    @property
    def quota(self) -> Quota:
        """The limits as the store keeps them."""
        return Quota(
            ABSENT if self.max_entries is None else self.max_entries,
            self.min_interval_ms or ABSENT,
            ABSENT if self.max_per_minute is None else self.max_per_minute,
        )

    @classmethod
    def of_quota(cls, quota: Quota) -> TenantLimits:
        """Read what the store keeps."""
        entries, interval_ms, per_minute = (None if n == ABSENT else n for n in quota)
        return cls(entries, interval_ms and interval_ms / 1000, per_minute)

    def to_json(self) -> str:
        """The limits as canonical JSON."""
        return json.dumps(
            {
                "max_entries": self.max_entries,
                "min_interval": seconds_number(self.min_interval_ms) if self.min_interval else None,
                "max_per_minute": self.max_per_minute,
            },
            sort_keys=True,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> TenantLimits:
        """Read what `to_json` wrote.

        Raises:
            ConfigurationError: it is something else.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"not limits: {text[:80]!r}") from error
        if not isinstance(data, Mapping):
            raise ConfigurationError(f"not limits: {text[:80]!r}")
        given = dict(data)
        if isinstance(given.get("min_interval"), int | float):
            # What was written down is meant: even more seconds than a slip of units would be.
            given["min_interval"] = timedelta(seconds=given["min_interval"])
        return cls.from_data(given)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> TenantLimits:
        """Read limits by their names.

        Raises:
            ConfigurationError: there is no such limit, or it cannot be so.
        """
        for name in data:
            if name not in cls.__slots__:
                raise ConfigurationError(f"no limit {name!r}{did_you_mean(name, cls.__slots__)}")
        return cls(**data)


def gap_of(entry: Entry) -> int:
    """The smallest distance that two occurrences of an entry ever have, in ms; 0: it has no two."""
    return 0 if entry.max_runs == 1 else min_gap_ms(entry.spec.recurrence(entry.timezone)) or 0


def too_many(entry: Entry, allowed: int) -> LimitExceeded:
    """Tell that an entry's tenant has as many as it may."""
    return LimitExceeded(
        f"tenant {entry.tenant!r} has {allowed} entries, and may have no more (max_entries): "
        f"entry {entry.name!r} was not stored",
        limit="max_entries",
        allowed=allowed,
        value=allowed + 1,
        tenant=entry.tenant,
    )


def too_often(entry: Entry, least_ms: int) -> LimitExceeded:
    """Tell that two occurrences of an entry come too near to each other for its tenant."""
    gap_ms = gap_of(entry)
    return LimitExceeded(
        f"entry {entry.name!r} of tenant {entry.tenant!r} has occurrences "
        f"{written(gap_ms / 1000)} seconds apart, and {written(least_ms / 1000)} are the least "
        "allowed (min_interval; it counts the smallest distance that ever comes)",
        limit="min_interval",
        allowed=timedelta(milliseconds=least_ms),
        value=timedelta(milliseconds=gap_ms),
        tenant=entry.tenant,
    )
